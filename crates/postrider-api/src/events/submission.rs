//! Judges what is handed in: whose it is, its type, its payload. The hot path: the body is read once, the payload
//! stays the bytes it is.

use bytes::Bytes;
use postrider_core::catalogue::RaisedBy;
use postrider_core::limits::MAX_VIOLATIONS;
use postrider_core::payload;
use postrider_engine::Engine;
use postrider_engine::model::Submission;

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

/// Judges one event; none where faults were noted in `fields`. 403 where it names another's account or mode.
pub(super) async fn judge(
    engine: &Engine,
    caller: Caller,
    body: &Bytes,
    fields: &mut Fields<'_>,
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
    match payload::check(&event_type, raw.get(), stated_mode) {
        Ok(livemode) => {
            let payload = bytes_of(body, raw.get());
            Ok(account.map(|account| Submission { account, event_type, livemode, payload }))
        }
        Err(violations) => {
            for violation in violations {
                fields.refuse(&format!("payload{}", violation.pointer), violation.detail);
            }
            Ok(None)
        }
    }
}

/// Judges every event of a batch, or gives the faults of as many as one answer can name.
pub(super) async fn judge_all(
    engine: &Engine,
    caller: Caller,
    body: &Bytes,
    each: Vec<Fields<'_>>,
) -> Result<Vec<Submission>, Problem> {
    let mut submissions = Vec::with_capacity(each.len());
    let mut errors = Vec::new();
    for mut fields in each {
        submissions.extend(judge(engine, caller, body, &mut fields).await?);
        errors.append(&mut fields.into_errors());
        if errors.len() >= MAX_VIOLATIONS {
            break;
        }
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
