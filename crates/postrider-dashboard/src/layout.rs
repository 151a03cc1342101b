//! What stands around every page: the head, the navigation, the search.

use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use crate::answer::{self, Answer};
use crate::app::App;
use crate::assets;
use crate::refusal::Refusal;
use crate::show::time;
use crate::visit::{Viewer, Visit};

/// The parts of the dashboard, as the navigation names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Home,
    Deliveries,
    Endpoints,
    Events,
    EventTypes,
    Replays,
    Accounts,
    Operations,
}

impl Section {
    const ALL: [Self; 8] = [
        Self::Home,
        Self::Deliveries,
        Self::Endpoints,
        Self::Events,
        Self::Replays,
        Self::EventTypes,
        Self::Accounts,
        Self::Operations,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Deliveries => "/deliveries",
            Self::Endpoints => "/endpoints",
            Self::Events => "/events",
            Self::EventTypes => "/event-types",
            Self::Replays => "/replays",
            Self::Accounts => "/accounts",
            Self::Operations => "/operations",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Deliveries => "Deliveries",
            Self::Endpoints => "Endpoints",
            Self::Events => "Events",
            Self::EventTypes => "Event types",
            Self::Replays => "Replays",
            Self::Accounts => "Accounts",
            Self::Operations => "Operations",
        }
    }

    /// The key that goes there after `g`.
    fn key(self) -> &'static str {
        match self {
            Self::Home => "h",
            Self::Deliveries => "d",
            Self::Endpoints => "e",
            Self::Events => "v",
            Self::EventTypes => "t",
            Self::Replays => "r",
            Self::Accounts => "a",
            Self::Operations => "o",
        }
    }

    fn is_for_operator_alone(self) -> bool {
        matches!(self, Self::Accounts | Self::Operations)
    }
}

/// A page.
pub(crate) fn page(visit: &Visit, section: Section, title: &str, content: Markup) -> Answer {
    Ok(page_with(visit, StatusCode::OK, section, title, content))
}

/// A page with a status of its own, as a form that is shown again.
pub(crate) fn page_with(
    visit: &Visit,
    status: StatusCode,
    section: Section,
    title: &str,
    content: Markup,
) -> axum::response::Response {
    answer::html(status, whole(&visit.app, &visit.viewer, Some(section), title, content))
}

/// The page of a refusal; without navigation where nobody is logged in.
pub(crate) fn refused(app: &App, viewer: Option<&Viewer>, refusal: &Refusal) -> Markup {
    let content = html! {
        div.empty {
            h1 { (refusal.title()) }
            (refusal.words())
            @if viewer.is_some() {
                p { a.button href=(viewer.map(|viewer| viewer.link("/")).unwrap_or_default()) { "Home" } }
            }
        }
    };
    match viewer {
        Some(viewer) => whole(app, viewer, None, refusal.title(), content),
        None => bare(None, refusal.title(), false, html! { main.alone #main { (content) } }),
    }
}

/// A page without navigation, as the login.
pub(crate) fn bare(theme: Option<&str>, title: &str, has_accent: bool, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                title { (title) " · Postrider" }
                link rel="icon" href=(assets::icon());
                link rel="stylesheet" href=(assets::style());
                @if has_accent { link rel="stylesheet" href=(assets::accent()); }
                script src=(assets::script()) defer {}
            }
            body { (body) }
        }
    }
}

fn whole(app: &App, viewer: &Viewer, section: Option<Section>, title: &str, content: Markup) -> Markup {
    let is_operator = viewer.scope.is_operator();
    let has_accent = !is_operator && app.options.portal_accent.is_some();
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        div.frame {
            header.side {
                (brand(app, viewer))
                nav aria-label="Main" {
                    @for item in Section::ALL {
                        @if is_operator || !item.is_for_operator_alone() {
                            a href=(viewer.link(item.path())) data-key=(item.key())
                                aria-current=[(section == Some(item)).then_some("page")] { (item.name()) }
                        }
                    }
                }
                (corner(viewer))
            }
            div.body {
                (search(viewer))
                main #main tabindex="-1" { (content) }
                footer { "Times are UTC. " @if let Some(until) = viewer.until { "This link lasts until " (time::long(until, app.engine.now())) ". " } span.js-only { "Press " kbd { "?" } " for the keys." } }
            }
        }
        (keys(viewer))
    };
    bare(viewer.theme, title, has_accent, body)
}

fn brand(app: &App, viewer: &Viewer) -> Markup {
    let options = &app.options;
    html! {
        a.brand href=(viewer.link("/")) {
            @if viewer.scope.is_operator() {
                img src=(assets::icon()) alt="" width="22" height="22";
                "Postrider"
            } @else {
                @if options.portal_logo.is_some() { img src=(assets::logo()) alt="" height="22"; }
                @if options.portal_title.is_empty() { "Webhooks" } @else { (options.portal_title) }
            }
        }
    }
}

fn search(viewer: &Viewer) -> Markup {
    html! {
        form.search role="search" action=(viewer.link("/search")) {
            label.visually-hidden for="q" { "Search" }
            input #q name="q" type="search" autocomplete="off" spellcheck="false"
                placeholder="Search: a guid, an id, an event type, a URL" aria-keyshortcuts="/";
        }
    }
}

fn corner(viewer: &Viewer) -> Markup {
    let (next, name) = match viewer.theme {
        None => ("dark", "Theme: as the system"),
        Some("dark") => ("light", "Theme: dark"),
        Some(_) => ("", "Theme: light"),
    };
    html! {
        div.corner {
            form method="post" action=(viewer.link("/theme")) {
                (viewer.token())
                input type="hidden" name="theme" value=(next);
                button.quiet type="submit" title="Change the theme" { (name) }
            }
            @if viewer.scope.is_operator() {
                form method="post" action="/logout" {
                    (viewer.token())
                    button.quiet type="submit" { "Log out" }
                }
            }
        }
    }
}

/// The keys, for those who ask.
fn keys(viewer: &Viewer) -> Markup {
    let is_operator = viewer.scope.is_operator();
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keys" }
            dl.keys {
                dt { kbd { "/" } } dd { "Search" }
                dt { kbd { "j" } " " kbd { "k" } } dd { "Next and previous row" }
                dt { kbd { "Enter" } } dd { "Open the row" }
                dt { kbd { "l" } } dd { "Live on or off" }
                @for item in Section::ALL {
                    @if is_operator || !item.is_for_operator_alone() {
                        dt { kbd { "g" } " " kbd { (item.key()) } } dd { (item.name()) }
                    }
                }
                dt { kbd { "Esc" } } dd { "Close" }
            }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}

/// A line of places above a page's title.
pub(crate) fn trail(visit: &Visit, places: &[(&str, &str)]) -> Markup {
    html! {
        nav.trail aria-label="Breadcrumb" {
            ol { @for (path, name) in places { li { a href=(visit.link(path)) { (name) } } } }
        }
    }
}

/// What a form did, after it was done: one of the known lines.
pub(crate) fn said(visit: &Visit) -> Markup {
    let text = match visit.query.get("said") {
        "saved" => "Saved. It applies from the next attempt.",
        "paused" => "Paused: deliveries are held until you resume.",
        "resumed" => "Resumed: what was held is being sent.",
        "enabled" => "Enabled, with fresh health: what was held is being sent.",
        "disabled" => "Disabled: deliveries are held until you enable it.",
        "deleted" => "Deleted. The log stays; what was pending is cancelled.",
        "resent" => "Resent: this is the new delivery, with the same guid and a full schedule.",
        "cancelled" => "Cancelled.",
        "tested" => "The test event is on its way.",
        "sent" => "Accepted: the event and its deliveries are durable.",
        "rotated" => "Rotated. Both secrets sign until the overlap ends.",
        "ended" => "The overlap is over: the new secret alone signs now.",
        "revoked" => "Revoked.",
        "renamed" => "Renamed.",
        "created" => "Created.",
        "added" => "Added: events of it are taken from now on.",
        "changed" => "Saved. The next event is judged by it.",
        "archived" => "Archived.",
        "back" => "Back in use.",
        _ => return html! {},
    };
    html! { p.said role="status" { (text) } }
}
