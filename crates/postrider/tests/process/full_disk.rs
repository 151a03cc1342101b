//! A disk that takes no more: made with the limit on the size of files, which the kernel lets be changed while a process
//! runs.

use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::receiver::Receiver;
use crate::service::{Service, event, serve};

const PATIENCE: Duration = Duration::from_secs(30);

/// Sets the limit on the size of the service's files, in bytes. `prlimit` is in every Debian (util-linux).
fn limit_files(service: &Service, bytes: &str) {
    let pid = service.pid().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status().unwrap();
    assert!(done.success());
}

/// Asks until the answer is as wanted.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn on_a_full_disk_ingest_says_503_what_is_durable_is_delivered_and_it_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let (mut log, its_log) = std::io::pipe().unwrap();
    let mut command = serve(folder.path());
    command.args(["--log-level", "warn", "--allow-nets", "127.0.0.0/8"]).stderr(its_log);
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        log.read_to_string(&mut said).map(|_| said)
    });
    let service = Service::wait_for(command);
    let account = service.account();
    let body = format!(
        r#"{{"account":"{account}","url":"{}","livemode":false,"event_types":["*"],"rate_limit":{{"per_second":20,"burst":1}}}}"#,
        receiver.url()
    );
    assert_eq!(service.post("/v1/endpoints", &body).unwrap().0, 201);
    let events: Vec<Value> =
        (0..40).map(|_| service.post("/v1/events", &event(&account)).unwrap().1).collect();

    limit_files(&service, "0");
    let delivered_before = receiver.arrivals().len();
    assert!(delivered_before < events.len(), "most of them wait for the rate limit");
    for _ in 0..30 {
        let (status, retry_after) = service.post_for_retry_after("/v1/events", &event(&account));
        assert_eq!(status, 503);
        assert!(
            retry_after.is_some_and(|seconds| seconds.parse::<u32>().is_ok()),
            "it says when to try again"
        );
    }
    assert_eq!(service.status("/readyz"), 503);
    assert_eq!(service.status("/healthz"), 200);
    receiver.wait(PATIENCE, |arrived| arrived.len() == events.len());

    limit_files(&service, "unlimited");
    wait_until("it takes events again by itself", || {
        service.post("/v1/events", &event(&account)).unwrap().0 == 202
    });
    wait_until("it is ready again", || service.status("/readyz") == 200);
    for accepted in &events {
        let delivery = accepted["deliveries"][0]["id"].as_str().unwrap();
        wait_until("what was sent meanwhile is recorded", || {
            service.get(&format!("/v1/deliveries/{delivery}"))["status"] == "delivered"
        });
    }
    let arrivals = receiver.arrivals();
    for accepted in &events {
        let arrival = &arrivals[accepted["id"].as_str().unwrap()];
        assert_eq!(arrival.times.len(), 1, "nothing is sent twice for a disk");
    }
    assert!(service.terminate().success());
    let said = said.join().unwrap().unwrap();
    let times = said.matches("requests are refused").count();
    assert!((1..=4).contains(&times), "an outage is told now and then: {said}");
}

/// A commit of which a part reached the file, and then the process ends: what had a 202 is delivered, what had a 503 may be.
#[test]
fn what_was_accepted_while_commits_failed_half_way_is_delivered_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    let account = service.account();
    let endpoint = service.endpoint(&account, &receiver.url())["id"].as_str().unwrap().to_owned();
    assert_eq!(service.post(&format!("/v1/endpoints/{endpoint}/pause"), "").unwrap().0, 200);
    let log = folder.path().join("postrider.db-wal");
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for round in 0..40_u64 {
        // From one page of the commit to its last one.
        let length = std::fs::metadata(&log).unwrap().len();
        limit_files(&service, &(length + 2_000 * (1 + round % 12)).to_string());
        for _ in 0..4 {
            let (status, answer) = service.post("/v1/events", &event(&account)).unwrap();
            match status {
                202 => accepted.push(answer["id"].as_str().unwrap().to_owned()),
                503 => refused += 1,
                _ => panic!("{status} {answer}"),
            }
        }
        limit_files(&service, "unlimited");
        wait_until("it takes events again", || {
            let (status, answer) = service.post("/v1/events", &event(&account)).unwrap();
            accepted.extend((status == 202).then(|| answer["id"].as_str().unwrap().to_owned()));
            status == 202
        });
    }
    assert!(refused >= 20 && accepted.len() >= 40, "{refused} refused, {} accepted", accepted.len());
    let length = std::fs::metadata(&log).unwrap().len();
    limit_files(&service, &(length + 6_000).to_string());
    drop(service.post("/v1/events", &event(&account)));
    service.kill();

    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    assert_eq!(service.post(&format!("/v1/endpoints/{endpoint}/resume"), "").unwrap().0, 200);
    receiver.wait(PATIENCE, |arrived| accepted.iter().all(|guid| arrived.contains_key(guid)));
}
