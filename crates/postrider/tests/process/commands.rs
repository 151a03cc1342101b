//! The other commands, as a person uses them.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::receiver::Receiver;
use crate::service::{OPERATOR_KEY, Service, postrider, run};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const EMPTY_OBJECT: &str = "sha1=205d9b79bcc779bd36121006c1f235b76b2b43a2";

#[test]
fn sign_and_verify_agree_and_a_wrong_body_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("body.json"), "{}").unwrap();
    std::fs::write(folder.path().join("with-newline.json"), "{}\n").unwrap();
    let command = |args: &[&str]| {
        let mut command = postrider(folder.path());
        command.args(args).args(["--secret", SECRET]);
        run(command)
    };
    assert_eq!(command(&["sign", "--file", "body.json"]).1.trim(), EMPTY_OBJECT);
    let (code, out, _) = command(&["verify", "--file", "body.json", "--signature", EMPTY_OBJECT]);
    assert!(code == Some(0) && out.contains("valid"), "{out}");
    let (code, out, _) = command(&["verify", "--file", "with-newline.json", "--signature", EMPTY_OBJECT]);
    assert!(code == Some(1) && out.contains("line break at the end"), "{out}");
    let (code, _, err) = command(&["sign", "--file", "missing.json"]);
    assert!(code == Some(1) && err.contains("missing.json can't be read"), "{err}");
}

#[test]
fn wrong_use_is_exit_code_2_and_names_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = postrider(folder.path());
    command.args(["serve", "--retry-shedule", "5s"]);
    let (code, _, err) = run(command);
    assert!(code == Some(2) && err.contains("--retry-schedule"), "{err}");
}

#[test]
fn migrate_brings_a_store_up_to_date_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let migrate = || {
        let mut command = postrider(folder.path());
        command.args(["migrate", "--store", "sqlite:postrider.db"]);
        run(command)
    };
    let (code, _, err) = migrate();
    assert!(code == Some(1) && err.contains("there is no store at postrider.db"), "{err}");
    assert!(!folder.path().join("postrider.db").exists());
    Service::start(folder.path(), &[]).terminate();
    assert!(migrate().1.contains("up to date"));
}

#[test]
fn trigger_hands_in_an_example_and_shows_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    let account = service.account();
    service.endpoint(&account, &receiver.url());
    let trigger = |args: &[&str]| {
        let mut command = postrider(folder.path());
        command
            .arg("trigger")
            .args(args)
            .args(["--url", &service.url])
            .env("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY);
        run(command)
    };
    let (code, out, err) = trigger(&["policy.cancelled", "--set", "metadata.order=A-1"]);
    assert!(
        code == Some(0) && out.contains("accepted policy.cancelled") && out.contains("answered 200"),
        "{out}{err}"
    );
    let body = receiver.arrivals().into_values().next().unwrap().body;
    assert!(String::from_utf8(body).unwrap().contains("A-1"));
    let (code, _, err) = trigger(&["no.such.type"]);
    assert!(code == Some(1) && err.contains("policy.created"), "{err}");
    let (code, _, err) = trigger(&["policy.created", "--set", "gross_premium=much"]);
    assert!(code == Some(1) && err.contains("/payload/gross_premium"), "{err}");
}

#[test]
fn receive_subscribes_itself_shows_what_arrives_and_removes_its_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    let mut command = postrider(folder.path());
    command.args(["receive", "--listen", "127.0.0.1:0", "--url", &service.url, "--key", OPERATOR_KEY]);
    let mut receive = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(receive.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.contains("waiting for webhooks")));
    let mut trigger = postrider(folder.path());
    trigger.args(["trigger", "offer.created", "--url", &service.url, "--key", OPERATOR_KEY]);
    assert_eq!(run(trigger).0, Some(0));
    assert!(lines.by_ref().any(|line| line.contains("offer.created") && line.contains("signature ok")));
    let pid = receive.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(receive.wait().unwrap().success());
    assert_eq!(service.get("/v1/endpoints")["data"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_demo_shows_deliveries_within_two_seconds_and_retries_soon_after() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = postrider(folder.path());
    command.args(["demo", "--rate", "20", "--seconds", "60"]);
    let began = Instant::now();
    let mut demo = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.contains("delivered")));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(lines.by_ref().any(|line| line.contains("attempt 2 in")));
    assert!(lines.by_ref().any(|line| line.contains("delivered by attempt 2")));
    let pid = demo.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let summary: Vec<String> = lines.collect();
    assert!(summary.iter().any(|line| line.contains("signatures right, 0 wrong")), "{summary:?}");
    assert!(demo.wait().unwrap().success());
}

#[test]
fn bench_measures_this_program_loses_nothing_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = postrider(folder.path());
    command.args(["bench", "--seconds", "1", "--json", "--dir"]).arg(folder.path());
    let (code, out, err) = run(command);
    assert_eq!(code, Some(0), "{out}{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let row = |what: &str| rows.iter().find(|row| row["what"] == what).unwrap();
    assert!(row("bare signed POST, 64 connections")["value"].as_f64().unwrap() > 0.0);
    assert!(row("CPU per delivery at saturation")["ratio"].as_f64().unwrap() > 0.0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its own folder is gone");
    let mut command = postrider(folder.path());
    command.args(["bench", "--dir", "not-there"]);
    let (code, _, err) = run(command);
    assert!(code == Some(1) && err.contains("could not make a folder in not-there"), "{err}");
}

#[test]
fn a_command_whose_output_can_not_be_written_fails() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    service.account();
    let commands: [&[&str]; 5] = [
        &["accounts", "list"],
        &["accounts", "list", "--json"],
        &["openapi"],
        &["completions", "bash"],
        &["doctor", "--listen", "127.0.0.1:0"],
    ];
    for words in commands {
        let mut command = postrider(folder.path());
        command.args(words).env("POSTRIDER_URL", &service.url).env("POSTRIDER_KEY", OPERATOR_KEY);
        command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let ended = command.stderr(std::process::Stdio::piped()).output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{words:?}: {err}");
        assert!(err.contains("standard output can't be written: No space left"), "{words:?}: {err}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = postrider(folder.path());
    command.arg("openapi").stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn client_commands_read_postrider_key_first_and_the_old_name_still_works() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    let list = |variables: &[(&str, &str)]| {
        let mut command = postrider(folder.path());
        command.args(["accounts", "list"]).env("POSTRIDER_URL", &service.url).envs(variables.iter().copied());
        run(command)
    };
    assert_eq!(list(&[("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY)]).0, Some(0));
    assert_eq!(list(&[("POSTRIDER_KEY", ""), ("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY)]).0, Some(0));
    assert_eq!(list(&[("POSTRIDER_KEY", OPERATOR_KEY), ("POSTRIDER_OPERATOR_KEY", "sk_live_x")]).0, Some(0));
    assert_eq!(list(&[("POSTRIDER_KEY", &format!("{OPERATOR_KEY}\n"))]).0, Some(0));
    let (code, _, err) = list(&[("POSTRIDER_KEY", "sk_live_x"), ("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY)]);
    assert!(
        code == Some(1) && err.contains("401") && err.contains(&service.url),
        "it says where it asked: {err}"
    );
}

#[test]
fn a_wrong_url_is_said_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    let address = service.url.trim_start_matches("http://");
    for (url, words) in [
        (address.to_owned(), format!("must begin with http:// or https://, such as http://{address}")),
        (format!("https://{address}"), "does not speak TLS".to_owned()),
        ("http://127.0.0.1:1".to_owned(), "nothing listens there".to_owned()),
        ("http://nowhere.invalid".to_owned(), "failed to lookup address information".to_owned()),
        ("ftp://x".to_owned(), "must be the service's URL".to_owned()),
    ] {
        for command in [&["accounts", "list"][..], &["listen", "--forward-to", "http://127.0.0.1:9/"]] {
            let mut asks = postrider(folder.path());
            asks.args(command).args(["--url", &url, "--key", OPERATOR_KEY]);
            let (code, _, err) = run(asks);
            assert!(code == Some(1) && err.contains(&words), "{command:?} {url}: {err}");
        }
    }
}
