//! What SQLite's store does beyond the suite: in trouble (a full disk, another program's lock, a full queue) it
//! says so and recovers; its pages are bounded; its files hold no secrets.

#[path = "support/place.rs"]
mod place;

use std::sync::{Arc, Mutex};
use std::task::{Context, Wake};
use std::time::Duration;

use place::Place;
use postrider_core::delivery::{CancelReason, Next, Progress};
use postrider_core::event::Event;
use postrider_store::Store as _;
use postrider_store::error::{AcceptError, StoreError};
use postrider_store::model::{
    DeliveryFilter, EndpointUpdate, EventFilter, NewEvent, PageRequest, Record, RecordBatch,
};
use postrider_store::sqlite::SqliteOptions;
use rusqlite::Connection;

const PAGE: PageRequest = PageRequest { limit: 50, before: None };

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_once_there_is_room() {
    let place = Place::new();
    let limited = SqliteOptions { max_pages: Some(200), checkpoint_pages: 10, ..SqliteOptions::default() };
    let store = place.open_with(limited);
    let lane = place.lane(&store).await;
    let mut stored = 0;
    let refused = loop {
        match store.accept(vec![place.event(&lane, &"x".repeat(8_000))]).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
        assert!(stored < 1_000, "200 pages can't hold this");
    };
    assert!(matches!(refused, AcceptError::Unavailable(_)), "{refused:?}");
    let again = store.accept(vec![place.event(&lane, &"x".repeat(8_000))]).await;
    assert!(matches!(again, Err(AcceptError::Unavailable(_))));
    assert!(stored > 50);
    // Nothing of what was refused is there, and reading still works.
    let listed =
        store.events(EventFilter::default(), PageRequest { limit: 250, before: None }).await.unwrap();
    assert_eq!(listed.rows.len(), stored);

    let other = Connection::open(&place.path).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute("DELETE FROM events WHERE seq <= 20", []).unwrap();
    let seqs = store.accept(vec![place.event(&lane, &"x".repeat(8_000))]).await.unwrap();
    assert_eq!(seqs.len(), 1);
    store.check_writable().await.unwrap();
}

#[tokio::test]
async fn the_write_ahead_log_starts_over_while_events_keep_coming() {
    let place = Place::new();
    let store = place.open_with(SqliteOptions { checkpoint_pages: 50, ..SqliteOptions::default() });
    let lane = place.lane(&store).await;
    for _ in 0..2_000 {
        store.accept(vec![place.event(&lane, &"x".repeat(3_000))]).await.unwrap();
    }
    let log = std::fs::metadata(place.path.with_extension("db-wal")).unwrap().len();
    // Each of these commits writes at least four pages: 8,000 and more in all. How long the log gets depends on when a
    // busy machine lets the thread that copies it have a turn.
    assert!(log < 2_000 * 4_120, "the log has grown to {log} bytes");
}

#[tokio::test]
async fn everyone_in_a_batch_that_is_not_committed_is_told() {
    let place = Place::new();
    let impatient = SqliteOptions { busy_patience: Duration::from_millis(20), ..SqliteOptions::default() };
    let store = place.open_with(impatient);
    let lane = place.lane(&store).await;
    let accepted = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = Record {
        seq: accepted,
        attempt: None,
        next: Next::Delivered,
        progress: Progress { attempts: 1, used: 1 },
        at: place.now(),
    };
    let batch = RecordBatch { records: vec![outcome], health: Vec::new() };
    let new = place.event(&lane, "{}");
    let id = new.event.id;
    let (accept, record, rename, writable) = tokio::join!(
        store.accept(vec![new.clone()]),
        store.record(batch.clone().into()),
        store.rename_account(lane.account.no, "Renamed", place.deed()),
        store.check_writable(),
    );
    assert!(matches!(accept, Err(AcceptError::Unavailable(_))));
    assert!(matches!(record, Err(StoreError::Unavailable(_))));
    assert!(matches!(rename, Err(StoreError::Unavailable(_))));
    assert!(matches!(writable, Err(StoreError::Unavailable(_))));
    // Reading goes on beside the lock, and shows that nothing was written.
    assert!(matches!(store.event(id).await, Err(StoreError::NotFound)));
    assert_eq!(store.load().await.unwrap().accounts[0].name, "Account");

    other.execute_batch("ROLLBACK").unwrap();
    store.record(batch.into()).await.unwrap();
    store.accept(vec![new]).await.unwrap();
    assert_eq!(store.ready(lane.endpoint.no, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_events_at_once_and_takes_them_again_later() {
    let place = Place::new();
    let patience = Duration::from_secs(600);
    let small = SqliteOptions { accept_queue_rows: 80, busy_patience: patience, ..SqliteOptions::default() };
    let store = Arc::new(place.open_with(small));
    let lane = place.lane(&store).await;
    // While another program holds the file, the writer waits and the queue fills.
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (store, new) = (Arc::clone(&store), place.event(&lane, "{}"));
        tasks.spawn(async move { store.accept(vec![new]).await });
    }
    let mut overloaded = 0;
    // The first answers come from the queue itself: the writer has none before it gets the lock.
    while overloaded == 0 {
        let result = tasks.join_next().await.unwrap().unwrap();
        assert!(matches!(result, Err(AcceptError::Overloaded)), "{result:?}");
        overloaded += 1;
    }
    other.execute_batch("ROLLBACK").unwrap();
    let mut accepted = 0;
    while let Some(result) = tasks.join_next().await {
        match result.unwrap() {
            Ok(seqs) => accepted += seqs.len(),
            Err(AcceptError::Overloaded) => overloaded += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(accepted + overloaded, 50);
    assert!(accepted >= 10, "{accepted} accepted");
    assert_eq!(store.ready(lane.endpoint.no, 100).await.unwrap().len(), accepted);
    store.accept(vec![place.event(&lane, "{}")]).await.unwrap();
}

/// Whose answer it is, noted at the moment it is given.
struct Note(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().expect("nobody panics while holding it").push(self.0);
    }
}

/// Its deliveries would take the processor just when those who came meanwhile want their commit.
#[tokio::test]
async fn an_event_for_thousands_of_endpoints_is_answered_after_whoever_waited_for_it() {
    let place = Place::new();
    let store = place.open_with(SqliteOptions {
        busy_patience: Duration::from_secs(600),
        accept_queue_rows: 100_000,
        ..SqliteOptions::default()
    });
    let lane = place.lane(&store).await;
    let mut large = place.event(&lane, "{}");
    // More than fits into a commit beside others.
    let deliveries = (0..3_000).flat_map(|_| place.event(&lane, "{}").deliveries);
    large.deliveries = deliveries.collect();
    // Both wait before the writer can begin.
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answered = Arc::new(Mutex::new(Vec::new()));
    let mut accepts = [("large", large), ("small", place.event(&lane, "{}"))]
        .map(|(name, new)| (name, store.accept(vec![new])));
    for (name, accept) in &mut accepts {
        let waker = Arc::new(Note(name, Arc::clone(&answered))).into();
        assert!(accept.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    other.execute_batch("ROLLBACK").unwrap();
    while answered.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*answered.lock().unwrap(), ["small", "large"]);
    let [(_, large), (_, small)] = accepts;
    let (large, small) = (large.await.unwrap(), small.await.unwrap());
    assert_eq!((large.len(), small.len()), (3_000, 1));
    assert!(small[0] > large[2_999], "numbers are in the order of commits all the same");
}

#[tokio::test]
async fn one_account_can_not_fill_the_queue_for_the_others() {
    let place = Place::new();
    let patience = Duration::from_secs(600);
    let small = SqliteOptions { accept_queue_rows: 80, busy_patience: patience, ..SqliteOptions::default() };
    let store = Arc::new(place.open_with(small));
    let (flooding, other) = (place.lane(&store).await, place.lane(&store).await);
    let holder = Connection::open(&place.path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (store, new) = (Arc::clone(&store), place.event(&flooding, "{}"));
        flood.spawn(async move { store.accept(vec![new]).await });
    }
    // So many of the flood are refused that the rest must be waiting: a third of the queue, and what the writer took.
    for _ in 0..150 {
        let refused = flood.join_next().await.unwrap().unwrap();
        assert!(matches!(refused, Err(AcceptError::Overloaded)), "{refused:?}");
    }
    let mut quiet = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, new) = (Arc::clone(&store), place.event(&other, "{}"));
        quiet.spawn(async move { store.accept(vec![new]).await });
    }
    tokio::task::yield_now().await;
    holder.execute_batch("ROLLBACK").unwrap();
    while let Some(result) = quiet.join_next().await {
        assert_eq!(result.unwrap().unwrap().len(), 1, "another account is served");
    }
}

#[tokio::test]
async fn a_request_larger_than_the_queue_is_still_accepted() {
    let place = Place::new();
    let tiny = SqliteOptions {
        accept_queue_rows: 1,
        accept_queue_bytes: 1,
        record_queue: 1,
        ..SqliteOptions::default()
    };
    let store = place.open_with(tiny);
    let lane = place.lane(&store).await;
    let events: Vec<NewEvent> = (0..100).map(|_| place.event(&lane, "{}")).collect();
    let seqs = store.accept(events).await.unwrap();
    let outcome = |seq| {
        let progress = Progress { attempts: 1, used: 1 };
        Record { seq, attempt: None, next: Next::Delivered, progress, at: place.now() }
    };
    let records = seqs.into_iter().map(outcome).collect();
    store.record(RecordBatch { records, health: Vec::new() }.into()).await.unwrap();
    assert_eq!(store.backlogs().await.unwrap(), []);
}

#[tokio::test]
async fn a_page_looks_at_a_bounded_number_of_rows() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let rare = NewEvent {
        event: Event { event_type: "rare".to_owned(), ..place.event(&lane, "{}").event },
        ..place.event(&lane, "{}")
    };
    let id = rare.event.id;
    store.accept(vec![rare]).await.unwrap();
    for _ in 0..12 {
        store.accept((0..1_000).map(|_| place.event(&lane, "{}")).collect()).await.unwrap();
    }
    let filter = DeliveryFilter { event_type: Some("rare".to_owned()), ..DeliveryFilter::default() };
    let first = store.deliveries(filter.clone(), PAGE).await.unwrap();
    assert_eq!((first.rows.len(), first.next.is_some()), (0, true));
    let second = store.deliveries(filter, PageRequest { before: first.next, ..PAGE }).await.unwrap();
    assert_eq!((second.rows[0].event, second.next), (id, None));

    let filter = EventFilter { event_type: Some("rare".to_owned()), ..EventFilter::default() };
    let first = store.events(filter.clone(), PAGE).await.unwrap();
    assert_eq!((first.rows.len(), first.next.is_some()), (0, true));
    let second = store.events(filter, PageRequest { before: first.next, ..PAGE }).await.unwrap();
    assert_eq!((second.rows[0].id, second.next), (id, None));
}

#[tokio::test]
async fn large_payloads_make_short_pages() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    for _ in 0..20 {
        store.accept(vec![place.event(&lane, &"x".repeat(1024 * 1024))]).await.unwrap();
    }
    let ready = store.ready(lane.endpoint.no, 100).await.unwrap();
    assert_eq!(ready.len(), 20);
    let inline = ready.iter().filter(|delivery| delivery.payload.is_some()).count();
    assert_eq!(inline, 8, "8 MiB come with the rows, the rest is asked for");
    let rest = store.payloads(ready[inline..].iter().map(|delivery| delivery.seq).collect()).await.unwrap();
    assert!(rest.iter().all(|payload| payload.as_ref().is_some_and(|payload| payload.len() == 1024 * 1024)));
    let mut request = PAGE;
    let mut pages = Vec::new();
    loop {
        let page = store.events(EventFilter::default(), request).await.unwrap();
        pages.push(page.rows.len());
        match page.next {
            Some(next) => request.before = Some(next),
            None => break,
        }
    }
    assert_eq!(pages, [8, 8, 4]);
}

#[tokio::test]
async fn what_was_handed_in_is_committed_when_the_store_is_dropped() {
    let place = Place::new();
    let store = Arc::new(place.open());
    let lane = place.lane(&store).await;
    for _ in 0..20 {
        // Handed in with the first poll; nobody waits for the answer.
        let mut accept = store.accept(vec![place.event(&lane, "{}")]);
        poll_once(&mut accept);
    }
    drop(store);
    let store = place.open();
    assert_eq!(store.ready(lane.endpoint.no, 100).await.unwrap().len(), 20);
}

/// Polls a future once, whatever it says.
fn poll_once<F: Future + Unpin>(future: &mut F) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    drop(std::pin::Pin::new(future).poll(&mut context));
}

#[tokio::test]
async fn the_files_never_hold_a_secret_or_a_header_value() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    store.accept(vec![place.event(&lane, "a payload in plain text")]).await.unwrap();
    store
        .update_endpoint(
            &lane.endpoint,
            &lane.endpoint,
            EndpointUpdate::State { fresh_health: true },
            place.deed(),
        )
        .await
        .unwrap();
    let secret = lane.endpoint.secrets.current.expose().as_bytes().to_vec();
    for is_closed in [false, true] {
        if is_closed {
            store.close().await;
        }
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(place.folder.path()).unwrap() {
            bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(holds(b"a payload in plain text"), "the search finds what is there");
        assert!(!holds(&secret) && !holds(&secret[6..30]));
        assert!(!holds(place::HEADER_VALUE.as_bytes()));
    }
}

#[tokio::test]
async fn headers_that_an_earlier_version_kept_as_json_are_read() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let seq = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    drop(store);
    let connection = Connection::open(&place.path).unwrap();
    let insert =
        "INSERT INTO attempts (id, probe, started_at, total_us, status, request_url, request_headers,
             response_headers) VALUES (?1 * 65536 + 1, 0, 1, 1, 200, 'http://a.example/', ?2, ?3)";
    let (sent, came) = (r#"[["Host","a.example"],["X-A","\"1\""]]"#, "[]");
    connection.execute(insert, rusqlite::params![seq.0, sent, came]).unwrap();
    drop(connection);

    let attempt = place.open().attempts(seq).await.unwrap().remove(0);
    let headers: Vec<(&str, &str)> = attempt.request.headers.iter().collect();
    assert_eq!(headers, [("Host", "a.example"), ("X-A", "\"1\"")]);
    assert!(attempt.response.unwrap().headers.is_empty());
}

/// Deleting while events come in: one writer puts everything into an order. What was matched before the deletion is
/// committed before it, and cancelled with the rest, or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_pending_for_an_endpoint_once_it_is_deleted_and_its_backlog_cancelled() {
    let place = Place::new();
    let store = Arc::new(place.open());
    for _ in 0..20 {
        let lane = place.lane(&store).await;
        let coming: Vec<_> = (0..64)
            .map(|_| (Arc::clone(&store), place.event(&lane, "{}")))
            .map(|(store, event)| tokio::spawn(async move { store.accept(vec![event]).await }))
            .collect();
        let no = lane.endpoint.no;
        store.delete_endpoint(no, place.deed()).await.unwrap();
        let reason = CancelReason::EndpointDeleted;
        while store.cancel_pending(no, reason, place.now(), 500).await.unwrap() > 0 {}
        for accepted in coming {
            let accepted = accepted.await.unwrap();
            assert!(matches!(accepted, Ok(_) | Err(AcceptError::ConfigChanged)), "{accepted:?}");
        }
        assert!(store.backlogs().await.unwrap().is_empty());
    }
}
