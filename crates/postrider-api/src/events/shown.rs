//! Events as the wire shows them.

use std::sync::Arc;

use postrider_core::event::Event;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_engine::model::{Accepted, Submission};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::{Text, Time};
use crate::event_types::exact;
use crate::problem::{Code, Problem};

/// An event in a list, or alone with its payload.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: Text<EventId>,
    account: Text<AccountId>,
    r#type: &'a str,
    livemode: bool,
    created_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(event: &'a Event, payload: Option<&'a RawValue>) -> Self {
        Self {
            id: Text(event.id),
            account: Text(event.account),
            r#type: &event.event_type,
            livemode: event.livemode,
            created_at: Text(event.created_at),
            payload,
        }
    }
}

/// An event's payload, to stand within an answer byte for byte.
pub(super) fn payload(event: &Event) -> Result<&RawValue, Problem> {
    let text = std::str::from_utf8(&event.payload);
    exact(text.map_err(|_not_text| Problem::new(Code::Internal, "what is stored here is not text"))?)
}

/// What an answer repeats of a submission, which is on its way into the store by then.
#[derive(Clone)]
pub(crate) struct About {
    account: AccountId,
    event_type: Arc<str>,
    livemode: bool,
}

impl About {
    pub(crate) fn of(submission: &Submission) -> Self {
        let Submission { account, event_type, livemode, .. } = submission;
        Self { account: *account, event_type: event_type.shared_name(), livemode: *livemode }
    }
}

/// What was made of one submission.
#[derive(Serialize)]
pub(crate) struct AcceptedShown<'a> {
    id: Text<EventId>,
    account: Text<AccountId>,
    r#type: &'a str,
    livemode: bool,
    created_at: Time,
    deliveries: Vec<Bound>,
}

#[derive(Serialize)]
struct Bound {
    id: Text<DeliveryId>,
    endpoint: Text<EndpointId>,
}

impl<'a> AcceptedShown<'a> {
    pub(crate) fn new(about: &'a About, accepted: &Accepted) -> Self {
        let bound =
            |(id, endpoint): &(DeliveryId, EndpointId)| Bound { id: Text(*id), endpoint: Text(*endpoint) };
        Self {
            id: Text(accepted.id),
            account: Text(about.account),
            r#type: &about.event_type,
            livemode: about.livemode,
            created_at: Text(accepted.created_at),
            deliveries: accepted.deliveries.iter().map(bound).collect(),
        }
    }
}

/// What was made of a batch, in its order.
#[derive(Serialize)]
pub(super) struct Results<'a> {
    pub(super) results: Vec<AcceptedShown<'a>>,
}
