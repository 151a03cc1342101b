//! Use cases that show what ended lately. Counted in memory since the service started, on this node alone.

use postrider_core::activity::Counts;
use postrider_core::id::EndpointId;
use postrider_core::time::Timestamp;

use crate::{Engine, EngineError};

/// How far back a picture goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookback {
    /// An hour, by the minute.
    Hour,
    /// A day, by ten minutes.
    Day,
}

impl Engine {
    /// Attempts that ended lately, over all endpoints; the oldest slot first, each with the time it begins.
    pub fn activity(&self, lookback: Lookback) -> Vec<(Timestamp, Counts)> {
        let now = self.now();
        match lookback {
            Lookback::Hour => self.0.lanes().last_hour(now),
            Lookback::Day => self.0.lanes().last_day(now),
        }
    }

    /// Attempts of an endpoint that ended within the last day, by the hour.
    pub fn endpoint_activity(&self, id: EndpointId) -> Result<Vec<(Timestamp, Counts)>, EngineError> {
        let no = self.0.snapshot.load().endpoint(id).ok_or(EngineError::NotFound)?.no;
        Ok(self.0.lanes().last_day_of(no, self.now()))
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.0.lanes().in_flight()
    }

    /// When the service started counting.
    pub fn started_at(&self) -> Timestamp {
        self.0.started_at
    }
}
