//! The service's own tasks beside the line: lanes' times, due retries, refills, and cancelling after deletion.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_core::delivery::Next;
use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use postrider_store::model::{PendingDelivery, Record, RecordBatch};
use tokio::time::Instant;

use crate::Inner;
use crate::config::{
    CANCEL_SLICE, DUE_EVERY, DUE_HORIZON, DUE_PAGE, LOOK_AGAIN_ROUNDS, LOOK_AGAIN_SLICE, RECORD_BATCH,
    STORE_PAUSE,
};
use crate::lanes::WithoutRoom;
use crate::lanes::clock::Watch;
use crate::lanes::refill::Refill;

/// How long the timer sleeps at most, so that a clock that jumps is noticed.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Lets lanes and retries go on when their time has come.
pub(crate) async fn keep_time(inner: Arc<Inner>) {
    let mut watch = Watch::begin(inner.now(), Instant::now());
    loop {
        let now = inner.now();
        if let Some(by) = watch.went_back(now, Instant::now()) {
            tracing::warn!(?by, "the clock went back; what waits in memory is not put off by that");
            inner.lanes().clock_went_back(by, now);
        }
        let next = {
            // Armed under the lock: whoever adds an earlier time afterwards compares with this one and wakes us.
            let mut lanes = inner.lanes();
            let next = lanes.next_wakeup();
            inner.timer_armed_ms.store(next.map_or(i64::MAX, Timestamp::as_ms), Ordering::Relaxed);
            next
        };
        match next {
            None => {
                inner.timer.notified().await;
                // Nothing waited, so that nothing was put off by a jump meanwhile.
                watch = Watch::begin(inner.now(), Instant::now());
            }
            Some(at) if at > now => {
                let nap = at.since(now).min(LONGEST_NAP);
                // Whichever comes first; being woken early only means looking once more.
                drop(tokio::time::timeout(nap, inner.timer.notified()).await);
            }
            Some(_) => {}
        }
        let without_room = inner.lanes().advance(inner.now());
        make_ready(&inner, without_room).await;
        inner.pump();
    }
}

/// Reads retries that fall due soon from the store.
pub(crate) async fn find_due(inner: Arc<Inner>) {
    for round in 0_u64.. {
        if round % LOOK_AGAIN_ROUNDS == LOOK_AGAIN_ROUNDS - 1 {
            look_again(&inner).await;
        }
        if let Err(error) = read_due(&inner).await {
            tracing::error!(error = &error as &dyn std::error::Error, "failed to read due retries; retrying");
        }
        // Whichever comes first; being woken early only means looking once more.
        drop(tokio::time::timeout(DUE_EVERY, inner.due.notified()).await);
    }
}

/// Asks the store about the lanes that believe they have nothing, a slice at a time.
async fn look_again(inner: &Arc<Inner>) {
    let all: Vec<EndpointNo> = inner.snapshot.load().all_endpoints().map(|endpoint| endpoint.no).collect();
    for slice in all.chunks(LOOK_AGAIN_SLICE) {
        let believed_empty: Vec<EndpointNo> = {
            let lanes = inner.lanes();
            slice.iter().copied().filter(|no| lanes.is_believed_empty(*no)).collect()
        };
        if believed_empty.is_empty() {
            continue;
        }
        match inner.store.with_ready(believed_empty).await {
            Ok(with_ready) => with_ready.into_iter().for_each(|no| inner.lanes().look_again(no)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "lanes could not be looked at");
                break;
            }
        }
    }
    inner.pump();
}

async fn read_due(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let until = inner.now().plus(DUE_HORIZON);
    let mut after = None;
    loop {
        inner.lanes().begin_due();
        let rows = match inner.store.due(until, after, DUE_PAGE).await {
            Ok(rows) => rows,
            Err(error) => {
                inner.lanes().end_due();
                return Err(error);
            }
        };
        let was_last = rows.len() < DUE_PAGE;
        after = rows.last().and_then(|row| row.next_attempt_at.map(|at| (at, row.seq)));
        let items = rows.into_iter().map(|row| inner.item_of(row)).collect();
        let without_room = inner.lanes().load_retries(items, inner.now());
        make_ready(inner, without_room).await;
        inner.pump();
        if was_last {
            return Ok(());
        }
    }
}

/// Due retries without room in memory wait for nothing but their turn: the store is told so.
async fn make_ready(inner: &Arc<Inner>, due: Vec<WithoutRoom>) {
    for part in due.chunks(RECORD_BATCH) {
        let at = inner.now();
        let record = |&WithoutRoom { seq, progress, .. }: &WithoutRoom| Record {
            seq,
            attempt: None,
            next: Next::Waits,
            progress,
            at,
        };
        let batch = RecordBatch { records: part.iter().map(record).collect(), health: Vec::new() };
        match inner.store.record(batch.into()).await {
            Ok(()) => inner.lanes().made_ready(part),
            // Their time stays in the store, so the next read of due retries finds them again.
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "due retries could not be made ready"
                );
            }
        }
    }
}

/// Reads spilled lanes' backlogs as the lanes run low.
pub(crate) async fn refill(inner: Arc<Inner>) {
    loop {
        let wanted = inner.lanes().take_refill();
        let Some(refill) = wanted else {
            inner.refill.notified().await;
            continue;
        };
        // Others may take the next one meanwhile.
        inner.refill.notify_one();
        match read_backlog(&inner, refill).await {
            Ok((waiting, ready)) => {
                let items =
                    |rows: Vec<PendingDelivery>| rows.into_iter().map(|row| inner.item_of(row).1).collect();
                inner.lanes().refilled(refill, items(waiting), items(ready), inner.now());
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a backlog could not be read");
                tokio::time::sleep(STORE_PAUSE).await;
                inner.lanes().refill_failed(refill);
            }
        }
        inner.pump();
    }
}

/// What a refill asks for: those that wait for a time, and those that are ready.
async fn read_backlog(
    inner: &Arc<Inner>,
    refill: Refill,
) -> Result<(Vec<PendingDelivery>, Vec<PendingDelivery>), StoreError> {
    let no = refill.endpoint_no;
    let waiting = if refill.with_waiting { inner.store.waiting(no, refill.limit).await? } else { Vec::new() };
    Ok((waiting, inner.store.ready(no, refill.limit).await?))
}

/// Cancels what is pending for deleted endpoints, in slices.
pub(crate) async fn cancel_deleted(inner: Arc<Inner>) {
    loop {
        match cancel_all(&inner).await {
            Ok(()) => inner.cancel.notified().await,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "deliveries could not be cancelled"
                );
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

async fn cancel_all(inner: &Arc<Inner>) -> Result<(), StoreError> {
    for (no, reason) in inner.store.deleted_with_backlog().await? {
        // A slice may be short although there is more: what was chosen may have ended meanwhile.
        while inner.store.cancel_pending(no, reason, inner.now(), CANCEL_SLICE).await? > 0 {}
    }
    Ok(())
}
