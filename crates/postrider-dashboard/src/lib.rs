//! The dashboard: pages for people over the engine's use cases, for the operator and, scoped by a link, for a customer.
//!
//! Every page is whole without JavaScript. Nothing is loaded from elsewhere, nothing is inline, and everything that came
//! from a platform or a receiver is text. No page decides anything about events, deliveries or endpoints: core judges
//! what comes in, the engine does what is asked.

mod answer;
mod app;
mod assets;
mod branding;
mod door;
mod failed_keys;
mod form;
mod form_memory;
mod layout;
mod live;
mod live_limits;
mod pages;
mod query;
mod refusal;
mod session;
mod show;
mod visit;

use axum::Router;
use postrider_engine::Engine;

pub use crate::app::Setting;
pub use crate::branding::{Accent, AccentRefused, Logo, LogoRefused};

use crate::app::App;

/// What the operator sets about the dashboard.
#[derive(Debug, Clone, Default)]
pub struct DashboardOptions {
    /// What customers read at the top of the portal; "Webhooks" where it is empty.
    pub portal_title: String,
    /// A picture that stands before it.
    pub portal_logo: Option<Logo>,
    /// The colour of buttons and links in the portal.
    pub portal_accent: Option<Accent>,
    /// Origins such as `https://app.example.com` whose pages may frame the portal; none where it is empty.
    pub portal_frame_origins: Vec<String>,
    /// Whether a proxy in front tells the caller's address and scheme (`X-Forwarded-For` or else `Forwarded`,
    /// `X-Forwarded-Proto`). Where it is
    /// not set these headers mean nothing, because anybody can send them.
    pub behind_proxy: bool,
    /// The configuration as running, to be shown to the operator; secrets masked.
    pub settings: Vec<Setting>,
}

/// The pages, to be served beside the API. Requests carry the other side's address as axum's
/// `ConnectInfo<SocketAddr>`.
pub fn router(engine: Engine, options: DashboardOptions) -> Router {
    door::router(App::new(engine, options))
}
