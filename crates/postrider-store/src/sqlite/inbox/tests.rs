//! What goes into one transaction, and what waits for company.

use postrider_core::delivery::{Next, Progress};
use postrider_core::event::Event;
use postrider_core::id::EventId;
use postrider_core::time::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::model::Record;
use postrider_core::account::AccountNo;
use postrider_core::delivery::DeliverySeq;

const LIMITS: Size = Size { rows: 100_000, bytes: 1_000_000 };

fn outcomes(rows: usize) -> RecordJob {
    let record = Record {
        seq: DeliverySeq(1),
        attempt: None,
        next: Next::Delivered,
        progress: Progress { attempts: 1, used: 1 },
        at: Timestamp::from_ms(1),
    };
    let batch = RecordBatch { records: vec![record; rows], health: Vec::new() };
    let space = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is one");
    RecordJob { batch: Arc::new(batch), reply: oneshot::channel().0, _space: space }
}

fn events(count: usize) -> AcceptJob {
    let event = Event {
        id: EventId::new(Timestamp::from_ms(1), 1),
        account_no: AccountNo(1),
        account: postrider_core::id::AccountId::new(Timestamp::from_ms(1), 1),
        event_type: "policy.created".to_owned(),
        livemode: false,
        payload: bytes::Bytes::from_static(b"{}"),
        created_at: Timestamp::from_ms(1),
    };
    let events =
        (0..count).map(|_| NewEvent { event: event.clone(), config_version: 1, deliveries: Vec::new() });
    AcceptJob { events: events.collect(), keep: None, reply: oneshot::channel().0 }
}

fn next_batch(inbox: &Inbox) -> Batch {
    match inbox.next_work(None) {
        Work::Batch(batch) => batch,
        Work::Idle | Work::Closed => panic!("something waits"),
    }
}

#[test]
fn an_idle_writer_is_woken_for_its_own_affairs_and_never_while_somebody_waits() {
    let inbox = Inbox::new(LIMITS);
    assert!(matches!(inbox.next_work(Some(Instant::now())), Work::Idle), "its time has come");
    inbox.wake_writer();
    assert!(matches!(inbox.next_work(None), Work::Idle));
    inbox.wake_writer();
    inbox.accept(events(1)).expect("it is open");
    assert_eq!(next_batch(&inbox).accepts.len(), 1);
    inbox.close();
    assert!(matches!(inbox.next_work(None), Work::Closed), "it was not woken for a second time");
}

#[test]
fn a_few_outcomes_wait_a_moment_for_an_event_and_anything_else_ends_that() {
    let patience = |rows: usize, also: fn(&Inbox)| {
        let inbox = Inbox::new(LIMITS);
        inbox.record(outcomes(rows)).expect("it is open");
        also(&inbox);
        inbox.lock().patience()
    };
    assert!(patience(1, |_| ()).is_some_and(|left| left <= RECORD_PATIENCE));
    assert_eq!(patience(BATCH_RECORDS, |_| ()), None, "they are enough for a commit of their own");
    assert_eq!(patience(1, |inbox| inbox.accept(events(1)).expect("it is open")), None);
    assert_eq!(patience(1, Inbox::close), None);

    let inbox = Inbox::new(LIMITS);
    let began = Instant::now();
    inbox.record(outcomes(1)).expect("it is open");
    let batch = next_batch(&inbox);
    assert_eq!((batch.records.len(), batch.accepts.len()), (1, 0));
    assert!(began.elapsed() >= RECORD_PATIENCE, "nobody came");
    assert_eq!(inbox.lock().patience(), None, "nothing waits");
}

#[test]
fn outcomes_never_make_a_commit_much_longer_than_its_events_do() {
    let inbox = Inbox::new(LIMITS);
    for _ in 0..8 {
        inbox.record(outcomes(BATCH_RECORDS / 2)).expect("it is open");
    }
    let rows = |batch: &Batch| batch.records.iter().map(RecordJob::rows).sum::<usize>();
    assert_eq!(rows(&next_batch(&inbox)), BATCH_RECORDS);
    inbox.accept(events(2 * BATCH_RECORDS)).expect("it is open");
    let batch = next_batch(&inbox);
    assert_eq!((batch.accepts.len(), rows(&batch)), (1, 2 * BATCH_RECORDS), "as many as it accepts");
    assert_eq!(rows(&next_batch(&inbox)), BATCH_RECORDS);
    assert_eq!(inbox.lock().record_rows, 0);
}
