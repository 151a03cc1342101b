//! Calls with an idempotency key are made again: after `kill -9`, and on two nodes at the same moment. Each creates once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::fleet::Place;
use crate::nodes::known_everywhere;
use crate::receiver::Receiver;
use crate::service::{Poster, Service, event};

const CLIENTS: usize = 4;
/// Fewer than a page of the list.
const CALLS_EACH: usize = 50;
const CALLS: usize = CLIENTS * CALLS_EACH;
const PATIENCE: Duration = Duration::from_secs(60);
const FLAGS: [&str; 2] = ["--allow-nets", "127.0.0.0/8"];

/// Each client's calls, each with a key of its own, until all are answered or the service is gone; gives the answers by
/// their keys. `answered` counts them on the way.
fn call(url: &str, account: &str, answered: &AtomicUsize) -> BTreeMap<String, String> {
    let answers = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let answers = &answers;
            scope.spawn(move || {
                let poster = Poster::patient(url, PATIENCE);
                for number in 0..CALLS_EACH {
                    let key = format!("{client}-{number}");
                    let Ok((status, answer)) = poster.post_once(&key, "/v1/events", &event(account)) else {
                        return;
                    };
                    assert_eq!(status, 202, "{answer}");
                    answers.lock().unwrap().insert(key, answer["id"].as_str().unwrap().to_owned());
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

fn stored(service: &Service) -> BTreeSet<String> {
    let events = service.get("/v1/events?limit=250")["data"].as_array().unwrap().clone();
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn calls_that_are_made_again_after_kill_9_create_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::open();
    let service = Service::start(folder.path(), &FLAGS);
    let account = service.account();
    service.endpoint(&account, &receiver.url());
    let answered = AtomicUsize::new(0);
    let url = service.url.clone();
    let before = std::thread::scope(|scope| {
        let calling = scope.spawn(|| call(&url, &account, &answered));
        while answered.load(Ordering::SeqCst) < CALLS / 4 {
            std::thread::yield_now();
        }
        service.kill();
        calling.join().unwrap()
    });
    let service = Service::start(folder.path(), &FLAGS);
    let after = call(&service.url, &account, &answered);
    assert_eq!(after.len(), CALLS);
    for (key, id) in &before {
        assert_eq!(after.get(key), Some(id), "{key} was answered before the kill");
    }
    let ids: BTreeSet<String> = after.into_values().collect();
    assert_eq!(ids.len(), CALLS);
    assert_eq!(stored(&service), ids, "whether its call was answered or not, each event is there once");
    receiver.wait(PATIENCE, |arrived| ids.iter().all(|id| arrived.contains_key(id)));
    assert_eq!(receiver.arrivals().len(), CALLS);
    assert!(service.terminate().success());
}

#[test]
fn a_call_that_comes_to_two_nodes_at_once_creates_at_one_and_is_answered_the_same_at_both() {
    let place = Place::new();
    let (one, two) = (place.start(&[]), place.start(&[]));
    let account = one.account();
    known_everywhere(&account, [&two]);
    let count = AtomicUsize::new(0);
    let (here, there) = std::thread::scope(|scope| {
        let here = scope.spawn(|| call(&one.url, &account, &count));
        let there = call(&two.url, &account, &count);
        (here.join().unwrap(), there)
    });
    assert_eq!(here.len(), CALLS);
    assert_eq!(here, there);
    let three = place.start(&[]);
    assert_eq!(call(&three.url, &account, &AtomicUsize::new(0)), here, "nor at a third, later");
    assert_eq!(stored(&three), here.into_values().collect());
}
