//! The lanes as a pure structure: no clock, no store, no socket. What is tested stands in the files below.

mod backlog;
mod cancelling;
mod health;
mod history;
mod places;
mod races;
mod recording;
mod shares;
mod unreadable;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::account::AccountNo;
use postrider_core::attempt::{FailureCode, Outcome};
use postrider_core::delivery::{DeliverySeq, Next, Progress};
use postrider_core::endpoint::{EndpointSettings, RateLimit, UnreadableValues};
use postrider_core::event_type::Subscription;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::schedule::Jitter;
use postrider_core::secret::{Secret, Secrets};
use postrider_core::service_clock::ServiceTime;
use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn endpoint(no: i64, account: i64, change: impl FnOnce(&mut EndpointSettings)) -> Arc<Endpoint> {
    let mut settings =
        EndpointSettings::new("https://example.com/".parse().unwrap(), Subscription::parse(&["*"]).unwrap());
    change(&mut settings);
    Arc::new(Endpoint {
        no: EndpointNo(no),
        id: EndpointId::new(at(0), u128::try_from(no).unwrap()),
        account_no: AccountNo(account),
        account: AccountId::new(at(0), u128::try_from(account).unwrap()),
        livemode: true,
        settings,
        secrets: Secrets::only(Secret::generate(&[1; 32])),
        unreadable: UnreadableValues::default(),
        state: State::Enabled,
        health: Health::default(),
        created_at: at(0),
        updated_at: at(0),
    })
}

fn item(seq: i64) -> Item {
    let bits = u128::try_from(seq).unwrap();
    Item {
        seq: DeliverySeq(seq),
        id: DeliveryId::new(at(0), bits),
        event: EventId::new(at(0), bits),
        event_type: "policy.created".into(),
        payload: Some(Bytes::from_static(b"{}")),
        payload_bytes: 2,
        progress: Progress::default(),
        not_before: None,
        needs_fresh_connection: false,
    }
}

fn lanes(limits: LaneLimits) -> Lanes {
    Lanes::new(limits, "10s,100s".parse().unwrap(), HealthRules::default())
}

const ROOMY: LaneLimits = LaneLimits {
    max_in_flight: 100,
    lane_queue: 1_000,
    loaded: 100_000,
    payload_bytes: 1 << 20,
    retries: 1_000,
};

fn ok() -> Outcome {
    Outcome::Answered { status: 200, retry_after: None }
}

fn down() -> Outcome {
    Outcome::Failed { code: FailureCode::ConnectRefused, detail: "refused".into() }
}

/// An attempt that took so long, of a service that never stopped.
fn attempted(outcome: &Outcome, took: Duration, now: Timestamp) -> Attempted<'_> {
    let service_time = ServiceTime::new(now.since(at(0)));
    let jitter = Jitter(u32::MAX / 2);
    Attempted { outcome, took, sent_at: now.minus(took), now, service_time, jitter }
}

fn end(lanes: &mut Lanes, dispatch: Dispatch, outcome: &Outcome, now: Timestamp) -> Finished {
    let took = Duration::from_millis(5);
    let (no, seq) = (dispatch.endpoint.no, dispatch.item.seq);
    let finished = lanes.finish(dispatch, &attempted(outcome, took, now));
    lanes.recorded(no, seq, finished.next, now);
    lanes.recording_done(1, at(0));
    finished
}

/// Lets lane `no` receive one delivery, quickly.
fn prove(lanes: &mut Lanes, no: i64, now: Timestamp) {
    lanes.push(EndpointNo(no), item(1_000_000 + no), now);
    let dispatch = lanes.next(now).expect("nothing else is in flight");
    end(lanes, dispatch, &ok(), now);
}

/// Everything that may be sent at `now`.
fn drain(lanes: &mut Lanes, now: Timestamp) -> Vec<Dispatch> {
    std::iter::from_fn(|| lanes.next(now)).collect()
}

fn seqs(dispatches: &[Dispatch]) -> Vec<i64> {
    dispatches.iter().map(|dispatch| dispatch.item.seq.0).collect()
}
