//! Checks what is handed in: whose it is, its type, its payload. The hot path: the body is read once, the payload
//! stays the bytes it is.

use bytes::Bytes;
use postrider_core::catalogue::RaisedBy;
use postrider_core::limits::{MAX_PAYLOAD_BYTES, MAX_VIOLATIONS};
use postrider_core::payload::PayloadRefused;
use postrider_engine::model::Submission;
use postrider_engine::{Engine, Validation};

use crate::caller::Caller;
use crate::event_types::not_in_use;
use crate::fields::Fields;
use crate::owner;
use crate::problem::Problem;

/// The fields of an event that is handed in.
pub(super) const FIELDS: [&str; 4] = ["account", "type", "payload", "livemode"];

/// Payloads up to this length are copied out of the body. A slice would keep alive all that it is a slice of:
/// the connection's read buffer, or a whole batch for one payload that waits for its endpoint.
const MAX_COPIED_BYTES: usize = 16 * 1024;

/// Checks one event; none where faults were noted in `fields`. 403 where it names another's account or mode, 503 where a check
/// that takes long had to wait for too long.
pub(super) async fn check(
    engine: &Engine,
    caller: Caller,
    body: &Bytes,
    fields: &mut Fields<'_>,
    validation: &mut Validation,
) -> Result<Option<Submission>, Problem> {
    let (account, stated_mode) = owner::of_body(engine, caller, fields).await?;
    fields.require("type");
    fields.require("payload");
    let event_type = fields.needed_text("type").and_then(|name| {
        let event_type = engine.catalogue().get(&name).cloned();
        match event_type {
            Some(known) if known.raised_by() == RaisedBy::Service => {
                fields.refuse("type", format!("\"{}\" is raised by the service itself", known.name()));
                None
            }
            Some(known) if !known.is_archived() => Some(known),
            Some(_) | None => {
                fields.refuse("type", not_in_use(engine, &name));
                None
            }
        }
    });
    let (Some(event_type), Some(raw)) = (event_type, fields.raw("payload")) else { return Ok(None) };
    let bytes = raw.get().len();
    if bytes > MAX_PAYLOAD_BYTES {
        fields.refuse(
            "payload",
            format!("must have at most 1 MiB ({MAX_PAYLOAD_BYTES} bytes), this has {bytes} bytes"),
        );
        return Ok(None);
    }
    match validation.check(&event_type, raw.get(), stated_mode).await? {
        Ok(livemode) => {
            let payload = bytes_of(body, raw.get());
            Ok(account.map(|account| Submission { account, event_type, livemode, payload }))
        }
        Err(PayloadRefused::TooExpensive(place)) => {
            Err(Problem::too_expensive(&format!("{}/payload", fields.base()), place))
        }
        Err(PayloadRefused::Invalid(violations)) => {
            for violation in violations {
                fields.refuse(&format!("payload{}", violation.pointer), violation.detail);
            }
            Ok(None)
        }
    }
}

/// Checks every event of a batch, or gives the faults of as many as one answer can name.
pub(super) async fn check_all(
    engine: &Engine,
    caller: Caller,
    body: &Bytes,
    each: Vec<Fields<'_>>,
    validation: &mut Validation,
) -> Result<Vec<Submission>, Problem> {
    let mut submissions = Vec::with_capacity(each.len());
    let mut errors = Vec::new();
    for mut fields in each {
        submissions.extend(check(engine, caller, body, &mut fields, validation).await?);
        errors.append(&mut fields.into_errors());
        if errors.len() >= MAX_VIOLATIONS {
            break;
        }
        // Each one alone is done at once; a thousand of them let others have their turn in between.
        tokio::task::yield_now().await;
    }
    if errors.is_empty() { Ok(submissions) } else { Err(Problem::invalid(errors)) }
}

/// The payload's bytes, exactly: `text` is a part of `body`.
fn bytes_of(body: &Bytes, text: &str) -> Bytes {
    if text.len() <= MAX_COPIED_BYTES || text.len() < body.len() / 2 {
        Bytes::copy_from_slice(text.as_bytes())
    } else {
        body.slice_ref(text.as_bytes())
    }
}
