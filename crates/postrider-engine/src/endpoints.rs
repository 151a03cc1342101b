//! Use cases about endpoints. Each change is committed first, then seen by matching, then by the lane.

use std::sync::Arc;

use postrider_core::audit::{Action, Deed, Who};
use postrider_core::endpoint::{
    DisabledReason, Endpoint, EndpointNo, EndpointSettings, State, UnreadableValues,
};
use postrider_core::health::Health;
use postrider_core::id::EndpointId;
use postrider_core::operational::Operational;
use postrider_core::secret::Secrets;
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use postrider_store::model::{EndpointUpdate, NewEndpoint, Page, PageRequest};

use crate::config::{CHANGE_TRIES, STATE_WAIT};
use crate::going_on::finish_what_began;
use crate::model::{EndpointDraft, EndpointFilter, EndpointPatch, EndpointView, StateChange};
use crate::once::{self, Once};
use crate::{Acting, Engine, EngineError, Inner};

impl Engine {
    /// Endpoints, newest first.
    pub fn endpoints(&self, filter: EndpointFilter, page: PageRequest) -> Page<EndpointView> {
        let snapshot = self.0.snapshot.load();
        let mut rows: Vec<EndpointView> = snapshot
            .endpoints_before(page.before, filter.account)
            .filter(|endpoint| filter.livemode.is_none_or(|livemode| livemode == endpoint.livemode))
            .map(|endpoint| self.0.view(endpoint))
            .filter(|view| filter.state.is_none_or(|state| state == view.state.as_str()))
            .take(page.limit + 1)
            .collect();
        let more = rows.len() > page.limit;
        rows.truncate(page.limit);
        let next = rows.last().filter(|_| more).map(|last| last.endpoint.no.0);
        Page { rows, next }
    }

    /// An endpoint.
    pub fn endpoint(&self, id: EndpointId) -> Result<EndpointView, EngineError> {
        Ok(self.0.view(&self.0.find_endpoint(id)?))
    }
}

impl Acting {
    /// Makes an endpoint; events accepted from now on meet it.
    pub async fn create_endpoint(&self, draft: EndpointDraft) -> Result<EndpointView, EngineError> {
        self.create_endpoint_once(draft, None).await
    }

    /// The same, once for each idempotency key: `AnsweredBefore` where an earlier call was answered.
    pub async fn create_endpoint_once(
        &self,
        draft: EndpointDraft,
        once: Option<Once<EndpointView>>,
    ) -> Result<EndpointView, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move { inner.create_endpoint(draft, once, who).await }).await
    }

    /// Changes an endpoint; the next attempt goes by it. `Conflict` where others change it again and again meanwhile.
    pub async fn update_endpoint(
        &self,
        id: EndpointId,
        patch: EndpointPatch,
    ) -> Result<EndpointView, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move { inner.update_endpoint(id, patch, who).await }).await
    }

    /// Deletes an endpoint; what is pending is cancelled, the log stays.
    pub async fn delete_endpoint(&self, id: EndpointId) -> Result<(), EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move {
            let _changing = inner.changes.lock().await;
            let endpoint = inner.find_endpoint(id)?;
            let deed = who.did(Action::EndpointDeleted, endpoint.account, id, inner.now());
            let version = inner.store.delete_endpoint(endpoint.no, deed).await?;
            inner.change_snapshot(|snapshot| snapshot.remove_endpoint(&endpoint, version));
            inner.lanes().remove(endpoint.no);
            inner.cancel.notify_one();
            Ok(())
        })
        .await
    }

    /// Pauses, resumes, enables or disables an endpoint. Asking for what is already so changes nothing.
    pub async fn change_state(
        &self,
        id: EndpointId,
        change: StateChange,
    ) -> Result<EndpointView, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move { inner.change_state(id, change, who).await }).await
    }
}

impl Inner {
    pub(crate) fn find_endpoint(&self, id: EndpointId) -> Result<Arc<Endpoint>, EngineError> {
        self.snapshot.load().endpoint(id).cloned().ok_or(EngineError::NotFound)
    }

    /// An endpoint as it stands: settings from the configuration, the rest from its lane.
    pub(crate) fn view(&self, endpoint: &Arc<Endpoint>) -> EndpointView {
        let endpoint = endpoint.clone();
        match self.lanes().view(endpoint.no) {
            Some(lane) => {
                EndpointView { endpoint, state: lane.state, health: lane.health, backlog: lane.backlog }
            }
            None => EndpointView { state: endpoint.state, health: endpoint.health, backlog: 0, endpoint },
        }
    }

    async fn create_endpoint(
        &self,
        draft: EndpointDraft,
        once: Option<Once<EndpointView>>,
        who: Who,
    ) -> Result<EndpointView, EngineError> {
        let EndpointDraft { account, livemode, settings, secret } = draft;
        let secret = secret.unwrap_or_else(|| self.generate_secret());
        let now = self.now();
        check_secrets_fit(&settings, &Secrets::only(secret.clone()), now)?;
        let _changing = self.changes.lock().await;
        let snapshot = self.snapshot.load_full();
        let entry = snapshot.account(account).ok_or(EngineError::NotFound)?;
        entry.check_filters_fit(None, settings.filter.as_ref())?;
        let account_no = entry.account.no;
        let id = EndpointId::new(now, self.chance.bits());
        let keep = once::keep(once.as_ref(), self.time_for_ages(), || {
            let endpoint = Endpoint {
                no: EndpointNo(0),
                id,
                account_no,
                account,
                livemode,
                settings: settings.clone(),
                secrets: Secrets::only(secret.clone()),
                unreadable: UnreadableValues::default(),
                state: State::Enabled,
                health: Health::default(),
                created_at: now,
                updated_at: now,
            };
            EndpointView {
                state: endpoint.state,
                health: endpoint.health,
                backlog: 0,
                endpoint: endpoint.into(),
            }
        });
        let deed = who.did(Action::EndpointCreated, account, id, now);
        let new = NewEndpoint { id, account_no, livemode, settings, secret, created_at: now, deed, keep };
        let (endpoint, version) = self.store.create_endpoint(new).await?;
        let endpoint = Arc::new(endpoint);
        // The lane comes first: an event that is matched by the new configuration must find it.
        self.lanes().configure(endpoint.clone(), now);
        self.change_snapshot(|snapshot| snapshot.put_endpoint(endpoint.clone(), version));
        Ok(self.view(&endpoint))
    }

    /// Applies a patch to the endpoint as it is; where another node changes it meanwhile, to what that one made of it.
    async fn update_endpoint(
        self: &Arc<Self>,
        id: EndpointId,
        patch: EndpointPatch,
        who: Who,
    ) -> Result<EndpointView, EngineError> {
        let changing = self.changes.lock().await;
        for _ in 0..CHANGE_TRIES {
            let before = self.find_endpoint(id)?;
            let mut after = Endpoint::clone(&before);
            after.unreadable.headers &= patch.headers.is_none();
            apply(&mut after.settings, patch.clone());
            after.updated_at = self.now();
            if !after.unreadable.secret {
                check_secrets_fit(&after.settings, &after.secrets, after.updated_at)?;
            }
            if let Some(entry) = self.snapshot.load().account(after.account) {
                entry.check_filters_fit(before.settings.filter.as_ref(), after.settings.filter.as_ref())?;
            }
            let deed = who.did(Action::EndpointUpdated, after.account, after.id, after.updated_at);
            let deed = Deed { fields: changed_fields(&before.settings, &after.settings), ..deed };
            match self.store.update_endpoint(&before, &after, EndpointUpdate::Settings, deed).await {
                Err(StoreError::Conflict(_)) => self.read_changed(&changing, before.account_no).await?,
                updated => {
                    let view = self.adopt_settings(after, updated?);
                    // With another URL other values may open: the store alone can tell.
                    if !before.is_readable() {
                        self.read_changed(&changing, before.account_no).await?;
                        return Ok(self.view(&self.find_endpoint(id)?));
                    }
                    return Ok(view);
                }
            }
        }
        Err(EngineError::Conflict(KEEPS_CHANGING))
    }

    async fn change_state(
        self: &Arc<Self>,
        id: EndpointId,
        change: StateChange,
        who: Who,
    ) -> Result<EndpointView, EngineError> {
        let changing = self.changes.lock().await;
        let mut wrote = None;
        for _ in 0..CHANGE_TRIES {
            let known = self.find_endpoint(id)?;
            let no = known.no;
            // The service changes states too: it must have committed its own before, so that this is the last word.
            self.until_state_is_recorded(no).await?;
            let found = self.view(&known).state;
            let wanted = following_state(change, found);
            let (state, fresh_health) = match wanted {
                Ok(Some(new)) => new,
                // What an earlier round wrote is not what holds.
                Ok(None) | Err(_) if wrote.is_some_and(|wrote| wrote != found) => (found, false),
                Ok(None) => return Ok(self.view(&known)),
                Err(conflict) => return Err(conflict),
            };
            let now = self.now();
            let before = Endpoint { state: found, ..Endpoint::clone(&known) };
            let endpoint = Endpoint { state, updated_at: now, ..before.clone() };
            let deed = who.did(action_of(change), endpoint.account, id, now);
            let update = EndpointUpdate::State { fresh_health };
            let version = match self.store.update_endpoint(&before, &endpoint, update, deed).await {
                Err(StoreError::Conflict(_)) => {
                    self.read_changed(&changing, endpoint.account_no).await?;
                    continue;
                }
                updated => updated?,
            };
            wrote = Some(state);
            let endpoint = Arc::new(endpoint);
            self.change_snapshot(|snapshot| snapshot.put_endpoint(endpoint.clone(), version));
            {
                let mut lanes = self.lanes();
                if lanes.view(no).is_some_and(|lane| lane.state != found) {
                    // The service changed it during the commit: decided again.
                    continue;
                }
                lanes.configure(endpoint.clone(), now);
                if state != found {
                    lanes.set_state(no, state, fresh_health, now);
                }
            }
            wanted?;
            if change == StateChange::Disable && state != found {
                self.announce(&endpoint, Operational::EndpointDisabled);
            }
            self.pump();
            return Ok(self.view(&endpoint));
        }
        Err(EngineError::Conflict(KEEPS_CHANGING))
    }

    /// Waits until the store knows what the service itself made of an endpoint's state.
    async fn until_state_is_recorded(&self, no: EndpointNo) -> Result<(), EngineError> {
        let is_recorded = async {
            loop {
                let recorded = self.recorded.notified();
                if self.lanes().is_state_recorded(no) {
                    return;
                }
                recorded.await;
            }
        };
        let waited = tokio::time::timeout(STATE_WAIT, is_recorded).await;
        waited.map_err(|elapsed| EngineError::Unavailable(Box::new(elapsed)))
    }

    /// Tells matching and the lane of changed settings, which are committed.
    fn adopt_settings(self: &Arc<Self>, endpoint: Endpoint, version: i64) -> EndpointView {
        let endpoint = Arc::new(endpoint);
        self.change_snapshot(|snapshot| snapshot.put_endpoint(endpoint.clone(), version));
        self.lanes().configure(endpoint.clone(), self.now());
        self.pump();
        self.view(&endpoint)
    }
}

/// Why a change is given up.
const KEEPS_CHANGING: &str =
    "the endpoint is being changed by others again and again; repeat the change in a moment";

/// What a change by hand makes of a state, and whether health begins anew; none where it is so already.
fn following_state(change: StateChange, found: State) -> Result<Option<(State, bool)>, EngineError> {
    match (change, found) {
        (StateChange::Pause, State::Enabled) => Ok(Some((State::Paused, false))),
        (StateChange::Resume, State::Paused) => Ok(Some((State::Enabled, false))),
        (StateChange::Enable, State::Paused | State::Disabled(_)) => Ok(Some((State::Enabled, true))),
        (StateChange::Disable, State::Enabled | State::Paused) => {
            Ok(Some((State::Disabled(DisabledReason::Operator), false)))
        }
        (StateChange::Pause | StateChange::Resume, State::Disabled(_)) => {
            Err(EngineError::Conflict("the endpoint is disabled; enable it first"))
        }
        (StateChange::Pause, State::Paused)
        | (StateChange::Resume | StateChange::Enable, State::Enabled)
        | (StateChange::Disable, State::Disabled(_)) => Ok(None),
    }
}

fn action_of(change: StateChange) -> Action {
    match change {
        StateChange::Pause => Action::EndpointPaused,
        StateChange::Resume => Action::EndpointResumed,
        StateChange::Enable => Action::EndpointEnabled,
        StateChange::Disable => Action::EndpointDisabled,
    }
}

/// The names of the settings that differ, as in the API.
fn changed_fields(before: &EndpointSettings, after: &EndpointSettings) -> Vec<&'static str> {
    let EndpointSettings {
        url,
        subscription,
        filter,
        description,
        headers,
        timeout,
        retry_schedule,
        rate_limit,
        max_in_flight,
        ordered,
        standard_webhooks,
    } = before;
    let all = [
        ("url", *url != after.url),
        ("event_types", *subscription != after.subscription),
        ("filter", *filter != after.filter),
        ("description", *description != after.description),
        ("headers", *headers != after.headers),
        ("timeout_ms", *timeout != after.timeout),
        ("retry_schedule", *retry_schedule != after.retry_schedule),
        ("rate_limit", *rate_limit != after.rate_limit),
        ("max_in_flight", *max_in_flight != after.max_in_flight),
        ("ordered", *ordered != after.ordered),
        ("standard_webhooks", *standard_webhooks != after.standard_webhooks),
    ];
    all.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
}

fn apply(settings: &mut EndpointSettings, patch: EndpointPatch) {
    fn set<T>(field: &mut T, new: Option<T>) {
        if let Some(new) = new {
            *field = new;
        }
    }
    set(&mut settings.url, patch.url);
    set(&mut settings.subscription, patch.subscription);
    set(&mut settings.filter, patch.filter);
    set(&mut settings.description, patch.description);
    set(&mut settings.headers, patch.headers);
    set(&mut settings.timeout, patch.timeout);
    set(&mut settings.retry_schedule, patch.retry_schedule);
    set(&mut settings.rate_limit, patch.rate_limit);
    set(&mut settings.max_in_flight, patch.max_in_flight);
    set(&mut settings.ordered, patch.ordered);
    set(&mut settings.standard_webhooks, patch.standard_webhooks);
}

/// Standard Webhooks needs secrets that hold a key of its own kind.
fn check_secrets_fit(
    settings: &EndpointSettings,
    secrets: &Secrets,
    now: Timestamp,
) -> Result<(), EngineError> {
    match secrets.check_standard_webhooks(now) {
        Err(why) if settings.standard_webhooks => {
            Err(EngineError::Refused { field: "standard_webhooks", detail: why.to_string() })
        }
        _ => Ok(()),
    }
}
