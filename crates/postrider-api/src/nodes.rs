//! `/v1/nodes`: who serves from the store, and what each has; the operator's alone. On SQLite there is one.

use http::StatusCode;
use postrider_engine::Node;
use serde::Serialize;

use crate::answer::{self, Answer, List, Text, Time};
use crate::call::Call;

#[derive(Serialize)]
struct Shown {
    /// Each start of a process is a node of its own.
    id: String,
    name: String,
    version: String,
    /// Whether it is the one that answers.
    this: bool,
    started_at: Time,
    /// When it last said that it lives.
    seen_at: Time,
    /// Pending deliveries that it has taken on.
    pending: u64,
    /// Endpoints that only it may send to just now.
    leases: u64,
}

impl From<Node> for Shown {
    fn from(node: Node) -> Self {
        Self {
            id: format!("node_{}", node.no),
            name: node.name,
            version: node.version,
            this: node.is_self,
            started_at: Text(node.started_at),
            seen_at: Text(node.seen_at),
            pending: node.pending,
            leases: node.leases,
        }
    }
}

/// All of them at once: they are few.
pub(crate) async fn list(call: Call) -> Answer {
    call.caller.must_be_operator()?;
    call.no_query()?;
    let data: Vec<Shown> = call.engine().nodes().await?.into_iter().map(Shown::from).collect();
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor: None }))
}
