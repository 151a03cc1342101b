//! Keys and secrets: made, changed and taken away, each for itself.

use postrider_core::account::AccountNo;
use postrider_core::endpoint::CustomHeader;
use postrider_core::limits::MAX_KEYS_PER_ACCOUNT;
use postrider_core::secret::{NextSecret, Secret, Secrets};

use super::Backend;
use super::world::{World, deed_at};
use crate::StoreError;
use crate::model::{EndpointUpdate, SecretsChange};

/// Up to a limit, which a revoked one makes room in; and when each was last used only grows.
pub async fn keys_are_made_noted_and_revoked(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (account, gone) = (world.account("Account").await, world.account("Gone").await);
    let (new, now) = (world.key(true), world.now());
    let made = world.store.create_key(account.no, new.clone(), deed_at(now), None).await.unwrap();
    assert_eq!((made.id, made.account, made.livemode, made.sha256), (new.id, account.no, true, new.sha256));
    assert_eq!((made.created_at, made.last_used_at), (now, None));
    let stored = async |world: &World<'_>| {
        let keys = world.store.load().await.unwrap().keys;
        keys.into_iter().find(|key| key.id == made.id)
    };
    assert_eq!(stored(&world).await, Some(made.clone()));
    let (early, late) = (world.now(), world.now());
    for (noted, expected) in [(early, early), (late, late), (early, late)] {
        world.store.note_key_uses(vec![(made.id, noted)]).await.unwrap();
        assert_eq!(stored(&world).await.unwrap().last_used_at, Some(expected));
    }
    world.store.note_key_uses(Vec::new()).await.unwrap();

    let taken = world.store.load().await.unwrap().keys.iter().filter(|key| key.account == account.no).count();
    for _ in taken..MAX_KEYS_PER_ACCOUNT {
        world.store.create_key(account.no, world.key(false), deed_at(world.now()), None).await.unwrap();
    }
    let full = world.store.create_key(account.no, world.key(false), deed_at(world.now()), None).await;
    assert!(matches!(full, Err(StoreError::Conflict(_))));
    world.store.revoke_key(made.id, deed_at(world.now())).await.unwrap();
    assert!(matches!(world.store.revoke_key(made.id, deed_at(world.now())).await, Err(StoreError::NotFound)));
    world.store.create_key(account.no, world.key(false), deed_at(world.now()), None).await.unwrap();
    let world = world.reopen().await;
    assert_eq!(stored(&world).await, None);
    world.store.note_key_uses(vec![(made.id, world.now())]).await.unwrap();

    world.store.delete_account(gone.no, deed_at(world.now())).await.unwrap();
    for no in [gone.no, AccountNo(1_000)] {
        let refused = world.store.create_key(no, world.key(true), deed_at(world.now()), None).await;
        assert!(matches!(refused, Err(StoreError::NotFound)));
    }
}

/// Each rotation begins with what is there: of two at the same moment one is refused.
pub async fn secrets_change_only_from_what_they_were_and_survive(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let first = lane.endpoint.secrets.clone();
    let next = NextSecret {
        secret: Secret::parse("another-secret-of-24-or-more").unwrap(),
        takes_over_at: world.now(),
    };
    let overlapping = Secrets { next: Some(next.clone()), ..first.clone() };
    let change = |before: &Secrets, after: &Secrets| SecretsChange {
        endpoint_no: lane.endpoint.no,
        endpoint: lane.endpoint.id,
        account_no: lane.account.no,
        before: before.clone(),
        after: after.clone(),
        at: world.now(),
        deed: deed_at(world.now()),
    };
    let rotation = change(&first, &overlapping);
    let version = world.store.set_secrets(rotation.clone()).await.unwrap();
    assert!(version > lane.version);
    assert!(matches!(world.store.set_secrets(rotation.clone()).await, Err(StoreError::Conflict(_))));
    let over = Secrets::only(next.secret);
    let end = change(&overlapping, &over);

    let world = world.reopen().await;
    let stored = world.store.load().await.unwrap().endpoints.remove(0);
    assert_eq!((&stored.secrets, stored.updated_at), (&overlapping, rotation.at));
    world.store.set_secrets(end).await.unwrap();
    assert_eq!(world.store.load().await.unwrap().endpoints[0].secrets, over);
    world.store.delete_endpoint(lane.endpoint.no, deed_at(world.now())).await.unwrap();
    let too_late = SecretsChange { before: over, after: first, ..rotation };
    assert!(matches!(world.store.set_secrets(too_late).await, Err(StoreError::NotFound)));
}

/// Whoever changes something else may not know of the newest rotation.
pub async fn a_change_of_settings_or_state_leaves_the_secrets(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let after = Secrets::only(Secret::generate(&[9; 32]));
    let change = SecretsChange {
        endpoint_no: lane.endpoint.no,
        endpoint: lane.endpoint.id,
        account_no: lane.account.no,
        before: lane.endpoint.secrets.clone(),
        after: after.clone(),
        at: world.now(),
        deed: deed_at(world.now()),
    };
    world.store.set_secrets(change).await.unwrap();
    for update in [EndpointUpdate::Settings, EndpointUpdate::State { fresh_health: true }] {
        world
            .store
            .update_endpoint(&lane.endpoint, &lane.endpoint, update, deed_at(world.now()))
            .await
            .unwrap();
        assert_eq!(world.store.load().await.unwrap().endpoints[0].secrets, after);
    }
}

/// Also in the middle of a rotation, whatever the store does to them for that.
pub async fn a_change_of_the_url_leaves_the_secrets_and_headers(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let account = world.account("Account").await;
    let mut new = world.new_endpoint(&account, true);
    new.settings.headers = vec![CustomHeader::parse("X-Api-Key", "abc", "X-KASKO-").unwrap()];
    let (mut known, _) = world.store.create_endpoint(new).await.unwrap();
    let next = NextSecret { secret: Secret::generate(&[9; 32]), takes_over_at: world.now() };
    let rotated = Secrets { next: Some(next), ..known.secrets.clone() };
    let change = SecretsChange {
        endpoint_no: known.no,
        endpoint: known.id,
        account_no: known.account_no,
        before: known.secrets.clone(),
        after: rotated.clone(),
        at: world.now(),
        deed: deed_at(world.now()),
    };
    world.store.set_secrets(change).await.unwrap();
    known.secrets = rotated;
    for url in ["https://moved.example/", "https://moved.example/again?x=1"] {
        let mut after = known.clone();
        after.settings.url = url.parse().unwrap();
        let deed = deed_at(world.now());
        world.store.update_endpoint(&known, &after, EndpointUpdate::Settings, deed).await.unwrap();
        known = after;
    }
    let world = world.reopen().await;
    let found = world.store.load().await.unwrap().endpoints.remove(0);
    assert_eq!((&found.settings, &found.secrets), (&known.settings, &known.secrets));
    assert!(found.is_readable());
}
