//! Why a page was not given, one variant per thing the visitor can do about it.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use maud::{Markup, html};
use postrider_engine::EngineError;

use crate::watchers::WATCHERS_EACH;

/// Why a page was not given or a form not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such page, or nothing of this id that the visitor may see.
    NotFound,
    /// What was asked for can't be read; the text says what would be right.
    BadRequest(String),
    /// The form did not come from one of our pages, or from one that is out of date.
    ForeignForm,
    /// It contradicts what is there; the text says what.
    Conflict(String),
    /// The form is too large.
    TooLarge,
    /// Too many keys were tried.
    TooManyTries(Duration),
    /// As many pages are live as may be.
    TooManyWatch,
    /// A link to the portal that has ended, was revoked, or never was.
    LinkOver,
    /// The store or the service can't do it at the moment.
    Unavailable(EngineError),
    /// A bug in the service.
    Internal(EngineError),
}

/// What travels from a page's handler to the door, which knows how the visitor's pages look.
#[derive(Debug, Clone)]
pub(crate) struct Carried(pub(crate) Arc<Refusal>);

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound => Self::NotFound,
            EngineError::Conflict(_)
            | EngineError::Refused { .. }
            | EngineError::Invalid(_)
            | EngineError::EventRefused { .. }
            | EngineError::TooExpensive { .. }
            | EngineError::TooManyDeliveries { .. } => Self::Conflict(error.to_string()),
            EngineError::StoreRefused(_) => Self::Internal(error),
            _ => Self::Unavailable(error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Unavailable(error) = &self {
            tracing::warn!(error = error as &dyn std::error::Error, "a page could not be given");
        }
        if let Self::Internal(error) = &self {
            tracing::error!(error = error as &dyn std::error::Error, "a page failed (bug)");
        }
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Carried(Arc::new(self)));
        response
    }
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyTries(_) | Self::TooManyWatch => StatusCode::TOO_MANY_REQUESTS,
            Self::LinkOver => StatusCode::GONE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// After how many seconds it makes sense to try again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyTries(wait) => Some(wait.as_secs().max(1)),
            Self::TooManyWatch => Some(30),
            Self::Unavailable(_) => Some(5),
            _ => None,
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::BadRequest(_) => "This can’t be read",
            Self::ForeignForm => "This form is out of date",
            Self::Conflict(_) => "Not possible just now",
            Self::TooLarge => "Too large",
            Self::TooManyTries(_) => "Too many tries",
            Self::TooManyWatch => "Live on many pages already",
            Self::LinkOver => "This link is over",
            Self::Unavailable(_) => "The service can’t answer just now",
            Self::Internal(_) => "Internal error",
        }
    }

    pub(crate) fn words(&self) -> Markup {
        let text = match self {
            Self::NotFound => {
                "There is no such page, or nothing with this id. What is older than the retention is deleted."
            }
            Self::BadRequest(text) | Self::Conflict(text) => return html! { p { bdi { (text) } } },
            Self::ForeignForm => {
                "It did not come from a page of this session. Go back, load the page again, and repeat it; nothing was done."
            }
            Self::TooLarge => {
                "The form is larger than it may be; a payload has at most 1 MiB. Nothing was done."
            }
            Self::TooManyTries(wait) => {
                return html! { p { "Too many wrong keys were tried. The next may be tried in " (wait.as_secs().div_ceil(60)) " min." } };
            }
            Self::TooManyWatch => {
                return html! { p { "Up to " (WATCHERS_EACH) " pages are live at once. Close one of the others, or load this page again now and then." } };
            }
            Self::LinkOver => {
                "It has ended or was revoked. Open the page that led you here again to get a fresh one."
            }
            Self::Unavailable(EngineError::Overloaded | EngineError::ShuttingDown) => {
                "The service is overloaded or shutting down. Nothing was stored; try again in a moment."
            }
            Self::Unavailable(_) => {
                "The store can’t be reached. What you sent may have been stored all the same: look before you send it again."
            }
            Self::Internal(_) => {
                "The store refused this value. This is a bug in the service; its log has the cause. Nothing was stored."
            }
        };
        html! { p { (text) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whether_anything_may_have_been_stored() {
        for (error, status, words) in [
            (EngineError::StoreRefused("0x00".into()), 500, "This is a bug"),
            (EngineError::Unavailable("no confirmation".into()), 503, "may have been stored"),
            (EngineError::Overloaded, 503, "Nothing was stored"),
            (EngineError::ShuttingDown, 503, "Nothing was stored"),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.status().as_u16(), refusal.retry_after().is_some()), (status, status == 503));
            assert!(refusal.words().into_string().contains(words), "{refusal:?}");
        }
    }
}
