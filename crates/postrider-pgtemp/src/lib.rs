//! PostgreSQL servers that live as long as the test, or the measurement, that started them.
//!
//! [`Cluster`] makes a data folder, runs the installed server in it on a free port of the loopback, hands out fresh
//! databases, and can be stopped, killed and started again. It downloads nothing, and nothing of it is left when the
//! process that started it is gone, however that ended.
//!
//! [`Proxy`] stands between a service and its server, and makes the network's faults: delays, cuts, half-closed
//! connections, silence.
//!
//! [`Pooler`] runs PgBouncer before a server.
//!
//! For tests, and for the bench. It speaks no SQL of its own: what it needs goes through `psql`.

mod cluster;
mod error;
mod installation;
mod janitor;
mod pooler;
mod port;
mod processes;
mod proxy;

pub use cluster::{Cluster, Settings};
pub use error::ClusterError;
pub use pooler::{PoolMode, Pooler};
pub use proxy::{Proxy, Way};
