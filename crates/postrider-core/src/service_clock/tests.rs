//! The service's time as tables.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn at(hours: u64) -> Timestamp {
    Timestamp::from_ms(1_000_000_000_000).plus(HOUR * u32::try_from(hours).unwrap())
}

/// A record after a start at hour 0 that has run for an hour.
fn running() -> ClockRecord {
    ClockRecord::default().observe(at(0), Duration::ZERO).observe(at(1), HOUR)
}

#[test]
fn running_time_adds_up_across_restarts_and_stopped_time_does_not() {
    let mut record = running();
    assert_eq!(record.service_time, ServiceTime::new(HOUR));
    for (now, ran, total) in [(2, 1, 2), (12, 0, 2), (13, 1, 3), (3, 0, 3), (4, 1, 4)] {
        record = record.observe(at(now), HOUR * ran);
        assert_eq!(record.service_time, ServiceTime::new(HOUR * total), "at hour {now}");
        assert_eq!(record.doubt, None, "at hour {now}");
    }
}

#[test]
fn two_nodes_that_read_in_turn_count_each_hour_once() {
    let mut record = running();
    for now in 2..=10 {
        record = record.observe(at(now), HOUR).observe(at(now), HOUR);
    }
    assert_eq!(record.service_time, ServiceTime::new(HOUR * 10));
}

#[test]
fn a_clock_that_is_more_than_a_day_ahead_is_in_doubt_until_the_service_has_run_for_a_day() {
    assert_eq!(running().observe(at(1 + 24), Duration::ZERO).doubt, None, "exactly a day");
    let ahead = running().observe(at(1 + 24 * 365), Duration::ZERO);
    assert_eq!((ahead.trusted_at, ahead.distrusted_for()), (Some(at(1)), Some(DAY)));
    // It runs for 10 h, is stopped for 5, and runs on.
    let mut record = ahead;
    for (hours, ran, left) in [(4, 4, 20), (10, 6, 14), (15, 0, 14), (20, 5, 9), (28, 8, 1)] {
        record = record.observe(at(1 + 24 * 365 + hours), HOUR * ran);
        assert_eq!(record.distrusted_for(), Some(HOUR * left), "after {hours} h");
    }
    let trusted = record.observe(at(1 + 24 * 365 + 29), HOUR);
    assert_eq!((trusted.doubt, trusted.trusted_at), (None, Some(at(1 + 24 * 365 + 29))));
}

#[test]
fn a_jump_while_it_runs_is_noticed_and_one_more_jump_begins_the_wait_anew() {
    let ahead = running().observe(at(40), HOUR);
    assert_eq!(ahead.distrusted_for(), Some(DAY));
    let later = ahead.observe(at(60), HOUR * 20);
    assert_eq!(later.distrusted_for(), Some(HOUR * 4));
    assert_eq!(later.observe(at(1_000), HOUR * 3).distrusted_for(), Some(DAY));
}

#[test]
fn a_clock_that_is_set_right_is_trusted_at_once() {
    let ahead = running().observe(at(24 * 365), Duration::ZERO).observe(at(24 * 365 + 20), HOUR * 20);
    assert!(ahead.doubt.is_some());
    let right = ahead.observe(at(22), HOUR);
    assert_eq!((right.doubt, right.trusted_at), (None, Some(at(22))));
    // Another node's wrong clock does not hold this one up, nor does this one's make the wrong one trusted.
    let other = right.observe(at(24 * 365 + 22), HOUR);
    assert_eq!(other.distrusted_for(), Some(DAY));
    assert_eq!(other.observe(at(23), HOUR).doubt, None);
}

#[test]
fn ages_are_judged_by_the_last_trusted_time_and_what_was_run_since() {
    let record = running();
    assert_eq!(record.time_for_ages(at(2), HOUR), at(2));
    assert_eq!(record.time_for_ages(at(500), HOUR), at(2), "before anybody has noticed the jump");
    let ahead = record.observe(at(500), Duration::ZERO);
    assert_eq!(ahead.time_for_ages(at(503), HOUR * 3), at(4));
    assert_eq!(ahead.time_for_ages(at(3), HOUR * 2), at(3), "it is right again");
}

#[test]
fn absurd_clocks_neither_overflow_nor_panic() {
    let mut record = ClockRecord::default();
    for ms in [0, i64::MAX, i64::MIN, 5, i64::MAX] {
        for ran in [Duration::ZERO, Duration::MAX] {
            record = record.observe(Timestamp::from_ms(ms), ran);
            let _unused = record.time_for_ages(Timestamp::from_ms(ms), ran);
        }
    }
}
