//! Several nodes: an endpoint that needs one place is sent to by the node that holds it, and by no other.

use super::*;

const NO: EndpointNo = EndpointNo(1);

/// Lanes of one node of several, with one `ordered` endpoint.
fn ordered() -> Lanes {
    let mut lanes = lanes(ROOMY);
    lanes.share();
    lanes.configure(endpoint(1, 1, |settings| settings.ordered = true), at(0));
    lanes
}

/// Lanes of one node of several, with one endpoint of no special kind.
fn plain() -> Lanes {
    let mut lanes = lanes(ROOMY);
    lanes.share();
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes
}

fn refill(lanes: &mut Lanes, seqs: &[i64]) -> bool {
    let Some(refill) = lanes.take_refill() else { return false };
    lanes.refilled(refill, Vec::new(), seqs.iter().map(|seq| item(*seq)).collect(), at(0));
    true
}

/// Makes the endpoint fail as seen from this node, with deliveries from `first` on.
fn fail(lanes: &mut Lanes, first: i64) {
    for step in 0..20 {
        lanes.push(NO, item(first + step), at(step * 5_000));
        let dispatch = lanes.next(at(step * 5_000)).unwrap();
        end(lanes, dispatch, &down(), at(step * 5_000));
        if lanes.view(NO).unwrap().health.is_failing() {
            return;
        }
    }
    panic!("it fails by now");
}

#[test]
fn an_endpoint_that_needs_one_place_is_sent_to_once_it_is_held() {
    let mut lanes = ordered();
    assert!(!lanes.would_own(NO));
    lanes.left(NO);
    assert_eq!(lanes.take_wanted(), Some(NO));
    assert!(!refill(&mut lanes, &[1]), "nothing is read for it before");
    lanes.held(NO, at(0));
    assert!(
        !lanes.would_own(NO),
        "another node may have accepted an earlier one: the store gives both in their order"
    );
    assert!(refill(&mut lanes, &[1, 2]));
    assert_eq!(seqs(&drain(&mut lanes, at(0))), [1]);
    lanes.left(NO);
    assert!(refill(&mut lanes, &[2, 3]), "what is accepted here is read back as well");
}

#[test]
fn a_rate_limit_needs_one_place_too_and_nothing_else_does() {
    let mut lanes = lanes(ROOMY);
    lanes.share();
    let limit = Some(RateLimit { per_second: 1, burst: 1 });
    lanes.configure(endpoint(1, 1, |settings| settings.rate_limit = limit), at(0));
    lanes.configure(endpoint(2, 1, |_| {}), at(0));
    assert!(!lanes.would_own(EndpointNo(1)) && lanes.would_own(EndpointNo(2)));
}

#[test]
fn what_another_node_holds_is_left_to_it_and_asked_for_again_only_when_it_is_free() {
    let mut lanes = ordered();
    lanes.left(NO);
    assert_eq!(lanes.take_wanted(), Some(NO));
    assert!(lanes.held_elsewhere(NO).is_empty());
    for _ in 0..3 {
        lanes.left(NO);
        assert!(!lanes.wants_place());
    }
    lanes.is_free(NO);
    assert_eq!(lanes.take_wanted(), Some(NO));
}

/// Where it was matched as this node's before it was known that another one holds the endpoint.
#[test]
fn what_became_this_nodes_too_late_is_handed_over() {
    let mut lanes = ordered();
    lanes.left(NO);
    lanes.take_wanted();
    lanes.held_elsewhere(NO);
    lanes.push(NO, item(5), at(0));
    assert_eq!(lanes.take_wanted(), Some(NO), "so that it is handed over");
    assert!(lanes.held_elsewhere(NO).is_empty());
    assert!(drain(&mut lanes, at(0)).is_empty());
}

#[test]
fn probes_of_a_failing_endpoint_wait_for_the_right_to_make_them() {
    let mut lanes = plain();
    fail(&mut lanes, 1);
    let later = at(10_000_000);
    lanes.advance(later);
    assert!(drain(&mut lanes, later).is_empty());
    assert_eq!(lanes.take_wanted(), Some(NO));
    lanes.held(NO, later);
    lanes.advance(later);
    refill(&mut lanes, &[50]);
    let probes = drain(&mut lanes, later);
    assert!(probes.len() == 1 && probes[0].probe);
}

/// Others may not send it meanwhile: it is still this node's, until its outcome is known.
#[test]
fn what_is_in_flight_when_another_node_takes_the_place_is_kept_and_handed_over_afterwards() {
    let mut lanes = plain();
    lanes.push(NO, item(100), at(0));
    let in_flight = lanes.next(at(0)).unwrap();
    lanes.push(NO, item(101), at(0));
    let health = Health {
        failing: Some(postrider_core::health::Failing { since: at(0), probes: 0, next_probe_at: at(0) }),
        ..Health::default()
    };
    let told = Endpoint { health, ..Endpoint::clone(&endpoint(1, 1, |_| {})) };
    lanes.adopt(&told, at(0));
    assert!(drain(&mut lanes, at(1_000_000)).is_empty(), "it fails, says another node, and is not held here");
    assert_eq!(lanes.take_wanted(), Some(NO));
    assert_eq!(lanes.held_elsewhere(NO), [DeliverySeq(100)]);
    assert!(!lanes.wants_place());
    end(&mut lanes, in_flight, &down(), at(1));
    assert_eq!(lanes.take_wanted(), Some(NO), "it goes on, but not here");
    assert!(lanes.held_elsewhere(NO).is_empty());
}

#[test]
fn an_endpoint_that_another_node_found_recovered_is_sent_to_again() {
    let mut lanes = plain();
    fail(&mut lanes, 1);
    lanes.take_wanted();
    lanes.held_elsewhere(NO);
    assert!(!lanes.would_own(NO));
    lanes.adopt(&endpoint(1, 1, |_| {}), at(60_000));
    assert!(lanes.would_own(NO));
    assert!(refill(&mut lanes, &[50]) && refill(&mut lanes, &[]));
    assert_eq!(seqs(&drain(&mut lanes, at(60_000))), [50]);
}

#[test]
fn a_state_that_another_node_has_set_holds_here_and_a_newer_one_of_this_node_does_too() {
    let mut lanes = plain();
    let paused = Endpoint { state: State::Paused, ..Endpoint::clone(&endpoint(1, 1, |_| {})) };
    lanes.push(NO, item(1), at(0));
    let in_flight = lanes.next(at(0)).unwrap();
    let gone = Outcome::Answered { status: 410, retry_after: None };
    let took = Duration::from_millis(5);
    lanes.finish(in_flight, &attempted(&gone, took, at(0)));
    lanes.adopt(&paused, at(0));
    assert!(matches!(lanes.view(NO).unwrap().state, State::Disabled(_)), "its own is not written yet");
    lanes.recorded(NO, DeliverySeq(1), Next::Waits, at(0));
    lanes.adopt(&paused, at(0));
    assert_eq!(lanes.view(NO).unwrap().state, State::Paused);
}

#[test]
fn nothing_is_sent_while_it_is_not_certain_that_others_have_not_taken_over() {
    let mut lanes = plain();
    lanes.push(NO, item(1), at(0));
    lanes.suspend();
    assert!(drain(&mut lanes, at(0)).is_empty());
    lanes.resume();
    assert_eq!(seqs(&drain(&mut lanes, at(0))), [1]);
}

#[test]
fn a_node_that_starts_over_forgets_what_it_had_and_reads_what_it_finds() {
    let mut lanes = plain();
    for seq in 1..=3 {
        lanes.push(NO, item(seq), at(0));
    }
    let in_flight = lanes.next(at(0)).unwrap();
    lanes.start_over();
    assert!(drain(&mut lanes, at(0)).is_empty());
    assert!(refill(&mut lanes, &[1, 2]));
    assert_eq!(seqs(&drain(&mut lanes, at(0))), [2], "what is in flight is not sent a second time meanwhile");
    end(&mut lanes, in_flight, &ok(), at(0));
}

/// Another node may have it by then and try it by its own clock: two would be sent for one.
#[test]
fn what_was_in_flight_when_a_node_started_over_goes_on_as_the_store_says() {
    for outcome in [down(), ok(), Outcome::Answered { status: 503, retry_after: None }] {
        let mut lanes = plain();
        lanes.push(NO, item(1), at(0));
        let in_flight = lanes.next(at(0)).unwrap();
        lanes.start_over();
        assert!(
            refill(&mut lanes, &[1]) && refill(&mut lanes, &[1]),
            "the store may give it to this node again"
        );
        assert!(lanes.take_refill().is_none() && drain(&mut lanes, at(0)).is_empty());
        end(&mut lanes, in_flight, &outcome, at(0));
        assert!(drain(&mut lanes, at(600_000)).is_empty() && lanes.advance(at(600_000)).is_empty());
        assert_eq!(backlog(&lanes).0, 0);
        // Its outcome was refused: what the store says of it is what holds.
        assert!(refill(&mut lanes, &[1]), "the store is asked once more");
        assert_eq!(seqs(&drain(&mut lanes, at(0))), [1]);
    }
}

/// What it brings was this node's when it began, and may be another's by now.
#[test]
fn a_read_from_before_a_node_started_over_brings_nothing() {
    let mut lanes = plain();
    lanes.is_free(NO);
    let read = lanes.take_refill().unwrap();
    lanes.begin_due();
    lanes.start_over();
    lanes.refilled(read, Vec::new(), vec![item(1)], at(0));
    let due = Item { not_before: Some(at(0)), ..item(2) };
    assert!(lanes.load_retries(vec![(NO, due.clone())], at(0)).is_empty());
    assert!(drain(&mut lanes, at(0)).is_empty());
    assert!(refill(&mut lanes, &[1]), "it is read again");
    lanes.begin_due();
    lanes.load_retries(vec![(NO, due)], at(0));
    assert_eq!(seqs(&drain(&mut lanes, at(0))), [1, 2]);
}

/// The word of the commit comes after that of the end.
#[test]
fn what_was_accepted_before_a_node_started_over_is_the_store_s_to_tell() {
    let mut lanes = plain();
    let term = lanes.term();
    lanes.start_over();
    lanes.enter(NO, item(1), term, at(0));
    assert!(drain(&mut lanes, at(0)).is_empty());
    lanes.enter(NO, item(2), lanes.term(), at(0));
    assert!(refill(&mut lanes, &[2]));
    assert_eq!(seqs(&drain(&mut lanes, at(0))), [2], "another node has the first one");
}

/// Nothing of it was sent, so nobody needs to be told; but whether it is this node's only the store knows.
#[test]
fn what_is_given_back_after_a_node_started_over_goes_on_as_the_store_says() {
    let mut lanes = plain();
    lanes.push(NO, item(1), at(0));
    let mut dispatch = lanes.next(at(0)).unwrap();
    lanes.start_over();
    assert!(!lanes.may_still_go(&mut dispatch, at(0)));
    lanes.give_back(dispatch, at(0));
    assert!(drain(&mut lanes, at(0)).is_empty());
    assert!(refill(&mut lanes, &[1]));
    assert_eq!(seqs(&drain(&mut lanes, at(0))), [1]);
}

#[test]
fn a_node_that_stops_names_what_is_not_finished_and_lets_go_of_the_rest() {
    let mut lanes = plain();
    for seq in 1..=5 {
        lanes.push(NO, item(seq), at(0));
    }
    let in_flight = drain(&mut lanes, at(0));
    let mut unfinished = lanes.unfinished();
    unfinished.sort_unstable();
    assert_eq!(unfinished.iter().map(|seq| seq.0).collect::<Vec<_>>(), seqs(&in_flight));
}

#[test]
fn alone_no_endpoint_has_to_be_asked_for() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.ordered = true), at(0));
    assert!(lanes.would_own(NO));
    lanes.push(NO, item(1), at(0));
    assert!(refill(&mut lanes, &[1]));
    assert_eq!(seqs(&drain(&mut lanes, at(0))), [1]);
    assert!(!lanes.wants_place());
}

fn backlog(lanes: &Lanes) -> (u64, u64) {
    let standing = lanes.standing(NO).unwrap();
    assert_eq!(lanes.view(NO).unwrap().backlog, standing.backlog);
    (standing.backlog, standing.in_turn)
}

/// A retry far ahead is nobody's; whoever takes it counts it. Replays would stand still before a count that only grows.
#[test]
fn what_is_left_to_whoever_comes_first_counts_no_more() {
    let mut lanes = lanes(ROOMY);
    lanes.share();
    let rarely = |settings: &mut EndpointSettings| settings.retry_schedule = Some("1h".parse().unwrap());
    lanes.configure(endpoint(1, 1, rarely), at(0));
    for seq in 1..=20 {
        lanes.push(NO, item(seq), at(0));
        let dispatch = lanes.next(at(0)).unwrap();
        assert_eq!(backlog(&lanes), (1, 1));
        end(&mut lanes, dispatch, &down(), at(0));
    }
    assert_eq!(backlog(&lanes), (0, 0));
    // One of them falls due and is this node's again.
    let due = Item { not_before: Some(at(0)), ..item(7) };
    lanes.begin_due();
    assert!(lanes.load_retries(vec![(NO, due)], at(0)).is_empty());
    assert_eq!(backlog(&lanes), (1, 1));
}

/// What others had accepted, or had in their hands, does not make this node's own work invisible.
#[test]
fn what_is_taken_from_others_counts_while_it_is_here() {
    let mut lanes = plain();
    lanes.is_free(NO);
    assert!(refill(&mut lanes, &[1, 2, 3]) && refill(&mut lanes, &[1, 2, 3]));
    assert_eq!(backlog(&lanes).0, 3);
    for left in [2, 1, 0] {
        let dispatch = lanes.next(at(0)).unwrap();
        end(&mut lanes, dispatch, &ok(), at(0));
        assert_eq!(backlog(&lanes).0, left);
    }
    lanes.push(NO, item(4), at(0));
    assert_eq!(backlog(&lanes), (1, 1));
}

/// Such as an endpoint that needs one place, which is another node.
#[test]
fn what_is_handed_over_counts_there_and_not_here() {
    let mut lanes = plain();
    (1..=5).for_each(|seq| lanes.push(NO, item(seq), at(0)));
    let in_flight = lanes.next(at(0)).unwrap();
    assert_eq!(backlog(&lanes).0, 5);
    assert_eq!(lanes.held_elsewhere(NO), [DeliverySeq(1)]);
    assert_eq!(backlog(&lanes).0, 1);
    end(&mut lanes, in_flight, &ok(), at(0));
    assert_eq!(backlog(&lanes).0, 0);
}

/// Another node cancels a part of what this one has in the store: a read that finds the end sets the count right.
#[test]
fn a_read_to_the_end_sets_right_what_others_have_changed() {
    let mut lanes = lanes(LaneLimits { lane_queue: 10, loaded: 10, ..ROOMY });
    lanes.share();
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    (1..=100).for_each(|seq| lanes.push(NO, item(seq), at(0)));
    assert_eq!(backlog(&lanes).0, 100);
    let mut store: Vec<i64> = (1..=50).collect();
    while lanes.standing(NO).unwrap().in_turn > 0 {
        for dispatch in drain(&mut lanes, at(0)) {
            store.retain(|seq| *seq != dispatch.item.seq.0);
            end(&mut lanes, dispatch, &ok(), at(0));
        }
        if let Some(refill) = lanes.take_refill() {
            let rows = store.iter().take(refill.limit).map(|seq| item(*seq)).collect();
            lanes.refilled(refill, Vec::new(), rows, at(0));
        } else if store.is_empty() {
            break;
        }
    }
    assert_eq!((backlog(&lanes), store.len()), ((0, 0), 0));
}
