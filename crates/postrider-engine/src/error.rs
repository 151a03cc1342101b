//! What a use case can answer besides its result, one variant per decision of the caller.

use postrider_core::payload::Violation;
use postrider_store::{AcceptError, StoreError};

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such thing.
    #[error("not there")]
    NotFound,
    /// It contradicts what is there; the text says what.
    #[error("{0}")]
    Conflict(&'static str),
    /// Understood, but one field can't be so.
    #[error("{field}: {detail}")]
    Refused {
        /// The field's name, as in the API.
        field: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// Understood, but these places of what was given can't be so.
    #[error("{}", first_of(.0))]
    Invalid(Vec<Violation>),
    /// One of the events is not what its type asks for any more: the type was changed since the event was judged.
    #[error("event {index}: {}", first_of(.faults))]
    EventRefused {
        /// Which of those handed in.
        index: usize,
        /// The places, from the event on: `/type`, `/payload/id`.
        faults: Vec<Violation>,
    },
    /// Checking a payload against its event type's schema takes more steps than it may.
    #[error("{} {}", .place.pointer, .place.detail)]
    TooExpensive {
        /// The place that was reached, from the submission on: `/payload/items`.
        place: Violation,
        /// Which of the submissions.
        index: usize,
    },
    /// One submission would cause more deliveries than a request may.
    #[error("one request may cause at most {limit} deliveries, and this would cause more")]
    TooManyDeliveries {
        /// How many it may be.
        limit: usize,
    },
    /// An earlier call with the same idempotency key was answered; nothing was created now.
    #[error("a call with this idempotency key was answered before")]
    AnsweredBefore,
    /// Too much at once; nothing was stored. Try again in a moment.
    #[error("too much at once")]
    Overloaded,
    /// The service is stopping; nothing was stored. Try again elsewhere or later.
    #[error("shutting down")]
    ShuttingDown,
    /// The store refuses a value that was not checked before: a bug, and never an outage. Nothing was stored.
    #[error("the store refuses this value")]
    StoreRefused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store did not do it, or it is unknown whether it did.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Several faults in one line.
fn first_of(faults: &[Violation]) -> String {
    match faults {
        [] => "not valid".to_owned(),
        [only] => format!("{} {}", only.pointer, only.detail),
        [first, rest @ ..] => format!("{} {}; and {} more", first.pointer, first.detail, rest.len()),
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Conflict(what) => Self::Conflict(what),
            StoreError::AnsweredBefore => Self::AnsweredBefore,
            StoreError::Refused(source) => Self::StoreRefused(source),
            StoreError::Unavailable(source) => Self::Unavailable(source),
            StoreError::LeaseLost => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<AcceptError> for EngineError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Overloaded => Self::Overloaded,
            AcceptError::AnsweredBefore => Self::AnsweredBefore,
            AcceptError::Refused(source) => Self::StoreRefused(source),
            AcceptError::Unavailable(source) => Self::Unavailable(source),
            AcceptError::LeaseLost => Self::Unavailable(Box::new(error)),
            AcceptError::ConfigChanged => {
                Self::Unavailable("the configuration changed faster than events could be matched".into())
            }
        }
    }
}
