//! The domain of Postrider as pure values and pure decisions.
//!
//! Nothing here does I/O, reads a clock or makes a random number: time and chance are arguments, so that
//! every decision can be written down as a table. No async, and no type that only a wire or a row needs.

pub mod address;
pub mod attempt;
pub mod id;
pub mod limits;
pub mod retry_after;
pub mod schedule;
pub mod secret;
pub mod time;
