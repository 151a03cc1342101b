//! The commands over the REST surface: each is one call, and shows its answer. Thin on purpose: what is right and what is
//! not, the service says.

mod accounts;
mod audit;
mod deliveries;
mod endpoints;
mod event_types;
mod events;
mod keys;
mod portal_links;
mod replays;
mod shared;
mod show;
mod table;

pub(crate) use accounts::AccountsCommand;
pub(crate) use audit::AuditArgs;
pub(crate) use deliveries::DeliveriesCommand;
pub(crate) use endpoints::EndpointsCommand;
pub(crate) use event_types::EventTypesCommand;
pub(crate) use events::EventsCommand;
pub(crate) use keys::KeysCommand;
pub(crate) use portal_links::PortalLinksCommand;
pub(crate) use replays::ReplaysCommand;
pub(crate) use shared::{ModeArgs, OnceArgs};
pub(crate) use show::hint;
pub(crate) use table::printable;
