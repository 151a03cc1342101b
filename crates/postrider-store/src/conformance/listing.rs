//! Lists: every mix of filters and cursors shows exactly the rows that match, newest first, each once.

use std::time::Duration;

use postrider_core::delivery::{CancelReason, Delivery, Next, Status};
use postrider_core::endpoint::Endpoint;
use postrider_core::event::Event;
use postrider_core::id::{AccountId, EndpointId, EventId};
use postrider_core::time::Timestamp;

use super::Backend;
use super::world::{Lane, World, deed_at};
use crate::StoreError;
use crate::model::{DeliveryFilter, EventFilter, NewResend, Page, PageRequest};

/// How many mixes of filters each list is asked for.
const MIXES: u64 = 250;
/// More pages than any list here has.
const MAX_PAGES: usize = 300;

/// Numbers that look random and are the same every time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Half the time none, else one of `choices`.
    fn maybe<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        if self.below(2) == 0 { None } else { Some(choices[self.below(choices.len())].clone()) }
    }
}

/// Two accounts with live and test endpoints, and a log with everything in it.
struct Log {
    accounts: Vec<AccountId>,
    endpoints: Vec<EndpointId>,
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
    times: Vec<Timestamp>,
}

async fn lanes(world: &World<'_>) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for name in ["First", "Second"] {
        let account = world.account(name).await;
        let mut endpoints: Vec<(Endpoint, i64)> = Vec::new();
        for livemode in [true, true, false] {
            endpoints.push(world.endpoint(&account, livemode).await);
        }
        let version = endpoints.last().unwrap().1;
        lanes.extend(endpoints.into_iter().map(|(endpoint, _)| Lane {
            account: account.clone(),
            endpoint,
            version,
        }));
    }
    lanes
}

async fn log(world: &World<'_>) -> Log {
    let lanes = lanes(world).await;
    let mut chance = Chance(1);
    let begin = world.now();
    let (mut events, mut ids) = (Vec::new(), Vec::new());
    for index in 0..150_u64 {
        let lane = &lanes[chance.below(lanes.len())];
        let twin = lanes.iter().filter(|other| other.account == lane.account);
        let twin = twin.filter(|other| other.endpoint.livemode == lane.endpoint.livemode);
        let all: Vec<&Endpoint> = twin.map(|lane| &lane.endpoint).collect();
        let own = [&lane.endpoint];
        let to = [&[][..], &own[..], &all[..]][chance.below(3)];
        let mut new = world.event_to(lane, to, &index.to_string());
        new.event.event_type = ["policy.created", "offer.created", "custom.type"][chance.below(3)].to_owned();
        // Nearly in order: requests overtake each other.
        let seconds = index * 60 + u64::try_from(chance.below(180)).unwrap();
        new.event.created_at = begin.plus(Duration::from_secs(seconds));
        events.push(new.event.clone());
        ids.extend(world.try_accept(new).await.unwrap());
    }
    for accepted in &ids {
        match chance.below(6) {
            0 => world.record(*accepted, 1, Next::Delivered).await,
            1 => world.record(*accepted, 3, Next::Exhausted).await,
            2 => world.record(*accepted, 2, Next::RetryAt(begin)).await,
            _ => begin,
        };
    }
    for lane in &lanes[..2] {
        world.store.cancel_pending(lane.endpoint.no, CancelReason::Operator, begin, 5).await.unwrap();
    }
    let mut deliveries = Vec::new();
    for accepted in &ids {
        let delivery = world.store.delivery(accepted.id).await.unwrap();
        if delivery.status == Status::Exhausted {
            let created_at = begin.plus(Duration::from_secs(150 * 60));
            let new = NewResend {
                id: world.delivery_id(),
                of: accepted.id,
                created_at,
                deed: deed_at(world.now()),
                keep: None,
            };
            world.store.resend(new.clone()).await.unwrap();
            deliveries.push(world.store.delivery(new.id).await.unwrap());
        }
        deliveries.push(delivery);
    }
    deliveries.sort_by_key(|delivery| std::cmp::Reverse(delivery.seq));
    events.reverse();
    let mut accounts: Vec<_> = lanes.iter().map(|lane| lane.account.id).collect();
    accounts.dedup();
    let endpoints = lanes.iter().map(|lane| lane.endpoint.id).collect();
    let times = (0..=10).map(|tenth| begin.plus(Duration::from_secs(tenth * 15 * 60))).collect();
    Log { accounts, endpoints, events, deliveries, times }
}

fn wants_delivery(filter: &DeliveryFilter, delivery: &Delivery) -> bool {
    filter.account.is_none_or(|id| id == delivery.account)
        && filter.endpoint.is_none_or(|id| id == delivery.endpoint)
        && filter.event.is_none_or(|id| id == delivery.event)
        && filter.event_type.as_ref().is_none_or(|name| *name == delivery.event_type)
        && filter.livemode.is_none_or(|livemode| livemode == delivery.livemode)
        && filter.status.is_none_or(|status| status == delivery.status)
        && filter.since.is_none_or(|since| delivery.created_at >= since)
        && filter.until.is_none_or(|until| delivery.created_at < until)
}

fn wants_event(filter: &EventFilter, event: &Event) -> bool {
    filter.account.is_none_or(|id| id == event.account)
        && filter.event_type.as_ref().is_none_or(|name| *name == event.event_type)
        && filter.livemode.is_none_or(|livemode| livemode == event.livemode)
        && filter.since.is_none_or(|since| event.created_at >= since)
        && filter.until.is_none_or(|until| event.created_at < until)
}

/// Reads a whole list, page by page.
async fn whole<T, F>(limit: usize, read: impl Fn(PageRequest) -> F) -> Vec<T>
where
    F: Future<Output = Result<Page<T>, StoreError>>,
{
    let (mut rows, mut before) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let page = read(PageRequest { limit, before }).await.unwrap();
        assert!(page.rows.len() <= limit, "a page has at most as many rows as asked for");
        rows.extend(page.rows);
        match page.next {
            None => return rows,
            next => before = next,
        }
    }
    panic!("a list of {} rows has no end", rows.len());
}

/// Against the same log filtered by hand.
pub async fn deliveries_are_filtered_and_paged(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let log = log(&world).await;
    let store = &world.store;
    assert_eq!(whole(50, |page| store.deliveries(DeliveryFilter::default(), page)).await, log.deliveries);
    let guids: Vec<EventId> = log.events.iter().map(|event| event.id).collect();
    for seed in 0..MIXES {
        let mut chance = Chance(seed);
        let filter = DeliveryFilter {
            account: chance.maybe(&log.accounts),
            endpoint: chance.maybe(&log.endpoints),
            event: if seed % 4 == 0 { chance.maybe(&guids) } else { None },
            event_type: chance.maybe(&[
                "policy.created".to_owned(),
                "offer.created".to_owned(),
                "no".to_owned(),
            ]),
            livemode: chance.maybe(&[true, false]),
            status: chance.maybe(&Status::ALL),
            since: chance.maybe(&log.times),
            until: chance.maybe(&log.times),
        };
        let limit = [1, 7, 50, 250][chance.below(4)];
        let expected: Vec<_> =
            log.deliveries.iter().filter(|row| wants_delivery(&filter, row)).cloned().collect();
        let listed = whole(limit, |page| store.deliveries(filter.clone(), page)).await;
        assert_eq!(listed, expected, "mix {seed}, {limit} a page: {filter:?}");
    }
}

/// Against the same log filtered by hand.
pub async fn events_are_filtered_and_paged(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let log = log(&world).await;
    let store = &world.store;
    assert_eq!(whole(50, |page| store.events(EventFilter::default(), page)).await, log.events);
    for seed in 0..MIXES {
        let mut chance = Chance(seed);
        let filter = EventFilter {
            account: chance.maybe(&log.accounts),
            event_type: chance.maybe(&[
                "policy.created".to_owned(),
                "offer.created".to_owned(),
                "no".to_owned(),
            ]),
            livemode: chance.maybe(&[true, false]),
            since: chance.maybe(&log.times),
            until: chance.maybe(&log.times),
        };
        let limit = [1, 7, 50, 250][chance.below(4)];
        let expected: Vec<_> = log.events.iter().filter(|row| wants_event(&filter, row)).cloned().collect();
        let listed = whole(limit, |page| store.events(filter.clone(), page)).await;
        assert_eq!(listed, expected, "mix {seed}, {limit} a page: {filter:?}");
    }
}

/// Not an error: it may have been there once.
pub async fn unknown_ids_give_empty_pages(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    world.accept(&lane).await;
    let page = PageRequest { limit: 50, before: None };
    for filter in [
        DeliveryFilter { account: Some(world.account_id()), ..DeliveryFilter::default() },
        DeliveryFilter { endpoint: Some(world.endpoint_id()), ..DeliveryFilter::default() },
        DeliveryFilter { event: Some(world.event_id()), ..DeliveryFilter::default() },
    ] {
        let listed = world.store.deliveries(filter, page).await.unwrap();
        assert_eq!((listed.rows.len(), listed.next), (0, None));
    }
    let filter = EventFilter { account: Some(world.account_id()), ..EventFilter::default() };
    let listed = world.store.events(filter, page).await.unwrap();
    assert_eq!((listed.rows.len(), listed.next), (0, None));
}

/// The log outlives accounts and endpoints.
pub async fn what_was_deleted_can_still_be_listed(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    let beside = world.lane().await;
    world.accept(&beside).await;
    world.store.delete_endpoint(lane.endpoint.no, deed_at(world.now())).await.unwrap();
    world.store.delete_account(lane.account.no, deed_at(world.now())).await.unwrap();
    let page = PageRequest { limit: 50, before: None };
    for filter in [
        DeliveryFilter { account: Some(lane.account.id), ..DeliveryFilter::default() },
        DeliveryFilter { endpoint: Some(lane.endpoint.id), ..DeliveryFilter::default() },
        DeliveryFilter { event: Some(accepted.event), ..DeliveryFilter::default() },
    ] {
        let listed = world.store.deliveries(filter, page).await.unwrap().rows;
        assert_eq!(listed.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [accepted.id]);
    }
    let filter = EventFilter { account: Some(lane.account.id), ..EventFilter::default() };
    let listed = world.store.events(filter, page).await.unwrap().rows;
    assert_eq!(listed.iter().map(|event| event.id).collect::<Vec<_>>(), [accepted.event]);
}

/// And `NotFound` for those that are not there.
pub async fn single_rows_are_found_by_their_ids(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 3).await;
    for accepted in &accepted {
        assert_eq!(world.store.event(accepted.event).await.unwrap().id, accepted.event);
        assert_eq!(world.store.delivery(accepted.id).await.unwrap().seq, accepted.seq);
    }
    assert!(matches!(world.store.event(world.event_id()).await, Err(StoreError::NotFound)));
    assert!(matches!(world.store.delivery(world.delivery_id()).await, Err(StoreError::NotFound)));
}
