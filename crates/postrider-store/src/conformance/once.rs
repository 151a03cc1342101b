//! Creating calls with an idempotency key: the answer and what was created are one commit.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::delivery::Next;
use postrider_core::id::LinkId;
use postrider_core::limits::IDEMPOTENCY_KEPT;
use postrider_core::replay::Selection;
use postrider_core::time::Timestamp;

use super::Backend;
use super::event_types;
use super::world::{Lane, World, deed_at};
use crate::model::event_types::NewEventType;
use crate::model::once::{Before, Claim, Keep, KeptAnswer};
use crate::model::portal::NewPortalLink;
use crate::model::{EventFilter, NewAccount, NewEndpoint, NewReplay, NewResend, PageRequest};
use crate::{AcceptError, StoreError};

/// A call by the number of its key, with a body of its own.
fn claim(key: u8) -> Claim {
    Claim { scope: [key; 32], body_sha256: [key ^ 0xff; 32] }
}

fn answer(text: &str) -> KeptAnswer {
    KeptAnswer { status: 201, body: Bytes::copy_from_slice(text.as_bytes()) }
}

fn keep(key: u8, text: &str, at: Timestamp) -> Keep {
    Keep { claim: claim(key), answer: answer(text), at }
}

async fn events(world: &World<'_>) -> usize {
    let all = PageRequest { limit: 250, before: None };
    world.store.events(EventFilter::default(), all).await.unwrap().rows.len()
}

async fn found(world: &World<'_>, key: u8) -> Option<Before> {
    world.store.answered_before(claim(key), world.now()).await.unwrap()
}

/// Also over a reopen; another body is told apart.
pub async fn an_answer_is_kept_with_events_and_nothing_is_accepted_twice(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    assert_eq!(found(&world, 1).await, None);
    let seqs = world
        .store
        .accept_once(vec![world.event(&lane, "{}")], keep(1, "the first", world.now()))
        .await
        .unwrap();
    assert_eq!(seqs.len(), 1);
    let again = world.store.accept_once(vec![world.event(&lane, "{}")], keep(1, "no", world.now())).await;
    assert!(matches!(again, Err(AcceptError::AnsweredBefore)), "{again:?}");
    let other = world.store.accept_once(vec![world.event(&lane, "{}")], keep(2, "", world.now())).await;
    assert_eq!(other.unwrap().len(), 1, "another key is another call, and an answer may be empty");

    let world = world.reopen().await;
    assert_eq!(found(&world, 1).await, Some(Before::Answered(answer("the first"))));
    assert_eq!(found(&world, 2).await, Some(Before::Answered(answer(""))));
    let other_body = Claim { body_sha256: [0; 32], ..claim(1) };
    let before = world.store.answered_before(other_body, world.now()).await.unwrap();
    assert_eq!(before, Some(Before::OtherBody));
    assert_eq!(events(&world).await, 2);
    assert_eq!(world.store.ready(lane.endpoint.no, 10).await.unwrap().len(), 2);
}

/// Configuration, resends and replays too.
pub async fn an_answer_is_kept_with_everything_that_is_created(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let ended = world.accept(&lane).await;
    world.record(ended, 1, Next::Delivered).await;
    let keep = |key| Some(Box::new(keep(key, "made", world.now())));
    for created in 0..2 {
        let results = [
            (1, world.store.create_account(NewAccount { keep: keep(1), ..account(&world) }).await.map(drop)),
            (
                2,
                world
                    .store
                    .create_key(lane.account.no, world.key(true), deed_at(world.now()), keep(2))
                    .await
                    .map(drop),
            ),
            (
                3,
                world
                    .store
                    .create_endpoint(NewEndpoint { keep: keep(3), ..world.new_endpoint(&lane.account, true) })
                    .await
                    .map(drop),
            ),
            (4, world.store.create_portal_link(NewPortalLink { keep: keep(4), ..link(&world, &lane) }).await),
            (5, world.store.resend(resend(&world, &lane, ended.id, keep(5))).await.map(drop)),
            (
                7,
                world
                    .store
                    .create_event_type(NewEventType {
                        keep: keep(7),
                        ..event_types::new(&world, "claim.opened")
                    })
                    .await,
            ),
            (6, world.store.create_replay(replay(&world, &lane, keep(6)).await).await.map(drop)),
        ];
        for (key, result) in results {
            match created {
                0 => assert!(result.is_ok(), "{key}: {result:?}"),
                _ => assert!(matches!(result, Err(StoreError::AnsweredBefore)), "{key}: {result:?}"),
            }
            assert_eq!(found(&world, key).await, Some(Before::Answered(answer("made"))), "{key}");
        }
    }
    let all = world.store.load().await.unwrap();
    assert_eq!((all.accounts.len(), all.endpoints.len()), (2, 2));
    assert_eq!(all.keys.iter().filter(|key| key.account == lane.account.no).count(), 3);
    assert_eq!(world.store.running_replays().await.unwrap().len(), 1);
    assert_eq!(world.store.ready(lane.endpoint.no, 10).await.unwrap().len(), 1);
}

fn account(world: &World<'_>) -> NewAccount {
    let keys = vec![world.key(true)];
    NewAccount {
        id: world.account_id(),
        name: "Once".to_owned(),
        created_at: world.now(),
        keys,
        deed: deed_at(world.now()),
        keep: None,
    }
}

fn link(world: &World<'_>, lane: &Lane) -> NewPortalLink {
    let (key, now) = (world.key(true), world.now());
    NewPortalLink {
        id: LinkId::from_bytes(key.id.to_bytes()),
        account_no: lane.account.no,
        livemode: None,
        sha256: key.sha256,
        created_at: now,
        expires_at: now.plus(Duration::from_secs(60)),
        deed: deed_at(world.now()),
        keep: None,
    }
}

fn resend(
    world: &World<'_>,
    _lane: &Lane,
    of: postrider_core::id::DeliveryId,
    keep: Option<Box<Keep>>,
) -> NewResend {
    NewResend { id: world.delivery_id(), of, created_at: world.now(), deed: deed_at(world.now()), keep }
}

async fn replay(world: &World<'_>, lane: &Lane, keep: Option<Box<Keep>>) -> NewReplay {
    let selection = Selection::default();
    let range = world.store.replay_range(lane.endpoint.no, selection.clone()).await.unwrap();
    NewReplay {
        id: world.replay_id(),
        selection,
        range,
        matched: 1,
        created_at: world.now(),
        deed: deed_at(world.now()),
        keep,
    }
}

/// Neither a call that the store refuses, nor one that has to be matched again, leaves an answer.
pub async fn what_is_refused_keeps_no_answer(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let stale = Lane { version: lane.version - 1, ..world.lane().await };
    let refused = world.store.accept_once(vec![world.event(&stale, "{}")], keep(1, "", world.now())).await;
    assert!(matches!(refused, Err(AcceptError::ConfigChanged)), "{refused:?}");
    assert_eq!(found(&world, 1).await, None);
    let accepted = world.accept(&lane).await;
    let pending = resend(&world, &lane, accepted.id, Some(Box::new(keep(2, "", world.now()))));
    assert!(matches!(world.store.resend(pending).await, Err(StoreError::Conflict(_))));
    assert_eq!(found(&world, 2).await, None);
    let twin = world.event(&lane, "{}");
    world.store.accept(vec![twin.clone()]).await.unwrap();
    let refused = world.store.accept_once(vec![twin], keep(3, "", world.now())).await;
    assert!(refused.is_err(), "its guid is there already");
    assert_eq!(found(&world, 3).await, None);
    world.store.accept_once(vec![world.event(&lane, "{}")], keep(3, "now", world.now())).await.unwrap();
    assert_eq!(found(&world, 3).await, Some(Before::Answered(answer("now"))));
}

/// Twins that meet in one commit, or on two connections.
pub async fn of_many_at_once_one_creates_and_the_others_find_its_answer(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let call = async |number: u8| {
        let new = world.event(&lane, "{}");
        world.store.accept_once(vec![new], keep(1, &number.to_string(), world.now())).await
    };
    let results = futures_util::future::join_all((0..16).map(call)).await;
    let created: Vec<usize> = (0..16).filter(|number| results[*number].is_ok()).collect();
    let [only] = created[..] else { panic!("{results:?}") };
    assert!(
        results.iter().all(|result| matches!(result, Ok(_) | Err(AcceptError::AnsweredBefore))),
        "{results:?}"
    );
    assert_eq!(found(&world, 1).await, Some(Before::Answered(answer(&only.to_string()))));
    assert_eq!(events(&world).await, 1);
}

/// In slices, the oldest first.
pub async fn an_answer_is_kept_for_a_day_and_then_forgotten(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let then = world.now();
    for key in 1..=3 {
        let new = vec![world.event(&lane, "{}")];
        world.store.accept_once(new, keep(key, "old", then)).await.unwrap();
    }
    let a_day_later = then.plus(IDEMPOTENCY_KEPT);
    let almost = a_day_later.minus(Duration::from_millis(1));
    let at = |key, at| world.store.answered_before(claim(key), at);
    assert_eq!(at(1, almost).await.unwrap(), Some(Before::Answered(answer("old"))));
    assert_eq!(at(1, a_day_later).await.unwrap(), None);
    // What is as old as it may be gives way, forgotten or not.
    world.store.accept_once(vec![world.event(&lane, "{}")], keep(1, "new", a_day_later)).await.unwrap();
    assert_eq!(at(1, a_day_later).await.unwrap(), Some(Before::Answered(answer("new"))));
    assert_eq!(world.store.size().await.unwrap().oldest_idempotency_at, Some(then));
    assert_eq!(world.store.forget_answers(then, 10).await.unwrap(), 0);
    for (limit, forgotten) in [(1, 1), (10, 1), (10, 0)] {
        assert_eq!(world.store.forget_answers(almost, limit).await.unwrap(), forgotten);
    }
    assert_eq!(world.store.size().await.unwrap().oldest_idempotency_at, Some(a_day_later));
    assert_eq!(at(2, then).await.unwrap(), None);
    assert_eq!(at(1, a_day_later).await.unwrap(), Some(Before::Answered(answer("new"))));
}
