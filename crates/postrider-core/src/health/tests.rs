//! The health state machine as tables and properties.

use proptest::prelude::*;

use super::*;
use crate::attempt::FailureCode;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(seconds * 1000)
}

fn delivery(n: u128) -> DeliveryId {
    DeliveryId::new(at(0), n)
}

fn status(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after: None }
}

fn busy(seconds: u64) -> Outcome {
    Outcome::Answered { status: 503, retry_after: Some(Duration::from_secs(seconds)) }
}

fn refused() -> Outcome {
    Outcome::Failed { code: FailureCode::ConnectRefused, detail: "refused".into() }
}

fn attempt<'a>(
    delivery: DeliveryId,
    probe: bool,
    outcome: &'a Outcome,
    now: Timestamp,
) -> FinishedAttempt<'a> {
    FinishedAttempt { delivery, probe, outcome, sent_at: now, now, service_time: served(now) }
}

/// The service has run since second 0, without a stop.
fn served(now: Timestamp) -> ServiceTime {
    ServiceTime::new(now.since(at(0)))
}

fn step(
    health: Health,
    delivery: DeliveryId,
    probe: bool,
    outcome: &Outcome,
    now: Timestamp,
) -> (Health, Option<HealthChange>) {
    let attempt = attempt(delivery, probe, outcome, now);
    health.after(&HealthRules::default(), &RetrySchedule::default(), &attempt)
}

/// Applies `failures` failures, one every `every` seconds from `from` on, over `deliveries` deliveries.
fn fail(
    mut health: Health,
    failures: i64,
    every: i64,
    from: i64,
    deliveries: i64,
) -> (Health, Option<HealthChange>) {
    let mut change = None;
    for n in 0..failures {
        let delivery = delivery(u128::try_from(n % deliveries).unwrap());
        (health, change) = step(health, delivery, false, &refused(), at(from + n * every));
    }
    (health, change)
}

#[test]
fn ten_failures_over_thirty_seconds_from_three_deliveries_make_it_failing() {
    for (failures, every, deliveries, failing) in [
        (10, 4, 3, true),
        (9, 10, 3, false),   // too few
        (10, 3, 3, false),   // within 27 s
        (100, 0, 50, false), // all at once
        (10, 4, 2, false),   // from two deliveries
        (50, 4, 1, false),   // one poisonous payload
    ] {
        let (health, _) = fail(Health::default(), failures, every, 0, deliveries);
        assert_eq!(health.is_failing(), failing, "{failures} every {every} s from {deliveries}");
    }
    let (_, change) = fail(Health::default(), 10, 4, 0, 3);
    assert_eq!(change, Some(HealthChange::BecameFailing));
}

#[test]
fn probes_come_at_10s_30s_1m_5m_and_then_every_15m() {
    let (mut health, _) = fail(Health::default(), 10, 4, 0, 3);
    let mut now = 36;
    for wait in [10, 30, 60, 300, 900, 900, 900] {
        let failing = health.failing.unwrap();
        assert_eq!(failing.next_probe_at, at(now + wait));
        now += wait;
        health = step(health, delivery(9), true, &status(500), at(now)).0;
    }
}

#[test]
fn a_late_failure_that_was_no_probe_does_not_move_the_next_probe() {
    let (health, _) = fail(Health::default(), 10, 4, 0, 3);
    let (after, change) = step(health, delivery(1), false, &refused(), at(40));
    assert_eq!((after.failing, change), (health.failing, None));
}

#[test]
fn one_success_makes_it_healthy() {
    let (health, _) = fail(Health::default(), 10, 4, 0, 3);
    let (health, change) = step(health, delivery(1), true, &status(204), at(46));
    assert_eq!(change, Some(HealthChange::Recovered));
    let recent = RecentAttempts::from_text("00000000001").unwrap();
    assert_eq!(health, Health { last_success_at: Some(at(46)), recent, ..Health::default() });
}

#[test]
fn a_busy_receiver_closes_the_lane_without_counting_as_failing() {
    let mut health = Health::default();
    for n in 0..100 {
        health = step(health, delivery(n), false, &busy(60), at(i64::try_from(n).unwrap())).0;
    }
    assert!(!health.is_failing());
    assert_eq!(health.closed_until, Some(at(99 + 60)));
    let (health, _) = step(health, delivery(1), false, &busy(1), at(100));
    assert_eq!(health.closed_until, Some(at(159)), "a shorter wish does not open it earlier");
}

#[test]
fn gone_disables_at_once() {
    let (_, change) = step(Health::default(), delivery(1), false, &status(410), at(5));
    assert_eq!(change, Some(HealthChange::Disable(DisabledReason::Gone)));
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Applies one failure after each of `gaps`, in seconds, with this schedule; gives the seconds at which it was disabled.
fn disabled_at(outcome: &Outcome, schedule: &RetrySchedule, probe: bool, gaps: &[i64]) -> Option<i64> {
    let (mut health, mut now) = (Health::default(), 0);
    for gap in gaps {
        now += gap;
        let attempt = attempt(delivery(1), probe, outcome, at(now));
        let (next, change) = health.after(&HealthRules::default(), schedule, &attempt);
        if change == Some(HealthChange::Disable(DisabledReason::Failing)) {
            return Some(now);
        }
        health = next;
    }
    None
}

#[test]
fn a_run_of_ten_failed_attempts_that_lasts_five_days_disables_whatever_their_kind() {
    let schedule = RetrySchedule::default();
    for outcome in [refused(), status(500), busy(3600)] {
        let daily = [0, DAY, DAY, DAY, DAY, DAY, 1, 1, 1, 1, 1];
        assert_eq!(disabled_at(&outcome, &schedule, false, &daily), Some(5 * DAY + 4), "with the tenth");
        let nine = [0, DAY, DAY, DAY, DAY, DAY, 1, 1, 1];
        assert_eq!(disabled_at(&outcome, &schedule, false, &nine), None);
        let soon = [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, DAY, DAY, DAY, DAY, DAY - 10, 1];
        assert_eq!(disabled_at(&outcome, &schedule, false, &soon), Some(5 * DAY), "not before five days");
        let probes: Vec<i64> = (0..=5 * 24 * 4).map(|n| if n == 0 { 0 } else { 900 }).collect();
        assert_eq!(disabled_at(&outcome, &schedule, true, &probes), Some(5 * DAY));
    }
}

/// The length of a gap is not the length of an outage: svix/svix-docs#159.
#[test]
fn a_gap_without_traffic_begins_a_new_run() {
    let schedule = RetrySchedule::default();
    let six_quiet_days = [0, 5, 6 * DAY];
    assert_eq!(disabled_at(&status(503), &schedule, false, &six_quiet_days), None);
    let mut twenty_before: Vec<i64> = vec![1; 20];
    twenty_before.push(6 * DAY);
    assert_eq!(disabled_at(&status(503), &schedule, false, &twenty_before), None);
    let (every_30h, every_31h) = ([30 * HOUR; 30], [31 * HOUR; 30]);
    assert_eq!(disabled_at(&refused(), &schedule, false, &every_30h), Some(10 * 30 * HOUR));
    assert_eq!(disabled_at(&refused(), &schedule, false, &every_31h), None);
    // A new run counts anew towards failing as well.
    let (health, _) = fail(Health::default(), 9, 60, 0, 3);
    let (health, change) = step(health, delivery(3), false, &refused(), at(3 * DAY));
    assert_eq!((change, health.run.map(|run| (run.failures, run.since))), (None, Some((1, at(3 * DAY)))));
}

#[test]
fn an_endpoints_own_long_delays_are_no_gap() {
    let weekly: RetrySchedule = "7d".parse().unwrap();
    let jittered = 7 * DAY * 11 / 10 + HOUR;
    assert_eq!(disabled_at(&refused(), &weekly, false, &[jittered; 20]), Some(10 * jittered));
    assert_eq!(disabled_at(&refused(), &weekly, false, &[jittered + 1; 20]), None);
    let short: RetrySchedule = "1s".parse().unwrap();
    assert_eq!(disabled_at(&refused(), &short, false, &[30 * HOUR; 20]), Some(10 * 30 * HOUR));
}

#[test]
fn time_in_which_the_service_was_stopped_counts_neither_for_a_run_nor_as_a_gap() {
    let failure = refused();
    let (mut health, mut now, mut served) = (Health::default(), 0, 0);
    // An attempt every hour, and a stop of three days after each tenth.
    for n in 1..=200 {
        let attempt = FinishedAttempt {
            service_time: ServiceTime::new(Duration::from_secs(served)),
            ..attempt(delivery(n % 3), false, &failure, at(now))
        };
        let (next, change) = health.after(&HealthRules::default(), &RetrySchedule::default(), &attempt);
        let disables = change == Some(HealthChange::Disable(DisabledReason::Failing));
        assert_eq!(disables, n > 120, "attempt {n}, after {served} s of service");
        assert_eq!(next.run.map(|run| run.since), Some(at(0)), "the run goes on");
        (health, served, now) = (next, served + 3600, now + HOUR + if n % 10 == 0 { 3 * DAY } else { 0 });
    }
}

#[test]
fn whoever_turned_it_off_is_never_disabled_for_failing() {
    let rules = HealthRules { disable_after: None, ..HealthRules::default() };
    let (failure, gone) = (refused(), status(410));
    let mut health = Health::default();
    for hour in 0..1_000 {
        let attempt = attempt(delivery(1), false, &failure, at(hour * HOUR));
        let (next, change) = health.after(&rules, &RetrySchedule::default(), &attempt);
        assert_ne!(change, Some(HealthChange::Disable(DisabledReason::Failing)));
        health = next;
    }
    let attempt = attempt(delivery(1), false, &gone, at(1_000 * HOUR));
    let (_, change) = health.after(&rules, &RetrySchedule::default(), &attempt);
    assert_eq!(change, Some(HealthChange::Disable(DisabledReason::Gone)));
}

/// A response is judged by when its request was sent: TwiN/gatus#1607.
#[test]
fn a_late_success_of_an_earlier_request_does_not_open_what_retry_after_closed() {
    let success = status(200);
    for (sent, ended, opens) in [(8, 11, false), (10, 12, false), (11, 13, true), (8, 16, true)] {
        let (closed, _) = step(Health::default(), delivery(1), false, &busy(6), at(10));
        let late = FinishedAttempt { sent_at: at(sent), ..attempt(delivery(2), false, &success, at(ended)) };
        let (health, _) = closed.after(&HealthRules::default(), &RetrySchedule::default(), &late);
        let expected = if opens { None } else { Some(at(16)) };
        assert_eq!(health.closed_until, expected, "sent at {sent}, ended at {ended}");
        assert_eq!(
            (health.run, health.last_success_at),
            (None, Some(at(ended))),
            "it ends the run all the same"
        );
    }
    // What a node of the previous release has written does not say when the receiver asked.
    let stored = Health { closed_until: Some(at(16)), ..Health::default() };
    assert_eq!(step(stored, delivery(1), false, &success, at(12)).0.closed_until, Some(at(16)));
    assert_eq!(step(stored, delivery(1), false, &success, at(17)).0.closed_until, None);
}

#[test]
fn every_attempt_counts_for_the_success_rate_and_fresh_health_keeps_it() {
    let mut health = Health::default();
    assert_eq!((health.recent.success_rate(), health.is_degraded()), (None, false));
    for (outcome, rate) in [(status(200), 1.0), (busy(1), 0.5), (status(410), 1.0 / 3.0), (refused(), 0.25)] {
        health = step(health, delivery(1), false, &outcome, at(1)).0;
        assert_eq!(health.recent.success_rate(), Some(rate), "{outcome:?}");
    }
    for n in 0..56 {
        assert!(health.is_degraded(), "after {n} more");
        health = step(health, delivery(1), n % 2 == 0, &status(204), at(2)).0;
    }
    assert!(!health.is_degraded());
    assert_eq!(health.begin_anew().recent, health.recent);
}

proptest! {
    /// Whatever comes: a success always heals, failing always has a probe ahead, and a clock that jumps
    /// neither panics nor makes an endpoint failing sooner than its failures say.
    #[test]
    fn any_history_keeps_the_rules(steps in proptest::collection::vec((0u8..5, 0u128..4, -1_000i64..100_000), 0..60)) {
        let mut health = Health::default();
        let mut failures_in_a_row = 0;
        for (kind, n, seconds) in steps {
            let outcome = [status(200), status(500), refused(), busy(30), status(302)][usize::from(kind)].clone();
            failures_in_a_row = if kind == 0 { 0 } else { failures_in_a_row + 1 };
            let probe = health.is_failing();
            let (next, change) = step(health, delivery(n), probe, &outcome, at(seconds));
            prop_assert_eq!(next.is_degraded(), next.recent.success_rate().unwrap() < DEGRADED_BELOW);
            if kind == 0 {
                prop_assert!(!next.is_failing() && next.run.is_none());
            }
            if change == Some(HealthChange::BecameFailing) {
                prop_assert!(failures_in_a_row >= 10);
            }
            if next.failing != health.failing && let Some(failing) = next.failing {
                prop_assert!(failing.next_probe_at > at(seconds), "a probe lies ahead of the failure");
            }
            health = next;
        }
    }
}

/// What another node delivered counts like an own success, if it came after the run began.
#[test]
fn a_success_elsewhere_ends_a_run_that_began_before_it_and_no_other() {
    let run = Some(FailureRun {
        since: at(100),
        failures: 3,
        deliveries: [None; TRACKED_DELIVERIES],
        attempts: 3,
        began: ServiceTime::default(),
        latest: ServiceTime::default(),
    });
    let health = |last_success_at: Option<i64>, run| Health {
        run,
        last_success_at: last_success_at.map(at),
        ..Health::default()
    };
    for (own, stored, run_goes_on, last) in [
        (None, None, true, None),
        (None, Some(99), true, Some(99)),
        (Some(50), Some(99), true, Some(99)),
        (Some(99), Some(50), true, Some(99)),
        (None, Some(100), true, Some(100)),
        (None, Some(101), false, Some(101)),
        (Some(99), Some(500), false, Some(500)),
    ] {
        let known = health(own, run).knowing(&health(stored, None));
        assert_eq!(known, health(last, run.filter(|_| run_goes_on)), "{own:?} and {stored:?}");
    }
    let failing = Some(Failing { since: at(100), probes: 1, next_probe_at: at(200) });
    let known = Health { failing, ..health(None, None) }.knowing(&health(Some(500), None));
    assert_eq!(known.failing, failing, "that it recovered is said by whoever found it out");
}
