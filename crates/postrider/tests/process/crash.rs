//! `kill -9` under load, several times: every 202 reaches both endpoints, and a second time only what was on its way
//! when the process died.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::receiver::{Arrival, Receiver};
use crate::service::{Service, event};

const KILLS: usize = 4;
const EVENTS_PER_LIFE: usize = 250;
const CLIENTS: usize = 4;
/// An outcome is recorded within a few milliseconds; on a machine that is busy with other tests, within this.
const RECORDED_WITHIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 4] = [
    "--allow-nets",
    "127.0.0.0/8",
    "--retry-schedule",
    "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s",
];

#[test]
fn no_accepted_event_is_lost_by_kill_9_and_duplicates_are_only_what_was_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let up = Receiver::open();
    let mut down = Receiver::closed();
    let accepted = Mutex::new(HashSet::new());
    let mut kills = Vec::new();
    let mut account = String::new();
    for life in 0..KILLS {
        let service = Service::start(folder.path(), &FLAGS);
        if life == 0 {
            account = service.account();
            service.endpoint(&account, &up.url());
            service.endpoint(&account, &down.url());
        }
        kills.push(load_and_end(service, &account, &accepted, Service::kill));
    }
    let last = Service::start(folder.path(), &FLAGS);
    down.begin();
    let accepted = accepted.into_inner().unwrap();
    assert!(accepted.len() >= KILLS * EVENTS_PER_LIFE);
    for receiver in [&up, &down] {
        receiver.wait(PATIENCE, |arrived| accepted.iter().all(|guid| arrived.contains_key(guid)));
    }
    check_duplicates(&up.arrivals(), &kills);
    assert!(
        down.arrivals().values().all(|arrival| arrival.times.len() == 1),
        "nobody was killed since it is up"
    );
    assert!(last.terminate().success());
}

#[test]
fn a_clean_stop_under_load_loses_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let accepted = Mutex::new(HashSet::new());
    let mut account = String::new();
    for life in 0..KILLS {
        let service = Service::start(folder.path(), &FLAGS);
        if life == 0 {
            account = service.account();
            service.endpoint(&account, &receiver.url());
        }
        load_and_end(service, &account, &accepted, |service| assert!(service.terminate().success()));
    }
    let _last = Service::start(folder.path(), &FLAGS);
    let accepted = accepted.into_inner().unwrap();
    receiver.wait(PATIENCE, |arrived| accepted.iter().all(|guid| arrived.contains_key(guid)));
    let twice = receiver.arrivals().values().filter(|arrival| arrival.times.len() > 1).count();
    assert_eq!(twice, 0, "what had ended was recorded before the process left");
}

/// How many events are sent once more by the replay.
const REPLAYED: usize = 60;

#[test]
fn a_replay_goes_on_after_kill_9_and_every_event_of_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let service = Service::start(folder.path(), &FLAGS);
    let account = service.account();
    let endpoint = service.endpoint(&account, &receiver.url());
    let id = endpoint["id"].as_str().unwrap();
    for _ in 0..REPLAYED {
        assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
    }
    receiver.wait(PATIENCE, |arrived| arrived.len() == REPLAYED);
    wait_for("the outcomes are recorded", || {
        let pending = service.get(&format!("/v1/deliveries?endpoint={id}&status=pending"));
        pending["data"].as_array().unwrap().is_empty()
    });
    // So slow that it is in its middle when the process dies.
    let slowly = r#"{"rate_limit":{"per_second":20,"burst":1}}"#;
    assert_eq!(service.patch(&format!("/v1/endpoints/{id}"), slowly), 200);
    let (status, replay) = service.post("/v1/replays", &format!(r#"{{"endpoint":"{id}"}}"#)).unwrap();
    assert_eq!((status, &replay["counts"]["matched"]), (201, &serde_json::json!(REPLAYED)), "{replay}");
    let came_again = |arrived: &HashMap<String, Arrival>| {
        arrived.values().filter(|arrival| arrival.times.len() > 1).count()
    };
    receiver.wait(PATIENCE, |arrived| came_again(arrived) >= 5);
    service.kill();
    assert!(came_again(&receiver.arrivals()) < REPLAYED, "it was in its middle");

    let service = Service::start(folder.path(), &FLAGS);
    receiver.wait(PATIENCE, |arrived| came_again(arrived) == REPLAYED);
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    wait_for("the replay is done", || service.get(&path)["state"] == "done");
    assert_eq!(service.get(&path)["counts"]["resent"], serde_json::json!(REPLAYED));
    // What was on its way when the process died comes once more than that.
    let times: usize = receiver.arrivals().values().map(|arrival| arrival.times.len()).sum();
    assert!(times <= 2 * REPLAYED + 10, "{times} requests");
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// Posts events from several clients until enough were accepted, and ends the service in the middle of it.
fn load_and_end(
    service: Service,
    account: &str,
    accepted: &Mutex<HashSet<String>>,
    end: impl Fn(Service) + Sync,
) -> Instant {
    let body = event(account);
    let count = AtomicUsize::new(0);
    let service = Mutex::new(Some(service));
    let ended_at = Mutex::new(None);
    let url = service.lock().unwrap().as_ref().unwrap().url.clone();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let client = crate::service::Poster::new(&url);
                // An error is the end of the service: what it answered before counts, nothing else.
                while let Ok((202, answer)) = client.post("/v1/events", &body) {
                    accepted.lock().unwrap().insert(answer["id"].as_str().unwrap().to_owned());
                    if count.fetch_add(1, Ordering::Relaxed) + 1 == EVENTS_PER_LIFE {
                        let service = service.lock().unwrap().take().unwrap();
                        end(service);
                        *ended_at.lock().unwrap() = Some(Instant::now());
                    }
                }
            });
        }
    });
    ended_at.into_inner().unwrap().expect("the load went on until the end")
}

/// Whatever came twice had come for the first time shortly before a kill, before its record was durable.
fn check_duplicates(arrivals: &HashMap<String, Arrival>, kills: &[Instant]) {
    for (guid, arrival) in arrivals {
        for pair in arrival.times.windows(2) {
            let near_a_kill = kills
                .iter()
                .any(|kill| pair[0] <= *kill && *kill - pair[0] <= RECORDED_WITHIN && pair[1] > *kill);
            assert!(near_a_kill, "{guid} came twice, and no kill explains it");
        }
    }
}
