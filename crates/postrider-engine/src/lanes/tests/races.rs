//! What happens between a read of the store and its arrival, between a decision and its commit, between a commit and
//! the word of it: nothing is sent twice, nothing is forgotten.

use super::*;

fn refill(lanes: &mut Lanes, store: &[i64]) -> bool {
    let Some(refill) = lanes.take_refill() else { return false };
    let rows = store.iter().take(refill.limit).map(|seq| item(*seq)).collect();
    lanes.refilled(refill, Vec::new(), rows, at(0));
    true
}

/// An attempt has ended, its record is on its way.
fn finish(lanes: &mut Lanes, dispatch: Dispatch, outcome: &Outcome, now: Timestamp) -> Finished {
    let took = Duration::from_millis(5);
    lanes.finish(dispatch, &attempted(outcome, took, now))
}

/// Brings lane 1 to failing, and gives the time.
fn make_failing(lanes: &mut Lanes) -> Timestamp {
    let mut now = at(0);
    while !lanes.view(EndpointNo(1)).unwrap().health.is_failing() {
        now = now.plus(Duration::from_secs(5));
        lanes.advance(now);
        for dispatch in drain(lanes, now) {
            end(lanes, dispatch, &down(), now);
        }
    }
    now
}

#[test]
fn a_refill_brings_nothing_back_that_was_delivered_while_it_read() {
    let mut lanes = lanes(LaneLimits { lane_queue: 2, loaded: 2, ..ROOMY });
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    for seq in 1..=100 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let mut store: Vec<i64> = (1..=100).collect();
    let mut in_flight = drain(&mut lanes, at(0));
    let refill = loop {
        if let Some(refill) = lanes.take_refill() {
            break refill;
        }
        let first = in_flight.remove(0);
        store.retain(|seq| *seq != first.item.seq.0);
        end(&mut lanes, first, &ok(), at(1));
        in_flight.extend(drain(&mut lanes, at(1)));
    };
    let read: Vec<Item> = store.iter().take(refill.limit).map(|seq| item(*seq)).collect();
    let delivered = in_flight.remove(0);
    let seq = delivered.item.seq;
    assert!(read.iter().any(|item| item.seq == seq), "the read saw it as pending");
    end(&mut lanes, delivered, &ok(), at(2));
    lanes.refilled(refill, Vec::new(), read, at(3));
    in_flight.extend(drain(&mut lanes, at(3)));
    while let Some(next) = in_flight.pop() {
        assert_ne!(next.item.seq, seq, "delivered, recorded, and sent again");
        end(&mut lanes, next, &ok(), at(4));
        in_flight.extend(drain(&mut lanes, at(4)));
    }
}

#[test]
fn a_read_of_due_retries_brings_nothing_back_that_was_delivered_meanwhile() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    let due = Item { not_before: Some(at(10)), ..item(1) };
    lanes.begin_due();
    assert!(lanes.load_retries(vec![(EndpointNo(1), due.clone())], at(10)).is_empty());
    lanes.begin_due();
    let dispatch = lanes.next(at(10)).unwrap();
    end(&mut lanes, dispatch, &ok(), at(11));
    lanes.load_retries(vec![(EndpointNo(1), due)], at(12));
    assert!(lanes.next(at(12)).is_none());
}

#[test]
fn a_refill_that_was_faster_than_the_word_of_the_commit_is_believed() {
    let mut lanes = lanes(LaneLimits { lane_queue: 1, loaded: 1, ..ROOMY });
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    lanes.set_state(EndpointNo(1), State::Paused, false, at(0));
    lanes.set_state(EndpointNo(1), State::Enabled, false, at(0));
    // 2 and 3 are committed, and read, before the one who accepted 3 comes to say so.
    lanes.push(EndpointNo(1), item(2), at(0));
    let mut store = vec![1, 2, 3];
    let mut sent = Vec::new();
    while !store.is_empty() {
        assert!(refill(&mut lanes, &store) || lanes.in_flight() > 0 || !store.is_empty());
        for dispatch in drain(&mut lanes, at(1)) {
            sent.push(dispatch.item.seq.0);
            store.retain(|seq| *seq != dispatch.item.seq.0);
            end(&mut lanes, dispatch, &ok(), at(1));
        }
    }
    while refill(&mut lanes, &store) {}
    lanes.push(EndpointNo(1), item(3), at(2));
    assert!(lanes.next(at(2)).is_none(), "3 was sent already");
    assert_eq!(sent, [1, 2, 3]);
    assert_eq!(lanes.view(EndpointNo(1)).unwrap().backlog, 0);
    lanes.push(EndpointNo(1), item(4), at(3));
    assert_eq!(seqs(&drain(&mut lanes, at(3))), [4], "and what is fresh goes straight in");
}

#[test]
fn a_due_retry_made_ready_is_found_however_late_its_record_is() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes.set_state(EndpointNo(1), State::Paused, false, at(0));
    let due = Item { not_before: Some(at(10)), ..item(1) };
    let made_ready = lanes.load_retries(vec![(EndpointNo(1), due)], at(20));
    assert_eq!(made_ready.len(), 1);
    lanes.set_state(EndpointNo(1), State::Enabled, false, at(21));
    while refill(&mut lanes, &[]) {}
    // Only now the record commits.
    lanes.made_ready(&made_ready);
    while refill(&mut lanes, &[1]) {}
    assert_eq!(seqs(&drain(&mut lanes, at(30))), [1]);
}

#[test]
fn a_probe_that_ends_while_the_lane_is_paused_is_found_again_after_its_record() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    for seq in 1..=12 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    make_failing(&mut lanes);
    let now = lanes.view(EndpointNo(1)).unwrap().health.failing.unwrap().next_probe_at;
    lanes.advance(now);
    let probe = drain(&mut lanes, now).remove(0);
    let seq = probe.item.seq;
    lanes.set_state(EndpointNo(1), State::Paused, false, now);
    assert_eq!(finish(&mut lanes, probe, &down(), now).next, Next::Waits);
    lanes.set_state(EndpointNo(1), State::Enabled, true, now);
    while refill(&mut lanes, &[seq.0]) {}
    lanes.recorded(EndpointNo(1), seq, Next::Waits, at(0));
    while refill(&mut lanes, &[seq.0]) {}
    assert!(seqs(&drain(&mut lanes, now)).contains(&seq.0));
}

#[test]
fn a_pause_before_a_record_is_committed_does_not_bring_the_delivery_back_as_it_was() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    let dispatch = lanes.next(at(0)).unwrap();
    assert!(matches!(finish(&mut lanes, dispatch, &down(), at(0)).next, Next::RetryAt(_)));
    lanes.set_state(EndpointNo(1), State::Paused, false, at(1));
    lanes.set_state(EndpointNo(1), State::Enabled, false, at(2));
    // The store still shows it as fresh: its record is not committed.
    while refill(&mut lanes, &[1]) {}
    assert!(lanes.next(at(3)).is_none(), "it would be sent at once, and with old progress");
    lanes.recorded(EndpointNo(1), DeliverySeq(1), Next::RetryAt(at(10_000)), at(0));
    let retry = Item { not_before: Some(at(10_000)), progress: Progress { attempts: 1, used: 1 }, ..item(1) };
    lanes.begin_due();
    assert!(lanes.load_retries(vec![(EndpointNo(1), retry)], at(4)).is_empty());
    lanes.advance(at(10_000));
    assert_eq!(lanes.next(at(10_000)).unwrap().item.progress.used, 1);
}

#[test]
fn a_resend_is_the_next_probe_even_of_a_lane_whose_backlog_has_spilled() {
    let mut lanes = lanes(LaneLimits { lane_queue: 20, loaded: 20, ..ROOMY });
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    for seq in 1..=12 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let now = make_failing(&mut lanes);
    for seq in 13..=200 {
        lanes.push(EndpointNo(1), item(seq), now);
    }
    lanes.push_resend(EndpointNo(1), item(201), 0, now);
    assert_eq!(seqs(&drain(&mut lanes, now)), [201]);
}

#[test]
fn a_lane_that_turns_fast_need_not_wait_for_the_slow_share() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 4, ..ROOMY });
    for no in 1..=4 {
        lanes.configure(endpoint(no, no, |_| {}), at(0));
    }
    for seq in 1..=40 {
        lanes.push(EndpointNo(1 + seq % 4), item(seq), at(0));
    }
    // All four are found slow; then one is answered while another of its requests is in flight.
    for dispatch in drain(&mut lanes, at(0)) {
        end(&mut lanes, dispatch, &down(), at(0));
    }
    for dispatch in drain(&mut lanes, at(0)) {
        end(&mut lanes, dispatch, &down(), at(0));
    }
    let mut hanging = drain(&mut lanes, at(0));
    assert_eq!(hanging.len(), 3, "three quarters");
    let answered = hanging.remove(0);
    let no = answered.endpoint.no;
    end(&mut lanes, answered, &ok(), at(1));
    let next = drain(&mut lanes, at(1));
    assert!(next.iter().any(|dispatch| dispatch.endpoint.no == no), "it draws on the whole again");
}

#[test]
fn an_ordered_head_is_not_overtaken_while_its_record_is_on_its_way() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.ordered = true), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    lanes.push(EndpointNo(1), item(2), at(0));
    while refill(&mut lanes, &[1, 2]) {}
    let head = lanes.next(at(0)).unwrap();
    lanes.set_state(EndpointNo(1), State::Paused, false, at(1));
    let Next::RetryAt(due) = finish(&mut lanes, head, &down(), at(1)).next else {
        panic!("it must be retried")
    };
    lanes.set_state(EndpointNo(1), State::Enabled, false, at(2));
    while refill(&mut lanes, &[1, 2]) {}
    assert!(lanes.next(at(3)).is_none(), "2 must not overtake 1");
    lanes.recorded(EndpointNo(1), DeliverySeq(1), Next::RetryAt(due), at(0));
    assert!(lanes.next(at(4)).is_none(), "the head is looked for first");
    while let Some(refill) = lanes.take_refill() {
        let head = Item { not_before: Some(due), ..item(1) };
        lanes.refilled(refill, if refill.with_waiting { vec![head] } else { vec![] }, vec![item(2)], at(4));
    }
    lanes.advance(due);
    assert_eq!(lanes.next(due).unwrap().item.seq, DeliverySeq(1));
}

/// The read that looks for the head began before, and brings it as it was.
#[test]
fn an_ordered_head_whose_record_is_committed_while_its_lane_is_read_is_not_overtaken() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.ordered = true), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    while refill(&mut lanes, &[1]) {}
    let head = lanes.next(at(0)).unwrap();
    lanes.set_state(EndpointNo(1), State::Paused, false, at(1));
    let Next::RetryAt(due) = finish(&mut lanes, head, &down(), at(1)).next else {
        panic!("it must be retried")
    };
    lanes.set_state(EndpointNo(1), State::Enabled, false, at(2));
    let read = lanes.take_refill().unwrap();
    assert!(read.with_waiting);
    lanes.recorded(EndpointNo(1), DeliverySeq(1), Next::RetryAt(due), at(0));
    lanes.refilled(read, Vec::new(), vec![item(1), item(2)], at(3));
    assert!(lanes.next(at(4)).is_none(), "the head is looked for once more");
    while let Some(refill) = lanes.take_refill() {
        let head = Item { not_before: Some(due), ..item(1) };
        lanes.refilled(refill, if refill.with_waiting { vec![head] } else { vec![] }, vec![item(2)], at(4));
    }
    assert!(lanes.next(at(5)).is_none());
    lanes.advance(due);
    assert_eq!(lanes.next(due).unwrap().item.seq, DeliverySeq(1));
}

#[test]
fn an_endpoint_is_disabled_once_however_many_requests_say_so() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    lanes.push(EndpointNo(1), item(2), at(0));
    let gone = Outcome::Answered { status: 410, retry_after: None };
    let in_flight = drain(&mut lanes, at(0));
    assert_eq!(in_flight.len(), 2);
    let changes = in_flight.into_iter().filter_map(|dispatch| end(&mut lanes, dispatch, &gone, at(1)).change);
    assert_eq!(changes.count(), 1);
}
