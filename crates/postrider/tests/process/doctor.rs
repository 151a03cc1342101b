//! `doctor` beside a service and without one: what it finds, and what its exit code says.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::service::{Service, postrider, run};

/// The exit code, and what was found in each area: its status and its text.
fn doctor(folder: &Path, flags: &[&str]) -> (Option<i32>, Value) {
    let mut command = postrider(folder);
    command.args(["doctor", "--json", "--resolve", "localhost"]).args(flags);
    let (code, out, err) = run(command);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}{err}"));
    assert_eq!(found["is_well"], code == Some(0), "{found}");
    (code, found)
}

fn check<'a>(found: &'a Value, area: &str) -> (&'a str, &'a str) {
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["area"] == area).unwrap();
    (check["status"].as_str().unwrap(), check["found"].as_str().unwrap())
}

#[test]
fn a_first_start_is_well_and_nothing_is_made_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, found) = doctor(folder.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(0), "{found}");
    for area in ["configuration", "master key", "store", "clock", "listener", "address guard", "DNS"] {
        assert_eq!(check(&found, area).0, "good", "{area}: {found}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_running_service_is_seen_and_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    let listen = service.url.strip_prefix("http://").unwrap().to_owned();
    let (code, found) = doctor(folder.path(), &["--listen", &listen]);
    assert_eq!(code, Some(0), "{found}");
    assert!(check(&found, "store").1.contains("a service runs on it"), "{found}");
    assert!(check(&found, "listener").1.contains("a service answers"), "{found}");
    assert_eq!(service.status("/readyz"), 200);
    assert!(service.terminate().success());
}

#[test]
fn a_wrong_setting_a_wrong_key_and_a_taken_port_are_problems() {
    let folder = tempfile::tempdir().unwrap();
    let (code, found) = doctor(folder.path(), &["--retention-days", "0"]);
    assert_eq!((code, check(&found, "configuration").0), (Some(1), "problem"));
    assert!(check(&found, "configuration").1.contains("a whole number from 1 to 3650"), "{found}");
    Service::start(folder.path(), &[]).terminate();
    let key = folder.path().join("postrider.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let (code, found) = doctor(folder.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!((code, check(&found, "master key").0), (Some(0), "warning"));
    std::fs::write(&key, "//////////////////////////////////////////8=\n").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, found) = doctor(folder.path(), &["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!((code, check(&found, "listener").0), (Some(1), "problem"));
    assert!(check(&found, "store").1.contains("does not fit"), "{found}");
    std::fs::remove_file(&key).unwrap();
    let (_, found) = doctor(folder.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(check(&found, "store").0, "problem");
}

#[test]
fn a_master_key_without_its_database_is_a_warning_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    Service::start(folder.path(), &[]).terminate();
    std::fs::remove_file(folder.path().join("postrider.db")).unwrap();
    let (code, found) = doctor(folder.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!((code, check(&found, "store").0), (Some(0), "warning"), "{found}");
    assert!(check(&found, "store").1.contains("its master key postrider.key exists"), "{found}");
    let named = ["--listen", "127.0.0.1:0", "--master-key-file", "postrider.key"];
    assert_eq!(check(&doctor(folder.path(), &named).1, "store").0, "good");
}

#[test]
fn an_open_guard_is_a_warning_and_a_name_that_is_not_found_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--allow-nets", "169.254.0.0/16", "--resolve", "no-such-name.invalid", "--listen", "127.0.0.1:0"];
    let mut command = postrider(folder.path());
    command.arg("doctor").args(flags).env("POSTRIDER_LISTN", "x");
    let (code, out, _) = run(command);
    assert_eq!(code, Some(1));
    let line = |mark: &str, area: &str| {
        out.lines().any(|line| line.trim_start().starts_with(mark) && line.contains(area))
    };
    assert!(line("!", "address guard") && line("✗", "DNS") && line("!", "configuration"), "{out}");
    assert!(out.contains("1 problem"), "{out}");
}
