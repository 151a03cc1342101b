//! PostgreSQL servers that live as long as the test, or the measurement, that started them.
//!
//! [`Cluster`] makes a data folder, runs the installed server in it on a free port of the loopback, hands out fresh
//! databases, and can be stopped, killed and started again. It downloads nothing, and nothing of it is left when the
//! process that started it is gone, however that ended.
//!
//! For tests, and for the bench. It speaks no SQL of its own: what it needs goes through `psql`.

mod cluster;
mod error;
mod installation;
mod janitor;
mod port;
mod processes;

pub use cluster::{Cluster, Settings};
pub use error::ClusterError;
