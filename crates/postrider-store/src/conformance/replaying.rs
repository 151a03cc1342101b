//! Replays: steps that are all or nothing, and how they begin and end. What they choose is told in `choosing.rs`.

use std::time::Duration;

use postrider_core::delivery::{Delivery, Next, Progress, Status};
use postrider_core::limits::{MAX_RUNNING_REPLAYS, MAX_RUNNING_REPLAYS_PER_ACCOUNT};
use postrider_core::replay::{CancelReason, Counts, Replay, Selection, State};
use postrider_core::time::Timestamp;

use super::Backend;
use super::choosing::chosen;
use super::world::{Accepted, Lane, World, deed_at};
use crate::StoreError;
use crate::model::{
    DeliveryFilter, NewReplay, PageRequest, ReplayFilter, ReplayPart, ReplayRange, ReplayStep, ReplayStepped,
};

pub(super) const ALL: usize = 10_000;
const PAGE: PageRequest = PageRequest { limit: 250, before: None };

pub(super) fn of_status(status: Status) -> Selection {
    Selection { status: Some(status), ..Selection::default() }
}

/// A new replay of all that the lane's endpoint has, with a count that says nothing.
pub(super) async fn create(
    world: &World<'_>,
    lane: &Lane,
    selection: Selection,
) -> Result<Replay, StoreError> {
    let range = world.store.replay_range(lane.endpoint.no, selection.clone()).await?;
    let new = NewReplay {
        id: world.replay_id(),
        selection,
        range,
        matched: 7,
        created_at: world.now(),
        deed: deed_at(world.now()),
        keep: None,
    };
    world.store.create_replay(new).await
}

fn range_of(lane: &Lane, replay: &Replay) -> ReplayRange {
    ReplayRange { endpoint_no: lane.endpoint.no, above: replay.reached, through: replay.through }
}

fn step(world: &World<'_>, replay: &Replay, part: &ReplayPart) -> ReplayStep {
    ReplayStep {
        id: replay.id,
        from: replay.reached,
        chosen: part.chosen.iter().map(|seq| (*seq, world.delivery_id())).collect(),
        skipped: part.skipped,
        reached: part.reached,
        at: world.now(),
    }
}

/// The next step, of `limit` deliveries.
pub(super) async fn go_on(world: &World<'_>, lane: &Lane, replay: &Replay, limit: usize) -> ReplayStepped {
    let part =
        world.store.look_through(range_of(lane, replay), replay.selection.clone(), limit).await.unwrap();
    world.store.step_replay(step(world, replay, &part)).await.unwrap()
}

/// A lane with a delivery of each kind: delivered, exhausted, cancelled, pending, waiting for a retry.
pub(super) async fn one_of_each(world: &World<'_>) -> (Lane, Vec<Accepted>) {
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 3).await;
    world.record(accepted[0], 1, Next::Delivered).await;
    world.record(accepted[1], 1, Next::Exhausted).await;
    let reason = postrider_core::delivery::CancelReason::HeldTooLong;
    assert_eq!(world.store.cancel_pending(lane.endpoint.no, reason, world.now(), 10).await.unwrap(), 1);
    let mut all = accepted;
    all.extend(world.accept_many(&lane, 2).await);
    world.record(all[4], 1, Next::RetryAt(world.now())).await;
    (lane, all)
}

/// Every field, in the answer, by its id, and after a reopen.
pub async fn a_replay_is_kept_with_all_it_was_made_of(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (lane, accepted) = one_of_each(&world).await;
    let narrow = Selection {
        status: Some(Status::Exhausted),
        event_type: Some("policy.created".to_owned()),
        since: Some(Timestamp::from_ms(5)),
        until: Some(world.now()),
    };
    let range = world.store.replay_range(lane.endpoint.no, narrow.clone()).await.unwrap();
    let (id, created_at) = (world.replay_id(), world.now());
    let new = NewReplay {
        id,
        selection: narrow.clone(),
        range,
        matched: 3,
        created_at,
        deed: deed_at(world.now()),
        keep: None,
    };
    let made = world.store.create_replay(new.clone()).await.unwrap();
    let expected = Replay {
        id,
        account: lane.account.id,
        endpoint: lane.endpoint.id,
        livemode: lane.endpoint.livemode,
        selection: narrow,
        state: State::Running,
        counts: Counts { matched: 3, resent: 0, skipped: 0 },
        reached: range.above,
        through: range.through,
        created_at,
        finished_at: None,
    };
    assert_eq!(made, expected);
    assert_eq!(made.through, accepted[4].seq);
    let again =
        NewReplay { range: ReplayRange { endpoint_no: world.lane().await.endpoint.no, ..range }, ..new };
    assert!(
        matches!(world.store.create_replay(again).await, Err(StoreError::Conflict(_))),
        "one id, one replay"
    );

    let world = world.reopen().await;
    assert_eq!(world.store.replay(id).await.unwrap(), expected);
    assert_eq!(world.store.running_replays().await.unwrap(), [(lane.endpoint.no, expected)]);
    assert!(matches!(world.store.replay(world.replay_id()).await, Err(StoreError::NotFound)));
    let at = world.now();
    let cancelled = world.store.cancel_replay(id, CancelReason::ByHand, deed_at(at)).await.unwrap();
    assert_eq!((cancelled.state, cancelled.finished_at), (State::Cancelled(CancelReason::ByHand), Some(at)));
    assert_eq!(world.store.replay(id).await.unwrap(), cancelled);
    assert!(world.store.running_replays().await.unwrap().is_empty());
    let cancel = |id| world.store.cancel_replay(id, CancelReason::ByHand, deed_at(at));
    assert!(matches!(cancel(id).await, Err(StoreError::Conflict(_))));
    assert!(matches!(cancel(world.replay_id()).await, Err(StoreError::NotFound)));
}

/// New deliveries with new numbers, from the beginning; all of it is there after a reopen.
pub async fn a_step_makes_deliveries_like_a_resend_and_remembers_how_far_it_came(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 3).await;
    for one in &accepted {
        world.record(*one, 10, Next::Exhausted).await;
    }
    let before = world.store.delivery(accepted[0].id).await.unwrap();
    let replay = create(&world, &lane, of_status(Status::Exhausted)).await.unwrap();
    let stepped = go_on(&world, &lane, &replay, 2).await;
    assert_eq!((stepped.replay.state, stepped.replay.reached), (State::Running, accepted[1].seq));
    assert_eq!(stepped.replay.counts, Counts { matched: 7, resent: 2, skipped: 0 });
    let made = &stepped.made[0];
    assert_eq!((made.endpoint_no, made.event), (lane.endpoint.no, accepted[0].event));
    assert_eq!((made.event_type.as_str(), made.payload_bytes), ("policy.created", 2));
    assert_eq!((made.progress, made.next_attempt_at), (Progress::default(), None));
    assert!(made.seq > accepted[2].seq && stepped.made[1].seq > made.seq);

    let world = world.reopen().await;
    assert_eq!(world.store.replay(replay.id).await.unwrap(), stepped.replay);
    assert_eq!(world.store.delivery(accepted[0].id).await.unwrap(), before, "the old one stays as it is");
    let new: Delivery = world.store.delivery(made.id).await.unwrap();
    assert_eq!((new.seq, new.resend_of), (made.seq, Some(accepted[0].id)));
    assert_eq!((new.status, new.attempt_count, new.finished_at), (Status::Pending, 0, None));
    let ready = world.store.ready(lane.endpoint.no, 10).await.unwrap();
    assert_eq!(ready.len(), 2);
    assert_eq!(ready[0].payload.as_deref(), Some(&b"{}"[..]));
    let last = go_on(&world, &lane, &stepped.replay, 2).await;
    assert_eq!(last.replay.state, State::Done);
    assert_eq!(last.replay.counts, Counts { matched: 7, resent: 3, skipped: 0 });
    assert!(last.replay.finished_at.is_some());
    assert_eq!(world.store.ready(lane.endpoint.no, 10).await.unwrap().len(), 3);
    assert!(world.accept(&lane).await.seq > last.made[0].seq);
}

/// `Conflict`, and neither a delivery nor a count.
pub async fn a_step_that_begins_elsewhere_or_comes_too_late_makes_nothing(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    for one in world.accept_many(&lane, 3).await {
        world.record(one, 1, Next::Delivered).await;
    }
    let replay = create(&world, &lane, Selection::default()).await.unwrap();
    let part = world.store.look_through(range_of(&lane, &replay), Selection::default(), 2).await.unwrap();
    let first = world.store.step_replay(step(&world, &replay, &part)).await.unwrap();
    let refused = world.store.step_replay(step(&world, &replay, &part)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "the same again");
    let twice = ReplayStep { id: world.replay_id(), ..step(&world, &replay, &part) };
    assert!(matches!(world.store.step_replay(twice).await, Err(StoreError::NotFound)));
    // Something in it fails: nothing of it stands.
    let mut faulty = step(&world, &first.replay, &part);
    faulty.chosen[1].1 = faulty.chosen[0].1;
    assert!(world.store.step_replay(faulty).await.is_err());
    assert_eq!(world.store.replay(replay.id).await.unwrap(), first.replay);
    world.store.cancel_replay(replay.id, CancelReason::ByHand, deed_at(world.now())).await.unwrap();
    let late = world.store.step_replay(step(&world, &first.replay, &part)).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "it was cancelled");
    let filter = DeliveryFilter { endpoint: Some(lane.endpoint.id), ..DeliveryFilter::default() };
    assert_eq!(world.store.deliveries(filter, PAGE).await.unwrap().rows.len(), 5);
}

/// What was chosen a moment ago and then pruned, and what was never finished.
pub async fn what_is_gone_or_pending_when_its_turn_comes_is_skipped(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 3).await;
    for one in &accepted[..2] {
        world.record(*one, 1, Next::Delivered).await;
    }
    let replay = create(&world, &lane, Selection::default()).await.unwrap();
    let part = world.store.look_through(range_of(&lane, &replay), Selection::default(), ALL).await.unwrap();
    assert_eq!((part.chosen.len(), part.skipped, part.reached), (2, 1, None));
    let later = world.now().plus(Duration::from_secs(3600));
    assert_eq!(world.store.prune(later, 0, later, 1).await.unwrap().deleted_events, 1);
    let mut late = step(&world, &replay, &part);
    late.chosen.push((accepted[2].seq, world.delivery_id()));
    let stepped = world.store.step_replay(late).await.unwrap();
    assert_eq!((stepped.made.len(), stepped.replay.state), (1, State::Done));
    assert_eq!(stepped.replay.counts, Counts { matched: 7, resent: 1, skipped: 3 });
    assert_eq!(world.store.delivery(stepped.made[0].id).await.unwrap().resend_of, Some(accepted[1].id));
    assert_eq!(
        chosen(&world, &lane, Selection::default()).await,
        (Vec::new(), 2),
        "the pending one and the one just made; what was pruned is not there"
    );
}

/// `Conflict` beyond, with a text that says what to do.
pub async fn one_runs_per_endpoint_and_so_many_per_account_and_over_all(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let first = create(&world, &lane, Selection::default()).await.unwrap();
    let conflict = async |lane: &Lane| match create(&world, lane, Selection::default()).await {
        Err(StoreError::Conflict(why)) => why.to_owned(),
        other => panic!("it should be refused: {other:?}"),
    };
    assert!(conflict(&lane).await.contains("this endpoint"));
    world.store.cancel_replay(first.id, CancelReason::ByHand, deed_at(world.now())).await.unwrap();
    create(&world, &lane, Selection::default()).await.unwrap();

    let mut running = 1;
    while running < MAX_RUNNING_REPLAYS {
        let account = world.account("Many").await;
        for _ in 0..MAX_RUNNING_REPLAYS_PER_ACCOUNT.min(MAX_RUNNING_REPLAYS - running) {
            let (endpoint, version) = world.endpoint(&account, false).await;
            let lane = Lane { account: account.clone(), endpoint, version };
            create(&world, &lane, Selection::default()).await.unwrap();
            running += 1;
        }
        let (endpoint, version) = world.endpoint(&account, false).await;
        let lane = Lane { account, endpoint, version };
        let of_account = if running < MAX_RUNNING_REPLAYS { "this account" } else { "running" };
        assert!(conflict(&lane).await.contains(of_account));
    }
    assert!(conflict(&world.lane().await).await.contains("as many replays are running"));
    assert_eq!(world.store.running_replays().await.unwrap().len(), MAX_RUNNING_REPLAYS);
}

/// With the deletion itself, and none is made afterwards.
pub async fn a_deleted_endpoint_or_account_ends_its_replays(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lanes = [world.lane().await, world.lane().await, world.lane().await];
    let mut ids = Vec::new();
    for lane in &lanes {
        ids.push(create(&world, lane, Selection::default()).await.unwrap().id);
    }
    world.store.delete_endpoint(lanes[0].endpoint.no, deed_at(world.now())).await.unwrap();
    world.store.delete_account(lanes[1].account.no, deed_at(world.now())).await.unwrap();
    let world = world.reopen().await;
    let states = [
        State::Cancelled(CancelReason::EndpointDeleted),
        State::Cancelled(CancelReason::AccountDeleted),
        State::Running,
    ];
    for (id, state) in ids.iter().zip(states) {
        let replay = world.store.replay(*id).await.unwrap();
        assert_eq!((replay.state, replay.finished_at.is_some()), (state, state != State::Running));
    }
    for lane in &lanes[..2] {
        assert!(matches!(create(&world, lane, Selection::default()).await, Err(StoreError::NotFound)));
    }
    let filter = ReplayFilter { endpoint: Some(lanes[0].endpoint.id), ..ReplayFilter::default() };
    assert_eq!(world.store.replays(filter, PAGE).await.unwrap().rows.len(), 1, "the log stays");
}

/// By account, endpoint and mode, in pages that leave out and repeat nothing.
pub async fn replays_are_listed_newest_first_and_paged(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let account = world.account("Listed").await;
    let mut lanes = vec![world.lane().await];
    for livemode in [false, true] {
        let (endpoint, version) = world.endpoint(&account, livemode).await;
        lanes.push(Lane { account: account.clone(), endpoint, version });
    }
    let mut all = Vec::new();
    for _ in 0..3 {
        for lane in &lanes {
            let made = create(&world, lane, Selection::default()).await.unwrap();
            all.insert(
                0,
                world.store.cancel_replay(made.id, CancelReason::ByHand, deed_at(world.now())).await.unwrap(),
            );
        }
    }
    let mut filters = vec![ReplayFilter::default()];
    for livemode in [None, Some(false), Some(true)] {
        filters.push(ReplayFilter { livemode, ..ReplayFilter::default() });
        for lane in &lanes {
            let (account, endpoint) = (Some(lane.account.id), Some(lane.endpoint.id));
            filters.push(ReplayFilter { account, endpoint: None, livemode });
            filters.push(ReplayFilter { account: None, endpoint, livemode });
            filters.push(ReplayFilter { account: Some(account.unwrap()), endpoint, livemode });
        }
    }
    filters.push(ReplayFilter { account: Some(world.account_id()), ..ReplayFilter::default() });
    filters.push(ReplayFilter { endpoint: Some(world.endpoint_id()), ..ReplayFilter::default() });
    for filter in filters {
        let wanted = |replay: &&Replay| {
            filter.account.is_none_or(|account| account == replay.account)
                && filter.endpoint.is_none_or(|endpoint| endpoint == replay.endpoint)
                && filter.livemode.is_none_or(|livemode| livemode == replay.livemode)
        };
        let expected: Vec<Replay> = all.iter().filter(wanted).cloned().collect();
        let mut found = Vec::new();
        let mut page = PageRequest { limit: 2, before: None };
        loop {
            let part = world.store.replays(filter, page).await.unwrap();
            assert!(part.rows.len() <= 2);
            found.extend(part.rows);
            page.before = part.next;
            if part.next.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}
