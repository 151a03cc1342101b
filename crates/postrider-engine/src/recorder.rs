//! Writes outcomes down, many in one commit, and keeps at it until they are.
//!
//! An outcome that is not recorded yet costs a duplicate when the process dies, never a delivery. How many there
//! may be is bounded (`lanes/recording.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use postrider_core::attempt::Attempt;
use postrider_core::delivery::{DeliverySeq, Next};
use postrider_core::endpoint::EndpointNo;
use postrider_store::StoreError;
use postrider_store::model::{HealthUpdate, Record, RecordBatch};
use tokio::sync::mpsc;

use crate::Inner;
use crate::config::{RECORD_BATCH, RECORD_GATHER, STORE_PAUSE};

/// One outcome on its way to the store.
#[derive(Debug)]
pub(crate) struct Outcomes {
    pub(crate) endpoint_no: EndpointNo,
    pub(crate) record: Record,
    pub(crate) health: Option<HealthUpdate>,
}

/// Records outcomes until the channel is closed and empty.
pub(crate) async fn run(inner: Arc<Inner>, mut outcomes: mpsc::Receiver<Outcomes>) {
    let mut waiting = Vec::with_capacity(RECORD_BATCH);
    loop {
        let received = tokio::select! {
            received = outcomes.recv_many(&mut waiting, RECORD_BATCH) => received,
            () = inner.recorder_stop.notified() => return record_the_rest(&inner, outcomes).await,
        };
        if received == 0 {
            return;
        }
        if waiting.len() < RECORD_BATCH / 4 {
            // Few at a time means little load: a short wait lets several share a commit.
            tokio::time::sleep(RECORD_GATHER).await;
            while waiting.len() < RECORD_BATCH {
                match outcomes.try_recv() {
                    Ok(outcome) => waiting.push(outcome),
                    Err(_) => break,
                }
            }
        }
        record(&inner, &mut waiting).await;
    }
}

/// Records what is there at the end; attempts that still run have no place any more.
async fn record_the_rest(inner: &Arc<Inner>, mut outcomes: mpsc::Receiver<Outcomes>) {
    outcomes.close();
    let mut waiting = Vec::new();
    while let Ok(outcome) = outcomes.try_recv() {
        waiting.push(outcome);
    }
    if !waiting.is_empty() {
        record(inner, &mut waiting).await;
    }
}

/// Records one batch, however long the store needs to be able to.
async fn record(inner: &Arc<Inner>, waiting: &mut Vec<Outcomes>) {
    let taken = waiting.len();
    let mut batch = RecordBatch::default();
    let mut recorded: Vec<(EndpointNo, DeliverySeq, Next)> = Vec::with_capacity(waiting.len());
    let mut health: HashMap<EndpointNo, HealthUpdate> = HashMap::new();
    for outcome in waiting.drain(..) {
        recorded.push((outcome.endpoint_no, outcome.record.seq, outcome.record.next));
        if let Some(update) = outcome.health {
            // The latest health counts, but what is told once on the way there must not be lost.
            let update = match health.remove(&update.endpoint_no) {
                Some(earlier) => HealthUpdate {
                    state: update.state.or(earlier.state),
                    attempts: earlier.attempts.followed_by(update.attempts),
                    ..update
                },
                None => update,
            };
            health.insert(update.endpoint_no, update);
        }
        batch.records.push(outcome.record);
    }
    batch.health.extend(health.into_values());
    let Some(left_out) = write(inner, batch).await else { return };
    let now = inner.now();
    inner.pump_after(now, |lanes| {
        // One that could not be written stays known, so that it is not loaded and sent again.
        for (no, seq, next) in recorded.into_iter().filter(|(_, seq, _)| !left_out.contains(seq)) {
            lanes.recorded(no, seq, next, now);
        }
        lanes.recording_done(taken, now);
    });
    inner.written_down.fetch_add(u64::try_from(taken).unwrap_or(u64::MAX), Ordering::Relaxed);
    inner.recorded.notify_waiters();
}

/// Writes a batch. If the database refuses a value in it, the outcome at fault is found by halves: it is written with
/// its attempt in ASCII, then without its attempt, or else left out, and the others are not kept waiting for it.
///
/// Gives the deliveries left out. None where the process is about to end; what is lost then is tried again after the
/// next start.
async fn write(inner: &Arc<Inner>, batch: RecordBatch) -> Option<HashSet<DeliverySeq>> {
    let mut left_out = HashSet::new();
    let mut parts = vec![Arc::new(batch)];
    while let Some(part) = parts.pop() {
        match inner.store.record(Arc::clone(&part)).await {
            Ok(()) => {}
            Err(StoreError::Refused(error)) => match smaller(&part) {
                Some(smaller) => parts.extend(smaller.map(Arc::new)),
                None => {
                    let seqs = part.records.iter().map(|record| record.seq);
                    tracing::error!(error, ?part, "an outcome cannot be written down; this is a bug");
                    left_out.extend(seqs);
                }
            },
            // Others have taken these over: they are told anew there, and here nobody waits for them any more.
            Err(StoreError::LeaseLost) => {
                let count = part.records.len();
                tracing::warn!(count, "outcomes came too late: this node was taken for dead before");
            }
            Err(error) => {
                log_failure(&error);
                inner.lanes().recording_failed();
                if inner.recorder_must_end() {
                    return None;
                }
                tokio::time::sleep(STORE_PAUSE).await;
                parts.push(part);
            }
        }
    }
    Some(left_out)
}

/// What to try where a batch was refused, the last one first.
fn smaller(refused: &RecordBatch) -> Option<impl Iterator<Item = RecordBatch> + use<>> {
    let RecordBatch { records, health } = refused;
    let parts = match records.as_slice() {
        [] => return None,
        [Record { attempt: None, .. }] => return None,
        [alone] => {
            let in_ascii = alone.attempt.as_ref().map(Attempt::in_ascii);
            let attempt = in_ascii.filter(|in_ascii| alone.attempt.as_ref() != Some(in_ascii));
            let seq = alone.seq.0;
            match &attempt {
                Some(_) => tracing::warn!(seq, "the store refuses an attempt's text; recording it in ASCII"),
                None => tracing::error!(seq, "failed to record an attempt; recording its outcome only (bug)"),
            }
            let records = vec![Record { attempt, ..alone.clone() }];
            vec![RecordBatch { records, health: health.clone() }]
        }
        _ => {
            let (earlier, later) = records.split_at(records.len() / 2);
            let later = RecordBatch { records: later.to_vec(), health: health.clone() };
            vec![later, RecordBatch { records: earlier.to_vec(), health: Vec::new() }]
        }
    };
    Some(parts.into_iter())
}

fn log_failure(error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "failed to record outcomes; retrying");
}
