//! From lane to outcome: take what may be sent, sign it, send it, decide, and hand the outcome to the recorder.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use postrider_core::attempt::{Attempt, FailureCode, HeaderLog, Outcome, RequestLog, Timings};
use postrider_core::delivery::Next;
use postrider_core::endpoint::{Endpoint, EndpointNo};
use postrider_core::id::AccountId;
use postrider_core::time::Timestamp;
use postrider_sender::{AttemptReport, AttemptRequest, Tenant};
use postrider_store::model::{AttemptPlace, Record};
use tokio::sync::mpsc;

use crate::Inner;
use crate::departures::Departing;
use crate::lanes::{Attempted, Dispatch, Finished, Item, Lanes};
use crate::observe::AttemptSeen;
use crate::recorder::Outcomes;
use crate::sign;
use crate::traces::Timed;

/// Dispatches taken under one hold of the lanes' lock.
const PUMP_BATCH: usize = 64;
/// How long a slot is kept when the service itself lacked files or ports for its request.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);
/// How often the log speaks of such a shortage, in milliseconds.
const SAY_SHORTAGE_EVERY_MS: u64 = 10_000;

impl Inner {
    /// Sends everything that may be sent now. Called after whatever may have made something sendable.
    pub(crate) fn pump(self: &Arc<Self>) {
        self.pump_after(self.now(), |_lanes| ());
    }

    /// Changes the lanes, and sends everything that may be sent then; the first part of it under the same lock.
    pub(crate) fn pump_after(self: &Arc<Self>, mut now: Timestamp, change: impl FnOnce(&mut Lanes)) {
        let mut change = Some(change);
        loop {
            let batch = {
                let mut lanes = self.lanes();
                if let Some(change) = change.take() {
                    change(&mut lanes);
                }
                self.take_dispatches(&mut lanes, now)
            };
            let more_may_follow = batch.len() == PUMP_BATCH;
            for dispatch in batch {
                self.carry(dispatch);
            }
            if !more_may_follow {
                return;
            }
            now = self.now();
        }
    }

    /// What may be sent now; wakes the tasks that the lanes have work for.
    fn take_dispatches(&self, lanes: &mut Lanes, now: Timestamp) -> Vec<Dispatch> {
        let mut batch = Vec::new();
        while batch.len() < PUMP_BATCH && self.departures.begin() {
            let Some(dispatch) = lanes.next(now) else {
                // Nothing can be sent, so nobody is held back for want of a place either.
                self.departures.end();
                break;
            };
            batch.push(dispatch);
        }
        self.wake_for(lanes);
        let wakeup_ms = lanes.next_wakeup().map_or(i64::MAX, Timestamp::as_ms);
        if wakeup_ms < self.timer_armed_ms.load(Ordering::Relaxed) {
            self.timer.notify_one();
        }
        batch
    }

    /// Wakes the tasks that ask the store for what the lanes want.
    pub(crate) fn wake_for(&self, lanes: &mut Lanes) {
        if lanes.wants_refill() {
            self.refill.notify_one();
        }
        if lanes.wants_place() {
            self.places.notify_one();
        }
        if lanes.take_stray() {
            self.cancel.notify_one();
        }
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
    async fn attempt(self: &Arc<Self>, mut dispatch: Dispatch) -> Option<Dispatch> {
        let departing = Departing::of(self);
        let mut flight = Flight::of(self, &dispatch);
        // A place for the outcome comes first: when recording stalls, attempts wait here and nothing piles up.
        let (place, waited_for_place) = match self.outcomes.try_reserve() {
            Ok(place) => (place, false),
            Err(_full) => match self.outcomes.reserve().await {
                Ok(place) => (place, true),
                Err(_closed) => return self.end_without_attempt(flight, dispatch, Lanes::give_back),
            },
        };
        // Who has to wait for its payload keeps nobody else from departing.
        let departing = dispatch.item.payload.as_ref().map(|_| departing);
        let _room = match &dispatch.item.payload {
            Some(_) => None,
            None => Some(self.payload_room(&dispatch).await),
        };
        let payload = match &dispatch.item.payload {
            Some(payload) => payload.clone(),
            None => match self.read_payload(&dispatch).await {
                Ok(Some(payload)) => payload,
                Ok(None) => return self.end_without_attempt(flight, dispatch, Lanes::vanish),
                Err(()) => return self.end_without_attempt(flight, dispatch, Lanes::give_back),
            },
        };
        if self.stopping.load(Ordering::Relaxed) {
            return self.end_without_attempt(flight, dispatch, Lanes::give_back);
        }
        // Whoever waited goes by what holds now: it may be cancelled, its endpoint paused or deleted, the secret another one.
        debug_assert!(dispatch.endpoint.is_readable(), "lanes of unreadable endpoints dispatch nothing");
        let has_waited = waited_for_place || dispatch.item.payload.is_none();
        if has_waited && !self.lanes().may_still_go(&mut dispatch, self.now()) {
            return self.end_without_attempt(flight, dispatch, Lanes::give_back);
        }
        if !self.store.may_send() {
            // Another node may have taken over by now. Nothing is sent until this one is certain again. Looked at once
            // more under the lock, under which the word of that comes in: it must not have come before this.
            let mut lanes = self.lanes();
            if !self.store.may_send() {
                lanes.suspend();
            }
            drop(lanes);
            return self.end_without_attempt(flight, dispatch, Lanes::give_back);
        }
        let began_us = self.config.traces.as_ref().map(|_| self.clock.now_us());
        let started_at = self.now();
        let attempted = AssertUnwindSafe(self.sign_and_send(&dispatch, payload, started_at)).catch_unwind();
        let report =
            until_it_waits(attempted, departing).await.unwrap_or_else(|_panic| broken_off(&dispatch));
        if report.not_made {
            self.wait_for_files(&report).await;
            return self.end_without_attempt(flight, dispatch, Lanes::give_back);
        }
        let timings = report.timings;
        self.learn_before_it_turns(&dispatch, &report, started_at).await;
        let decide = AssertUnwindSafe(|| self.decide(&mut flight, dispatch, report, started_at, place));
        let Ok(decided) = std::panic::catch_unwind(decide) else {
            flight.break_off();
            self.pump();
            return None;
        };
        let following = self.tell(decided, began_us.map(|began_us| Timed { began_us, timings }));
        if following.is_none() {
            self.idle.notify_waiters();
        }
        following
    }

    async fn sign_and_send(
        &self,
        dispatch: &Dispatch,
        payload: Bytes,
        started_at: Timestamp,
    ) -> AttemptReport {
        let endpoint = &dispatch.endpoint;
        let request = AttemptRequest {
            tenant: tenant_of(endpoint),
            url: endpoint.settings.url.clone(),
            headers: sign::headers(&self.names, endpoint, &dispatch.item, &payload, started_at),
            body: payload,
            timeout: endpoint.settings.timeout,
            fresh_connection: dispatch.item.needs_fresh_connection,
            started_at,
        };
        self.transport.attempt(request).await
    }

    /// The decision, handed to the log, and what may be sent now that a slot is free.
    fn decide(
        &self,
        flight: &mut Flight<'_>,
        mut dispatch: Dispatch,
        report: AttemptReport,
        started_at: Timestamp,
        place: mpsc::Permit<'_, Outcomes>,
    ) -> Decided {
        let now = self.now();
        let took = Duration::from_micros(report.timings.total_us);
        let jitter = self.chance.jitter();
        dispatch.item.needs_fresh_connection = report.on_reused_connection;
        let (item, endpoint, probe) = (dispatch.item.clone(), dispatch.endpoint.clone(), dispatch.probe);
        let AttemptReport { outcome, timings, request, response, .. } = report;
        let mut lanes = self.lanes();
        let service_time = self.service_time();
        let attempted = Attempted { outcome: &outcome, took, sent_at: started_at, now, service_time, jitter };
        let mut finished = lanes.finish(dispatch, &attempted);
        let Finished { next, progress, change, .. } = finished;
        let logged = outcome.clone();
        self.meters.attempted(&outcome, &timings, probe, next);
        let attempt = Attempt {
            number: progress.attempts,
            probe,
            started_at,
            timings,
            request,
            response,
            outcome: logged,
        };
        let record = Record { seq: item.seq, attempt: Some(attempt), next, progress, at: now };
        // Under the same lock: whoever sees that nothing is in flight any more finds every outcome handed over.
        self.handed_over.fetch_add(1, Ordering::Relaxed);
        place.send(Outcomes { endpoint_no: endpoint.no, record, health: finished.health.take() });
        flight.has_landed();
        let following = self.take_dispatches(&mut lanes, now);
        drop(lanes);
        let ended_at = started_at.plus(took);
        let seen = AttemptSeen {
            place: AttemptPlace { ended_at, seq: item.seq, number: progress.attempts },
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
        };
        Decided { endpoint, seen, following }
    }

    /// Tells those who watch, and sends what follows. Gives one dispatch of it back.
    fn tell(self: &Arc<Self>, decided: Decided, timed: Option<Timed>) -> Option<Dispatch> {
        let Decided { endpoint, seen, following } = decided;
        let telling = || {
            if seen.change.is_some() || seen.next == Next::Exhausted {
                self.announce_outcome(&endpoint, &seen);
            }
            if let (Some(traces), Some(timed)) = (&self.config.traces, timed) {
                traces.attempted(&endpoint, &seen, timed);
            }
            self.observers.tell(seen, self.config.log_attempts);
        };
        if std::panic::catch_unwind(AssertUnwindSafe(telling)).is_err() {
            tracing::error!(endpoint = %endpoint.id, "an attempt could not be told of; this is a bug");
        }
        let more_may_follow = following.len() == PUMP_BATCH;
        let mut following = following.into_iter();
        let go_on_with = following.next();
        for other in following {
            self.carry(other);
        }
        if more_may_follow {
            self.pump();
        }
        go_on_with
    }

    /// The service itself lacks files or ports: the slot is kept for a while, so that fewer are asked for.
    async fn wait_for_files(&self, report: &AttemptReport) {
        let now_ms = self.now().as_ms();
        let said_ms = self.shortage_said_ms.swap(now_ms, Ordering::Relaxed);
        if now_ms.abs_diff(said_ms) < SAY_SHORTAGE_EVERY_MS {
            self.shortage_said_ms.store(said_ms, Ordering::Relaxed);
        } else if let Outcome::Failed { detail, .. } = &report.outcome {
            tracing::error!(detail, "an attempt could not be made; it is made later and uses up none");
        }
        tokio::time::sleep(SHORTAGE_PAUSE).await;
    }

    fn end_without_attempt(
        self: &Arc<Self>,
        mut flight: Flight<'_>,
        dispatch: Dispatch,
        how: fn(&mut Lanes, Dispatch, Timestamp),
    ) -> Option<Dispatch> {
        how(&mut self.lanes(), dispatch, self.now());
        flight.has_landed();
        self.pump();
        self.idle.notify_waiters();
        None
    }
}

/// The tenant that the sender's shared bounds count this endpoint's attempts for.
fn tenant_of(endpoint: &Endpoint) -> Tenant {
    match endpoint.account {
        AccountId::OPERATOR => Tenant::OPERATOR,
        _ => Tenant(endpoint.account_no.0.cast_unsigned()),
    }
}

/// Runs an attempt, and lets go of `departing` as soon as it waits for something.
async fn until_it_waits<F: Future>(attempt: F, departing: Option<Departing<'_>>) -> F::Output {
    let mut attempt = std::pin::pin!(attempt);
    let first_look = std::future::poll_fn(|context| Poll::Ready(attempt.as_mut().poll(context))).await;
    drop(departing);
    match first_look {
        Poll::Ready(report) => report,
        Poll::Pending => attempt.await,
    }
}

/// An attempt that is decided, and what goes on from there.
struct Decided {
    endpoint: Arc<Endpoint>,
    seen: AttemptSeen,
    following: Vec<Dispatch>,
}

/// Sees to it that an attempt gives back its slot and its delivery however it ends.
struct Flight<'a> {
    inner: &'a Inner,
    of: Option<(EndpointNo, Item, bool)>,
}

impl<'a> Flight<'a> {
    fn of(inner: &'a Inner, dispatch: &Dispatch) -> Self {
        Self { inner, of: Some((dispatch.endpoint.no, dispatch.item.clone(), dispatch.probe)) }
    }

    /// The lanes know how it ended.
    fn has_landed(&mut self) {
        self.of = None;
    }

    /// Nobody knows how it ended.
    fn break_off(&mut self) {
        let Some((no, item, probe)) = self.of.take() else { return };
        tracing::error!(delivery = %item.id, "an attempt broke off inside the service; this is a bug");
        self.inner.lanes().break_off(no, item, probe, self.inner.now());
        self.inner.idle.notify_waiters();
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        // Otherwise the process is ending.
        if std::thread::panicking() {
            self.break_off();
        }
    }
}

/// What a panic inside an attempt comes to: a failed attempt like any other, so that no slot and no delivery is lost.
fn broken_off(dispatch: &Dispatch) -> AttemptReport {
    let url = dispatch.endpoint.settings.url.to_string();
    tracing::error!(url, "an attempt broke off inside the service; this is a bug");
    let detail = "the attempt broke off inside the service; this is a bug in it".to_owned();
    AttemptReport {
        outcome: Outcome::Failed { code: FailureCode::ConnectFailed, detail },
        timings: Timings::default(),
        request: RequestLog { url, headers: HeaderLog::default() },
        response: None,
        not_made: false,
        on_reused_connection: false,
    }
}
