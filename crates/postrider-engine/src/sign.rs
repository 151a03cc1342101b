//! Makes the contract's headers for one attempt, over exactly the committed bytes.

use std::fmt::Write as _;

use http::HeaderValue;
use postrider_core::endpoint::Endpoint;
use postrider_core::field_name::FieldName;
use postrider_core::time::Timestamp;

use crate::lanes::Item;

/// The names of the contract's headers, made once from the configured prefix.
#[derive(Debug, Clone)]
pub(crate) struct HeaderNames {
    event: FieldName,
    delivery: FieldName,
    signature: FieldName,
    signature_next: FieldName,
    webhook_id: FieldName,
    webhook_timestamp: FieldName,
    webhook_signature: FieldName,
}

/// The prefix does not make header names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the header prefix \"{0}\" does not make header names; use letters, digits and dashes, such as X-KASKO-"
)]
pub struct PrefixRefused(String);

impl HeaderNames {
    pub(crate) fn new(prefix: &str) -> Result<Self, PrefixRefused> {
        let good = !prefix.is_empty()
            && prefix.len() <= 64
            && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && prefix.as_bytes()[0].is_ascii_alphabetic();
        let name = |rest: &str| {
            FieldName::parse(&format!("{prefix}{rest}"))
                .filter(|_| good)
                .ok_or_else(|| PrefixRefused(prefix.into()))
        };
        let standard = |name: &str| FieldName::parse(name).expect("a name of Standard Webhooks is a token");
        Ok(Self {
            event: name("Event")?,
            delivery: name("Delivery")?,
            signature: name("Signature")?,
            signature_next: name("Signature-Next")?,
            webhook_id: standard("webhook-id"),
            webhook_timestamp: standard("webhook-timestamp"),
            webhook_signature: standard("webhook-signature"),
        })
    }
}

/// Whether this prefix makes header names.
pub fn check_header_prefix(prefix: &str) -> Result<(), PrefixRefused> {
    HeaderNames::new(prefix).map(drop)
}

/// The headers of one attempt of `item`: the contract's, Standard Webhooks' where wanted, and the endpoint's own.
pub(crate) fn headers(
    names: &HeaderNames,
    endpoint: &Endpoint,
    item: &Item,
    payload: &[u8],
    now: Timestamp,
) -> Vec<(FieldName, HeaderValue)> {
    let mut guid = String::with_capacity(32);
    write!(guid, "{}", item.event).expect("writing to a string never fails");
    let secret = endpoint.secrets.signing(now);
    let next = endpoint.secrets.next(now).map(|next| &next.secret);
    let signature = postrider_signature::kasko::sign(secret.expose(), payload);
    let mut headers = Vec::with_capacity(7 + endpoint.settings.headers.len());
    headers.push((names.event.clone(), visible(&item.event_type)));
    headers.push((names.delivery.clone(), visible(&guid)));
    headers.push((names.signature.clone(), visible(&signature)));
    if let Some(next) = next {
        let signature = postrider_signature::kasko::sign(next.expose(), payload);
        headers.push((names.signature_next.clone(), visible(&signature)));
    }
    if endpoint.settings.standard_webhooks
        && let Ok(key) = secret.standard_webhooks_key()
    {
        let seconds = now.as_seconds();
        let mut signature = postrider_signature::standard::sign(&key, &guid, seconds, payload);
        // Standard Webhooks: several signatures stand in one header, a space between them.
        if let Some(key) = next.and_then(|next| next.standard_webhooks_key().ok()) {
            signature.push(' ');
            signature.push_str(&postrider_signature::standard::sign(&key, &guid, seconds, payload));
        }
        headers.push((names.webhook_id.clone(), visible(&guid)));
        headers.push((names.webhook_timestamp.clone(), HeaderValue::from(seconds)));
        headers.push((names.webhook_signature.clone(), visible(&signature)));
    }
    for own in &endpoint.settings.headers {
        // Values were judged when they were set; one that a newer rule refuses is left out.
        if let Ok(mut value) = HeaderValue::from_str(&own.value) {
            value.set_sensitive(true);
            headers.push((own.name.clone(), value));
        }
    }
    headers
}

/// A header value from text that is known to be visible ASCII.
fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("guids, signatures and event type names are visible ASCII")
}
