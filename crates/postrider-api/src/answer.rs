//! Answers that are no problems: JSON, exact bytes, nothing. And the small wire types that many answers share.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use postrider_core::time::Timestamp;
use serde::{Serialize, Serializer};

use crate::problem::Problem;

/// What a handler gives.
pub(crate) type Answer = Result<Response, Problem>;

/// Whatever has a text, as a JSON string of it.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time as the wire shows it.
pub(crate) type Time = Text<Timestamp>;

/// A page of a list.
#[derive(Serialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

/// An answer of `body` as JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    exact_json(status, json_bytes(body))
}

/// The bytes of such an answer.
pub(crate) fn json_bytes(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("wire types have text keys and finite numbers").into()
}

/// An answer of these bytes, which are JSON already.
pub(crate) fn exact_json(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 204.
pub(crate) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
