//! The dashboard as a whole: real pages over a real engine, store and sender, first by hand and then in a real browser.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod access;
mod attempts;
mod browser;
mod client;
mod event_types;
mod forms;
mod hands;
mod harness;
mod health;
mod long_log;
mod operations;
mod portal;
mod strangers;
