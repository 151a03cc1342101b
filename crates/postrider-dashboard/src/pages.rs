//! Every page, and which of them there are for whom.

mod accounts;
mod audit;
mod deliveries;
mod delivery;
mod endpoint;
mod endpoint_form;
mod endpoints;
mod event;
mod event_type_form;
mod event_types;
mod events;
mod home;
mod keys;
pub(crate) mod login;
mod names;
mod operations;
mod portal_links;
mod replays;
mod search;
mod secret;
mod send;
mod settings;
mod signature;
mod storage;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{Method, Uri};

use crate::answer::{self, Answer};
use crate::app::App;
use crate::live;
use crate::refusal::Refusal;
use crate::visit::Viewer;

/// The pages that a customer sees as well, of their own things.
fn of_everybody() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(home::show))
        .route("/search", get(search::go))
        .route("/live", get(live::stream))
        .route("/theme", post(login::theme))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/{id}", get(delivery::show))
        .route("/deliveries/{id}/resend", post(delivery::resend))
        .route("/deliveries/{id}/cancel", post(delivery::cancel))
        .route("/deliveries/{id}/signature", post(signature::check))
        .route("/endpoints", get(endpoints::list))
        .route("/endpoints/new", get(endpoint_form::new).post(endpoint_form::create))
        .route("/endpoints/check", post(endpoint_form::check))
        .route("/endpoints/{id}", get(endpoint::show))
        .route("/endpoints/{id}/edit", get(endpoint_form::edit).post(endpoint_form::change))
        .route("/endpoints/{id}/state", post(endpoint::change_state))
        .route("/endpoints/{id}/test", post(endpoint::test))
        .route("/endpoints/{id}/delete", post(endpoint::delete))
        .route("/events", get(events::list))
        .route("/events/{id}", get(event::show))
        .route("/events/{id}/payload", get(event::payload))
        .route("/event-types", get(event_types::list))
        .route("/event-types/{name}", get(event_types::show))
        .route("/replays", get(replays::list))
        .route("/replays/new", get(replays::new).post(replays::create))
        .route("/replays/{id}", get(replays::show))
        .route("/replays/{id}/cancel", post(replays::cancel))
        .fallback(nothing)
}

/// Everything that a customer sees.
pub(crate) fn of_customer() -> Router<Arc<App>> {
    of_everybody().method_not_allowed_fallback(one_up)
}

/// Everything that the operator sees.
pub(crate) fn of_operator() -> Router<Arc<App>> {
    of_everybody()
        .route("/logout", post(login::logout))
        .route("/logout-everywhere", post(login::logout_everywhere))
        // Not below /event-types: an event type may be called anything there.
        .route("/new-event-type", get(event_type_form::new).post(event_type_form::create))
        .route("/event-types/{name}/edit", get(event_type_form::edit).post(event_type_form::change))
        .route("/event-types/{name}/archive", post(event_types::archive))
        .route("/events/new", get(send::new).post(send::create))
        .route("/endpoints/{id}/secret", get(secret::show).post(secret::reveal))
        .route("/endpoints/{id}/secret/rotate", post(secret::rotate))
        .route("/endpoints/{id}/secret/overlap", post(secret::end_overlap))
        .route("/accounts", get(accounts::list).post(accounts::create))
        .route("/accounts/{id}", get(accounts::show))
        .route("/accounts/{id}/rename", post(accounts::rename))
        .route("/accounts/{id}/delete", post(accounts::delete))
        .route("/accounts/{id}/keys", post(keys::create))
        .route("/accounts/{id}/keys/revoke", post(keys::revoke))
        .route("/accounts/{id}/portal-links", post(portal_links::create))
        .route("/accounts/{id}/portal-links/revoke", post(portal_links::revoke))
        .route("/operations", get(operations::show))
        .route("/audit", get(audit::list))
        // It holds for the routes that are there by then.
        .method_not_allowed_fallback(one_up)
}

/// Where a path takes forms alone: what it is below of. A theme that was changed on the answer to a form leads here, and so
/// does a reload of such an address.
async fn one_up(Extension(viewer): Extension<Viewer>, method: Method, uri: Uri) -> Answer {
    if method != Method::GET {
        return Err(Refusal::NotFound);
    }
    let above = uri.path().rsplit_once('/').map_or("", |(above, _)| above);
    Ok(answer::see(&viewer.link(if above.is_empty() { "/" } else { above })))
}

async fn nothing() -> Refusal {
    Refusal::NotFound
}
