//! An endpoint's settings as columns of any database hold them, and back; secrets and headers are sealed in between.

use postrider_core::endpoint::{CustomHeader, EndpointSettings, UnreadableValues};
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
use crate::seal::{Place, Scheme, Sealer};

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

/// An endpoint's row, as far as its sealed values are bound to it.
pub(crate) struct SealedRow<'a> {
    pub(crate) sealer: &'a Sealer,
    pub(crate) id: EndpointId,
    /// As its column holds it.
    pub(crate) url: &'a str,
}

impl SealedRow<'_> {
    fn seal(&self, scheme: Scheme, column: &'static str, value: &[u8]) -> Vec<u8> {
        let id = self.id.to_bytes();
        match scheme {
            Scheme::Unbound => self.sealer.seal(place(column, &id), value),
            Scheme::Bound => self.sealer.seal_bound(place(column, &id), self.url, value),
        }
    }

    fn open(&self, column: &'static str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.sealer.open_bound(place(column, &self.id.to_bytes()), self.url, sealed).ok()
    }

    /// The secrets as their columns hold them.
    pub(crate) fn seal_secrets(&self, scheme: Scheme, secrets: &Secrets) -> SealedSecrets {
        let seal = |column, secret: &Secret| self.seal(scheme, column, secret.expose().as_bytes());
        SealedSecrets {
            current: seal("secret", &secrets.current),
            next: secrets.next.as_ref().map(|next| seal("next_secret", &next.secret)),
            next_at: secrets.next.as_ref().map(|next| next.takes_over_at.as_ms()),
        }
    }

    /// The headers as their column holds them: sealed JSON, nothing where there are none.
    pub(crate) fn seal_headers(&self, scheme: Scheme, headers: &[CustomHeader]) -> Option<Vec<u8>> {
        if headers.is_empty() {
            return None;
        }
        let pairs: Vec<(&str, &str)> =
            headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect();
        let text = Zeroizing::new(serde_json::to_vec(&pairs).expect("texts are JSON"));
        Some(self.seal(scheme, "headers", &text))
    }

    /// The secrets from their columns; none where one does not open.
    pub(crate) fn open_secrets(
        &self,
        current: &[u8],
        next: Option<&[u8]>,
        next_at: Option<i64>,
    ) -> Option<Secrets> {
        let open = |column, sealed: &[u8]| {
            Secret::parse(std::str::from_utf8(&self.open(column, sealed)?).ok()?).ok()
        };
        let next = match next.zip(next_at) {
            None => None,
            Some((sealed, at)) => {
                let secret = open("next_secret", sealed)?;
                Some(NextSecret { secret, takes_over_at: Timestamp::from_ms(at) })
            }
        };
        Some(Secrets { current: open("secret", current)?, next })
    }

    /// The headers from their column and that of [`names_as_typed`], with their names as they are sent; none where they do
    /// not open.
    pub(crate) fn open_headers(
        &self,
        sealed: Option<&[u8]>,
        names_as_typed: Option<&[u8]>,
    ) -> Option<Vec<CustomHeader>> {
        let Some(sealed) = sealed else { return Some(Vec::new()) };
        let pairs: Vec<(String, String)> = serde_json::from_slice(&self.open("headers", sealed)?).ok()?;
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect();
        let digest = names_as_typed.map(|_| digest_of_names(pairs.iter().map(|(name, _)| name.as_str())));
        let is_as_typed = digest.is_some() && digest.as_deref() == names_as_typed;
        let read = if is_as_typed { FieldName::parse } else { FieldName::parse_in_title_case };
        pairs.into_iter().map(|(name, value)| Some(CustomHeader { name: read(&name)?, value })).collect()
    }

    /// Seals a value of [`Scheme::Unbound`] again so that it is bound to the URL; none where it is bound already, or does
    /// not open.
    pub(crate) fn bind(&self, column: &'static str, sealed: &[u8]) -> Option<Vec<u8>> {
        if Scheme::of(sealed) != Some(Scheme::Unbound) {
            return None;
        }
        let opened = self.sealer.open(place(column, &self.id.to_bytes()), sealed).ok()?;
        Some(self.seal(Scheme::Bound, column, &opened))
    }
}

/// An endpoint's secrets as their columns hold them.
pub(crate) struct SealedSecrets {
    pub(crate) current: Vec<u8>,
    pub(crate) next: Option<Vec<u8>>,
    /// When the next one takes over.
    pub(crate) next_at: Option<i64>,
}

/// An endpoint's secrets and headers as a row gives them, and which of them do not open.
pub(crate) struct Opened {
    pub(crate) url: Url,
    pub(crate) secrets: Secrets,
    pub(crate) headers: Vec<CustomHeader>,
    pub(crate) unreadable: UnreadableValues,
}

impl Opened {
    /// Of what was opened in a row with this URL. One that is no URL was not written by us: nothing is sent there.
    pub(crate) fn of(url: &str, secrets: Option<Secrets>, headers: Option<Vec<CustomHeader>>) -> Self {
        let parsed = Url::parse(url).ok();
        let unreadable = UnreadableValues {
            secret: secrets.is_none() || parsed.is_none(),
            headers: headers.is_none() || parsed.is_none(),
        };
        Self {
            url: parsed.unwrap_or_else(unreadable_url),
            secrets: secrets.filter(|_| !unreadable.secret).unwrap_or_else(Secrets::unreadable),
            headers: headers.filter(|_| !unreadable.headers).unwrap_or_default(),
            unreadable,
        }
    }
}

/// What stands for a URL that can't be read: a name that never resolves (RFC 6761, section 6.4).
fn unreadable_url() -> Url {
    Url::parse("https://unreadable.invalid/").expect("this is a URL")
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
        let row = SealedRow { sealer: &sealer, id, url: "https://a.example/" };
        let typed = names_as_typed(&headers);
        let names = |sealed: Vec<u8>, typed: &Option<Vec<u8>>| -> Vec<String> {
            let opened = row.open_headers(Some(&sealed), typed.as_deref()).unwrap();
            opened.iter().map(|header| header.name.to_string()).collect()
        };

        let sealed = row.seal_headers(Scheme::Bound, &headers).unwrap();
        assert_eq!(names(sealed, &typed), ["SOAPAction", "X-API-KEY", "x-lower"]);
        // It changes something else: it writes the names that it read.
        let same = [("SOAPAction", "1"), ("X-API-KEY", "1"), ("x-lower", "1")];
        let rewritten = sealed_by_the_previous_release(&sealer, id, &same);
        assert_eq!(names(rewritten, &typed), ["SOAPAction", "X-API-KEY", "x-lower"]);
        // It is given these headers, or was before there was such a column.
        let lower = [("soapaction", "2"), ("x-api-key", "1")];
        for typed in [&typed, &None] {
            let replaced = sealed_by_the_previous_release(&sealer, id, &lower);
            let bound = row.bind("headers", &replaced).unwrap();
            for sealed in [replaced, bound] {
                assert_eq!(names(sealed, typed), ["Soapaction", "X-Api-Key"]);
            }
        }
        // Sending back what is shown then changes nothing.
        let shown = [header("Soapaction"), header("X-Api-Key")];
        let sealed = row.seal_headers(Scheme::Unbound, &shown).unwrap();
        assert_eq!(names(sealed, &names_as_typed(&shown)), ["Soapaction", "X-Api-Key"]);
    }
}
