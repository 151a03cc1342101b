//! Listens for notifications, on a connection of its own. One that was lost is noticed and made again; what was missed
//! meanwhile the keeper finds by itself.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{AsyncMessage, Client};

use super::connector::Connector;
use super::rows::Failed;
use super::session;
use super::shared::Shared;
use super::wake;

/// How often the connection is asked whether it still works, and still leads to a server that can be written.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before another connection is tried, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Listens until the task is ended.
pub(super) async fn run(shared: Arc<Shared>, connector: Connector) {
    let (first, longest) = PAUSES;
    let mut pause = first;
    loop {
        match listen(&shared, &connector, &mut pause).await {
            Ok(()) => {
                tracing::warn!("listener connection closed; reconnecting")
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "listener connection failed; reconnecting");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// A server that can't be written does not hear what others notify.
async fn refuse_read_only(shared: &Shared, client: &Client) -> Result<(), Failed> {
    let asked = tokio::time::timeout(shared.patience, session::is_read_only(client));
    if !asked.await.or(Err(Failed::TooSlow))?? {
        return Ok(());
    }
    // The others lead there too, most likely.
    shared.sessions.recheck_all();
    Err(Failed::ReadOnly)
}

async fn listen(shared: &Arc<Shared>, connector: &Connector, pause: &mut Duration) -> Result<(), Failed> {
    let (client, mut connection) = connector.connect().await?;
    let hearing = Arc::clone(shared);
    let mut heard = tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notification(_)) => hearing.look.notify_one(),
                Ok(_notice) => {}
                Err(error) => return Err(Failed::from(error)),
            }
        }
        Ok(())
    });
    let check = async {
        refuse_read_only(shared, &client).await?;
        let listening = tokio::time::timeout(shared.patience, client.batch_execute(wake::LISTEN));
        listening.await.or(Err(Failed::TooSlow))??;
        *pause = PAUSES.0;
        // What was notified before this connection listened.
        shared.look.notify_one();
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            refuse_read_only(shared, &client).await?;
        }
    };
    let ended = tokio::select! {
        ended = &mut heard => ended.unwrap_or(Ok(())),
        failed = check => failed,
    };
    heard.abort();
    ended
}
