//! Links into the portal: found by their tokens alone, for as long as they last.

use std::time::Duration;

use postrider_core::id::LinkId;
use postrider_core::limits::MAX_PORTAL_LINKS_PER_ACCOUNT;
use postrider_core::portal::PortalLink;

use super::Backend;
use super::world::{World, deed_at};
use crate::StoreError;
use crate::model::portal::NewPortalLink;

/// A link made now for an hour.
fn link(world: &World, account_no: postrider_core::account::AccountNo, number: u128) -> NewPortalLink {
    let now = world.now();
    let mut sha256 = [0; 32];
    sha256[..16].copy_from_slice(&number.to_be_bytes());
    let expires_at = now.plus(Duration::from_secs(3600));
    NewPortalLink {
        id: LinkId::new(now, number),
        account_no,
        livemode: None,
        sha256,
        created_at: now,
        expires_at,
        deed: deed_at(world.now()),
        keep: None,
    }
}

/// By nothing else, and not by another account.
pub async fn a_link_is_found_by_its_token_until_it_ends_or_is_revoked(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (account, other) = (world.account("One").await, world.account("Other").await);
    let both = link(&world, account.no, 1);
    let live = NewPortalLink { livemode: Some(true), ..link(&world, account.no, 2) };
    let of_other = link(&world, other.no, 3);
    for new in [both.clone(), live.clone(), of_other.clone()] {
        world.store.create_portal_link(new).await.unwrap();
    }
    let again =
        world.store.create_portal_link(NewPortalLink { id: LinkId::from_bytes([9; 16]), ..both }).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "a token is given once");

    let world = world.reopen().await;
    let now = both.created_at;
    let found = world.store.portal_link(live.sha256, now).await.unwrap();
    let NewPortalLink { id, account_no, livemode, created_at, expires_at, .. } = live;
    assert_eq!(found, PortalLink { id, account_no, account: account.id, livemode, created_at, expires_at });
    let found = async |sha256, now| world.store.portal_link(sha256, now).await.map(|link| link.id).ok();
    assert_eq!(found([7; 32], now).await, None);
    let last = both.expires_at.minus(Duration::from_millis(1));
    assert_eq!(
        (found(both.sha256, last).await, found(both.sha256, both.expires_at).await),
        (Some(both.id), None)
    );

    let foreign = world.store.revoke_portal_link(other.no, both.id, deed_at(world.now())).await;
    assert!(matches!(foreign, Err(StoreError::NotFound)));
    world.store.revoke_portal_link(account.no, both.id, deed_at(world.now())).await.unwrap();
    assert_eq!((found(both.sha256, now).await, found(live.sha256, now).await), (None, Some(live.id)));
    let twice = world.store.revoke_portal_link(account.no, both.id, deed_at(world.now())).await;
    assert!(matches!(twice, Err(StoreError::NotFound)));

    world.store.delete_account(account.no, deed_at(now)).await.unwrap();
    assert_eq!((found(live.sha256, now).await, found(of_other.sha256, now).await), (None, Some(of_other.id)));
    let late = world.store.create_portal_link(link(&world, account.no, 4)).await;
    assert!(matches!(late, Err(StoreError::NotFound)));
}

/// What has ended makes room.
pub async fn an_account_has_so_many_living_links_and_no_more(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (account, other) = (world.account("One").await, world.account("Other").await);
    let most = u128::try_from(MAX_PORTAL_LINKS_PER_ACCOUNT).unwrap();
    for number in 0..most {
        world.store.create_portal_link(link(&world, account.no, number)).await.unwrap();
    }
    let more = link(&world, account.no, most);
    let refused = world.store.create_portal_link(more.clone()).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    world.store.create_portal_link(link(&world, other.no, most + 1)).await.unwrap();
    let later = more.expires_at;
    let expires_at = later.plus(Duration::from_secs(3600));
    world.store.create_portal_link(NewPortalLink { created_at: later, expires_at, ..more }).await.unwrap();
}
