//! Accounts, keys, endpoints: what is written is what is loaded, each change counted, each refusal alone.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::account::AccountNo;
use postrider_core::endpoint::{
    CustomHeader, DisabledReason, Endpoint, EndpointNo, EndpointSettings, RateLimit, State, UnreadableValues,
};
use postrider_core::event_type::Subscription;
use postrider_core::field_name::FieldName;
use postrider_core::filter::Filter;
use postrider_core::health::{FailureRun, Health, RecentAttempts};
use postrider_core::limits::MAX_ENDPOINTS_PER_ACCOUNT;
use postrider_core::schedule::RetrySchedule;
use postrider_core::secret::Secrets;
use postrider_core::service_clock::ServiceTime;
use zeroize::Zeroizing;

use super::Backend;
use super::world::{World, deed_at, own_change, settings};
use crate::StoreError;
use crate::model::{EndpointUpdate, HealthUpdate, NewAccount, NewEndpoint, RecordBatch};

/// Their order, their fields, their keys.
pub async fn accounts_and_keys_survive_a_reopen(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let new = NewAccount {
        id: world.account_id(),
        name: "Ünïcode & \"quotes\"".to_owned(),
        created_at: world.now(),
        keys: vec![world.key(true), world.key(false)],
        deed: deed_at(world.now()),
        keep: None,
    };
    let first = world.store.create_account(new.clone()).await.unwrap();
    assert_eq!((first.id, &first.name, first.created_at), (new.id, &new.name, new.created_at));
    let second = world.account("Second").await;
    assert_ne!(first.no, second.no);
    let renamed = world.store.rename_account(second.no, "Renamed", deed_at(world.now())).await.unwrap();
    assert_eq!((renamed.no, renamed.id, renamed.name.as_str()), (second.no, second.id, "Renamed"));

    let configuration = world.reopen().await.store.load().await.unwrap();
    assert_eq!(configuration.accounts, [first.clone(), renamed]);
    assert_eq!(configuration.keys.len(), 4);
    for key in &new.keys {
        let stored = configuration.keys.iter().find(|stored| stored.id == key.id).unwrap();
        assert_eq!((stored.account, stored.livemode, stored.sha256), (first.no, key.livemode, key.sha256));
        assert_eq!(stored.created_at, new.created_at);
    }
}

/// Gone from what is loaded; its number is not given again.
pub async fn a_deleted_account_is_gone_with_its_keys_and_endpoints(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (gone, stays) = (world.lane().await, world.lane().await);
    world.store.delete_account(gone.account.no, deed_at(world.now())).await.unwrap();
    let world = world.reopen().await;
    let configuration = world.store.load().await.unwrap();
    assert_eq!(
        configuration.accounts.iter().map(|account| account.no).collect::<Vec<_>>(),
        [stays.account.no]
    );
    assert!(configuration.keys.iter().all(|key| key.account == stays.account.no));
    assert_eq!(configuration.keys.len(), 2);
    assert_eq!(configuration.endpoints, [stays.endpoint]);
    let next = world.account("Next").await;
    assert!(next.no != gone.account.no && next.no != stays.account.no);
}

fn full_settings() -> EndpointSettings {
    let header = |name: &str, value: &str| CustomHeader {
        name: FieldName::parse(name).unwrap(),
        value: Zeroizing::new(value.to_owned()),
    };
    EndpointSettings {
        subscription: Subscription::parse(&["policy.*", "offer.created"]).unwrap(),
        filter: Some(
            Filter::parse(r#"{"all":[{"path":"/n","at_least":1.10},{"path":"/ä","equals":"'\""}]}"#).unwrap(),
        ),
        description: "A note with \"quotes\"\nand two lines".to_owned(),
        headers: vec![header("SOAPAction", "Bearer a-very-secret-token"), header("x-empty", "")],
        timeout: Duration::from_millis(1_500),
        retry_schedule: Some(RetrySchedule::from_texts(&["1s", "5m", "7d"]).unwrap()),
        rate_limit: Some(RateLimit { per_second: 5, burst: 50 }),
        max_in_flight: 1_000,
        ordered: true,
        standard_webhooks: true,
        ..settings("https://user-visible.example:8443/a%20b?c=d&e=%C3%A4")
    }
}

/// The least and the most that can be set.
pub async fn every_setting_of_an_endpoint_survives(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let account = world.account("Account").await;
    let mut made = Vec::new();
    for (livemode, settings) in [(false, settings("http://10.0.0.1/")), (true, full_settings())] {
        let new = NewEndpoint { settings, ..world.new_endpoint(&account, livemode) };
        let (endpoint, _) = world.store.create_endpoint(new.clone()).await.unwrap();
        let expected = Endpoint {
            no: endpoint.no,
            id: new.id,
            account_no: account.no,
            account: account.id,
            livemode,
            settings: new.settings,
            secrets: Secrets::only(new.secret),
            unreadable: UnreadableValues::default(),
            state: State::Enabled,
            health: Health::default(),
            created_at: new.created_at,
            updated_at: new.created_at,
        };
        assert_eq!(endpoint, expected);
        made.push(endpoint);
    }
    assert_ne!(made[0].no, made[1].no);
    assert_eq!(world.reopen().await.store.load().await.unwrap().endpoints, made);
}

/// Health is written by outcomes, unless it is asked to begin anew.
pub async fn an_update_writes_everything_but_health_and_secrets(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let recent = RecentAttempts::from_text("110").unwrap();
    let health = Health {
        recent,
        last_success_at: Some(world.now()),
        run: Some(FailureRun {
            since: world.now(),
            failures: 3,
            deliveries: [Some(world.delivery_id()), None, None],
            attempts: 3,
            began: ServiceTime::default(),
            latest: ServiceTime::default(),
        }),
        ..Health::default()
    };
    let update = HealthUpdate { endpoint_no: lane.endpoint.no, health, attempts: health.recent, state: None };
    world.store.record(RecordBatch { records: Vec::new(), health: vec![update] }.into()).await.unwrap();

    let mut changed = Endpoint {
        settings: full_settings(),
        state: State::Paused,
        updated_at: world.now(),
        ..lane.endpoint.clone()
    };
    world
        .store
        .update_endpoint(
            &lane.endpoint,
            &changed,
            EndpointUpdate::State { fresh_health: false },
            deed_at(world.now()),
        )
        .await
        .unwrap();
    let stored = world.store.load().await.unwrap().endpoints;
    assert_eq!(stored, [Endpoint { health, ..changed.clone() }]);

    for state in [State::Disabled(DisabledReason::Operator), State::Enabled] {
        let before = changed.clone();
        changed = Endpoint {
            state,
            settings: settings("http://other.example/"),
            updated_at: world.now(),
            ..changed
        };
        world
            .store
            .update_endpoint(
                &before,
                &changed,
                EndpointUpdate::State { fresh_health: true },
                deed_at(world.now()),
            )
            .await
            .unwrap();
        assert_eq!(
            world.store.load().await.unwrap().endpoints,
            [Endpoint { health: health.begin_anew(), ..changed.clone() }]
        );
    }
}

/// A change of settings must not write over a state that the service sets meanwhile.
pub async fn a_change_of_settings_leaves_the_state(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let disabled = HealthUpdate {
        endpoint_no: lane.endpoint.no,
        health: Health::default(),
        attempts: RecentAttempts::default(),
        state: Some(own_change(State::Disabled(DisabledReason::Gone), world.now())),
    };
    world.store.record(RecordBatch { records: Vec::new(), health: vec![disabled] }.into()).await.unwrap();
    let mut patched = lane.endpoint.clone();
    patched.settings.description = "patched".to_owned();
    world
        .store
        .update_endpoint(&lane.endpoint, &patched, EndpointUpdate::Settings, deed_at(world.now()))
        .await
        .unwrap();
    let endpoint = world.reopen().await.store.load().await.unwrap().endpoints.remove(0);
    assert_eq!(endpoint.state, State::Disabled(DisabledReason::Gone));
    assert_eq!(endpoint.settings.description, "patched");
}

/// Whoever read an endpoint before another change was committed must look again, and changes nothing.
pub async fn a_change_that_another_one_has_overtaken_is_refused(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let mut first = lane.endpoint.clone();
    first.settings.description = "first".to_owned();
    let mut second = lane.endpoint.clone();
    second.settings.max_in_flight = 7;
    let update = async |before: &Endpoint, after: &Endpoint, update| {
        world.store.update_endpoint(before, after, update, deed_at(world.now())).await
    };
    let (settings, state) = (EndpointUpdate::Settings, EndpointUpdate::State { fresh_health: false });
    update(&lane.endpoint, &first, settings).await.unwrap();
    assert!(matches!(update(&lane.endpoint, &second, settings).await, Err(StoreError::Conflict(_))));
    let paused = Endpoint { state: State::Paused, ..lane.endpoint.clone() };
    assert!(matches!(update(&lane.endpoint, &paused, state).await, Err(StoreError::Conflict(_))));
    assert_eq!(world.store.load().await.unwrap().endpoints, [first.clone()]);

    // A state that was set meanwhile is no matter for the settings, and one for a state.
    let paused = Endpoint { state: State::Paused, ..first.clone() };
    update(&first, &paused, state).await.unwrap();
    let disabled = Endpoint { state: State::Disabled(DisabledReason::Operator), ..first.clone() };
    assert!(matches!(update(&first, &disabled, state).await, Err(StoreError::Conflict(_))));
    let mut third = first.clone();
    third.settings.max_in_flight = 7;
    update(&first, &third, settings).await.unwrap();
    assert_eq!(world.store.load().await.unwrap().endpoints, [Endpoint { state: State::Paused, ..third }]);
}

/// And what is loaded tells the version that the change gave.
pub async fn each_change_raises_the_version(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let account = world.account("Account").await;
    let beside = world.account("Beside").await;
    let (endpoint, made) = world.endpoint(&account, true).await;
    let updated = world
        .store
        .update_endpoint(
            &endpoint,
            &endpoint,
            EndpointUpdate::State { fresh_health: false },
            deed_at(world.now()),
        )
        .await
        .unwrap();
    let renamed =
        world.store.rename_account(account.no, "Again", deed_at(world.now())).await.unwrap().config_version;
    let deleted = world.store.delete_endpoint(endpoint.no, deed_at(world.now())).await.unwrap();
    let versions = [account.config_version, made, updated, renamed, deleted];
    assert!(versions.is_sorted_by(|earlier, later| earlier < later), "{versions:?}");
    let accounts = world.reopen().await.store.load().await.unwrap().accounts;
    assert_eq!(
        accounts.iter().map(|a| a.config_version).collect::<Vec<_>>(),
        [deleted, beside.config_version]
    );
}

/// `NotFound`, for what never was and for what is deleted.
pub async fn what_is_not_there_cannot_be_changed(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (deleted, other) = (world.lane().await, world.lane().await);
    world.store.delete_account(deleted.account.no, deed_at(world.now())).await.unwrap();
    world.store.delete_endpoint(other.endpoint.no, deed_at(world.now())).await.unwrap();
    let now = world.now();
    for no in [deleted.account.no, AccountNo(1_000)] {
        assert!(matches!(
            world.store.rename_account(no, "x", deed_at(world.now())).await,
            Err(StoreError::NotFound)
        ));
        assert!(matches!(world.store.delete_account(no, deed_at(now)).await, Err(StoreError::NotFound)));
        let new = NewEndpoint { account_no: no, ..world.new_endpoint(&deleted.account, true) };
        assert!(matches!(world.store.create_endpoint(new).await, Err(StoreError::NotFound)));
    }
    for endpoint in
        [&deleted.endpoint, &other.endpoint, &Endpoint { no: EndpointNo(1_000), ..other.endpoint.clone() }]
    {
        assert!(matches!(
            world
                .store
                .update_endpoint(
                    endpoint,
                    endpoint,
                    EndpointUpdate::State { fresh_health: true },
                    deed_at(world.now())
                )
                .await,
            Err(StoreError::NotFound)
        ));
        assert!(matches!(
            world.store.delete_endpoint(endpoint.no, deed_at(now)).await,
            Err(StoreError::NotFound)
        ));
        let cancelled = world
            .store
            .cancel_pending(endpoint.no, postrider_core::delivery::CancelReason::EndpointDeleted, now, 5)
            .await;
        assert_eq!(cancelled.unwrap(), 0);
    }
}

/// `Conflict` at the limit; a deleted one makes room.
pub async fn an_account_has_so_many_endpoints_and_no_more(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let account = world.account("Account").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..=MAX_ENDPOINTS_PER_ACCOUNT {
        let (store, new) = (Arc::clone(&world.store), world.new_endpoint(&account, true));
        tasks.spawn(async move { store.create_endpoint(new).await });
    }
    let results = tasks.join_all().await;
    let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(matches!(refused[..], [StoreError::Conflict(_)]), "{refused:?}");
    let endpoints = world.store.load().await.unwrap().endpoints;
    assert_eq!(endpoints.len(), MAX_ENDPOINTS_PER_ACCOUNT);
    world.store.delete_endpoint(endpoints[0].no, deed_at(world.now())).await.unwrap();
    world.endpoint(&account, true).await;
    let another = world.account("Another").await;
    world.endpoint(&another, true).await;
}

/// Changes that are made together are refused one by one.
pub async fn a_refused_change_hurts_nobody_else(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let mut twin = NewAccount {
        id: lane.account.id,
        name: "Twin".to_owned(),
        created_at: world.now(),
        keys: vec![world.key(true)],
        deed: deed_at(world.now()),
        keep: None,
    };
    let twin_key = twin.keys[0].sha256;
    let new = world.event(&lane, "{}");
    let (refused, made, renamed, accepted, missing) = tokio::join!(
        world.store.create_account(twin.clone()),
        world.account("Made"),
        world.store.rename_account(world.account("Before").await.no, "After", deed_at(world.now())),
        world.store.accept(vec![new]),
        world.store.delete_endpoint(EndpointNo(1_000), deed_at(world.now())),
    );
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert!(matches!(missing, Err(StoreError::NotFound)));
    assert_eq!((renamed.unwrap().name.as_str(), accepted.unwrap().len()), ("After", 1));
    let configuration = world.store.load().await.unwrap();
    assert!(configuration.accounts.contains(&made));
    assert!(configuration.accounts.iter().all(|account| account.name != "Twin"));
    assert!(configuration.keys.iter().all(|key| key.sha256 != twin_key));
    // What failed half-way has left nothing in the way of another try.
    twin.id = world.account_id();
    world.store.create_account(twin.clone()).await.unwrap();
    twin.id = world.account_id();
    assert!(matches!(world.store.create_account(twin).await, Err(StoreError::Conflict(_))));
    assert_eq!(world.store.load().await.unwrap().accounts.len(), configuration.accounts.len() + 1);
}

/// `None` at first, then the first one that was stored, whatever comes later.
pub async fn the_operator_key_is_remembered(backend: &dyn Backend) {
    let world = World::new(backend).await;
    assert_eq!(world.store.operator_key().await.unwrap(), None);
    assert_eq!(world.store.init_operator_key([7; 32]).await.unwrap(), [7; 32]);
    let world = world.reopen().await;
    assert_eq!(world.store.operator_key().await.unwrap(), Some([7; 32]));
    assert_eq!(world.store.init_operator_key([8; 32]).await.unwrap(), [7; 32]);
    assert_eq!(world.store.operator_key().await.unwrap(), Some([7; 32]));
}

/// Asked as often as one likes; and a closed store says that it is unavailable instead of waiting.
pub async fn a_healthy_store_can_be_written(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    for _ in 0..3 {
        world.store.check_writable().await.unwrap();
        let nothing = world.store.backlogs().await.unwrap();
        assert!(nothing.is_empty(), "what was tried is taken back: {nothing:?}");
    }
    world.store.close().await;
    world.store.close().await;
    assert!(matches!(world.store.check_writable().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(world.store.load().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(
        world.store.record(RecordBatch::default().into()).await,
        Err(StoreError::Unavailable(_))
    ));
    let new = world.event(&lane, "{}");
    assert!(matches!(world.try_accept(new).await, Err(crate::AcceptError::Unavailable(_))));
}
