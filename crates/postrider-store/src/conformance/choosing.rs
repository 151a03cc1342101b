//! What of a range a replay chooses: by numbers, selection and times, each event once.

use std::time::Duration;

use postrider_core::delivery::{DeliverySeq, Next, Status};
use postrider_core::id::DeliveryId;
use postrider_core::replay::{Counts, Selection, State};

use super::Backend;
use super::replaying::{ALL, create, go_on, of_status, one_of_each};
use super::world::{Accepted, Lane, World, deed_at};
use crate::model::{NewResend, ReplayPart, ReplayRange};

/// Looks through a whole range, at most `limit` chosen in each part.
async fn look(world: &World<'_>, range: ReplayRange, selection: &Selection, limit: usize) -> ReplayPart {
    let mut all = ReplayPart::default();
    let mut range = range;
    loop {
        let part = world.store.look_through(range, selection.clone(), limit).await.unwrap();
        assert!(part.chosen.len() <= limit);
        all.chosen.extend(part.chosen);
        all.skipped += part.skipped;
        let Some(reached) = part.reached else { return all };
        assert!(reached > range.above && reached <= range.through, "it goes on");
        range.above = reached;
    }
}

/// What is chosen of all that the lane's endpoint has, and how many are skipped.
pub(super) async fn chosen(world: &World<'_>, lane: &Lane, selection: Selection) -> (Vec<DeliverySeq>, u64) {
    let range = world.store.replay_range(lane.endpoint.no, selection.clone()).await.unwrap();
    let whole = look(world, range, &selection, ALL).await;
    for limit in [1, 2, 3] {
        assert_eq!(look(world, range, &selection, limit).await, whole, "in parts of {limit}");
    }
    (whole.chosen, whole.skipped)
}

fn seqs(accepted: &[Accepted]) -> Vec<DeliverySeq> {
    accepted.iter().map(|one| one.seq).collect()
}

/// Nothing accepted later is in it, nor what other endpoints have, nor what the replay itself makes.
pub async fn a_range_ends_with_what_was_accepted_before_it(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (lane, other) = (world.lane().await, world.lane().await);
    assert_eq!(chosen(&world, &lane, Selection::default()).await, (Vec::new(), 0), "an empty store");
    let mut mine = Vec::new();
    for _ in 0..7 {
        mine.push(world.accept(&lane).await);
        world.accept(&other).await;
    }
    for one in &mine {
        world.record(*one, 1, Next::Delivered).await;
    }
    let mut replay = create(&world, &lane, Selection::default()).await.unwrap();
    let later = world.accept(&lane).await;
    world.record(later, 1, Next::Delivered).await;
    let mut originals = Vec::new();
    while replay.state == State::Running {
        let stepped = go_on(&world, &lane, &replay, 2).await;
        for made in &stepped.made {
            assert!(made.seq > later.seq);
            originals.push(world.store.delivery(made.id).await.unwrap().resend_of.unwrap());
        }
        replay = stepped.replay;
    }
    assert_eq!(originals, mine.iter().map(|one| one.id).collect::<Vec<_>>(), "each once, the oldest first");
    assert_eq!(replay.counts, Counts { matched: 7, resent: 7, skipped: 0 });
}

/// By status and type; what is pending is skipped.
pub async fn what_is_chosen_follows_the_selection_in_order_and_in_parts(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (lane, accepted) = one_of_each(&world).await;
    let all = seqs(&accepted);
    assert_eq!(chosen(&world, &lane, Selection::default()).await, (all[..3].to_vec(), 2));
    for (status, expected) in
        [(Status::Delivered, all[0]), (Status::Exhausted, all[1]), (Status::Cancelled, all[2])]
    {
        assert_eq!(chosen(&world, &lane, of_status(status)).await, (vec![expected], 2), "{status}");
    }
    let of_type = |name: &str| Selection { event_type: Some(name.to_owned()), ..Selection::default() };
    assert_eq!(chosen(&world, &lane, of_type("policy.created")).await.0.len(), 3);
    assert_eq!(chosen(&world, &lane, of_type("policy.updated")).await, (Vec::new(), 0));
    let world = world.reopen().await;
    assert_eq!(chosen(&world, &lane, Selection::default()).await, (all[..3].to_vec(), 2));
}

/// `since` is included, `until` is not; a long log in front of `since` is left out of the range.
pub async fn times_narrow_a_range_before_it_is_read(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 4).await;
    let mut times = Vec::new();
    for one in &accepted {
        world.record(*one, 1, Next::Delivered).await;
        times.push(world.store.delivery(one.id).await.unwrap().created_at);
    }
    let between = |since, until| Selection { since, until, ..Selection::default() };
    for (since, until, expected) in [(0, 4, 0..4), (1, 3, 1..3), (2, 2, 0..0)] {
        let until = times.get(until).copied();
        let found = chosen(&world, &lane, between(Some(times[since]), until)).await;
        assert_eq!(found, (seqs(&accepted[expected]), 0), "{since:?} until {until:?}");
    }
    let mut far = world.event(&lane, "{}");
    far.event.created_at = times[3].plus(Duration::from_secs(3600));
    let since = Some(far.event.created_at);
    let far = world.try_accept(far).await.unwrap()[0];
    let late = world.store.replay_range(lane.endpoint.no, between(since, None)).await.unwrap();
    assert_eq!((late.above, late.through), (accepted[3].seq, far.seq));
    let early = world.store.replay_range(lane.endpoint.no, between(None, Some(times[0]))).await.unwrap();
    assert_eq!(early.through, accepted[3].seq);
}

/// Its newest delivery in the range stands for it; resends to other endpoints do not count.
pub async fn an_event_goes_once_however_often_it_was_sent(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let (second, version) = world.endpoint(&lane.account, lane.endpoint.livemode).await;
    let lane = Lane { version, ..lane };
    let accepted = world.try_accept(world.event_to(&lane, &[&lane.endpoint, &second], "{}")).await.unwrap();
    let alone = world.accept(&lane).await;
    for one in accepted.iter().chain([&alone]) {
        world.record(*one, 1, Next::Exhausted).await;
    }
    let resend = async |of: DeliveryId, created_at| {
        let new =
            NewResend { id: world.delivery_id(), of, created_at, deed: deed_at(world.now()), keep: None };
        let made = world.store.resend(new.clone()).await.unwrap();
        Accepted { seq: made.seq, id: new.id, event: accepted[0].event }
    };
    let to_second = resend(accepted[1].id, world.now()).await;
    world.record(to_second, 1, Next::Delivered).await;
    assert_eq!(
        chosen(&world, &lane, of_status(Status::Exhausted)).await,
        (vec![accepted[0].seq, alone.seq], 0)
    );
    let before_resend = world.now();
    let again = resend(accepted[0].id, world.now()).await;
    assert_eq!(
        chosen(&world, &lane, Selection::default()).await,
        (vec![alone.seq], 1),
        "the newest is pending"
    );
    world.record(again, 1, Next::Delivered).await;
    assert_eq!(chosen(&world, &lane, of_status(Status::Exhausted)).await, (vec![alone.seq], 0));
    assert_eq!(chosen(&world, &lane, Selection::default()).await, (vec![alone.seq, again.seq], 0));
    let until = Selection { until: Some(before_resend), ..Selection::default() };
    assert_eq!(
        chosen(&world, &lane, until).await,
        (vec![accepted[0].seq, alone.seq], 0),
        "the later one is no part of it"
    );
}
