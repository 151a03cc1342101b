//! Refuses deliveries of this service that come back to it as calls. An endpoint that points here would otherwise make an
//! event of every event, forever.

use postrider_engine::LoopSource;

use crate::call::Call;
use crate::problem::{Code, Problem};

/// Refuses a call that carries the delivery header of an event of this store. For every route that makes events or
/// deliveries.
pub(crate) async fn refuse(call: &Call) -> Result<(), Problem> {
    let sees = |account, livemode| call.caller.sees(account, livemode);
    match call.engine().detect_loop(call.headers(), call.path(), sees).await? {
        None => Ok(()),
        Some(source) => Err(Problem::new(Code::LoopDetected, detail(&source, call.engine().header_prefix()))),
    }
}

fn detail(source: &LoopSource, prefix: &str) -> String {
    let found = match &source.seen {
        Some((event, Some((endpoint, url)))) => format!(
            "this request carries the delivery header of event {event}, which this service delivered. It probably comes from \
             endpoint {endpoint} ({url}): if that URL leads back to this service, directly or through your own code, every \
             event makes another one; correct the URL or disable the endpoint"
        ),
        Some((event, None)) => format!(
            "this request carries the delivery header of event {event}, which this service delivered: an endpoint's URL leads \
             back to this service, directly or through your own code, so that every event makes another one"
        ),
        None => "this request carries the delivery header of an event that this service delivered: an endpoint's URL leads \
                 back to this service, directly or through somebody's code, so that every event makes another one"
            .to_owned(),
    };
    format!(
        "{found}. Nothing was stored. A program that passes events on must leave out {prefix}Delivery and webhook-id"
    )
}
