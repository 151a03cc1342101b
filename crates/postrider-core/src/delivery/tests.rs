//! The decision after an attempt, as tables and properties.

use proptest::prelude::*;

use super::*;
use crate::attempt::FailureCode;
use crate::health::Failing;

const MIDDLE: Jitter = Jitter(u32::MAX / 2);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(seconds * 1000)
}

fn answered(status: u16, retry_after: Option<u64>) -> Outcome {
    Outcome::Answered { status, retry_after: retry_after.map(Duration::from_secs) }
}

fn timed_out() -> Outcome {
    Outcome::Failed { code: FailureCode::Timeout, detail: "no answer within 15 s".into() }
}

/// Decides for a delivery of which `used` attempts were used, under the schedule `10s,100s`.
fn decide(used: u32, health: Health, probe: bool, outcome: &Outcome) -> Decision {
    let situation = Situation {
        delivery: DeliveryId::new(at(0), 1),
        progress: Progress { attempts: used, used },
        health,
        probe,
        sent_at: at(999),
        service_time: ServiceTime::default(),
        ordered: false,
        schedule: &"10s,100s".parse().unwrap(),
        rules: &HealthRules::default(),
    };
    after_attempt(&situation, outcome, at(1000), MIDDLE)
}

fn failing() -> Health {
    let failing = Failing { since: at(900), probes: 0, next_probe_at: at(950) };
    Health { failing: Some(failing), ..Health::default() }
}

/// Within a second, so that the middle of the jitter need not be exact.
fn is_about(next: Next, seconds: i64) -> bool {
    matches!(next, Next::RetryAt(time) if (time.as_ms() - at(seconds).as_ms()).abs() < 1000)
}

#[test]
fn two_hundreds_are_delivered_and_everything_else_is_tried_again() {
    for status in [200, 201, 204, 299] {
        assert_eq!(decide(0, Health::default(), false, &answered(status, None)).next, Next::Delivered);
    }
    for outcome in [100, 101, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 410, 429, 500, 503, 599]
        .map(|status| answered(status, None))
        .into_iter()
        .chain([timed_out()])
    {
        assert!(is_about(decide(0, Health::default(), false, &outcome).next, 1010), "{outcome:?}");
    }
}

#[test]
fn the_schedule_is_walked_to_its_end_and_then_it_is_exhausted() {
    assert!(is_about(decide(0, Health::default(), false, &timed_out()).next, 1010));
    assert!(is_about(decide(1, Health::default(), false, &timed_out()).next, 1100));
    assert_eq!(decide(2, Health::default(), false, &timed_out()).next, Next::Exhausted);
    assert_eq!(decide(2, Health::default(), false, &answered(200, None)).next, Next::Delivered);
}

#[test]
fn retry_after_moves_an_attempt_later_and_never_earlier() {
    assert!(is_about(decide(0, Health::default(), false, &answered(503, Some(60))).next, 1060));
    assert!(is_about(decide(0, Health::default(), false, &answered(429, Some(2))).next, 1010));
    assert_eq!(decide(2, Health::default(), false, &answered(503, Some(60))).next, Next::Exhausted);
}

#[test]
fn a_failing_endpoint_uses_up_no_attempt_and_exhausts_nothing() {
    for (probe, used) in [(true, 0), (true, 2), (false, 2)] {
        let decision = decide(used, failing(), probe, &timed_out());
        assert_eq!(decision.next, Next::Waits, "probe {probe}, {used} used");
        assert_eq!(decision.progress, Progress { attempts: used + 1, used });
    }
    let decision = decide(2, failing(), true, &answered(200, None));
    assert_eq!((decision.next, decision.change), (Next::Delivered, Some(HealthChange::Recovered)));
}

#[test]
fn an_ordered_endpoint_never_becomes_failing_because_its_head_is_the_probe() {
    let rules = HealthRules { failures: 1, over: Duration::ZERO, deliveries: 1, ..HealthRules::default() };
    let mut situation = Situation {
        delivery: DeliveryId::new(at(0), 1),
        progress: Progress::default(),
        health: Health::default(),
        probe: false,
        sent_at: at(0),
        service_time: ServiceTime::default(),
        ordered: true,
        schedule: &RetrySchedule::default(),
        rules: &rules,
    };
    let decision = after_attempt(&situation, &timed_out(), at(1), MIDDLE);
    assert_eq!((decision.health.failing, decision.change), (None, None));
    situation.ordered = false;
    assert!(after_attempt(&situation, &timed_out(), at(1), MIDDLE).health.is_failing());
}

proptest! {
    /// Whatever a receiver does, a delivery to a healthy endpoint ends after at most the schedule's attempts,
    /// and every retry lies in the future, no further away than the limits say.
    #[test]
    fn every_delivery_ends(
        outcomes in proptest::collection::vec((100u16..600, proptest::option::of(0u64..86_400), any::<u32>()), 10),
    ) {
        let schedule = RetrySchedule::default();
        let mut progress = Progress::default();
        let mut ended = false;
        for (n, (status, wish, bits)) in outcomes.into_iter().enumerate() {
            let situation = Situation {
                delivery: DeliveryId::new(at(0), 1), progress, health: Health::default(), probe: false,
                sent_at: at(50), service_time: ServiceTime::default(), ordered: false, schedule: &schedule, rules: &HealthRules::default(),
            };
            let decision = after_attempt(&situation, &answered(status, wish), at(50), Jitter(bits));
            prop_assert_eq!(decision.progress.used as usize, n + 1);
            progress = decision.progress;
            match decision.next {
                Next::RetryAt(time) => prop_assert!(time > at(50) && time <= at(50 + 24 * 3600 * 11 / 10 + 1)),
                Next::Delivered => { prop_assert!((200..300).contains(&status)); ended = true; break }
                Next::Exhausted => { ended = true; break }
                Next::Waits => prop_assert!(false, "a healthy endpoint's delivery must not wait for nothing"),
            }
        }
        prop_assert!(ended);
    }
}
