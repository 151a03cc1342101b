//! An endpoint's secret, for the operator: shown when asked for, by a form, so that no address and no history shows it.

use maud::{Markup, html};
use postrider_engine::model::EndpointView;

use super::names;
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::visit::Visit;

pub(crate) async fn show(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    page(&visit, &view, None)
}

/// Shows it.
pub(crate) async fn reveal(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let secret = visit.acting().secrets(view.endpoint.id).await?.secret;
    tracing::info!(endpoint = %view.endpoint.id, "the operator read an endpoint's secret");
    page(&visit, &view, Some(secret.expose()))
}

fn page(visit: &Visit, view: &EndpointView, secret: Option<&str>) -> Answer {
    let path = format!("/endpoints/{}", view.endpoint.id);
    let content = html! {
        (layout::trail(visit, &[("/endpoints", "Endpoints"), (&path, &names::of_endpoint(&view.endpoint))]))
        div.head { h1 { "Secret" } }
        (layout::said(visit))
        section.card {
            (shown(visit, &path, secret))
        }
    };
    layout::page(visit, Section::Endpoints, "Secret", content)
}

fn shown(visit: &Visit, path: &str, secret: Option<&str>) -> Markup {
    html! {
        p { "Requests are signed with it. Whoever has it can forge requests to this receiver." }
        @match secret {
            Some(secret) => {
                button.copy.small.js-only type="button" data-copy="#secret" { "Copy" }
                pre #secret { (secret) }
            }
            None => {
                form method="post" action=(visit.link(&format!("{path}/secret"))) {
                    (visit.viewer.token())
                    button type="submit" { "Reveal" }
                }
            }
        }
    }
}
