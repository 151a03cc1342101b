//! What things are called on pages: an endpoint by its description or its address, an account by its name.

use maud::{Markup, html};
use postrider_core::endpoint::Endpoint;
use postrider_core::id::{AccountId, EndpointId};
use postrider_engine::model::EndpointView;

use crate::refusal::Refusal;
use crate::show::text::visible;
use crate::visit::Visit;

/// An endpoint in a few words.
pub(crate) fn of_endpoint(endpoint: &Endpoint) -> String {
    match endpoint.settings.description.trim() {
        "" => short_url(endpoint),
        described => visible(described.lines().next().unwrap_or_default()).into_owned(),
    }
}

/// The address without what all have in common.
pub(crate) fn short_url(endpoint: &Endpoint) -> String {
    let url = endpoint.settings.url.as_str();
    url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/').to_owned()
}

/// A link to an endpoint, or its id where it is there no more.
pub(crate) fn endpoint_link(visit: &Visit, id: EndpointId) -> Markup {
    match visit.engine().endpoint(id) {
        Ok(view) => html! {
            a.cut href=(visit.link(&format!("/endpoints/{id}"))) title=(view.endpoint.settings.url) {
                bdi { (of_endpoint(&view.endpoint)) }
            }
        },
        Err(_) => html! { span.muted title=(id) { "deleted endpoint" } },
    }
}

/// A link to an account by its name, for the operator.
pub(crate) fn account_link(visit: &Visit, id: AccountId) -> Markup {
    match visit.engine().account(id) {
        Ok(account) => html! {
            a.cut href=(visit.link(&format!("/accounts/{id}"))) title=(id) { bdi { (visible(&account.name)) } }
        },
        Err(_) => html! { span.muted title=(id) { "deleted account" } },
    }
}

/// The endpoint in the path, if the visitor may see it.
pub(crate) fn find_endpoint(visit: &Visit) -> Result<EndpointView, Refusal> {
    let view = visit.engine().endpoint(visit.id::<EndpointId>()?)?;
    let sees = visit.viewer.scope.sees(view.endpoint.account, view.endpoint.livemode);
    if sees { Ok(view) } else { Err(Refusal::NotFound) }
}
