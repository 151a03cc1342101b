//! The operator key of a running service: where it comes from, which keys are refused, and who gets to see a new one.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::service::{OPERATOR_KEY, Service, postrider, run};

/// `serve` on a free port, without a key.
fn serve(folder: &Path) -> Command {
    let mut command = postrider(folder);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command
}

/// The status of a call that only the operator may make.
fn status_with(service: &Service, key: &str) -> u16 {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let request = agent.get(format!("{}/v1/accounts", service.url));
    request.header("Authorization", format!("Bearer {key}")).call().unwrap().status().as_u16()
}

fn refused(mut command: Command) -> String {
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let (code, out, err) = run(command);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    err
}

#[test]
fn without_a_terminal_a_new_key_is_in_a_file_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (file, log) = (folder.path().join("postrider.operator-key"), folder.path().join("log"));
    let mut first = serve(folder.path());
    first.stderr(File::create(&log).unwrap());
    let service = Service::wait_for(first);
    let key = std::fs::read_to_string(&file).unwrap();
    assert!(key.ends_with('\n') && key.lines().count() == 1, "only the key");
    let key = key.trim();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(status_with(&service, key), 200);
    let said = service.said.join("\n");
    let shown = file.display().to_string();
    assert!(!said.contains(key) && said.contains("postrider.operator-key"), "{said} {shown}");
    assert!(said.contains("POSTRIDER_KEY=\"$(cat "), "the commands read the file: {said}");
    assert!(service.terminate().success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains(key) && log.contains("generated at this start"), "{log}");

    // The next start needs the file no more, and makes no other.
    std::fs::remove_file(&file).unwrap();
    let service = Service::wait_for(serve(folder.path()));
    assert_eq!(status_with(&service, key), 200);
    assert!(!file.exists() && !service.said.join("\n").contains("operator key"));
}

#[test]
fn on_a_terminal_a_new_key_is_shown_once_and_written_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let serve = format!("{} serve --listen 127.0.0.1:0 --log-level warn", env!("CARGO_BIN_EXE_postrider"));
    // `script` gives the command a terminal of its own, and hangs up when it ends.
    let mut terminal = Command::new("script");
    terminal.args(["-q", "-e", "-c", &serve, "/dev/null"]).current_dir(folder.path());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POSTRIDER_"))
    {
        terminal.env_remove(name);
    }
    let mut terminal =
        terminal.stdin(Stdio::null()).stdout(Stdio::piped()).env("NO_COLOR", "1").spawn().unwrap();
    let lines = BufReader::new(terminal.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take_while(|line| !line.contains("subscribes itself")).collect();
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    let shown = said.iter().filter(|line| line.contains("operator key") && line.contains("op_")).count();
    assert_eq!(shown, 1, "{said:?}");
    assert!(!folder.path().join("postrider.operator-key").exists());
}

#[test]
fn every_source_of_the_key_is_trimmed_named_in_the_log_and_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{OPERATOR_KEY}\r\n")).unwrap();
    let with = |source: &str, prepare: &dyn Fn(&mut Command)| {
        let log = folder.path().join("log");
        let mut command = serve(folder.path());
        command.stderr(File::create(&log).unwrap());
        prepare(&mut command);
        let service = Service::wait_for(command);
        assert_eq!(status_with(&service, OPERATOR_KEY), 200, "{source}");
        assert!(service.terminate().success());
        let log = std::fs::read_to_string(log).unwrap();
        let named = log.lines().any(|line| line.contains("operator key in force") && line.contains(source));
        assert!(named && !log.contains(OPERATOR_KEY), "{source}: {log}");
    };
    with("--operator-key", &|command| {
        command.args(["--operator-key", OPERATOR_KEY]);
    });
    with("POSTRIDER_OPERATOR_KEY", &|command| {
        command.env("POSTRIDER_OPERATOR_KEY", format!("{OPERATOR_KEY}\n"));
    });
    with("--operator-key-file", &|command| {
        command.args(["--operator-key-file".as_ref(), file.as_os_str()]);
    });
    with("POSTRIDER_OPERATOR_KEY_FILE", &|command| {
        command.env("POSTRIDER_OPERATOR_KEY_FILE", &file);
    });
    std::fs::write(folder.path().join("postrider.toml"), format!("operator_key = \" {OPERATOR_KEY}\t\"\n"))
        .unwrap();
    with("postrider.toml", &|_| {});
}

#[test]
fn a_key_that_can_be_guessed_is_refused_wherever_the_service_listens_and_by_doctor_too() {
    let folder = tempfile::tempdir().unwrap();
    let (short, of_account) = ("admin", "sk_live_0123456789abcdef0123456789abcdef");
    std::fs::write(folder.path().join("key"), "admin\n").unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    for (flags, why) in [
        (vec!["--operator-key", short], "head -c 32"),
        (vec!["--operator-key", short, "--behind-proxy"], "has 5 characters"),
        (vec!["--operator-key", of_account], "account"),
        (vec!["--operator-key", "0123456789abcdef 0123456789abcdef"], "white space"),
        (vec!["--operator-key-file", &file("key")], "has 5 characters"),
        (vec!["--operator-key-file", &file("empty")], "has 0 characters"),
        (vec!["--operator-key-file", &file("gone")], "can't be read"),
        (vec!["--operator-key", OPERATOR_KEY, "--operator-key-file", &file("key")], "set only one"),
    ] {
        let mut command = postrider(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(&flags);
        let (code, _, err) = run(command);
        assert!(code == Some(1) && err.contains(why), "{flags:?}: {err}");
        assert!(!err.contains(of_account) && !err.contains("\"admin\""), "{err}");
        let mut doctor = postrider(folder.path());
        doctor.arg("doctor").args(&flags);
        let (code, out, _) = run(doctor);
        assert!(code == Some(1) && out.contains(why), "{flags:?}: {out}");
    }
    let mut of_shell = postrider(folder.path());
    of_shell.env("POSTRIDER_OPERATOR_KEY", of_account);
    assert!(refused(of_shell).contains("POSTRIDER_OPERATOR_KEY"));
    assert!(!folder.path().join("postrider.db").exists(), "nothing is made for a start that is refused");
}

#[test]
fn where_the_file_can_not_be_written_the_start_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    // What is in the way is no key, and is left alone.
    std::fs::create_dir(folder.path().join("postrider.operator-key")).unwrap();
    let err = refused(postrider(folder.path()));
    assert!(err.contains("postrider.operator-key"), "{err}");
    std::fs::remove_dir(folder.path().join("postrider.operator-key")).unwrap();
    let service = Service::wait_for(serve(folder.path()));
    let key = std::fs::read_to_string(folder.path().join("postrider.operator-key")).unwrap();
    assert_eq!(status_with(&service, key.trim()), 200, "nothing was stored before");
}

#[test]
fn a_generated_key_is_enough_where_others_can_reach_the_listener() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = postrider(folder.path());
    command.args(["serve", "--listen", "0.0.0.0:0"]);
    let service = Service::wait_for(command);
    assert!(service.terminate().success());
}

#[test]
fn a_key_file_that_others_can_read_is_warned_of_by_serve_and_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("op");
    std::fs::write(&file, OPERATOR_KEY).unwrap();
    let arguments = ["--operator-key-file", file.to_str().unwrap()];
    let mut first = serve(folder.path());
    first.args(arguments);
    assert!(Service::wait_for(first).terminate().success());
    for exposed in [&file, &folder.path().join("postrider.key")] {
        let set_mode =
            |mode| std::fs::set_permissions(exposed, std::fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o644);
        let log = folder.path().join("log");
        let mut command = serve(folder.path());
        command.args(arguments).stderr(File::create(&log).unwrap());
        assert!(Service::wait_for(command).terminate().success());
        let log = std::fs::read_to_string(log).unwrap();
        let warned: Vec<&str> = log.lines().filter(|line| line.contains("readable by others")).collect();
        let name = exposed.file_name().unwrap().to_str().unwrap();
        assert!(warned.len() == 1 && warned[0].contains(name) && warned[0].contains("mode 644"), "{log}");
        let mut doctor = postrider(folder.path());
        doctor.arg("doctor").args(arguments);
        assert!(run(doctor).1.contains("mode 644"));
        set_mode(0o600);
    }
}
