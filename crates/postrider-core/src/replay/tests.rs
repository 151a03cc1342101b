//! What a replay takes and how fast, as tables.

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn candidate(status: Status) -> Candidate<'static> {
    Candidate { status, event_type: Some("policy.created"), created_at: at(500), superseded: false }
}

#[test]
fn what_is_finished_is_chosen_by_status_and_what_is_pending_is_skipped() {
    for wanted in [None, Some(Status::Delivered), Some(Status::Exhausted), Some(Status::Cancelled)] {
        let selection = Selection { status: wanted, ..Selection::default() };
        for status in Status::ALL {
            let expected = match (status, wanted) {
                (Status::Pending, _) => Choice::Skip,
                (_, None) => Choice::Resend,
                (status, Some(wanted)) if status == wanted => Choice::Resend,
                _ => Choice::Pass,
            };
            assert_eq!(selection.choose(candidate(status)), expected, "{status} of {wanted:?}");
        }
    }
    let nonsense = Selection { status: Some(Status::Pending), ..Selection::default() };
    assert_eq!(nonsense.choose(candidate(Status::Delivered)), Choice::Pass);
}

#[test]
fn type_and_times_narrow_it_and_the_newest_delivery_stands_for_its_event() {
    let selection = |since, until, event_type: Option<&str>| Selection {
        status: None,
        event_type: event_type.map(str::to_owned),
        since: Option::map(since, at),
        until: Option::map(until, at),
    };
    let chosen = |selection: Selection| selection.choose(candidate(Status::Delivered));
    assert_eq!(chosen(selection(Some(500), None, None)), Choice::Resend, "since is included");
    assert_eq!(chosen(selection(Some(501), None, None)), Choice::Pass);
    assert_eq!(chosen(selection(None, Some(500), None)), Choice::Pass, "until is not");
    assert_eq!(chosen(selection(None, Some(501), Some("policy.created"))), Choice::Resend);
    assert_eq!(chosen(selection(None, None, Some("policy.updated"))), Choice::Pass);

    let other_type = selection(None, None, Some("policy.updated"));
    assert_eq!(other_type.choose(candidate(Status::Pending)), Choice::Pass, "nothing to skip");
    let all = Selection::default();
    let superseded = Candidate { superseded: true, ..candidate(Status::Exhausted) };
    assert_eq!(all.choose(superseded), Choice::Pass);
    let without_event = Candidate { event_type: None, ..candidate(Status::Exhausted) };
    assert_eq!(all.choose(without_event), Choice::Skip);
}

#[test]
fn a_lane_has_room_while_it_is_well_and_has_little_to_do() {
    let limits = Limits { per_second: 1, in_turn: 50, backlog: 100 };
    for (is_well, in_turn, backlog, room) in [
        (true, 0, 0, 50),
        (false, 0, 0, 0),
        (true, 20, 20, 30),
        (true, 50, 50, 0),
        (true, 51, 51, 0),
        (true, 0, 70, 30),
        (true, 10, 100, 0),
        (true, 10, 101, 0),
    ] {
        let standing = Standing { is_well, in_turn, backlog };
        assert_eq!(limits.room(standing), room, "{standing:?}");
    }
}

/// How many are made from 0 to `until` ms where all that is allowed is made, looked at every `step` ms.
fn made(per_second: u32, until: i64, step: usize) -> u64 {
    let mut pace = Pace::new(per_second, at(0));
    let mut sum = 0;
    for ms in (0..until).step_by(step) {
        let count = pace.allows(at(ms));
        pace.made(count);
        sum += count;
    }
    sum
}

#[test]
fn the_pace_holds_however_often_it_is_asked() {
    for step in [1, 7, 100, 200] {
        let sum = made(500, 10_000, step);
        assert!((4_900..=5_100).contains(&sum), "500 a second for 10 s, looked at every {step} ms: {sum}");
    }
    assert_eq!(made(1, 10_000, 10), 10, "one a second, the first at once");
    assert_eq!(made(0, 5_000, 10), 5, "never slower than one a second");
    assert_eq!(made(500, 10_000, 1_000), 1_000, "what was not used is not made up for: a fifth at once");
}

#[test]
fn a_clock_that_jumps_gives_no_more_than_a_burst_and_holds_nothing_up() {
    let mut pace = Pace::new(100, at(0));
    pace.made(20);
    assert_eq!(pace.allows(at(i64::MAX)), 20);
    pace.made(20);
    assert_eq!(pace.allows(at(0)), 0);
    assert_eq!(pace.allows(at(100)), 10, "the pace goes on from the time that the clock shows now");
}

#[test]
fn states_and_reasons_survive_their_texts() {
    for reason in CancelReason::ALL {
        assert_eq!(CancelReason::from_text(reason.as_str()), Some(reason));
    }
    for state in [State::Running, State::Done, State::Cancelled(CancelReason::EndpointDeleted)] {
        assert_eq!(State::from_text(state.as_str(), state.cancel_reason()), Some(state));
    }
    assert_eq!(State::from_text("cancelled", None), None);
    assert_eq!(State::from_text("done", Some(CancelReason::ByHand)), None);
    assert_eq!(State::from_text("paused", None), None);
}
