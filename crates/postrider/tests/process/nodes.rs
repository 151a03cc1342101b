//! Several nodes on one database under load: one is killed, one is frozen and continued, one leaves; and the database
//! goes away under all of them. Nothing that was accepted is lost, and what comes twice has its reason.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use postrider_pgtemp::{Cluster, Settings};
use serde_json::Value;

use crate::fleet::{Load, PATIENCE, Place, all_arrived, repeated, wait_for, wait_until_recorded};
use crate::receiver::{Arrival, Receiver};
use crate::service::{OPERATOR_KEY, Poster, Service, event, postrider, run};

const CLIENTS: usize = 6;
const SOME: usize = 150;
/// Short, so that takeovers are soon.
const LAPSE: [&str; 2] = ["--node-lapse-seconds", "2"];
/// So long that nothing is taken over while a test goes on, unless it is handed over.
const LONG_LAPSE: [&str; 2] = ["--node-lapse-seconds", "300"];
/// An outcome is recorded within a few milliseconds; on a machine that is busy with other tests, within this.
const RECORDED_WITHIN: Duration = Duration::from_secs(4);
/// What was sent has come to the receiver; on such a machine the receiver has read it within this.
const READ_WITHIN: Duration = Duration::from_secs(1);

/// What a node says of the nodes that are alive.
fn nodes(node: &Service) -> Vec<Value> {
    node.get("/v1/nodes")["data"].as_array().unwrap().clone()
}

/// The number of the node that answers.
fn number(node: &Service) -> String {
    nodes(node).iter().find(|one| one["this"] == true).unwrap()["id"].as_str().unwrap().to_owned()
}

fn is_alive(seen_by: &Service, number: &str) -> bool {
    nodes(seen_by).iter().any(|one| one["id"] == number)
}

/// Waits until nodes know an account that another has made: within a second by their promise.
pub(crate) fn known_everywhere<'a>(account: &str, nodes: impl IntoIterator<Item = &'a Service>) {
    for node in nodes {
        wait_for("the account is known", || {
            let found = node.get("/v1/accounts?limit=250");
            found["data"].as_array().unwrap().iter().any(|one| one["id"] == account)
        });
    }
}

/// Whatever came twice had come for the first time shortly before this moment, and again after it.
fn came_again_only_across(arrived: &HashMap<String, Arrival>, moment: Instant) {
    for arrival in repeated(arrived) {
        let (first, again) = (arrival.times[0], arrival.times[1]);
        assert_eq!(arrival.times.len(), 2);
        assert!(
            first <= moment && moment - first <= RECORDED_WITHIN && again > moment,
            "twice without a reason: first {:?} before and {:?} after, again {:?} after",
            moment.saturating_duration_since(first),
            first.saturating_duration_since(moment),
            again.saturating_duration_since(moment)
        );
    }
}

#[test]
fn of_three_nodes_one_is_killed_under_load_and_the_others_deliver_what_was_its_own() {
    let place = Place::new();
    let receiver = Receiver::open();
    let mut down = Receiver::closed();
    let (one, two, three) = (place.start(&LAPSE), place.start(&LAPSE), place.start(&LAPSE));
    let account = one.account();
    known_everywhere(&account, [&two, &three]);
    one.endpoint(&account, &receiver.url());
    one.endpoint(&account, &down.url());
    let load = Load::begin(&[&one, &two, &three], &account, CLIENTS);
    load.wait_for_more(SOME);
    assert_eq!(nodes(&two).len(), 3);
    three.kill();
    let killed_at = Instant::now();
    load.wait_for_more(SOME);
    let accepted = load.end();
    receiver.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
    // What waited for a retry at the node that died is found, too.
    down.begin();
    down.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
    wait_until_recorded(&one, &accepted);
    came_again_only_across(&receiver.arrivals(), killed_at);
    assert_eq!(nodes(&one).len(), 2);
    for node in [one, two] {
        assert!(node.terminate().success());
    }
}

#[test]
fn a_node_that_is_frozen_past_its_lapse_loses_nothing_and_begins_anew_when_it_is_continued() {
    let place = Place::new();
    let receiver = Receiver::open();
    let (steady, frozen) = (place.start(&LAPSE), place.start(&LAPSE));
    let account = steady.account();
    known_everywhere(&account, [&frozen]);
    steady.endpoint(&account, &receiver.url());
    let load = Load::begin(&[&steady, &frozen], &account, CLIENTS);
    load.wait_for_more(SOME);
    let number_before = number(&frozen);
    frozen.signal("-STOP");
    let frozen_at = Instant::now();
    wait_for("the frozen node is taken for dead", || !is_alive(&steady, &number_before));
    // Every other request goes to the frozen node, and waits there.
    load.wait_for_more(CLIENTS);
    let continued_at = Instant::now();
    frozen.signal("-CONT");
    wait_for("it is there again under another number", || {
        nodes(&frozen).iter().any(|one| one["this"] == true && one["id"] != number_before.as_str())
    });
    load.wait_for_more(SOME);
    let accepted = load.end();
    receiver.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
    wait_until_recorded(&steady, &accepted);
    for arrival in repeated(&receiver.arrivals()) {
        // On its way when the node froze, or sent late by the node in the moment before it noticed.
        let was_under_way = arrival.times[0] <= frozen_at + READ_WITHIN
            && frozen_at.saturating_duration_since(arrival.times[0]) <= RECORDED_WITHIN;
        let came_late = arrival.times[1] >= continued_at && arrival.times[0] < continued_at;
        let since: Vec<_> = arrival.times.iter().map(|at| at.saturating_duration_since(frozen_at)).collect();
        assert!(
            since.len() == 2 && (was_under_way || came_late),
            "twice without a reason: {since:?} after the freeze, {:?} before it; continued {:?} after it",
            frozen_at.saturating_duration_since(arrival.times[0]),
            continued_at - frozen_at
        );
    }
    assert_eq!(frozen.post("/v1/events", &event(&account)).unwrap().0, 202);
}

#[test]
fn the_late_record_of_a_frozen_node_is_refused() {
    let place = Place::new();
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let (steady, frozen) = (place.start(&LAPSE), place.start(&LAPSE));
    let account = steady.account();
    known_everywhere(&account, [&frozen]);
    steady.endpoint(&account, &format!("http://{}/", slow.local_addr().unwrap()));
    let (status, accepted) = frozen.post("/v1/events", &event(&account)).unwrap();
    assert_eq!(status, 202);
    let mut first = slow.accept().unwrap().0;
    read_request(&mut first);
    let number_before = number(&frozen);
    frozen.signal("-STOP");
    // The other node takes the delivery over, and it is received.
    let mut second = slow.accept().unwrap().0;
    read_request(&mut second);
    second.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let path = format!("/v1/deliveries/{}", accepted["deliveries"][0]["id"].as_str().unwrap());
    wait_for("it is recorded", || steady.get(&path)["status"] == "delivered");
    // The frozen node reads another answer to its own request when it wakes up.
    first.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n").unwrap();
    frozen.signal("-CONT");
    wait_for("it has begun anew", || {
        nodes(&frozen).iter().any(|one| one["this"] == true && one["id"] != number_before.as_str())
    });
    assert_eq!(frozen.post("/v1/events", &event(&account)).unwrap().0, 202, "and is at work");
    let delivery = frozen.get(&path);
    assert_eq!(delivery["status"], "delivered");
    assert_eq!(
        delivery["attempts"].as_array().unwrap().len(),
        1,
        "the late outcome is in no log: {delivery}"
    );
}

/// Reads a request's head and body as far as they are there at once.
fn read_request(stream: &mut TcpStream) {
    let mut text = Vec::new();
    while !text.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut part = [0; 4_096];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "the request was cut off");
        text.extend_from_slice(&part[..length]);
    }
}

#[test]
fn first_sends_to_an_ordered_endpoint_stay_in_order_while_nodes_are_killed_frozen_and_started() {
    let place = Place::new();
    let receiver = Receiver::open();
    let mut fleet = vec![place.start(&LAPSE), place.start(&LAPSE), place.start(&LAPSE)];
    let account = fleet[0].account();
    known_everywhere(&account, &fleet);
    let url = receiver.url();
    let endpoint = format!(
        r#"{{"account":"{account}","url":"{url}","livemode":false,"event_types":["*"],"ordered":true}}"#
    );
    assert_eq!(fleet[0].post("/v1/endpoints", &endpoint).unwrap().0, 201);
    let mut accepted = Vec::new();
    // One after the other, through all nodes in turn: the order of acceptance is that of the answers.
    let mut hand_in = |fleet: &[Service], count: usize| {
        let clients: Vec<Poster> =
            fleet.iter().map(|node| Poster::patient(&node.url, Duration::from_secs(3))).collect();
        let (mut taken, began) = (0, Instant::now());
        for client in clients.iter().cycle() {
            if let Ok((202, answer)) = client.post("/v1/events", &event(&account)) {
                accepted.push(answer["id"].as_str().unwrap().to_owned());
                taken += 1;
            }
            if taken == count {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "events are accepted");
        }
    };
    hand_in(&fleet, 60);
    let holder = fleet.iter().position(holds_a_lease).expect("one node has the ordered endpoint");
    fleet.remove(holder).kill();
    hand_in(&fleet, 60);
    wait_for("another node has it", || fleet.iter().any(holds_a_lease));
    let holder = fleet.iter().position(holds_a_lease).unwrap();
    let others: Vec<usize> = (0..fleet.len()).filter(|index| *index != holder).collect();
    let number_before = number(&fleet[holder]);
    fleet[holder].signal("-STOP");
    wait_for("the frozen node is taken for dead", || !is_alive(&fleet[others[0]], &number_before));
    hand_in(&fleet[others[0]..=others[0]], 30);
    fleet[holder].signal("-CONT");
    hand_in(&fleet, 30);
    fleet.push(place.start(&LAPSE));
    hand_in(&fleet, 30);
    receiver.wait(PATIENCE, |arrived| accepted.iter().all(|guid| arrived.contains_key(guid)));
    let arrived = receiver.arrivals();
    let firsts: Vec<Instant> = accepted.iter().map(|guid| arrived[guid].times[0]).collect();
    let early = firsts.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]);
    let early: Vec<usize> = early.map(|(place, _)| place + 1).collect();
    assert!(
        early.is_empty(),
        "of {} these came before one that was accepted earlier: {early:?}",
        firsts.len()
    );
}

fn holds_a_lease(node: &Service) -> bool {
    nodes(node).iter().any(|one| one["this"] == true && one["leases"].as_u64() > Some(0))
}

#[test]
fn a_node_that_is_told_to_stop_hands_everything_over_at_once() {
    let place = Place::new();
    let mut receiver = Receiver::closed();
    let (stays, leaves) = (place.start(&LONG_LAPSE), place.start(&LONG_LAPSE));
    let account = stays.account();
    known_everywhere(&account, [&leaves]);
    for ordered in ["false", "true"] {
        let (url, rest) = (receiver.url(), r#""livemode":false,"event_types":["*"]"#);
        let body = format!(r#"{{"account":"{account}","url":"{url}","ordered":{ordered},{rest}}}"#);
        assert_eq!(stays.post("/v1/endpoints", &body).unwrap().0, 201);
    }
    let accepted: Vec<String> = (0..40)
        .map(|_| {
            let (status, answer) = leaves.post("/v1/events", &event(&account)).unwrap();
            assert_eq!(status, 202, "{answer}");
            answer["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(leaves.terminate().success());
    receiver.begin();
    // Both endpoints lead to the same receiver.
    receiver.wait(PATIENCE, |arrived| {
        accepted.iter().all(|guid| arrived.get(guid).is_some_and(|arrival| arrival.times.len() >= 2))
    });
    assert_eq!(nodes(&stays).len(), 1);
    assert!(
        receiver.arrivals().values().all(|arrival| arrival.times.len() == 2),
        "each endpoint got it once"
    );
}

#[test]
fn after_an_outage_longer_than_the_lapse_no_node_takes_what_is_anothers() {
    let cluster = Cluster::start(Settings::default()).unwrap();
    let place = Place::on(&cluster);
    let receiver = Receiver::open();
    let fleet = [place.start(&LAPSE), place.start(&LAPSE)];
    let account = fleet[0].account();
    known_everywhere(&account, &fleet);
    fleet[0].endpoint(&account, &receiver.url());
    let numbers: Vec<String> = fleet.iter().map(number).collect();
    let load = Load::begin(&[&fleet[0], &fleet[1]], &account, CLIENTS);
    load.wait_for_more(SOME);
    cluster.stop().unwrap();
    let gone = Instant::now();
    wait_for("every heartbeat is older than the lapse", || gone.elapsed() > Duration::from_secs(4));
    let before = receiver.arrivals().len();
    cluster.start_again().unwrap();
    let back = Instant::now();
    receiver.wait(PATIENCE, |arrived| arrived.len() > before + SOME);
    assert!(back.elapsed() < Duration::from_secs(5), "deliveries went on after {:?}", back.elapsed());
    load.wait_for_more(SOME);
    let accepted = load.end();
    receiver.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
    wait_until_recorded(&fleet[0], &accepted);
    assert_eq!(repeated(&receiver.arrivals()).len(), 0, "nobody took over what was in flight elsewhere");
    assert_eq!(fleet.iter().map(number).collect::<Vec<_>>(), numbers, "and nobody began anew");
}

#[test]
fn an_endpoint_made_on_one_node_gets_what_another_accepts_right_after() {
    let place = Place::new();
    let receiver = Receiver::open();
    let fleet = [place.start(&[]), place.start(&[])];
    let (tell, told) = mpsc::channel();
    for turn in 0..20 {
        let (makes, takes) = (&fleet[turn % 2], &fleet[(turn + 1) % 2]);
        // Nobody waits until the other node has heard of either.
        let account = makes.account();
        let endpoint = makes.endpoint(&account, &receiver.url());
        let path = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
        if turn % 4 < 2 {
            assert_eq!(takes.get(&path)["id"], endpoint["id"]);
        }
        let (status, answer) = takes.post("/v1/events", &event(&account)).unwrap();
        assert_eq!((status, answer["deliveries"].as_array().unwrap().len()), (202, 1), "{answer}");
        tell.send(answer["id"].as_str().unwrap().to_owned()).unwrap();
    }
    drop(tell);
    let accepted: Vec<String> = told.iter().collect();
    receiver.wait(PATIENCE, |arrived| accepted.iter().all(|guid| arrived.contains_key(guid)));
}

#[test]
fn the_command_shows_the_nodes_as_a_table_and_as_json() {
    let place = Place::new();
    let one = place.start(&["--node-name", "first-floor"]);
    let _two = place.start(&["--node-name", "second-floor"]);
    let shown = |json: bool| {
        let mut command = postrider(place.path());
        command.args(["nodes", "--url", &one.url]).env("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY);
        if json {
            command.arg("--json");
        }
        run(command)
    };
    let (code, out, err) = shown(false);
    assert_eq!(code, Some(0), "{err}");
    let line = |name: &str| out.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{out}"));
    assert!(line("first-floor").contains("answered") && !line("second-floor").contains("answered"), "{out}");
    let answer: Value = serde_json::from_str(&shown(true).1).unwrap();
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    let account = one.post("/v1/accounts", r#"{"name":"x"}"#).unwrap().1;
    let key = account["secret_keys"]["test"].as_str().unwrap();
    let mut command = postrider(place.path());
    command.args(["nodes", "--url", &one.url, "--key", key]);
    let (code, _, err) = run(command);
    assert!(code == Some(1) && err.contains("operator"), "{err}");
}
