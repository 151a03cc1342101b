//! The domain of Postrider as pure values and pure decisions.
//!
//! Nothing here does I/O, reads a clock or makes a random number: time and chance are arguments, so that
//! every decision can be written down as a table. No async, and no type that only a wire or a row needs.

pub mod account;
pub mod activity;
pub mod address;
pub mod address_redaction;
pub mod attempt;
pub mod audit;
pub mod body_pace;
pub mod catalogue;
pub mod client_address;
mod decimal;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod fair_share;
pub mod field_name;
pub mod filter;
mod header_log;
pub mod health;
pub mod host_name;
pub mod id;
mod json_types;
pub mod limits;
pub mod operational;
pub mod payload;
pub mod portal;
pub mod replay;
pub mod retry_after;
pub mod schedule;
pub mod secret;
pub mod service_clock;
pub mod text;
pub mod time;
pub mod trace;
mod validator;
