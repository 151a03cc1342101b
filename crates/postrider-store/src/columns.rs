//! Values as columns of any database hold them, and back: deliveries' codes, states, health.
//!
//! A column that does not read as what we write is an error that names it, never a guess.

use std::borrow::Cow;
use std::time::Duration;

use postrider_core::delivery::{CancelReason, Status};
use postrider_core::endpoint::{DisabledReason, State};
use postrider_core::health::{Failing, FailureRun, Health, RecentAttempts, TRACKED_DELIVERIES};
use postrider_core::id::DeliveryId;
use postrider_core::service_clock::{ClockDoubt, ClockRecord, ServiceTime};
use postrider_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A value in the database is not one that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the column {0} holds a value that postrider does not write")]
pub(crate) struct Unreadable(pub(crate) &'static str);

/// Why a replay is not made.
pub(crate) const REPLAY_RUNS: &str =
    "a replay of this endpoint is running; wait until it is done, or cancel it";
/// Why a key is not made.
pub(crate) const KEYS_ARE_FULL: &str = "the account has as many keys as it may have; revoke one first";
/// Why an endpoint is not changed.
pub(crate) const OVERTAKEN: &str = "the endpoint was changed by others at this moment; look at it again, and repeat what is still to be changed";
/// Why a delivery is not cancelled.
pub(crate) const HAS_ENDED: &str = "the delivery has come to its end; only a pending one can be cancelled";
/// See [`REPLAY_RUNS`].
pub(crate) const ACCOUNT_IS_FULL: &str =
    "as many replays of this account are running as may run at once; wait until one is done, or cancel one";
/// See [`REPLAY_RUNS`].
pub(crate) const ALL_IS_FULL: &str =
    "as many replays are running as may run at once; try again when some are done";

/// How many attempts of one delivery are kept apart; those beyond it overwrite the last one: a log of 65,535 requests of
/// one delivery tells enough.
pub(crate) const LAST_ATTEMPT: u32 = 65_535;

/// A text from outside the service (a URL, headers, an error) as a column of any database can hold it: PostgreSQL refuses
/// U+0000 in text, and an attempt must be logged whatever the receiver sent.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A status as its column holds it; the numbers stand in the schema.
pub(crate) const fn status_number(status: Status) -> i16 {
    match status {
        Status::Pending => 0,
        Status::Delivered => 1,
        Status::Exhausted => 2,
        Status::Cancelled => 3,
    }
}

/// The status of a number.
pub(crate) fn status(number: i16) -> Result<Status, Unreadable> {
    Status::ALL
        .into_iter()
        .find(|status| status_number(*status) == number)
        .ok_or(Unreadable("deliveries.status"))
}

/// The reason of a text.
pub(crate) fn cancel_reason(text: Option<String>) -> Result<Option<CancelReason>, Unreadable> {
    let read = |text: String| CancelReason::from_text(&text).ok_or(Unreadable("deliveries.cancel_reason"));
    text.map(read).transpose()
}

/// The state of a text and a reason.
pub(crate) fn state(text: &str, reason: Option<&str>) -> Result<State, Unreadable> {
    match (text, reason.and_then(DisabledReason::from_text)) {
        ("enabled", None) => Ok(State::Enabled),
        ("paused", None) => Ok(State::Paused),
        ("disabled", Some(reason)) => Ok(State::Disabled(reason)),
        _ => Err(Unreadable("endpoints.state")),
    }
}

/// [`Health`] as its column holds it: JSON, so that people can read it and fields can be added.
#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredHealth {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing: Option<StoredFailing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<StoredRun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed_until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_success_at: Option<i64>,
    /// The outcomes of the last attempts, see [`RecentAttempts::to_text`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    attempts: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredFailing {
    since: i64,
    probes: u32,
    next_probe_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredRun {
    since: i64,
    failures: u32,
    deliveries: Vec<String>,
    // The release before this one writes none of these: its runs begin with the service time, so the next failure is either
    // a new run or one of a run that can't be long.
    #[serde(default)]
    attempts: u32,
    /// Service times, in milliseconds.
    #[serde(default)]
    began: u64,
    #[serde(default)]
    latest: u64,
}

/// [`ClockRecord`] as `meta` holds it.
#[derive(Debug, Serialize, Deserialize)]
struct StoredClock {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted_at: Option<i64>,
    service_time_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubt: Option<StoredDoubt>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredDoubt {
    read_at: i64,
    ran_ms: u64,
}

/// The name of the clock's row in `meta`.
pub(crate) const CLOCK: &str = "clock";

/// The clock's record as bytes.
pub(crate) fn clock_bytes(record: &ClockRecord) -> Vec<u8> {
    let stored = StoredClock {
        trusted_at: record.trusted_at.map(Timestamp::as_ms),
        service_time_ms: to_ms(record.service_time.as_duration()),
        doubt: record
            .doubt
            .map(|doubt| StoredDoubt { read_at: doubt.read_at.as_ms(), ran_ms: to_ms(doubt.ran) }),
    };
    serde_json::to_vec(&stored).expect("numbers under fixed names are JSON")
}

/// The clock's record from its bytes.
pub(crate) fn clock(bytes: &[u8]) -> Result<ClockRecord, Unreadable> {
    let stored: StoredClock = serde_json::from_slice(bytes).or(Err(Unreadable("meta.value of clock")))?;
    Ok(ClockRecord {
        trusted_at: stored.trusted_at.map(Timestamp::from_ms),
        service_time: ServiceTime::new(Duration::from_millis(stored.service_time_ms)),
        doubt: stored.doubt.map(|doubt| ClockDoubt {
            read_at: Timestamp::from_ms(doubt.read_at),
            ran: Duration::from_millis(doubt.ran_ms),
        }),
    })
}

/// The record before the first observation: the newest time that an earlier release has stored.
pub(crate) fn first_clock(newest: Option<i64>) -> ClockRecord {
    ClockRecord { trusted_at: newest.map(Timestamp::from_ms), ..ClockRecord::default() }
}

fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Health as text.
pub(crate) fn health_text(health: &Health) -> String {
    let stored = StoredHealth {
        failing: health.failing.map(|failing| StoredFailing {
            since: failing.since.as_ms(),
            probes: failing.probes,
            next_probe_at: failing.next_probe_at.as_ms(),
        }),
        run: health.run.map(|run| StoredRun {
            since: run.since.as_ms(),
            failures: run.failures,
            deliveries: run.deliveries.iter().flatten().map(DeliveryId::to_string).collect(),
            attempts: run.attempts,
            began: to_ms(run.began.as_duration()),
            latest: to_ms(run.latest.as_duration()),
        }),
        closed_until: health.closed_until.map(Timestamp::as_ms),
        closed_at: health.closed_at.map(Timestamp::as_ms),
        last_success_at: health.last_success_at.map(Timestamp::as_ms),
        attempts: health.recent.to_text(),
    };
    serde_json::to_string(&stored).expect("numbers and texts under fixed names are JSON")
}

/// Health from its text.
pub(crate) fn health(text: &str) -> Result<Health, Unreadable> {
    const UNREADABLE: Unreadable = Unreadable("endpoints.health");
    let stored: StoredHealth = serde_json::from_str(text).or(Err(UNREADABLE))?;
    let run_of = |run: StoredRun| -> Result<FailureRun, Unreadable> {
        let mut deliveries = [None; TRACKED_DELIVERIES];
        for (slot, text) in deliveries.iter_mut().zip(&run.deliveries) {
            *slot = Some(text.parse().or(Err(UNREADABLE))?);
        }
        let served = |ms| ServiceTime::new(Duration::from_millis(ms));
        Ok(FailureRun {
            since: Timestamp::from_ms(run.since),
            failures: run.failures,
            deliveries,
            attempts: run.attempts.max(run.failures),
            began: served(run.began),
            latest: served(run.latest),
        })
    };
    Ok(Health {
        failing: stored.failing.map(|failing| Failing {
            since: Timestamp::from_ms(failing.since),
            probes: failing.probes,
            next_probe_at: Timestamp::from_ms(failing.next_probe_at),
        }),
        run: stored.run.map(run_of).transpose()?,
        closed_until: stored.closed_until.map(Timestamp::from_ms),
        closed_at: stored.closed_at.map(Timestamp::from_ms),
        recent: RecentAttempts::from_text(&stored.attempts).ok_or(UNREADABLE)?,
        last_success_at: stored.last_success_at.map(Timestamp::from_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_column_and_no_other_is_read() {
        for one in Status::ALL {
            assert_eq!(status(status_number(one)), Ok(one));
        }
        assert!(status(4).is_err() && status(-1).is_err());
        for reason in CancelReason::ALL {
            assert_eq!(cancel_reason(Some(reason.as_str().to_owned())), Ok(Some(reason)));
        }
        assert!(cancel_reason(Some("whim".to_owned())).is_err());
        assert!(state("enabled", Some("gone")).is_err() && state("disabled", None).is_err());
        assert!(health("{}").is_ok_and(|health| health == Health::default()));
        assert!(health(r#"{"attempts":"12"}"#).is_err() && clock(b"{}").is_err());
        let of_before = r#"{"run":{"since":1,"failures":4,"deliveries":[]}}"#;
        assert!(health(of_before).is_ok_and(|health| health.run.is_some_and(|run| run.attempts == 4)));
        assert!(health("[1]").is_err() && health(r#"{"run":{"since":1}}"#).is_err());
    }
}
