//! What the service writes to its log: one wide line per attempt, as text or JSON, and never a payload or a secret.

use std::fs::File;
use std::time::Duration;

use serde_json::Value;

use crate::receiver::Receiver;
use crate::scripted::{Reply, Scripted};
use crate::service::{OPERATOR_KEY, Service, event, serve};

/// Delivers one event with the log in `format`, and gives the log with what must not stand in it.
fn log_of_one_delivery(format: &str) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let receiver = Receiver::open();
    let mut command = serve(folder.path());
    command.args(["--log-format", format, "--allow-nets", "127.0.0.0/8"]).stderr(File::create(&log).unwrap());
    let service = Service::wait_for(command);
    let account = service.account();
    let endpoint = format!(
        r#"{{"account":"{account}","url":"{}","livemode":false,"event_types":["*"],"headers":{{"X-Token":"header-value-nobody-may-log"}}}}"#,
        receiver.url()
    );
    let (status, endpoint) = service.post("/v1/endpoints", &endpoint).unwrap();
    assert_eq!(status, 201, "{endpoint}");
    let payload = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I","first_name":"payload-nobody-may-log"}"#;
    let body = format!(r#"{{"account":"{account}","type":"policy.created","payload":{payload}}}"#);
    assert_eq!(service.post("/v1/events", &body).unwrap().0, 202);
    receiver.wait(Duration::from_secs(20), |arrived| arrived.len() == 1);
    assert!(service.terminate().success());
    let secret = endpoint["secret"].as_str().unwrap().to_owned();
    let never = ["header-value-nobody-may-log", "payload-nobody-may-log", OPERATOR_KEY].map(str::to_owned);
    (std::fs::read_to_string(log).unwrap(), never.into_iter().chain([secret]).collect())
}

#[test]
fn json_logs_have_one_wide_line_per_attempt_and_no_payload_or_secret() {
    let (log, never) = log_of_one_delivery("json");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let attempts: Vec<&Value> = lines.iter().filter(|line| line["target"] == "postrider::attempt").collect();
    assert_eq!(attempts.len(), 1, "{log}");
    let attempt = attempts[0];
    assert_eq!((attempt["status"].as_u64(), attempt["next"].as_str()), (Some(200), Some("delivered")));
    for field in ["delivery", "event", "event_type", "account", "endpoint", "livemode", "attempt", "took_ms"]
    {
        assert!(!attempt[field].is_null(), "{field}: {attempt}");
    }
    assert!(never.iter().all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn text_logs_have_no_payload_or_secret_either() {
    let (log, never) = log_of_one_delivery("text");
    assert_eq!(log.lines().filter(|line| line.contains("postrider::attempt")).count(), 1, "{log}");
    assert!(never.iter().all(|secret| !log.contains(secret)), "{log}");
}

/// Delivers one event that is answered 500 first and 200 then, with these flags, and returns the log.
fn log_of_a_failure_and_a_success(flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let receiver = Scripted::start(|index| Reply::Status(if index == 1 { 500 } else { 200 }));
    let mut command = serve(folder.path());
    command.args(["--allow-nets", "127.0.0.0/8", "--retry-schedule", "1s,1s"]).args(flags);
    command.stderr(File::create(&log).unwrap());
    let service = Service::wait_for(command);
    let account = service.account();
    service.endpoint(&account, &receiver.url());
    assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
    receiver.wait(Duration::from_secs(20), |seen| seen.len() == 2);
    assert!(service.terminate().success());
    std::fs::read_to_string(log).unwrap()
}

#[test]
fn attempts_are_logged_all_or_only_failed_ones_or_none() {
    let attempts = |log: &str| log.lines().filter(|line| line.contains("postrider::attempt")).count();
    for (flags, expected) in [
        (&["--log-attempts", "all"][..], 2),
        (&["--log-attempts", "failed"], 1),
        (&["--log-attempts", "none"], 0),
        (&["--log-level", "info,postrider::attempt=off"], 0),
        (&["--log-level", "warn,postrider::attempt=info"], 2),
    ] {
        let log = log_of_a_failure_and_a_success(flags);
        assert_eq!(attempts(&log), expected, "{flags:?}: {log}");
        let has_others = log.lines().any(|line| line.contains("ready"));
        assert_eq!(has_others, flags[1] != "warn,postrider::attempt=info", "{flags:?}: {log}");
    }
}
