//! Operational events: what the operator is told about endpoints and deliveries, as payloads of events like any other.
//!
//! Only the payloads are made here. They go to the endpoints of [`AccountId::OPERATOR`] and to no customer; that
//! account's own endpoints raise none, so there is no loop.

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, State};
use crate::health::Health;
use crate::id::{AccountId, DeliveryId, EventId};
use crate::time::Timestamp;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operational {
    /// An endpoint began to fail.
    EndpointFailing,
    /// A failing endpoint received something again.
    EndpointRecovered,
    /// An endpoint was disabled.
    EndpointDisabled,
    /// Deliveries of an endpoint used up their attempts.
    DeliveryExhausted {
        /// The last of them.
        delivery: DeliveryId,
        /// Its event.
        event: EventId,
        /// Its event's type.
        event_type: String,
        /// How many requests were made for it.
        attempts: u32,
        /// How many there were since this was last said about the endpoint.
        count: u64,
    },
}

impl Operational {
    /// The event type's name.
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::EndpointFailing => "endpoint.failing",
            Self::EndpointRecovered => "endpoint.recovered",
            Self::EndpointDisabled => "endpoint.disabled",
            Self::DeliveryExhausted { .. } => "delivery.exhausted",
        }
    }

    /// The payload: what happened to `endpoint`, which stands as `state` and `health` say.
    pub fn payload(&self, endpoint: &Endpoint, state: State, health: &Health, at: Timestamp) -> String {
        let mut payload = json!({
            "livemode": endpoint.livemode,
            "account": endpoint.account.to_string(),
            "endpoint": endpoint.id.to_string(),
            "description": endpoint.settings.description,
        });
        let more = match self {
            Self::EndpointFailing | Self::EndpointRecovered | Self::EndpointDisabled => json!({
                "state": state.as_str(),
                "disabled_reason": state.disabled_reason().map(|reason| reason.as_str()),
                "health": if health.is_failing() { "failing" } else { "healthy" },
                "last_success_at": health.last_success_at.map(|at| at.to_string()),
            }),
            Self::DeliveryExhausted { delivery, event, event_type, attempts, count } => json!({
                "delivery": delivery.to_string(),
                "event": event.to_string(),
                "event_type": event_type,
                "attempts": attempts,
                "count": count,
            }),
        };
        if let (Value::Object(fields), Value::Object(more)) = (&mut payload, more) {
            fields.extend(more);
            fields.insert("at".to_owned(), Value::String(at.to_string()));
        }
        payload.to_string()
    }
}

/// Whether what happens to this account's endpoints is told: everybody's but the operator's own.
pub fn is_told_about(account: AccountId) -> bool {
    account != AccountId::OPERATOR
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::account::AccountNo;
    use crate::catalogue::{Catalogue, RaisedBy};
    use crate::endpoint::{DisabledReason, EndpointNo, EndpointSettings, UnreadableValues};
    use crate::event_type::Subscription;
    use crate::id::EndpointId;
    use crate::payload;
    use crate::secret::{Secret, Secrets};

    fn endpoint() -> Endpoint {
        let at = Timestamp::from_ms(1_500_381_476_000);
        Endpoint {
            no: EndpointNo(1),
            id: EndpointId::new(at, 1),
            account_no: AccountNo(1),
            account: AccountId::new(at, 2),
            livemode: false,
            settings: EndpointSettings {
                description: "a \"quoted\" note".to_owned(),
                ..EndpointSettings::new(
                    "https://example.com/secret-path".parse().unwrap(),
                    Subscription::parse(&["*"]).unwrap(),
                )
            },
            secrets: Secrets::only(Secret::generate(&[1; 32])),
            unreadable: UnreadableValues::default(),
            state: State::Enabled,
            health: Health::default(),
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn every_payload_and_every_example_passes_its_own_schema() {
        let catalogue = Catalogue::built_in();
        let endpoint = endpoint();
        let exhausted = Operational::DeliveryExhausted {
            delivery: DeliveryId::new(endpoint.created_at, 1),
            event: EventId::new(endpoint.created_at, 1),
            event_type: "policy.created".to_owned(),
            attempts: 10,
            count: 3,
        };
        let all = [
            Operational::EndpointFailing,
            Operational::EndpointRecovered,
            Operational::EndpointDisabled,
            exhausted,
        ];
        for what in &all {
            let event_type = catalogue.get(what.event_type()).expect("it stands in the catalogue");
            let state = State::Disabled(DisabledReason::Gone);
            let told = what.payload(&endpoint, state, &endpoint.health, endpoint.created_at);
            assert_eq!(payload::check(event_type, &told, Some(false)), Ok(false), "{told}");
            assert!(!told.contains("secret-path"), "a URL may hold a token and is not told");
            assert_eq!(
                payload::check(event_type, event_type.example().unwrap(), None),
                Ok(false),
                "{}",
                event_type.name()
            );
        }
        let raised =
            catalogue.all().iter().filter(|event_type| event_type.raised_by() == RaisedBy::Service).count();
        assert_eq!(raised, all.len(), "each operational type of the catalogue is raised");
    }
}
