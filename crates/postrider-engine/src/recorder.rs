//! Writes outcomes down, many in one commit, and keeps at it until they are.
//!
//! An outcome that is not recorded yet costs a duplicate when the process dies, never a delivery.

use std::collections::HashMap;
use std::sync::Arc;

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
    let mut batch = RecordBatch::default();
    let mut recorded: Vec<(EndpointNo, DeliverySeq, Next)> = Vec::with_capacity(waiting.len());
    let mut health: HashMap<EndpointNo, HealthUpdate> = HashMap::new();
    for outcome in waiting.drain(..) {
        recorded.push((outcome.endpoint_no, outcome.record.seq, outcome.record.next));
        if let Some(update) = outcome.health {
            // The latest health counts, but a change of state on the way there must not be lost.
            let earlier_state = health.get(&update.endpoint_no).and_then(|earlier| earlier.state);
            let state = update.state.or(earlier_state);
            health.insert(update.endpoint_no, HealthUpdate { state, ..update });
        }
        batch.records.push(outcome.record);
    }
    batch.health.extend(health.into_values());
    let batch = Arc::new(batch);
    while let Err(error) = inner.store.record(Arc::clone(&batch)).await {
        log_failure(&error);
        if inner.recorder_must_end() {
            // The process is about to end. What is lost here is tried again after the next start.
            return;
        }
        tokio::time::sleep(STORE_PAUSE).await;
    }
    let wants_refill = {
        let mut lanes = inner.lanes();
        for (no, seq, next) in recorded {
            lanes.recorded(no, seq, next);
        }
        lanes.wants_refill()
    };
    inner.recorded.notify_waiters();
    if wants_refill {
        inner.refill.notify_one();
    }
}

fn log_failure(error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "outcomes could not be recorded; trying again");
}
