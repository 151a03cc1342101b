//! Waking other nodes: a notification without content, upon which each looks for itself what there is. Who misses one
//! finds the same at the next heartbeat.

use deadpool_postgres::GenericClient;

use super::rows::Failed;

/// What a connection says that wants to be woken.
pub(super) const LISTEN: &str = "LISTEN postrider";

/// Wakes all nodes, this one included: at the commit where a transaction is open, else at once.
pub(super) async fn others(client: &impl GenericClient) -> Result<(), Failed> {
    Ok(client.batch_execute("NOTIFY postrider").await?)
}
