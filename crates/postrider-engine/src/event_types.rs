//! Use cases about event types. Each change is judged and committed first, then seen by whoever hands events in.

use std::sync::Arc;

use postrider_core::audit::{Action, Deed, Who};
use postrider_core::catalogue::{Catalogue, Definition, EventType, TypePatch, TypeRefused};
use postrider_core::id::AccountId;
use postrider_store::StoreError;
use postrider_store::model::event_types::{EventTypeChange, NewEventType};

use crate::going_on::finish_what_began;
use crate::model::EventTypeDraft;
use crate::once::Once;
use crate::{Acting, Engine, EngineError, Inner};

impl Engine {
    /// Every event type, as they stand at this moment.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(self.0.snapshot.load().catalogue())
    }
}

impl Acting {
    /// Adds a custom event type; events of it are taken from now on.
    ///
    /// `Invalid` where something about it can't be so, `Conflict` where there is one of this name or as many as there may
    /// be, `AnsweredBefore` where an earlier call with the same idempotency key was answered.
    pub async fn create_event_type(
        &self,
        draft: EventTypeDraft,
        once: Option<Once<EventType>>,
    ) -> Result<Arc<EventType>, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move { inner.create_event_type(draft, once, who).await }).await
    }

    /// Changes an event type; the next event is judged by it. Asking for what is already so changes nothing.
    ///
    /// `NotFound` where there is none of this name, `Invalid` where something can't be so, `Conflict` where it is one that
    /// the service raises itself, or where somebody else changed it at the same moment.
    pub async fn update_event_type(
        &self,
        name: &str,
        patch: TypePatch,
    ) -> Result<Arc<EventType>, EngineError> {
        let (inner, who, name) = (self.0.clone(), self.who, name.to_owned());
        finish_what_began(async move { inner.update_event_type(&name, patch, who).await }).await
    }
}

impl Inner {
    async fn create_event_type(
        &self,
        draft: EventTypeDraft,
        once: Option<Once<EventType>>,
        who: Who,
    ) -> Result<Arc<EventType>, EngineError> {
        let _changing = self.changes.lock().await;
        let catalogue = self.newest_catalogue().await?;
        let now = self.now();
        let EventTypeDraft { name, description, schema, example, validation } = draft;
        let (archived, created_at, updated_at) = (false, now, now);
        let definition =
            Definition { name, description, schema, example, validation, archived, created_at, updated_at };
        let for_store = definition.clone();
        let made = judging(move || catalogue.judge_new(definition)).await?;
        let keep = once.map(|once| Box::new(once.keep(&*made, self.time_for_ages())));
        let deed = who.did(Action::EventTypeCreated, AccountId::OPERATOR, made.name(), now);
        self.store.create_event_type(NewEventType { definition: for_store, deed, keep }).await?;
        self.change_snapshot(|snapshot| snapshot.put_event_type(Arc::clone(&made)));
        Ok(made)
    }

    async fn update_event_type(
        &self,
        name: &str,
        patch: TypePatch,
        who: Who,
    ) -> Result<Arc<EventType>, EngineError> {
        let _changing = self.changes.lock().await;
        let before = self.newest_catalogue().await?.get(name).cloned().ok_or(EngineError::NotFound)?;
        let now = self.now();
        let known = Arc::clone(&before);
        let after = judging(move || known.changed(patch, now)).await?;
        let fields = before.fields_changed_in(&after);
        let Some(definition) = after.definition().filter(|_| !fields.is_empty()) else { return Ok(before) };
        let deed = who.did(Action::EventTypeUpdated, AccountId::OPERATOR, name, now);
        let change = EventTypeChange {
            before: before.definition().cloned(),
            after: definition.clone(),
            deed: Deed { fields, ..deed },
        };
        self.store.change_event_type(change).await?;
        self.change_snapshot(|snapshot| snapshot.put_event_type(Arc::clone(&after)));
        Ok(after)
    }

    /// What a change begins with: other nodes' changes may not be known here yet. Call only under `changes`.
    async fn newest_catalogue(&self) -> Result<Arc<Catalogue>, StoreError> {
        if self.store.is_shared() {
            self.replace_event_types().await?;
        }
        Ok(Arc::clone(self.snapshot.load().catalogue()))
    }

    /// Reads the event types again, which another node has changed.
    pub(crate) async fn read_event_types_again(&self) -> Result<(), StoreError> {
        let _changing = self.changes.lock().await;
        self.replace_event_types().await
    }

    async fn replace_event_types(&self) -> Result<(), StoreError> {
        let definitions = self.store.event_types().await?;
        let known = Arc::clone(self.snapshot.load().catalogue());
        let read = tokio::task::spawn_blocking(move || known.read_again(definitions)).await;
        let (catalogue, left_out) = read.map_err(|broke_off| StoreError::Unavailable(Box::new(broke_off)))?;
        self.change_snapshot(|snapshot| snapshot.replace_event_types(catalogue, left_out));
        Ok(())
    }
}

/// Judges a type where that holds up nobody: a schema can take a while to compile.
async fn judging(
    judge: impl FnOnce() -> Result<EventType, TypeRefused> + Send + 'static,
) -> Result<Arc<EventType>, EngineError> {
    let judged = tokio::task::spawn_blocking(judge).await;
    let judged = judged.map_err(|broke_off| EngineError::Unavailable(Box::new(broke_off)))?;
    judged.map(Arc::new).map_err(|refused| match refused {
        TypeRefused::IsThere => EngineError::Conflict("there is an event type of this name already"),
        TypeRefused::Full => {
            EngineError::Conflict("the catalogue has as many custom event types as it may have")
        }
        TypeRefused::IsTheServices => {
            EngineError::Conflict("the service raises events of this type itself; it can't be changed")
        }
        TypeRefused::Faults(faults) => EngineError::Invalid(faults),
    })
}
