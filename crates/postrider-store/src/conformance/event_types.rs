//! Event types: what is written is what is loaded, and no change is lost under another.

use postrider_core::audit::{Action, Deed};
use postrider_core::catalogue::Definition;
use postrider_core::limits::MAX_CUSTOM_EVENT_TYPES;

use super::Backend;
use super::world::{World, deed_at};
use crate::StoreError;
use crate::model::event_types::{EventTypeChange, NewEventType};
use crate::model::{AuditFilter, PageRequest};

fn definition(world: &World<'_>, name: &str) -> Definition {
    let now = world.now();
    Definition {
        name: name.to_owned(),
        description: None,
        schema: None,
        example: None,
        validation: true,
        archived: false,
        created_at: now,
        updated_at: now,
    }
}

pub(crate) fn new(world: &World<'_>, name: &str) -> NewEventType {
    let definition = definition(world, name);
    let deed = Deed { action: Action::EventTypeCreated, target: name.to_owned(), ..deed_at(world.now()) };
    NewEventType { definition, deed, keep: None }
}

fn change(world: &World<'_>, before: Option<Definition>, after: Definition) -> EventTypeChange {
    let deed = Deed { action: Action::EventTypeUpdated, ..deed_at(world.now()) };
    EventTypeChange { before, after, deed }
}

async fn stored(world: &World<'_>) -> Vec<Definition> {
    let loaded = world.store.load().await.unwrap().event_types;
    assert_eq!(world.store.event_types().await.unwrap(), loaded);
    loaded
}

/// Byte for byte, in the order of their names.
pub async fn event_types_survive_with_every_field(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let full = Definition {
        description: Some("Ünïcode & \"quotes\"\nand two lines".to_owned()),
        schema: Some(" {\"type\" :\t\"object\", \"x\": 1.10, \"\\u0000\": \"\\ud800\"}".to_owned()),
        example: Some("{\"n\": 123456789012345678901234567890, \"n\": 1E400}".to_owned()),
        validation: false,
        archived: true,
        ..definition(&world, "claim.opened")
    };
    let plain = definition(&world, "a-Plain_1");
    for definition in [&full, &plain] {
        let new = NewEventType { definition: definition.clone(), ..new(&world, &definition.name) };
        world.store.create_event_type(new).await.unwrap();
    }
    let world = world.reopen().await;
    assert_eq!(stored(&world).await, [plain, full]);
}

/// Custom ones and those that come with the service, which have no row until then.
pub async fn event_types_change_only_from_what_they_were(backend: &dyn Backend) {
    let world = World::new(backend).await;
    world.store.create_event_type(new(&world, "claim.opened")).await.unwrap();
    let before = stored(&world).await.remove(0);
    let after = Definition {
        description: Some("New.".to_owned()),
        schema: Some("true".to_owned()),
        example: Some("{}".to_owned()),
        validation: false,
        archived: true,
        updated_at: world.now(),
        ..before.clone()
    };
    let store = &world.store;
    store.change_event_type(change(&world, Some(before.clone()), after.clone())).await.unwrap();
    assert_eq!(stored(&world).await, std::slice::from_ref(&after));
    for stale in [Some(before), None] {
        let back = Definition { archived: false, ..after.clone() };
        let refused = store.change_event_type(change(&world, stale, back)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    let missing = definition(&world, "no.such");
    let refused = store.change_event_type(change(&world, Some(missing.clone()), missing)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");

    let built_in = Definition { archived: true, ..definition(&world, "policy.created") };
    store.change_event_type(change(&world, None, built_in.clone())).await.unwrap();
    let again = store.change_event_type(change(&world, None, built_in.clone())).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert_eq!(stored(&world.reopen().await).await, [after, built_in]);
}

/// Changed ones that come with the service are not counted.
pub async fn there_are_so_many_event_types_and_no_more(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let built_in = definition(&world, "policy.created");
    world.store.change_event_type(change(&world, None, built_in)).await.unwrap();
    for number in 0..MAX_CUSTOM_EVENT_TYPES {
        world.store.create_event_type(new(&world, &format!("n{number}"))).await.unwrap();
    }
    for name in ["one.more", "n7"] {
        let refused = world.store.create_event_type(new(&world, name)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(stored(&world).await.len(), MAX_CUSTOM_EVENT_TYPES + 1);
}

/// And what is refused none.
pub async fn every_change_of_an_event_type_leaves_one_entry(backend: &dyn Backend) {
    let world = World::new(backend).await;
    world.store.create_event_type(new(&world, "claim.opened")).await.unwrap();
    let twice = world.store.create_event_type(new(&world, "claim.opened")).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    let before = stored(&world).await.remove(0);
    let after = Definition { archived: true, ..before.clone() };
    world.store.change_event_type(change(&world, Some(before.clone()), after.clone())).await.unwrap();
    let stale = world.store.change_event_type(change(&world, Some(before), after)).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
    let page = PageRequest { limit: 250, before: None };
    let entries = world.store.audit(AuditFilter::default(), page).await.unwrap().rows;
    let actions: Vec<_> = entries.iter().map(|entry| Action::from_text(&entry.action)).collect();
    assert_eq!(actions, [Some(Action::EventTypeUpdated), Some(Action::EventTypeCreated)]);
    assert_eq!(entries[1].target, "claim.opened");
}
