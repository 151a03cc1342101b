//! Starting and stopping `serve`: what a person reads when it works, and one clear line when it can't.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::receiver::Receiver;
use crate::service::{OPERATOR_KEY, Service, event, postrider, run, serve};

/// Runs `serve`, which must fail; gives its one line.
fn refused(folder: &Path, flags: &[&str]) -> String {
    let mut command = postrider(folder);
    command.arg("serve").args(flags);
    if !flags.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let (code, _, err) = run(command);
    assert_eq!(code, Some(1), "{err}");
    let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(lines.len(), 1, "one clear line: {err}");
    lines[0].to_owned()
}

#[test]
fn the_first_start_says_once_where_the_operator_key_is_and_three_commands() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = postrider(folder.path());
    first.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
    let service = Service::wait_for(first);
    let said = service.said.join("\n");
    assert!(
        said.contains("postrider.operator-key")
            && said.contains("receive")
            && said.contains("trigger policy.created"),
        "{said}"
    );
    assert!(service.terminate().success());
    let mut second = postrider(folder.path());
    second.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
    let said = Service::wait_for(second).said.join("\n");
    assert!(!said.contains("postrider.operator-key"), "{said}");
    let mode = std::fs::metadata(folder.path().join("postrider.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn where_this_machine_may_be_reached_the_three_commands_need_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = postrider(folder.path());
    first.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--allow-nets", "127.0.0.0/8"]);
    let said = Service::wait_for(first).said.join("\n");
    let numbered = |n: usize, command: &str| {
        said.lines().any(|line| line.trim_start().starts_with(&format!("{n}  ")) && line.contains(command))
    };
    assert!(
        numbered(1, " receive") && numbered(2, " trigger policy.created") && numbered(3, "curl -u \"$(cat "),
        "{said}"
    );
}

#[test]
fn a_second_serve_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Service::start(folder.path(), &[]);
    let line = refused(folder.path(), &["--operator-key", OPERATOR_KEY]);
    assert!(line.contains("in use by another postrider process"), "{line}");
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refused(folder.path(), &["--listen", &address]);
    assert!(line.contains(&address) && line.contains("in use"), "{line}");
    assert!(!folder.path().join("postrider.db").exists(), "nothing was made for a start that failed");
}

#[test]
fn a_damaged_file_a_missing_key_and_a_wrong_key_are_one_clear_line_each() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("postrider.key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
        .unwrap();
    std::fs::write(folder.path().join("bad.db"), "this is no database ".repeat(500)).unwrap();
    assert!(refused(folder.path(), &["--store", "sqlite:bad.db"]).contains("not a SQLite database"));
    Service::start(folder.path(), &[]).terminate();
    std::fs::write(folder.path().join("other.key"), "//////////////////////////////////////////8=\n")
        .unwrap();
    assert!(refused(folder.path(), &["--master-key-file", "other.key"]).contains("does not fit"));
    assert!(refused(folder.path(), &["--master-key-file", "gone.key"]).contains("is missing"));
}

#[test]
fn a_wrong_store_is_named_as_such_by_every_command_and_nothing_is_made_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("sub")).unwrap();
    std::fs::write(at("notes.txt"), "just some notes\n").unwrap();
    std::fs::write(at("lost.db-wal"), "a log of another life").unwrap();
    std::os::unix::fs::symlink("gone.db", at("link.db")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    for (store, cause) in [
        ("sub", "sub is a folder; name a file in it"),
        ("sqlite:./", "./ is a folder; name a file in it"),
        ("notes.txt", "notes.txt is not a SQLite database"),
        ("missing/x.db", "the folder missing doesn't exist; create it"),
        ("notes.txt/x.db", "notes.txt is not a folder"),
        ("link.db", "is a symbolic link to gone.db, which doesn't exist"),
        ("fifo", "fifo is a FIFO, not a file"),
        ("/dev/null", "/dev/null is a device, not a file"),
        ("/sys/kernel/x.db", "the folder /sys/kernel can't be written"),
        ("lost.db", "its write-ahead log lost.db-wal is there"),
        ("", "--store is \"\""),
    ] {
        let mut said = vec![refused(folder.path(), &["--store", store])];
        let mut migrate = postrider(folder.path());
        migrate.args(["migrate", "--store", store]);
        said.push(run(migrate).2);
        let mut doctor = postrider(folder.path());
        doctor.args(["doctor", "--listen", "127.0.0.1:0", "--resolve", "localhost", "--store", store]);
        let (code, out, err) = run(doctor);
        assert_eq!(code, Some(1), "{out}{err}");
        said.push(out.lines().find(|line| line.contains('✗')).unwrap_or_default().to_owned());
        for said in said {
            assert!(said.contains(cause) && !said.contains("key"), "{store}: {said}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before, "nothing was made");
}

#[test]
fn a_master_key_without_its_database_is_warned_of_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let warning = "the master key exists but its database doesn't";
    let said = |flags: &[&str]| {
        let (mut log, its_log) = std::io::pipe().unwrap();
        let mut command = serve(folder.path());
        command.args(["--log-level", "warn"]).args(flags).stderr(its_log);
        Service::wait_for(command).terminate();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut log, &mut said).unwrap();
        said
    };
    assert!(!said(&[]).contains(warning), "the first start makes both");
    std::fs::remove_file(folder.path().join("postrider.db")).unwrap();
    let again = said(&[]);
    assert!(again.contains(warning) && again.contains("postrider.key"), "{again}");
    assert!(!said(&[]).contains(warning), "now they are both there");
    std::fs::remove_file(folder.path().join("postrider.db")).unwrap();
    assert!(
        !said(&["--master-key-file", "postrider.key"]).contains(warning),
        "a package makes the key first"
    );
}

#[test]
fn an_unknown_key_in_the_file_and_a_wrong_value_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("postrider.toml"), "retry_shedule = '5s'").unwrap();
    assert!(refused(folder.path(), &[]).contains("did you mean \"retry_schedule\"?"));
    std::fs::write(folder.path().join("postrider.toml"), "").unwrap();
    assert!(refused(folder.path(), &["--header-prefix", "X KASKO"]).contains("header prefix"));
    let open = refused(folder.path(), &["--listen", "0.0.0.0:0", "--operator-key", "short"]);
    assert!(open.contains("has 5 characters"), "{open}");
}

#[test]
fn print_config_shows_each_value_with_its_source_and_masks_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("postrider.toml"), "header_prefix = 'X-Acme-'").unwrap();
    let mut command = postrider(folder.path());
    command
        .args(["serve", "--print-config", "--operator-key", "very-secret-0123456789abcdef0123456"])
        .env("POSTRIDER_RETENTION_DAYS", "7");
    let (code, out, _) = run(command);
    assert_eq!(code, Some(0));
    let line = |name: &str| out.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        line("header_prefix").contains("\"X-Acme-\"") && line("header_prefix").ends_with("# postrider.toml")
    );
    assert!(line("retention_days").contains("\"7\"") && line("retention_days").ends_with("# environment"));
    assert!(line("operator_key").ends_with("# flag") && !out.contains("very-secret"));
    assert!(line("listen").ends_with("# default"));
}

/// A service with one request on the wire, to a receiver that never answers; and the body of that event.
fn with_a_hanging_request(folder: &Path, flags: &[&str]) -> (Service, TcpStream, String) {
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", hangs.local_addr().unwrap());
    let service = Service::start(folder, &[&["--allow-nets", "127.0.0.0/8"], flags].concat());
    let account = service.account();
    service.endpoint(&account, &url);
    let body = event(&account);
    assert_eq!(service.post("/v1/events", &body).unwrap().0, 202);
    let (stream, _) = hangs.accept().unwrap();
    (service, stream, body)
}

#[test]
fn a_hanging_receiver_does_not_hold_up_the_stop_beyond_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _stream, _) = with_a_hanging_request(folder.path(), &["--shutdown-grace-seconds", "1"]);
    let began = Instant::now();
    assert!(service.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn the_service_delivers_signed_and_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    let account = service.account();
    let secret = service.endpoint(&account, &receiver.url())["secret"].as_str().unwrap().to_owned();
    let payload = "{ \"id\":\"x\", \"livemode\" : false,\n \"policy_id\":\"P\",\"product_id\":\"I\", \"n\":1.10, \"big\":12345678901234567890123, \"e\":1E400, \"s\":\"\\u00fc\\/\", \"a\":1, \"a\":2 }";
    let body =
        format!("{{\"account\":\"{account}\",\"type\":\"policy.created\",\"payload\":\n  {payload} \n}}");
    let (status, answer) = service.post("/v1/events", &body).unwrap();
    assert_eq!(status, 202, "{answer}");
    let guid = answer["id"].as_str().unwrap();
    receiver.wait(Duration::from_secs(20), |arrived| arrived.contains_key(guid));
    let arrival = receiver.arrivals().remove(guid).unwrap();
    assert_eq!(
        (arrival.body.as_slice(), arrival.event_type.as_str()),
        (payload.as_bytes(), "policy.created")
    );
    assert_eq!(postrider_signature::kasko::verify(&secret, payload.as_bytes(), &arrival.signature), Ok(()));
}

#[test]
fn a_start_that_fails_leaves_no_operator_key_behind_that_nobody_has() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(folder.path(), &["--header-prefix", "bad!prefix"]).contains("header prefix"));
    let mut next = postrider(folder.path());
    next.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
    let said = Service::wait_for(next).said.join("\n");
    assert!(said.contains("postrider.operator-key") && said.contains("trigger policy.created"), "{said}");
}

#[test]
fn while_it_stops_events_are_answered_503_and_a_second_signal_leaves_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _stream, body) = with_a_hanging_request(folder.path(), &[]);
    service.signal("-TERM");
    // The signal arrives when it arrives: until then events are still taken.
    let refused = (0..10_000).find_map(|_| {
        let (status, answer) = service.post("/v1/events", &body).unwrap();
        (status != 202).then_some((status, answer))
    });
    let (status, answer) = refused.expect("it stops");
    assert_eq!((status, answer["code"].as_str()), (503, Some("shutting_down")), "{answer}");
    let began = Instant::now();
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(5), "the grace would have been 20 s");
}

#[test]
fn a_burst_far_beyond_memory_arrives_whole_and_once() {
    const EVENTS: usize = 10_000;
    const BATCH: usize = 500;
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    let account = service.account();
    service.endpoint(&account, &receiver.url());
    let event = event(&account);
    let batch = format!(r#"{{"events":[{}]}}"#, vec![event; BATCH].join(","));
    for _ in 0..EVENTS / BATCH {
        assert_eq!(service.post("/v1/events/batch", &batch).unwrap().0, 202);
    }
    receiver.wait(Duration::from_secs(120), |arrived| arrived.len() == EVENTS);
    service.terminate();
    let twice = receiver.arrivals().values().filter(|arrival| arrival.times.len() > 1).count();
    assert_eq!(twice, 0, "after a recorded 2xx no attempt is made again");
}

#[test]
fn sighup_stops_the_service_as_sigterm_does() {
    let folder = tempfile::tempdir().unwrap();
    // Whatever these tests run under: `nohup` would hand down that it is ignored.
    let mut command = std::process::Command::new("env");
    command.args([
        "--default-signal=HUP",
        env!("CARGO_BIN_EXE_postrider"),
        "serve",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.current_dir(folder.path()).env("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY);
    let service = Service::wait_for(command);
    service.signal("-HUP");
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn under_nohup_sighup_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    let serve = format!("trap '' HUP; exec {} serve --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_postrider"));
    command.args(["-c", &serve]).current_dir(folder.path()).env("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY);
    let service = Service::wait_for(command);
    service.signal("-HUP");
    for _ in 0..20 {
        assert_eq!(service.status("/healthz"), 200);
    }
    assert!(service.terminate().success());
}

/// With a limit of 0 a file would not be written, but a collector would still be given everything.
#[test]
fn no_core_dump_of_the_service_can_hold_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"], "{core}");
    service.signal("-ABRT");
    assert_eq!(service.wait().code(), None, "it ends by the signal");
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("core")), "{names:?}");
}
