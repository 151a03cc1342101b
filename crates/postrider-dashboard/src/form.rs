//! Forms as they arrive: bounded, read whole, before anybody looks at them.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use postrider_core::body_pace::BodyPace;
use postrider_engine::EngineError;
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded;

use crate::form_memory::FormShare;
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

    /// Reads a form's body within the memory that `share` can have of it.
    pub(crate) async fn read(body: Body, share: &mut FormShare) -> Result<Self, Refusal> {
        read_within(body, MAX_FORM_BYTES, MAX_WAIT, |length| match share.grow_to(length) {
            true => Ok(()),
            false => Err(Refusal::Unavailable(EngineError::Overloaded)),
        })
        .await
        .map(|bytes| Self::parse(&bytes))
    }

    /// Reads the body of the form for the key, which anybody may send: a short one, and soon.
    pub(crate) async fn read_login(body: Body) -> Result<Self, Refusal> {
        read_within(body, MAX_LOGIN_BYTES, MAX_LOGIN_WAIT, |_| Ok(())).await.map(|bytes| Self::parse(&bytes))
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

/// Reads a body of at most so many bytes within a time; one that holds memory must grow meanwhile. `grow` is asked before more
/// of it is kept.
async fn read_within(
    mut body: Body,
    most: usize,
    wait: Duration,
    mut grow: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let (began, mut pace, mut whole) = (Instant::now(), BodyPace::default(), Vec::new());
    loop {
        let within = pace.next_within(whole.len(), began.elapsed()).unwrap_or(wait).min(wait);
        let frame = match timeout_at(began + within, body.frame()).await {
            Ok(None) => return Ok(whole),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) | Err(_) => {
                return Err(Refusal::BadRequest(
                    "the form did not arrive as a whole, or too slowly".to_owned(),
                ));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len().saturating_add(data.len());
        if length > most {
            return Err(Refusal::TooLarge);
        }
        grow(length)?;
        whole.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::form_memory::FormMemory;

    /// A body whose pieces arrive with pauses.
    fn in_pieces(lengths: Vec<usize>, pause: Duration) -> Body {
        Body::from_stream(stream::iter(lengths).then(move |length| async move {
            tokio::time::sleep_until(Instant::now() + pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; length]))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_form_that_holds_memory_must_keep_arriving() {
        let memory = FormMemory::default();
        let read = async |lengths, pause| {
            let began = Instant::now();
            let read = Fields::read(in_pieces(lengths, pause), &mut memory.share(None)).await;
            (read.is_ok(), began.elapsed())
        };
        let second = Duration::from_secs(1);
        assert!(read(vec![1_000; 20], second).await.0, "a slow line");
        let (is_read, took) = read([vec![1 << 20], vec![1; 25]].concat(), second).await;
        assert!(!is_read && took <= 11 * second, "{took:?}");
        assert!(!read(vec![1 << 20; 5], Duration::ZERO).await.0, "too large");
    }
}
