//! Forms as they arrive: bounded, read whole, before anybody looks at them.

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use url::form_urlencoded;

use crate::refusal::Refusal;

/// The largest form: a payload of 1 MiB whose every byte is escaped, and some room.
const MAX_FORM_BYTES: usize = 4 * 1024 * 1024;
/// The largest form for the key: a key, and a path to go to.
const MAX_LOGIN_BYTES: usize = 16 * 1024;
/// How long it may take to arrive.
const MAX_LOGIN_WAIT: Duration = Duration::from_secs(5);
/// How many fields a form has at most.
const MAX_FIELDS: usize = 300;
/// How long a form may take to arrive.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The fields of a form, or of a query, in their order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `a=1&b=2`; what is beyond the bound is left out.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().take(MAX_FIELDS).collect())
    }

    /// Reads a form's body.
    pub(crate) async fn read(body: Body) -> Result<Self, Refusal> {
        Self::read_within(body, MAX_FORM_BYTES, MAX_WAIT).await
    }

    /// Reads the body of the form for the key, which anybody may send: a short one, and soon.
    pub(crate) async fn read_login(body: Body) -> Result<Self, Refusal> {
        Self::read_within(body, MAX_LOGIN_BYTES, MAX_LOGIN_WAIT).await
    }

    async fn read_within(body: Body, bytes: usize, wait: Duration) -> Result<Self, Refusal> {
        let read = Limited::new(body, bytes).collect();
        match tokio::time::timeout(wait, read).await {
            Ok(Ok(collected)) => Ok(Self::parse(&collected.to_bytes())),
            Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => Err(Refusal::TooLarge),
            Ok(Err(_)) | Err(_) => Err(Refusal::BadRequest("the form did not arrive as a whole".to_owned())),
        }
    }

    /// The field's text; empty where it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The field's text without the white space around it; none where nothing is left.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|text| !text.is_empty())
    }

    /// Every field of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a box is ticked.
    pub(crate) fn is_ticked(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}
