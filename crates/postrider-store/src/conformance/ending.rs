//! Attempts by when they ended: in order, behind a place, each once, in parts.

use std::time::Duration;

use postrider_core::attempt::{Attempt, Timings};
use postrider_core::delivery::{DeliverySeq, Next, Status};
use postrider_core::time::Timestamp;

use super::Backend;
use super::world::{World, batch};
use crate::model::{AttemptPlace, DeliveryFilter, EndedAttempt, Record};

/// Before everything.
const BEGINNING: AttemptPlace =
    AttemptPlace { ended_at: Timestamp::from_ms(0), seq: DeliverySeq(0), number: 0 };

/// Walks to the end in parts of at most `limit`.
async fn walk(
    world: &World<'_>,
    from: AttemptPlace,
    filter: &DeliveryFilter,
    limit: usize,
) -> Vec<EndedAttempt> {
    let (mut found, mut after) = (Vec::new(), from);
    loop {
        let part = world.store.attempts_ended(after, filter.clone(), limit).await.unwrap();
        assert!(part.attempts.len() <= limit);
        found.extend(part.attempts);
        match part.reached {
            Some(reached) => {
                assert!(reached > after, "a walk goes forward");
                after = reached;
            }
            None => return found,
        }
    }
}

/// Neither the order of commits nor that of beginnings counts, and each part goes on where the last one ended.
pub async fn attempts_come_in_the_order_in_which_they_ended_behind_a_place(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 8).await;
    let begin = world.now();
    let mut expected = Vec::new();
    // The first began first and ended last; the last two pairs end within one millisecond.
    for (accepted, took_ms) in accepted.iter().zip([900, 20, 300, 40, 50, 50, 60, 60]) {
        for number in [1, 2] {
            let started_at = begin.plus(Duration::from_millis(u64::from(number) * 1_000));
            let next = if number == 2 { Next::Delivered } else { Next::Waits };
            let mut record = world.outcome(*accepted, number, next, begin);
            let attempt = record.attempt.take().unwrap();
            let timings = Timings { total_us: took_ms * 1_000 + 999, ..Timings::default() };
            let attempt = Attempt { started_at, timings, ..attempt };
            let ended_at = started_at.plus(Duration::from_millis(took_ms));
            expected.push((AttemptPlace { ended_at, seq: accepted.seq, number }, attempt.clone()));
            let record = Record { attempt: Some(attempt), ..record };
            world.store.record(batch(vec![record]).into()).await.unwrap();
        }
    }
    expected.sort_by_key(|(place, _)| *place);
    for limit in [1, 3, 100] {
        let found = walk(&world, BEGINNING, &DeliveryFilter::default(), limit).await;
        let found: Vec<_> = found.into_iter().map(|ended| (ended.place, ended.attempt)).collect();
        assert_eq!(found, expected, "{limit} at a time");
    }
    for (index, (place, _)) in expected.iter().enumerate() {
        let found = walk(&world, *place, &DeliveryFilter::default(), 100).await;
        assert_eq!(found.len(), expected.len() - index - 1, "strictly behind {place:?}");
    }
    let delivery = world.store.delivery(accepted[0].id).await.unwrap();
    let found = walk(&world, BEGINNING, &DeliveryFilter::default(), 100).await;
    let own = found.iter().filter(|ended| ended.delivery == delivery).count();
    assert_eq!((own, delivery.status), (2, Status::Delivered), "each comes with its delivery as it is now");
}

/// Of two accounts' attempts the filter's alone are given, and the walk comes to the end all the same.
pub async fn what_is_not_wanted_is_left_out_without_ending_the_walk(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (mine, other) = (world.lane().await, world.lane().await);
    for lane in [&mine, &other, &other, &mine, &other] {
        let accepted = world.accept(lane).await;
        world.record(accepted, 1, Next::Delivered).await;
    }
    for filter in [
        DeliveryFilter { account: Some(mine.account.id), ..DeliveryFilter::default() },
        DeliveryFilter { endpoint: Some(mine.endpoint.id), ..DeliveryFilter::default() },
    ] {
        for limit in [1, 100] {
            let found = walk(&world, BEGINNING, &filter, limit).await;
            assert_eq!(found.len(), 2);
            assert!(found.iter().all(|ended| ended.delivery.account == mine.account.id));
        }
    }
    let nobody = DeliveryFilter { account: Some(world.account_id()), ..DeliveryFilter::default() };
    assert_eq!(walk(&world, BEGINNING, &nobody, 1).await, []);
}
