//! What goes wrong, as RFC 9457 problems. Each [`Code`] is a stable word for programs; the texts are for people
//! and say what, where, and what would be right.
//!
//! A problem is turned into bytes in `finish.rs`, where the request's id is known.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use postrider_core::limits::MAX_VIOLATIONS;
use postrider_core::payload::Violation;
use postrider_engine::EngineError;
use serde::Serialize;

use crate::event_types::faults;

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    MalformedJson,
    BadParameter,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    Conflict,
    BodyTooLarge,
    UnsupportedMediaType,
    Invalid,
    TooExpensive,
    TooManyDeliveries,
    RateLimited,
    Internal,
    Overloaded,
    ShuttingDown,
    Unavailable,
}

impl Code {
    /// The stable word.
    fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::BadParameter => "bad_parameter",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTimeout => "body_timeout",
            Self::Conflict => "conflict",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Invalid => "invalid",
            Self::TooExpensive => "too_expensive",
            Self::TooManyDeliveries => "too_many_deliveries",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::ShuttingDown => "shutting_down",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::MalformedJson | Self::BadParameter => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid | Self::TooExpensive | Self::TooManyDeliveries => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded | Self::ShuttingDown | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// After how many seconds it makes sense to try again.
    fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::Overloaded | Self::RateLimited => Some("1"),
            Self::ShuttingDown | Self::Unavailable => Some("5"),
            _ => None,
        }
    }
}

/// A place in a body that is wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// Where: a JSON Pointer (RFC 6901) from the body's root.
    pub(crate) pointer: String,
    /// What is wrong and what would be right.
    pub(crate) detail: String,
}

/// Why a call was not done.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// For the log alone.
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The detail of an outage where the request only reads.
const UNAVAILABLE: &str = "the store is unavailable; try again later";
/// The detail of an outage where the request changes something: a commit may have taken place although its confirmation
/// was lost.
pub(crate) const OUTCOME_UNKNOWN: &str = "the store is unavailable, and the request may have been carried out; try again \
     later. Repeating a request with the same Idempotency-Key is safe";

/// What travels from a handler's answer to `finish.rs`.
#[derive(Debug, Clone)]
pub(crate) struct Carried(pub(crate) Arc<Problem>);

#[derive(Serialize)]
struct Shown<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), source: None }
    }

    /// There is no such thing, or it is someone else's: the two must look the same.
    pub(crate) fn not_found() -> Self {
        Self::new(Code::NotFound, "there is no such thing, or it belongs to someone else")
    }

    pub(crate) fn forbidden(detail: &'static str) -> Self {
        Self::new(Code::Forbidden, detail)
    }

    /// A body that was understood but has these faults, of which the first [`MAX_VIOLATIONS`] are shown.
    pub(crate) fn invalid(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_VIOLATIONS);
        let detail = match errors.as_slice() {
            [] => Cow::Borrowed("the body is not valid"),
            [only] => Cow::Owned(describe(only)),
            [first, rest @ ..] => {
                Cow::Owned(format!("{}; and {} more in \"errors\"", describe(first), rest.len()))
            }
        };
        Self { code: Code::Invalid, detail, errors, source: None }
    }

    /// A payload that takes too many steps to check; `base` is where it stands in the body.
    pub(crate) fn too_expensive(base: &str, place: Violation) -> Self {
        let error = FieldError { pointer: format!("{base}{}", place.pointer), detail: place.detail };
        Self { code: Code::TooExpensive, detail: describe(&error).into(), errors: vec![error], source: None }
    }

    /// A body that was understood but has one fault.
    pub(crate) fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// What a missing or unknown thing named in a *body* is, where `self` came from looking for it.
    pub(crate) fn or_invalid_field(self, pointer: &str, detail: &str) -> Self {
        if self.code == Code::NotFound { Self::invalid_field(pointer, detail) } else { self }
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// What went wrong underneath, for the log.
    pub(crate) fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| -> &(dyn Error + 'static) { source })
    }

    /// Returns the whole response to the request `request_id` of this method; `before` is the response that carried the
    /// problem.
    pub(crate) fn render(&self, request_id: &str, method: &Method, before: Response) -> Response {
        let status = self.code.status();
        let detail = match self.code {
            Code::Unavailable if !method.is_safe() => OUTCOME_UNKNOWN,
            _ => &self.detail,
        };
        let shown = Shown {
            // RFC 9457, section 4.2.1: the kind is told by "status" and "code", there is no page about it.
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&shown).expect("texts and numbers are always JSON");
        // Headers of the answer that carried the problem stay: a wrong method has its `Allow`.
        let (mut parts, _) = before.into_parts();
        parts.status = status;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code == Code::Unauthorized {
            let ways = HeaderValue::from_static(
                "Bearer realm=\"postrider\", Basic realm=\"postrider\", charset=\"UTF-8\"",
            );
            parts.headers.insert(header::WWW_AUTHENTICATE, ways);
        }
        if let Some(seconds) = self.code.retry_after() {
            parts.headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        Response::from_parts(parts, body.into())
    }
}

fn describe(error: &FieldError) -> String {
    if error.pointer.is_empty() {
        format!("the body {}", error.detail)
    } else {
        format!("{}: {}", error.pointer, error.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(Carried(Arc::new(self)));
        response
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound => Self::not_found(),
            EngineError::Conflict(what) => Self::new(Code::Conflict, what),
            EngineError::Refused { field, detail } => Self::invalid_field(format!("/{field}"), detail),
            EngineError::Invalid(found) | EngineError::EventRefused { faults: found, .. } => {
                faults("", found)
            }
            EngineError::TooExpensive { place, .. } => Self::too_expensive("", place),
            EngineError::AnsweredBefore => Self::new(
                Code::Conflict,
                "a call with this Idempotency-Key was answered a moment ago; try again",
            ),
            EngineError::TooManyDeliveries { .. } => Self::new(Code::TooManyDeliveries, error.to_string()),
            EngineError::Overloaded => {
                Self::new(Code::Overloaded, "too much at once; nothing was stored, try again in a moment")
            }
            EngineError::ShuttingDown => {
                Self::new(Code::ShuttingDown, "the service is stopping; nothing was stored, try again later")
            }
            EngineError::StoreRefused(source) => Self {
                source: Some(source),
                ..Self::new(
                    Code::Internal,
                    "the store refused this value; this is a bug in the service. Nothing was stored",
                )
            },
            EngineError::Unavailable(source) => {
                Self { source: Some(source), ..Self::new(Code::Unavailable, UNAVAILABLE) }
            }
        }
    }
}
