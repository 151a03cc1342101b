//! Sending an endpoint an example, so that its owner sees whether it receives.

use std::sync::Arc;

use bytes::Bytes;
use postrider_core::audit::Action;
use postrider_core::catalogue::{EventType, RaisedBy};
use postrider_core::endpoint::{Endpoint, State};
use postrider_core::id::{AccountId, EndpointId};

use crate::going_on::finish_what_began;
use crate::ingest::Ingest;
use crate::model::{Accepted, Submission};
use crate::once::Once;
use crate::{Acting, EngineError, Requester};

impl Acting {
    /// Queues the example of an event type, in the endpoint's mode, to this endpoint alone, whatever it subscribed. Without
    /// a name it is the first type that it subscribed. Gives what was handed in, and what was made of it.
    ///
    /// `Conflict` where the endpoint is disabled, `Refused` where there is no such type, or none that can be sent. `once` is told what is handed in.
    pub async fn send_test(
        &self,
        id: EndpointId,
        event_type: Option<&str>,
        once: impl FnOnce(&Submission) -> Option<Once<[Accepted]>>,
    ) -> Result<(Submission, Accepted), EngineError> {
        let view = self.endpoint(id)?;
        let endpoint = &view.endpoint;
        if matches!(view.state, State::Disabled(_)) {
            return Err(EngineError::Conflict("the endpoint is disabled; enable it first"));
        }
        if self.is_stopping() {
            return Err(EngineError::ShuttingDown);
        }
        let (event_type, example) = self.type_to_test(endpoint, event_type)?;
        // An example is valid by its schema; that it has a mode which is not the endpoint's can still be.
        let requester = Requester::Account(endpoint.account);
        let checked = self.check_payload(requester, &event_type, &example, Some(endpoint.livemode)).await?;
        let livemode = checked.map_err(|refused| {
            let faults = refused.into_violations();
            let why =
                faults.first().map(|fault| format!("{} {}", fault.pointer, fault.detail)).unwrap_or_default();
            let detail = format!("the example of \"{}\" can't be sent: {why}", event_type.name());
            EngineError::Refused { field: "event_type", detail }
        })?;
        let submission =
            Submission { account: endpoint.account, event_type, livemode, payload: Bytes::from(example) };
        self.note(Action::EndpointTested, endpoint.account, id).await?;
        let (inner, handed_in) = (self.0.clone(), submission.clone());
        let how = Ingest { only: Some(id), once: once(&submission), origin: None };
        let accepted = finish_what_began(async move { inner.ingest_to(vec![handed_in], how).await }).await?;
        let accepted = accepted.into_iter().next().ok_or(EngineError::NotFound)?;
        Ok((submission, accepted))
    }

    /// The type that is sent, and its example.
    fn type_to_test(
        &self,
        endpoint: &Endpoint,
        name: Option<&str>,
    ) -> Result<(Arc<EventType>, String), EngineError> {
        let is_operators = endpoint.account == AccountId::OPERATOR;
        let raised_by = if is_operators { RaisedBy::Service } else { RaisedBy::Platform };
        let catalogue = self.catalogue();
        let mut fitting = catalogue.all().iter().filter(|known| known.raised_by() == raised_by);
        let subscription = &endpoint.settings.subscription;
        let found = match name {
            Some(name) => fitting.find(|known| known.name() == name),
            None => {
                let mut sendable = fitting.filter(|known| !known.is_archived() && known.example().is_some());
                let wanted = sendable.clone().find(|known| subscription.matches(known.name()));
                wanted.or_else(|| sendable.next())
            }
        };
        let refuse = |detail: String| EngineError::Refused { field: "event_type", detail };
        let known =
            found.ok_or_else(|| refuse("is no event type that can be sent to this endpoint".to_owned()))?;
        if known.is_archived() {
            return Err(refuse(format!("\"{}\" is archived: no new events of it are taken", known.name())));
        }
        let example = known.example_in_mode(endpoint.livemode).ok_or_else(|| {
            refuse(format!("\"{}\" has no example that could be sent; give the event type one", known.name()))
        })?;
        Ok((Arc::clone(known), example))
    }
}
