//! An endpoint's settings as columns of any database hold them, and back; secrets and headers are sealed in between.

use postrider_core::endpoint::{CustomHeader, EndpointSettings};
use postrider_core::event_type::Subscription;
use postrider_core::field_name::FieldName;
use postrider_core::filter::Filter;
use postrider_core::id::EndpointId;
use postrider_core::schedule::RetrySchedule;
use postrider_core::secret::{NextSecret, Secret, Secrets};
use postrider_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use url::Url;
use zeroize::Zeroizing;

use crate::columns::Unreadable;
use crate::seal::{Place, Sealer};

/// The settings that need another shape in their columns.
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) event_types: String,
    pub(crate) timeout_ms: i64,
    pub(crate) retry_schedule: Option<String>,
    pub(crate) rate_per_second: Option<u32>,
    pub(crate) rate_burst: Option<u32>,
}

impl Settings {
    pub(crate) fn of(settings: &EndpointSettings) -> Self {
        let schedule = settings.retry_schedule.as_ref().map(RetrySchedule::to_texts);
        Self {
            url: settings.url.as_str().to_owned(),
            event_types: json(&settings.subscription.to_texts()),
            timeout_ms: i64::try_from(settings.timeout.as_millis()).unwrap_or(i64::MAX),
            retry_schedule: schedule.as_ref().map(json),
            rate_per_second: settings.rate_limit.map(|limit| limit.per_second),
            rate_burst: settings.rate_limit.map(|limit| limit.burst),
        }
    }
}

fn json(texts: &Vec<String>) -> String {
    serde_json::to_string(texts).expect("texts are JSON")
}

/// The secret as its column holds it.
pub(crate) fn sealed_secret(sealer: &Sealer, id: EndpointId, secret: &Secret) -> Vec<u8> {
    sealer.seal(place("secret", &id.to_bytes()), secret.expose().as_bytes())
}

/// The secret of a rotation as its columns hold it, with the time at which it takes over.
pub(crate) fn sealed_next_secret(
    sealer: &Sealer,
    id: EndpointId,
    secrets: &Secrets,
) -> (Option<Vec<u8>>, Option<i64>) {
    let sealed = secrets.next.as_ref().map(|next| {
        let sealed = sealer.seal(place("next_secret", &id.to_bytes()), next.secret.expose().as_bytes());
        (sealed, next.takes_over_at.as_ms())
    });
    sealed.unzip()
}

/// The headers as their column holds them: sealed JSON, nothing where there are none.
pub(crate) fn sealed_headers(sealer: &Sealer, id: EndpointId, headers: &[CustomHeader]) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let pairs: Vec<(&str, &str)> =
        headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect();
    let text = Zeroizing::new(serde_json::to_vec(&pairs).expect("texts are JSON"));
    Some(sealer.seal(place("headers", &id.to_bytes()), &text))
}

/// The column that says that `headers` are kept as typed; nothing where there are none.
///
/// A digest of their names rather than a flag, because a node of an earlier release rewrites the headers, in lower case,
/// and leaves this column alone: then it no longer fits.
pub(crate) fn names_as_typed(headers: &[CustomHeader]) -> Option<Vec<u8>> {
    (!headers.is_empty()).then(|| digest_of_names(headers.iter().map(|header| header.name.as_str())))
}

fn digest_of_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut digest = Sha256::new();
    for name in names {
        digest.update(name);
        digest.update("\n");
    }
    digest.finalize().to_vec()
}

fn place<'a>(column: &'static str, row: &'a [u8; 16]) -> Place<'a> {
    Place { table: "endpoints", column, row }
}

pub(crate) fn url(text: &str) -> Result<Url, Unreadable> {
    Url::parse(text).or(Err(Unreadable("endpoints.url")))
}

pub(crate) fn subscription(text: &str) -> Result<Subscription, Unreadable> {
    const UNREADABLE: Unreadable = Unreadable("endpoints.event_types");
    let texts: Vec<String> = serde_json::from_str(text).or(Err(UNREADABLE))?;
    Subscription::parse(&texts).or(Err(UNREADABLE))
}

pub(crate) fn filter(text: Option<String>) -> Result<Option<Filter>, Unreadable> {
    let read = |text: String| Filter::parse(&text).or(Err(Unreadable("endpoints.filter")));
    text.map(read).transpose()
}

pub(crate) fn retry_schedule(text: Option<String>) -> Result<Option<RetrySchedule>, Unreadable> {
    const UNREADABLE: Unreadable = Unreadable("endpoints.retry_schedule");
    let Some(text) = text else { return Ok(None) };
    let texts: Vec<String> = serde_json::from_str(&text).or(Err(UNREADABLE))?;
    RetrySchedule::from_texts(&texts).map(Some).or(Err(UNREADABLE))
}

pub(crate) fn timeout_ms(column: i64) -> Result<u64, Unreadable> {
    u64::try_from(column).or(Err(Unreadable("endpoints.timeout_ms")))
}

/// The secrets from their three columns.
pub(crate) fn open_secrets(
    sealer: &Sealer,
    id: EndpointId,
    current: &[u8],
    next: Option<&[u8]>,
    next_at: Option<i64>,
) -> Result<Secrets, Unreadable> {
    let next = match next.zip(next_at) {
        None => None,
        Some((sealed, at)) => Some(NextSecret {
            secret: open_secret(sealer, id, "next_secret", sealed)?,
            takes_over_at: Timestamp::from_ms(at),
        }),
    };
    Ok(Secrets { current: open_secret(sealer, id, "secret", current)?, next })
}

fn open_secret(
    sealer: &Sealer,
    id: EndpointId,
    column: &'static str,
    sealed: &[u8],
) -> Result<Secret, Unreadable> {
    const UNREADABLE: Unreadable = Unreadable("endpoints.secret");
    let opened = sealer.open(place(column, &id.to_bytes()), sealed).or(Err(UNREADABLE))?;
    Secret::parse(std::str::from_utf8(&opened).or(Err(UNREADABLE))?).or(Err(UNREADABLE))
}

/// The headers from their column and that of [`names_as_typed`], with their names as they are sent.
pub(crate) fn open_headers(
    sealer: &Sealer,
    id: EndpointId,
    sealed: Option<Vec<u8>>,
    names_as_typed: Option<Vec<u8>>,
) -> Result<Vec<CustomHeader>, Unreadable> {
    const UNREADABLE: Unreadable = Unreadable("endpoints.headers");
    let Some(sealed) = sealed else { return Ok(Vec::new()) };
    let opened = sealer.open(place("headers", &id.to_bytes()), &sealed).or(Err(UNREADABLE))?;
    let pairs: Vec<(String, Zeroizing<String>)> = serde_json::from_slice::<Vec<(String, String)>>(&opened)
        .or(Err(UNREADABLE))?
        .into_iter()
        .map(|(name, value)| (name, Zeroizing::new(value)))
        .collect();
    let digest =
        names_as_typed.as_ref().map(|_| digest_of_names(pairs.iter().map(|(name, _)| name.as_str())));
    let is_as_typed = digest.is_some() && digest == names_as_typed;
    let read = if is_as_typed { FieldName::parse } else { FieldName::parse_in_title_case };
    pairs
        .into_iter()
        .map(|(name, value)| Ok(CustomHeader { name: read(&name).ok_or(UNREADABLE)?, value }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MasterKey;

    /// What the previous release writes: names in lower case, the other column left as it is.
    fn sealed_by_the_previous_release(sealer: &Sealer, id: EndpointId, pairs: &[(&str, &str)]) -> Vec<u8> {
        sealer.seal(place("headers", &id.to_bytes()), &serde_json::to_vec(pairs).unwrap())
    }

    #[test]
    fn header_names_are_as_typed_until_a_node_of_the_previous_release_writes_others() {
        let sealer = Sealer::new(&MasterKey::generate());
        let id = EndpointId::from_bytes([7; 16]);
        let header = |name: &str| CustomHeader::parse(name, "1", "X-KASKO-").unwrap();
        let headers = [header("SOAPAction"), header("X-API-KEY"), header("x-lower")];
        let typed = names_as_typed(&headers);
        let names = |sealed: Vec<u8>, typed: &Option<Vec<u8>>| -> Vec<String> {
            let opened = open_headers(&sealer, id, Some(sealed), typed.clone()).unwrap();
            opened.iter().map(|header| header.name.to_string()).collect()
        };

        let sealed = sealed_headers(&sealer, id, &headers).unwrap();
        assert_eq!(names(sealed, &typed), ["SOAPAction", "X-API-KEY", "x-lower"]);
        // It changes something else: it writes the names that it read.
        let same = [("SOAPAction", "1"), ("X-API-KEY", "1"), ("x-lower", "1")];
        let rewritten = sealed_by_the_previous_release(&sealer, id, &same);
        assert_eq!(names(rewritten, &typed), ["SOAPAction", "X-API-KEY", "x-lower"]);
        // It is given these headers, or was before there was such a column.
        let lower = [("soapaction", "2"), ("x-api-key", "1")];
        for typed in [&typed, &None] {
            let replaced = sealed_by_the_previous_release(&sealer, id, &lower);
            assert_eq!(names(replaced, typed), ["Soapaction", "X-Api-Key"]);
        }
        // Sending back what is shown then changes nothing.
        let shown = [header("Soapaction"), header("X-Api-Key")];
        let sealed = sealed_headers(&sealer, id, &shown).unwrap();
        assert_eq!(names(sealed, &names_as_typed(&shown)), ["Soapaction", "X-Api-Key"]);
    }
}
