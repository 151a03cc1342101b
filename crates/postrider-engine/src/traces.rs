//! Tells whoever traces events what happens to them: that they were taken in, and each attempt.
//!
//! Where nobody traces, each of these places costs one branch. Where somebody does, the step is put into a bounded queue;
//! when that is full it is dropped and counted. Neither payloads nor URLs nor headers are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use postrider_core::attempt::{Outcome, Timings};
use postrider_core::delivery::Status;
use postrider_core::endpoint::Endpoint;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::trace::CallerSpan;
use tokio::sync::mpsc;

use crate::config::MAX_QUEUED_TRACE_STEPS;
use crate::environment::Clock;
use crate::model::{Accepted, Submission};
use crate::observe::AttemptSeen;

/// The call that handed events in.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The route that was called, such as `/v1/events`.
    pub route: &'static str,
    /// When the call came, in microseconds since 1970.
    pub began_us: i64,
    /// The span in which it was made, where it named one.
    pub caller: Option<CallerSpan>,
}

/// Something that happened to an event. Times are in microseconds since 1970.
#[derive(Debug)]
pub enum TraceStep {
    /// It was taken in.
    TakenIn(TakenIn),
    /// An attempt to deliver it ended.
    Attempted(Attempted),
}

/// An event was taken in.
#[derive(Debug)]
pub struct TakenIn {
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: Arc<str>,
    /// Whose it is.
    pub account: AccountId,
    /// Live or test.
    pub livemode: bool,
    /// How many deliveries it made.
    pub deliveries: usize,
    /// The call that it came with; none where the service itself made it.
    pub origin: Option<Origin>,
    /// When it was begun with, committed, and in its lanes.
    pub times: TakingTimes,
}

/// When an event was taken in.
#[derive(Debug, Clone, Copy)]
pub struct TakingTimes {
    /// When it began.
    pub began_us: i64,
    /// When the commit began …
    pub commit_began_us: i64,
    /// … and was durable.
    pub commit_ended_us: i64,
    /// When its deliveries were in their lanes.
    pub ended_us: i64,
}

/// An attempt to deliver an event ended.
#[derive(Debug)]
pub struct Attempted {
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: Arc<str>,
    /// Whose it is.
    pub account: AccountId,
    /// Live or test.
    pub livemode: bool,
    /// The delivery.
    pub delivery: DeliveryId,
    /// Where it went …
    pub endpoint: EndpointId,
    /// … by the host in its URL …
    pub host: String,
    /// … and the port.
    pub port: u16,
    /// Which attempt of the delivery it was, from 1.
    pub number: u32,
    /// Whether it was a probe of a failing endpoint.
    pub probe: bool,
    /// When it began.
    pub began_us: i64,
    /// How long its phases took.
    pub timings: Timings,
    /// What it came to.
    pub outcome: Outcome,
    /// Where the delivery stood after it.
    pub status: Status,
}

/// Why spans did not reach the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// More happened than could be sent.
    QueueFull,
    /// The collector did not want them.
    Rejected,
    /// The collector could not be reached in time.
    Undelivered,
}

impl Dropped {
    /// Every reason there is.
    pub const ALL: [Self; 3] = [Self::QueueFull, Self::Rejected, Self::Undelivered];

    /// The reason's stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::Undelivered => "undelivered",
        }
    }
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct SpanCounts {
    exported: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

impl SpanCounts {
    /// The collector has taken so many.
    pub fn exported(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::Relaxed);
    }

    /// So many are lost.
    pub fn dropped(&self, spans: u64, why: Dropped) {
        // The reasons stand in their order.
        self.dropped[why as usize].fetch_add(spans, Ordering::Relaxed);
    }

    /// How many the collector has taken.
    pub fn all_exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// How many are lost, by the reason.
    pub fn all_dropped(&self) -> [(&'static str, u64); Dropped::ALL.len()] {
        Dropped::ALL.map(|why| (why.as_str(), self.dropped[why as usize].load(Ordering::Relaxed)))
    }
}

/// The engine's end of the queue.
#[derive(Debug, Clone)]
pub struct Traces {
    steps: mpsc::Sender<TraceStep>,
    counts: Arc<SpanCounts>,
}

/// The other end of the queue.
#[derive(Debug)]
pub struct TraceSteps {
    /// What happened, in no particular order.
    pub steps: mpsc::Receiver<TraceStep>,
    /// Where it is to be counted what became of it.
    pub counts: Arc<SpanCounts>,
}

impl Traces {
    /// A queue that is bounded: what it has no room for is dropped and counted.
    pub fn queue() -> (Self, TraceSteps) {
        let (sender, steps) = mpsc::channel(MAX_QUEUED_TRACE_STEPS);
        let counts = Arc::new(SpanCounts::default());
        (Self { steps: sender, counts: Arc::clone(&counts) }, TraceSteps { steps, counts })
    }

    /// What became of what was told.
    pub(crate) fn counts(&self) -> &SpanCounts {
        &self.counts
    }

    pub(crate) fn tell(&self, step: TraceStep) {
        let spans = step.spans();
        if self.steps.try_send(step).is_err() {
            self.counts.dropped(spans, Dropped::QueueFull);
        }
    }

    pub(crate) fn attempted(&self, endpoint: &Endpoint, seen: &AttemptSeen, timed: Timed) {
        let url = &endpoint.settings.url;
        self.tell(TraceStep::Attempted(Attempted {
            event: seen.event,
            event_type: seen.event_type.clone(),
            account: seen.account,
            livemode: seen.livemode,
            delivery: seen.delivery,
            endpoint: seen.endpoint,
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            number: seen.number,
            probe: seen.probe,
            began_us: timed.began_us,
            timings: timed.timings,
            outcome: seen.outcome.clone(),
            status: seen.status(),
        }));
    }
}

impl TraceStep {
    /// How many spans it makes: taking in has one for the commit besides.
    pub const fn spans(&self) -> u64 {
        match self {
            Self::TakenIn(_) => 2,
            Self::Attempted(_) => 1,
        }
    }
}

/// Events that are being taken in, with somebody tracing them.
pub(crate) struct Taking<'a> {
    traces: &'a Traces,
    clock: &'a dyn Clock,
    origin: Option<Origin>,
    times: TakingTimes,
}

impl<'a> Taking<'a> {
    pub(crate) fn begin(traces: &'a Traces, clock: &'a dyn Clock, origin: Option<Origin>) -> Self {
        let began_us = origin.map_or_else(|| clock.now_us(), |origin| origin.began_us);
        let times = TakingTimes { began_us, commit_began_us: 0, commit_ended_us: 0, ended_us: 0 };
        Self { traces, clock, origin, times }
    }

    /// The commit begins; it may begin anew when the configuration has changed meanwhile.
    pub(crate) fn commits(&mut self) {
        self.times.commit_began_us = self.clock.now_us();
    }

    pub(crate) fn committed(&mut self) {
        self.times.commit_ended_us = self.clock.now_us();
    }

    /// All is done: each of the events is told.
    pub(crate) fn tell(self, submissions: &[Submission], accepted: &[Accepted]) {
        let times = TakingTimes { ended_us: self.clock.now_us(), ..self.times };
        for (submission, accepted) in submissions.iter().zip(accepted) {
            self.traces.tell(TraceStep::TakenIn(TakenIn {
                event: accepted.id,
                event_type: submission.event_type.shared_name(),
                account: submission.account,
                livemode: submission.livemode,
                deliveries: accepted.deliveries.len(),
                origin: self.origin,
                times,
            }));
        }
    }
}

/// The exact times of an attempt that is traced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    pub(crate) began_us: i64,
    pub(crate) timings: Timings,
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::time::Timestamp;

    #[test]
    fn what_the_queue_has_no_room_for_is_counted_span_by_span() {
        let (traces, mut queue) = Traces::queue();
        let times = TakingTimes { began_us: 0, commit_began_us: 0, commit_ended_us: 0, ended_us: 0 };
        for _ in 0..MAX_QUEUED_TRACE_STEPS + 3 {
            traces.tell(TraceStep::TakenIn(TakenIn {
                event: EventId::new(Timestamp::from_ms(1), 1),
                event_type: "policy.created".into(),
                account: AccountId::OPERATOR,
                livemode: true,
                deliveries: 0,
                origin: None,
                times,
            }));
        }
        assert_eq!(
            queue.counts.all_dropped(),
            [("queue_full", 6), ("rejected", 0), ("undelivered", 0)],
            "two spans each"
        );
        let mut waiting = 0;
        while queue.steps.try_recv().is_ok() {
            waiting += 1;
        }
        assert_eq!(waiting, MAX_QUEUED_TRACE_STEPS);
        queue.counts.dropped(2, Dropped::Undelivered);
        assert_eq!(queue.counts.all_dropped()[2], ("undelivered", 2));
    }
}
