//! The service's own time, and whether the machine's clock may decide what is old: reads the clock, asks core, keeps the
//! record in the store. Core decides (`postrider-core/src/service_clock.rs`, ADR 24).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postrider_core::service_clock::{ClockRecord, MAX_CLOCK_ADVANCE, ServiceTime};
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use tokio::time::Instant;

use crate::{Engine, Inner};

/// The record as this node last observed it.
#[derive(Debug)]
pub(crate) struct ServiceClock(Mutex<Observed>);

#[derive(Debug, Clone, Copy)]
struct Observed {
    record: ClockRecord,
    at: Instant,
}

impl ServiceClock {
    /// Of a service that starts.
    pub(crate) fn begin(record: ClockRecord) -> Self {
        report(&ClockRecord::default(), &record);
        Self(Mutex::new(Observed { record, at: Instant::now() }))
    }

    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record, and how long the service has run since it was observed.
    fn read(&self) -> (ClockRecord, Duration) {
        let Observed { record, at } = *self.lock();
        (record, at.elapsed())
    }
}

impl Engine {
    /// For how long nothing is deleted by age yet, because the clock is more than a day ahead of the last time stored;
    /// none while the clock is trusted.
    pub fn clock_distrusted_for(&self) -> Option<Duration> {
        let (record, ran) = self.0.service_clock.read();
        record.observe(self.0.now(), ran).distrusted_for()
    }
}

impl Inner {
    /// How long the service has run in all.
    pub(crate) fn service_time(&self) -> ServiceTime {
        let (record, ran) = self.service_clock.read();
        record.service_time.plus(ran)
    }

    /// The time by which it is judged what is old enough to be deleted or forgotten.
    pub(crate) fn time_for_ages(&self) -> Timestamp {
        let (record, ran) = self.service_clock.read();
        record.time_for_ages(self.now(), ran)
    }

    /// Reads the clock and brings the record in the store up to date. Gives whether the clock is trusted.
    pub(crate) async fn observe_clock(&self) -> Result<bool, StoreError> {
        let (before, ran) = self.service_clock.read();
        let began = Instant::now();
        let record = self.store.observe_clock(self.now(), ran).await?;
        report(&before, &record);
        *self.service_clock.lock() = Observed { record, at: began };
        Ok(record.doubt.is_none())
    }
}

/// Says in the log that the clock came into doubt, or is trusted again.
fn report(before: &ClockRecord, now: &ClockRecord) {
    match (before.doubt, now.doubt, now.trusted_at) {
        (None, Some(doubt), Some(trusted_at)) => {
            let ahead_hours = doubt.read_at.since(trusted_at).as_secs() / 3600;
            tracing::error!(
                clock = %doubt.read_at,
                last_stored = %trusted_at,
                ahead_hours,
                "the clock is more than {} h ahead of the last time stored; nothing is pruned, cancelled or forgotten by \
                 age until the service has run for 24 h, or the clock is set right",
                MAX_CLOCK_ADVANCE.as_secs() / 3600
            );
        }
        (Some(_), None, Some(clock)) => {
            tracing::warn!(%clock, "the clock is trusted again; pruning goes on");
        }
        _ => {}
    }
}
