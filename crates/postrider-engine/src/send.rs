//! From lane to outcome: take what may be sent, sign it, send it, decide, and hand the outcome to the recorder.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use postrider_core::attempt::{Attempt, FailureCode, Outcome, RequestLog, Timings};
use postrider_core::delivery::Next;
use postrider_core::time::Timestamp;
use postrider_sender::{AttemptReport, AttemptRequest};
use postrider_store::model::Record;
use tokio::sync::mpsc;

use crate::Inner;
use crate::config::STORE_PAUSE;
use crate::lanes::{Attempted, Dispatch, Finished, Lanes};
use crate::observe::AttemptSeen;
use crate::recorder::Outcomes;
use crate::sign;

/// Dispatches taken under one hold of the lanes' lock.
const PUMP_BATCH: usize = 64;

impl Inner {
    /// Sends everything that may be sent now. Called after whatever may have made something sendable.
    pub(crate) fn pump(self: &Arc<Self>) {
        loop {
            let batch = {
                let mut lanes = self.lanes();
                self.take_dispatches(&mut lanes, self.now())
            };
            let more_may_follow = batch.len() == PUMP_BATCH;
            for dispatch in batch {
                self.carry(dispatch);
            }
            if !more_may_follow {
                return;
            }
        }
    }

    /// What may be sent now; wakes the tasks that the lanes have work for.
    fn take_dispatches(&self, lanes: &mut Lanes, now: Timestamp) -> Vec<Dispatch> {
        let mut batch = Vec::new();
        while batch.len() < PUMP_BATCH {
            match lanes.next(now) {
                Some(dispatch) => batch.push(dispatch),
                None => break,
            }
        }
        if lanes.wants_refill() {
            self.refill.notify_one();
        }
        let wakeup_ms = lanes.next_wakeup().map_or(i64::MAX, Timestamp::as_ms);
        if wakeup_ms < self.timer_armed_ms.load(Ordering::Relaxed) {
            self.timer.notify_one();
        }
        batch
    }

    /// Carries out a dispatch, and then the ones that its end makes possible, one after the other.
    fn carry(self: &Arc<Self>, first: Dispatch) {
        let inner = self.clone();
        tokio::spawn(async move {
            let mut dispatch = Some(first);
            while let Some(current) = dispatch.take() {
                dispatch = inner.attempt(current).await;
            }
        });
    }

    /// One attempt from signature to decision. Gives a dispatch to go on with, where there is one.
    async fn attempt(self: &Arc<Self>, dispatch: Dispatch) -> Option<Dispatch> {
        // A place for the outcome comes first: when recording stalls, attempts wait here and nothing piles up.
        let Ok(place) = self.outcomes.reserve().await else {
            self.lanes().give_back(dispatch, self.now());
            self.idle.notify_waiters();
            return None;
        };
        let payload = match &dispatch.item.payload {
            Some(payload) => payload.clone(),
            None => match self.read_payload(&dispatch).await {
                Ok(Some(payload)) => payload,
                Ok(None) => return self.end_without_attempt(dispatch, Lanes::vanish),
                Err(()) => return self.end_without_attempt(dispatch, Lanes::give_back),
            },
        };
        if self.stopping.load(Ordering::Relaxed) {
            return self.end_without_attempt(dispatch, Lanes::give_back);
        }
        let started_at = self.now();
        let endpoint = &dispatch.endpoint;
        let request = AttemptRequest {
            url: endpoint.settings.url.clone(),
            headers: sign::headers(&self.names, endpoint, &dispatch.item, &payload, started_at),
            body: payload,
            timeout: endpoint.settings.timeout,
            started_at,
        };
        let url = request.url.to_string();
        let attempted = AssertUnwindSafe(self.transport.attempt(request)).catch_unwind().await;
        let report = attempted.unwrap_or_else(|_panic| broken_off(url));
        self.decide(dispatch, report, started_at, place)
    }

    /// The decision, and its way to the log, to the watchers and into the next dispatch.
    fn decide(
        self: &Arc<Self>,
        dispatch: Dispatch,
        report: AttemptReport,
        started_at: Timestamp,
        place: mpsc::Permit<'_, Outcomes>,
    ) -> Option<Dispatch> {
        let now = self.now();
        let took = Duration::from_micros(report.timings.total_us);
        let jitter = self.chance.jitter();
        let (item, endpoint, probe) = (dispatch.item.clone(), dispatch.endpoint.clone(), dispatch.probe);
        let AttemptReport { outcome, timings, request, response } = report;
        let (finished, mut following) = {
            let mut lanes = self.lanes();
            let mut finished = lanes.finish(dispatch, &Attempted { outcome: &outcome, took, now, jitter });
            let Finished { next, progress, .. } = finished;
            let outcome = outcome.clone();
            let attempt =
                Attempt { number: progress.attempts, probe, started_at, timings, request, response, outcome };
            let record = Record { seq: item.seq, attempt: Some(attempt), next, progress, at: now };
            // Under the same lock: whoever sees that nothing is in flight any more finds every outcome handed over.
            place.send(Outcomes { endpoint_no: endpoint.no, record, health: finished.health.take() });
            (finished, self.take_dispatches(&mut lanes, now))
        };
        let Finished { next, progress, change, .. } = finished;
        if change.is_some() || next == Next::Exhausted {
            self.announce_outcome(&endpoint, &item, next, progress, change);
        }
        self.observers.tell(AttemptSeen {
            delivery: item.id,
            event: item.event,
            event_type: item.event_type,
            account: endpoint.account,
            endpoint: endpoint.id,
            livemode: endpoint.livemode,
            number: progress.attempts,
            probe,
            started_at,
            took,
            outcome,
            next,
            change,
        });
        let go_on_with = following.pop();
        let more_may_follow = following.len() + 1 == PUMP_BATCH;
        for other in following {
            self.carry(other);
        }
        if more_may_follow {
            self.pump();
        }
        if go_on_with.is_none() {
            self.idle.notify_waiters();
        }
        go_on_with
    }

    /// Reads a payload that memory had no room for. `Err` where the store could not say.
    async fn read_payload(&self, dispatch: &Dispatch) -> Result<Option<Bytes>, ()> {
        match self.store.payloads(vec![dispatch.item.seq]).await {
            Ok(mut payloads) => Ok(payloads.pop().flatten()),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a payload could not be read; trying again"
                );
                tokio::time::sleep(STORE_PAUSE).await;
                Err(())
            }
        }
    }

    fn end_without_attempt(
        self: &Arc<Self>,
        dispatch: Dispatch,
        how: fn(&mut Lanes, Dispatch, Timestamp),
    ) -> Option<Dispatch> {
        how(&mut self.lanes(), dispatch, self.now());
        self.pump();
        self.idle.notify_waiters();
        None
    }
}

/// What a panic inside an attempt comes to: a failed attempt like any other, so that no slot and no delivery is lost.
fn broken_off(url: String) -> AttemptReport {
    tracing::error!(url, "an attempt broke off inside the service; this is a bug");
    let detail = "the attempt broke off inside the service; this is a bug in it".to_owned();
    AttemptReport {
        outcome: Outcome::Failed { code: FailureCode::ConnectFailed, detail },
        timings: Timings::default(),
        request: RequestLog { url, headers: Vec::new() },
        response: None,
    }
}
