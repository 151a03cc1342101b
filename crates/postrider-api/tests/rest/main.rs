//! The REST surface as a client meets it: real HTTP over loopback, a real engine, a real SQLite file. Only the
//! receivers are played.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

mod account_keys;
mod accounts;
mod audit;
mod bad_events;
mod batch;
mod client;
mod costs;
mod deliveries;
mod described;
mod description;
mod endpoint_faults;
mod endpoints;
mod event_types;
mod events;
mod filters;
mod harness;
mod http;
mod keys;
mod lists;
mod matrix;
mod metrics;
mod nodes;
mod once;
mod overload;
mod portal_links;
mod rate_limits;
mod refused_bodies;
mod replays;
mod secrets;
mod shutdown;
mod stream;
mod tenancy;
mod testing;
mod texts;
