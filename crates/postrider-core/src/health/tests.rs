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
        (health, change) =
            health.after(&HealthRules::default(), delivery, false, &refused(), at(from + n * every));
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
        health = health.after(&HealthRules::default(), delivery(9), true, &status(500), at(now)).0;
    }
}

#[test]
fn a_late_failure_that_was_no_probe_does_not_move_the_next_probe() {
    let (health, _) = fail(Health::default(), 10, 4, 0, 3);
    let (after, change) = health.after(&HealthRules::default(), delivery(1), false, &refused(), at(40));
    assert_eq!((after.failing, change), (health.failing, None));
}

#[test]
fn one_success_makes_it_healthy() {
    let (health, _) = fail(Health::default(), 10, 4, 0, 3);
    let (health, change) = health.after(&HealthRules::default(), delivery(1), true, &status(204), at(46));
    assert_eq!(change, Some(HealthChange::Recovered));
    assert_eq!(health, Health { last_success_at: Some(at(46)), ..Health::default() });
}

#[test]
fn a_busy_receiver_closes_the_lane_without_counting_as_failing() {
    let mut health = Health::default();
    for n in 0..100 {
        health = health
            .after(&HealthRules::default(), delivery(n), false, &busy(60), at(i64::try_from(n).unwrap()))
            .0;
    }
    assert!(!health.is_failing());
    assert_eq!(health.closed_until, Some(at(99 + 60)));
    let (health, _) = health.after(&HealthRules::default(), delivery(1), false, &busy(1), at(100));
    assert_eq!(health.closed_until, Some(at(159)), "a shorter wish does not open it earlier");
}

#[test]
fn gone_disables_at_once() {
    let (_, change) =
        Health::default().after(&HealthRules::default(), delivery(1), false, &status(410), at(5));
    assert_eq!(change, Some(HealthChange::Disable(DisabledReason::Gone)));
}

#[test]
fn five_days_of_nothing_but_failures_disable_whatever_their_kind() {
    const FIVE_DAYS: i64 = 5 * 24 * 3600;
    for outcome in [refused(), status(500), busy(3600)] {
        let health = Health { last_success_at: Some(at(-100 * FIVE_DAYS)), ..Health::default() };
        let (health, change) = health.after(&HealthRules::default(), delivery(1), false, &outcome, at(0));
        assert_eq!(change, None, "the first failure after a quiet time is no reason");
        let (health, change) =
            health.after(&HealthRules::default(), delivery(1), false, &outcome, at(FIVE_DAYS - 1));
        assert_ne!(change, Some(HealthChange::Disable(DisabledReason::Failing)));
        let (_, change) = health.after(&HealthRules::default(), delivery(1), false, &outcome, at(FIVE_DAYS));
        assert_eq!(change, Some(HealthChange::Disable(DisabledReason::Failing)));
    }
}

proptest! {
    /// Whatever comes: a success always heals, failing always has a probe ahead, and a clock that jumps
    /// neither panics nor makes an endpoint failing sooner than its failures say.
    #[test]
    fn any_history_keeps_the_rules(steps in proptest::collection::vec((0u8..5, 0u128..4, -1_000i64..100_000), 0..60)) {
        let rules = HealthRules::default();
        let mut health = Health::default();
        let mut failures_in_a_row = 0;
        for (kind, n, seconds) in steps {
            let outcome = [status(200), status(500), refused(), busy(30), status(302)][usize::from(kind)].clone();
            failures_in_a_row = if kind == 0 { 0 } else { failures_in_a_row + 1 };
            let probe = health.is_failing();
            let (next, change) = health.after(&rules, delivery(n), probe, &outcome, at(seconds));
            if kind == 0 {
                prop_assert!(!next.is_failing() && next.run.is_none() && next.closed_until.is_none());
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
    let run = Some(FailureRun { since: at(100), failures: 3, deliveries: [None; TRACKED_DELIVERIES] });
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
