//! The list of what is ready is written behind the log: lanes are refilled, counted and cancelled as if it were not, however
//! far behind it is, also after a restart.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

#[path = "support/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::time::Duration;

use place::{Lane, Place};
use postrider_core::delivery::{CancelReason, Next, Progress, Status};
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::DeliveryId;
use postrider_core::time::Timestamp;
use postrider_store::Store as _;
use postrider_store::model::{DeliveryFilter, NewDelivery, NewResend, PageRequest, Record, RecordBatch};
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

/// What a delivery must look like.
#[derive(Debug, Clone, Copy)]
struct Expected {
    endpoint: EndpointNo,
    id: DeliveryId,
    made_at: Timestamp,
    stands: Stands,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Ready,
    Waiting,
    Ended,
}

/// A store and beside it what must be found in it.
struct Twin {
    place: Place,
    store: Option<SqliteStore>,
    list_after: u32,
    lanes: Vec<Lane>,
    deliveries: BTreeMap<i64, Expected>,
    dice: u64,
}

impl Twin {
    async fn new(list_after: u32) -> Self {
        let place = Place::new();
        let store = place.open_with(listing_after(list_after));
        let mut lanes = Vec::new();
        for _ in 0..4 {
            lanes.push(place.lane(&store).await);
        }
        Self { place, store: Some(store), list_after, lanes, deliveries: BTreeMap::new(), dice: 7 }
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().expect("it is open")
    }

    /// A number below `below`, the same in every run.
    fn roll(&mut self, below: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).expect("it has 31 bits") % below
    }

    async fn accept(&mut self) {
        for _ in 0..=self.roll(3) {
            let lane = self.roll(self.lanes.len());
            let event = self.place.event(&self.lanes[lane], "{}");
            let [NewDelivery { id, endpoint_no, .. }] = event.deliveries[..] else {
                unreachable!("an event here has one delivery")
            };
            let made_at = event.event.created_at;
            let seqs = self.store().accept(vec![event]).await.expect("it is accepted");
            let expected = Expected { endpoint: endpoint_no, id, made_at, stands: Stands::Ready };
            self.deliveries.insert(seqs[0].0, expected);
        }
    }

    /// One of those that stand so.
    fn any(&mut self, stands: &[Stands]) -> Option<i64> {
        let found = self.deliveries.iter().filter(|(_, expected)| stands.contains(&expected.stands));
        let found: Vec<_> = found.map(|(seq, _)| *seq).collect();
        if found.is_empty() { None } else { Some(found[self.roll(found.len())]) }
    }

    async fn record(&mut self) {
        let Some(seq) = self.any(&[Stands::Ready, Stands::Waiting]) else { return };
        let at = self.place.now();
        let (next, stands) = match self.roll(4) {
            0 => (Next::Delivered, Stands::Ended),
            1 => (Next::Exhausted, Stands::Ended),
            2 => (Next::RetryAt(at.plus(Duration::from_secs(60))), Stands::Waiting),
            _ => (Next::Waits, Stands::Ready),
        };
        let progress = Progress { attempts: 1, used: 1 };
        let record =
            Record { seq: postrider_core::delivery::DeliverySeq(seq), attempt: None, next, progress, at };
        let batch = RecordBatch { records: vec![record], health: Vec::new() };
        self.store().record(batch.into()).await.expect("it is recorded");
        self.set(seq, stands);
    }

    fn set(&mut self, seq: i64, stands: Stands) {
        self.deliveries.get_mut(&seq).expect("it is there").stands = stands;
    }

    async fn cancel(&mut self) {
        let Some(seq) = self.any(&[Stands::Ready, Stands::Waiting]) else { return };
        self.store()
            .cancel_delivery(self.deliveries[&seq].id, self.place.deed())
            .await
            .expect("it is pending");
        self.set(seq, Stands::Ended);
    }

    async fn cancel_some(&mut self) {
        let endpoint = self.lanes[0].endpoint.no;
        let cancel =
            self.store().cancel_pending(endpoint, CancelReason::EndpointDeleted, self.place.now(), 3);
        let cancelled = cancel.await.expect("it is cancelled");
        let oldest: Vec<_> = self.pending(endpoint).into_iter().take(3).collect();
        assert_eq!(cancelled, oldest.len());
        for seq in oldest {
            self.set(seq, Stands::Ended);
        }
    }

    async fn resend(&mut self) {
        let Some(old) = self.any(&[Stands::Ended]) else { return };
        let (created_at, deed) = (self.place.now(), self.place.deed());
        let id = DeliveryId::new(created_at, u128::from(self.dice));
        let new = NewResend { of: self.deliveries[&old].id, id, created_at, deed, keep: None };
        let made = self.store().resend(new).await.expect("it is sent again");
        let expected =
            Expected { endpoint: made.endpoint_no, id, made_at: created_at, stands: Stands::Ready };
        self.deliveries.insert(made.seq.0, expected);
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(self.place.open_with(listing_after(self.list_after)));
    }

    fn of(&self, endpoint: EndpointNo, stands: &[Stands]) -> Vec<i64> {
        let wanted = |expected: &Expected| expected.endpoint == endpoint && stands.contains(&expected.stands);
        self.deliveries.iter().filter(|(_, expected)| wanted(expected)).map(|(seq, _)| *seq).collect()
    }

    fn pending(&self, endpoint: EndpointNo) -> Vec<i64> {
        self.of(endpoint, &[Stands::Ready, Stands::Waiting])
    }

    /// Everything that reads the list, against what must be found.
    async fn compare(&self) {
        let endpoints: Vec<_> = self.lanes.iter().map(|lane| lane.endpoint.no).collect();
        let backlogs = self.store().backlogs().await.expect("they are counted");
        let with_ready = self.store().with_ready(endpoints.clone()).await.expect("they are found");
        for lane in &self.lanes {
            let endpoint = lane.endpoint.no;
            let ready = self.of(endpoint, &[Stands::Ready]);
            for limit in [2, 1_000] {
                let found = self.store().ready(endpoint, limit).await.expect("they are read");
                let found: Vec<_> = found.iter().map(|row| row.seq.0).collect();
                assert_eq!(found, ready[..ready.len().min(limit)]);
            }
            assert_eq!(with_ready.contains(&endpoint), !ready.is_empty());
            let counted = backlogs.iter().find(|backlog| backlog.endpoint_no == endpoint);
            let counted = counted.map_or(0, |backlog| backlog.ready);
            assert_eq!(counted, u64::try_from(ready.len()).expect("they are few"));
            assert_eq!(self.listed_as_pending(lane).await, {
                let mut newest_first = self.pending(endpoint);
                newest_first.reverse();
                newest_first
            });
        }
        let pending = |expected: &&Expected| expected.stands != Stands::Ended;
        let oldest = self.deliveries.values().find(pending).map(|expected| expected.made_at);
        assert_eq!(self.store().oldest_pending().await.expect("it is found"), oldest);
    }

    async fn listed_as_pending(&self, lane: &Lane) -> Vec<i64> {
        let filter = DeliveryFilter {
            endpoint: Some(lane.endpoint.id),
            status: Some(Status::Pending),
            ..DeliveryFilter::default()
        };
        let (mut seqs, mut page) = (Vec::new(), PageRequest { limit: 5, before: None });
        loop {
            let found = self.store().deliveries(filter.clone(), page).await.expect("they are listed");
            seqs.extend(found.rows.iter().map(|delivery| delivery.seq.0));
            page.before = found.next;
            if found.next.is_none() {
                return seqs;
            }
        }
    }
}

fn listing_after(count: u32) -> SqliteOptions {
    SqliteOptions { list_ready_after: count, ..SqliteOptions::default() }
}

/// Numbers in the list itself.
fn rows_of_list(place: &Place) -> Vec<i64> {
    let connection = Connection::open(place.folder.path().join("postrider.db")).unwrap();
    let mut select = connection.prepare("SELECT seq FROM ready_listed ORDER BY seq").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn what_is_ready_is_found_however_far_behind_its_list_is() {
    for list_after in [1, 9, 100_000] {
        let mut twin = Twin::new(list_after).await;
        for _ in 0..400 {
            match twin.roll(12) {
                0..5 => twin.accept().await,
                5..9 => twin.record().await,
                9 => twin.cancel().await,
                10 => twin.resend().await,
                _ => match twin.roll(3) {
                    0 => twin.reopen(),
                    1 => twin.cancel_some().await,
                    _ => twin.compare().await,
                },
            }
        }
        twin.compare().await;
    }
}

#[tokio::test]
async fn only_what_stays_is_ever_listed() {
    let place = Place::new();
    let store = place.open_with(listing_after(20));
    let (quick, dead) = (place.lane(&store).await, place.lane(&store).await);
    let mut stays = Vec::new();
    for _ in 0..60 {
        let seq = store.accept(vec![place.event(&quick, "{}")]).await.unwrap()[0];
        stays.extend(store.accept(vec![place.event(&dead, "{}")]).await.unwrap().iter().map(|seq| seq.0));
        let progress = Progress { attempts: 1, used: 1 };
        let record = Record { seq, attempt: None, next: Next::Delivered, progress, at: place.now() };
        store.record(RecordBatch { records: vec![record], health: Vec::new() }.into()).await.unwrap();
    }
    let listed = rows_of_list(&place);
    assert!((50..=60).contains(&listed.len()), "twenty numbers lie behind at most: {listed:?}");
    assert_eq!(listed, stays[..listed.len()], "and of what was delivered at once nothing stands there");

    drop(store);
    let store = place.open();
    let found = store.ready(dead.endpoint.no, 1_000).await.unwrap();
    assert_eq!(found.iter().map(|row| row.seq.0).collect::<Vec<_>>(), stays);
}

/// An event for a thousand endpoints does not wait for its own rows of the list.
#[tokio::test]
async fn a_long_commit_lists_nothing_unless_the_list_is_far_behind() {
    let place = Place::new();
    let store = place.open_with(listing_after(200));
    let lane = place.lane(&store).await;
    let events = |count: usize| (0..count).map(|_| place.event(&lane, "{}")).collect::<Vec<_>>();
    store.accept(events(600)).await.unwrap();
    assert_eq!(rows_of_list(&place).len(), 0);
    store.accept(events(1)).await.unwrap();
    assert_eq!(rows_of_list(&place).len(), 32, "a small part, with a commit that is small itself");
    store.accept(events(600)).await.unwrap();
    assert_eq!(
        rows_of_list(&place).len(),
        200,
        "more than four times the usual lay behind: the part is ended …"
    );
    store.accept(events(1)).await.unwrap();
    assert_eq!(rows_of_list(&place).len(), 1_202, "… and then all the rest");
}
