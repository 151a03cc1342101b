//! The audit log: one entry for each change, in the commit that makes it.

use std::net::IpAddr;
use std::time::Duration;

use postrider_core::audit::{Action, Actor, Deed, Entry, Who};
use postrider_core::delivery::Next;
use postrider_core::id::{AccountId, KeyId, LinkId};
use postrider_core::replay::{CancelReason, Selection};
use postrider_core::secret::{Secret, Secrets};

use super::Backend;
use super::world::World;
use crate::StoreError;
use crate::model::portal::NewPortalLink;
use crate::model::{
    AuditFilter, EndpointUpdate, NewAccount, NewEndpoint, NewReplay, NewResend, PageRequest, SecretsChange,
};

/// Everything, newest first.
async fn all(world: &World<'_>) -> Vec<Entry> {
    let page = PageRequest { limit: 250, before: None };
    world.store.audit(AuditFilter::default(), page).await.unwrap().rows
}

fn is_of(entry: &Entry, deed: &Deed) -> bool {
    let Entry { no: _, who, action, account, target, fields, at } = entry;
    (*who, &**action, *account, target, *at)
        == (deed.who, deed.action.as_str(), deed.account, &deed.target, deed.at)
        && fields.iter().map(String::as_str).eq(deed.fields.iter().copied())
}

/// Deeds, each with a target of its own, and what was in the log before them.
struct Deeds<'w, 'b> {
    world: &'w World<'b>,
    account: AccountId,
    before: usize,
    done: Vec<Deed>,
}

impl<'w, 'b> Deeds<'w, 'b> {
    async fn begin(world: &'w World<'b>, account: AccountId) -> Self {
        Self { world, account, before: all(world).await.len(), done: Vec::new() }
    }

    fn of(&self, action: Action) -> Deed {
        let address: IpAddr = [203, 0, 113, 7].into();
        let who = Who { actor: Actor::Key(KeyId::from_bytes([7; 16])), address: Some(address) };
        who.did(action, self.account, format!("target of {}", action.as_str()), self.world.now())
    }

    /// The same, to be found in the log in this order.
    fn next(&mut self, action: Action) -> Deed {
        self.done.push(self.of(action));
        self.done[self.done.len() - 1].clone()
    }

    /// The log has these and nothing else.
    async fn check(self) {
        let mut entries = all(self.world).await;
        entries.truncate(entries.len() - self.before);
        entries.reverse();
        assert_eq!(entries.len(), self.done.len(), "{entries:#?}");
        for (entry, deed) in entries.iter().zip(&self.done) {
            assert!(is_of(entry, deed), "{entry:?} is not of {deed:?}");
        }
    }
}

/// Accounts, keys and links.
pub async fn every_change_of_an_account_leaves_one_entry_of_who_made_it(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let mut deeds = Deeds::begin(&world, lane.account.id).await;
    let (store, account) = (&world.store, lane.account.no);
    let keys = vec![world.key(true)];
    let (id, deed) = (world.account_id(), deeds.next(Action::AccountCreated));
    let new = NewAccount { id, name: "A".into(), created_at: deed.at, keys, deed, keep: None };
    let other = store.create_account(new).await.unwrap();
    store.rename_account(account, "Renamed", deeds.next(Action::AccountRenamed)).await.unwrap();
    store.delete_account(other.no, deeds.next(Action::AccountDeleted)).await.unwrap();
    let deed = deeds.next(Action::KeyCreated);
    let key = store.create_key(account, world.key(true), deed, None).await.unwrap();
    store.revoke_key(key.id, deeds.next(Action::KeyRevoked)).await.unwrap();
    let (id, deed) = (LinkId::from_bytes([3; 16]), deeds.next(Action::PortalLinkCreated));
    let link = NewPortalLink {
        id,
        account_no: account,
        livemode: None,
        sha256: [3; 32],
        created_at: deed.at,
        expires_at: deed.at.plus(Duration::from_secs(60)),
        deed,
        keep: None,
    };
    store.create_portal_link(link).await.unwrap();
    store.revoke_portal_link(account, id, deeds.next(Action::PortalLinkRevoked)).await.unwrap();
    deeds.check().await;
}

/// Endpoints, their secrets, deliveries and replays; and what is noted although nothing changes.
pub async fn every_change_of_an_endpoint_leaves_one_entry_of_who_made_it(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let ended = world.accept(&lane).await;
    world.record(ended, 1, Next::Delivered).await;
    let pending = world.accept(&lane).await;
    let mut deeds = Deeds::begin(&world, lane.account.id).await;
    let (store, endpoint) = (&world.store, &lane.endpoint);
    let new = world.new_endpoint(&lane.account, true);
    let new = NewEndpoint { deed: deeds.next(Action::EndpointCreated), ..new };
    let second = store.create_endpoint(new).await.unwrap().0;
    let updated = Deed { fields: vec!["url", "ordered"], ..deeds.of(Action::EndpointUpdated) };
    deeds.done.push(updated.clone());
    store.update_endpoint(endpoint, endpoint, EndpointUpdate::Settings, updated).await.unwrap();
    let state = EndpointUpdate::State { fresh_health: true };
    store.update_endpoint(endpoint, endpoint, state, deeds.next(Action::EndpointEnabled)).await.unwrap();
    let deed = deeds.next(Action::SecretRotated);
    let change = SecretsChange {
        endpoint_no: endpoint.no,
        endpoint: endpoint.id,
        account_no: lane.account.no,
        before: endpoint.secrets.clone(),
        after: Secrets::only(Secret::parse("another-secret-of-24-or-more").unwrap()),
        at: deed.at,
        deed,
    };
    store.set_secrets(change).await.unwrap();
    store.cancel_delivery(pending.id, deeds.next(Action::DeliveryCancelled)).await.unwrap();
    let (id, deed) = (world.delivery_id(), deeds.next(Action::DeliveryResent));
    store.resend(NewResend { id, of: ended.id, created_at: deed.at, deed, keep: None }).await.unwrap();
    let (selection, id) = (Selection::default(), world.replay_id());
    let range = store.replay_range(endpoint.no, selection.clone()).await.unwrap();
    let deed = deeds.next(Action::ReplayCreated);
    let replay = NewReplay { id, selection, range, matched: 1, created_at: deed.at, deed, keep: None };
    store.create_replay(replay).await.unwrap();
    store.cancel_replay(id, CancelReason::ByHand, deeds.next(Action::ReplayCancelled)).await.unwrap();
    store.delete_endpoint(second.no, deeds.next(Action::EndpointDeleted)).await.unwrap();
    store.note(deeds.next(Action::SecretRevealed)).await.unwrap();
    deeds.check().await;
}

/// Neither by the store's own no nor by the database's.
pub async fn what_is_refused_leaves_no_entry(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let pending = world.accept(&lane).await;
    let deeds = Deeds::begin(&world, lane.account.id).await;
    let before = all(&world).await;
    let twin = world.new_endpoint(&lane.account, true);
    let refused = [
        world
            .store
            .resend(NewResend {
                id: world.delivery_id(),
                of: pending.id,
                created_at: world.now(),
                deed: deeds.of(Action::DeliveryResent),
                keep: None,
            })
            .await
            .map(drop),
        world.store.revoke_key(KeyId::from_bytes([9; 16]), deeds.of(Action::KeyRevoked)).await,
        world.store.cancel_delivery(world.delivery_id(), deeds.of(Action::DeliveryCancelled)).await.map(drop),
        world
            .store
            .create_endpoint(NewEndpoint {
                id: lane.endpoint.id,
                deed: deeds.of(Action::EndpointCreated),
                ..twin
            })
            .await
            .map(drop),
        world
            .store
            .revoke_portal_link(
                lane.account.no,
                LinkId::from_bytes([9; 16]),
                deeds.of(Action::PortalLinkRevoked),
            )
            .await,
    ];
    for result in refused {
        assert!(
            matches!(result, Err(StoreError::Conflict(_) | StoreError::NotFound | StoreError::Refused(_))),
            "{result:?}"
        );
    }
    assert_eq!(all(&world).await, before);
}

/// By account, action and time, newest first, over a reopen.
pub async fn entries_are_filtered_and_paged_and_survive(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let accounts = [world.account_id(), world.account_id()];
    let mut deeds = Vec::new();
    for number in 0..20_usize {
        let (action, actor) = match number % 3 {
            0 => (Action::KeyCreated, Actor::Operator),
            1 => (Action::KeyRevoked, Actor::Dashboard),
            _ => (Action::SecretRevealed, Actor::Portal(LinkId::from_bytes([1; 16]))),
        };
        let address = (number % 2 == 0).then(|| "2001:db8::1".parse().unwrap());
        let deed = Who { actor, address }.did(action, accounts[number % 2], number, world.now());
        world.store.note(deed.clone()).await.unwrap();
        deeds.push(deed);
    }
    let world = world.reopen().await;
    let filters = [
        AuditFilter::default(),
        AuditFilter { account: Some(accounts[1]), ..AuditFilter::default() },
        AuditFilter { action: Some(Action::KeyRevoked), ..AuditFilter::default() },
        AuditFilter { since: Some(deeds[4].at), until: Some(deeds[15].at), ..AuditFilter::default() },
        AuditFilter {
            account: Some(accounts[0]),
            action: Some(Action::SecretRevealed),
            since: Some(deeds[3].at),
            until: None,
        },
        AuditFilter { account: Some(world.account_id()), ..AuditFilter::default() },
    ];
    for filter in filters {
        let wanted = |deed: &&Deed| {
            filter.account.is_none_or(|account| account == deed.account)
                && filter.action.is_none_or(|action| action == deed.action)
                && filter.since.is_none_or(|since| deed.at >= since)
                && filter.until.is_none_or(|until| deed.at < until)
        };
        let expected: Vec<&Deed> = deeds.iter().rev().filter(wanted).collect();
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = world.store.audit(filter, PageRequest { limit: 3, before }).await.unwrap();
            assert!(page.rows.len() <= 3);
            found.extend(page.rows);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), expected.len(), "{filter:?}");
        assert!(found.iter().zip(expected).all(|(entry, deed)| is_of(entry, deed)), "{filter:?}");
    }
}

/// Younger ones stay, and numbers are never given again.
pub async fn entries_are_forgotten_in_slices_from_the_oldest(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let deeds = Deeds::begin(&world, world.account_id()).await;
    let mut at = Vec::new();
    for _ in 0..5 {
        let deed = deeds.of(Action::KeyCreated);
        at.push(deed.at);
        world.store.note(deed).await.unwrap();
    }
    let newest = all(&world).await[0].no;
    for (limit, forgotten) in [(2, 2), (10, 1), (10, 0)] {
        assert_eq!(world.store.forget_audit(at[3], limit).await.unwrap(), forgotten);
    }
    let left: Vec<_> = all(&world).await.iter().map(|entry| entry.at).collect();
    assert_eq!(left, [at[4], at[3]]);
    assert_eq!(world.store.forget_audit(world.now(), 10).await.unwrap(), 2);
    let world = world.reopen().await;
    world.store.note(deeds_after(&world)).await.unwrap();
    assert!(all(&world).await[0].no > newest);
}

fn deeds_after(world: &World<'_>) -> Deed {
    Who::SERVICE.did(Action::KeyCreated, world.account_id(), "later", world.now())
}
