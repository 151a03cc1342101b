//! Seals the values of endpoints that the previous release wrote again, so that each is bound to its endpoint's URL.
//!
//! Once in the life of a file, part by part between everything else that the writer does. With the last part the file
//! remembers that values of the old scheme are refused from then on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::EndpointId;
use rusqlite::params;
use tokio::sync::Semaphore;

use super::changes::accounts::put_meta;
use super::changes::{self, Context, NotMade};
use super::inbox::{ChangeJob, Inbox};
use super::pending;
use crate::endpoint_columns::SealedRow;
use crate::error::{OpenError, StoreError};
use crate::seal::meta_values;
use crate::seal::{Scheme, Sealer};

/// How many endpoints are looked at in one part.
const PART_ROWS: usize = 500;
/// How long to wait after a part that could not be committed.
const PAUSE: Duration = Duration::from_secs(5);

/// Starts the work in a thread of its own, where there is any. It ends with the work, or when the store is closed.
pub(super) fn start(path: &Path, inbox: &Arc<Inbox>, sealer: &Arc<Sealer>) -> Result<(), OpenError> {
    if sealer.refuses_unbound() {
        return Ok(());
    }
    let (inbox, sealer) = (Arc::clone(inbox), Arc::clone(sealer));
    let thread = std::thread::Builder::new().name("store-sealing".to_owned());
    let started = thread.spawn(move || run(&inbox, &sealer)).map(drop);
    started.map_err(|error| OpenError::Other { path: path.to_owned(), reason: error.to_string() })
}

fn run(inbox: &Inbox, sealer: &Sealer) {
    let mut after = i64::MIN;
    loop {
        match hand_in(inbox, after) {
            Some(Ok(Some(last))) => after = last,
            Some(Ok(None)) => {
                sealer.refuse_unbound();
                tracing::info!("sealed values are bound to their endpoints' URLs");
                return;
            }
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "failed to seal endpoints' values again; retrying");
                std::thread::park_timeout(PAUSE);
            }
            None => return,
        }
    }
}

/// Hands a part to the writer; none once the store is closed.
fn hand_in(inbox: &Inbox, after: i64) -> Option<Result<Option<i64>, StoreError>> {
    // One part at a time: its space is beside that of other changes.
    let space = Arc::new(Semaphore::new(1)).try_acquire_owned().ok()?;
    let (change, answer) = changes::ask(move |context| bind_part(context, after));
    inbox.change(ChangeJob { change, _space: space }).ok()?;
    answer.blocking_recv().ok()
}

/// Binds the values of the endpoints behind `after`. Returns the last one of this part; none where it was the end, and the
/// file says so. What does not open stays as it is.
fn bind_part(context: &mut Context<'_>, after: i64) -> Result<Option<i64>, NotMade> {
    const FIND: &str = "SELECT no, id, url, secret, next_secret, headers FROM endpoints
        WHERE no > ?1 ORDER BY no LIMIT ?2";
    const SET: &str = "UPDATE endpoints SET secret = coalesce(?2, secret),
        next_secret = coalesce(?3, next_secret), headers = coalesce(?4, headers) WHERE no = ?1";
    let (mut rows, mut last, mut looked_at) = (Vec::new(), after, 0);
    {
        let mut find = context.connection.prepare_cached(FIND)?;
        let mut found = find.query(params![after, pending::to_limit(PART_ROWS)])?;
        while let Some(row) = found.next()? {
            let (id, url): ([u8; 16], String) = (row.get(1)?, row.get(2)?);
            let sealed = SealedRow { sealer: context.sealer, id: EndpointId::from_bytes(id), url: &url };
            let value = |index: usize, column| -> rusqlite::Result<Option<Vec<u8>>> {
                let value: Option<Vec<u8>> = row.get(index)?;
                Ok(value.and_then(|value| sealed.bind(column, &value)))
            };
            (last, looked_at) = (row.get(0)?, looked_at + 1);
            rows.push((last, value(3, "secret")?, value(4, "next_secret")?, value(5, "headers")?));
        }
    }
    let mut set = context.connection.prepare_cached(SET)?;
    for (no, secret, next_secret, headers) in rows {
        if secret.is_some() || next_secret.is_some() || headers.is_some() {
            set.execute(params![no, secret, next_secret, headers])?;
        }
    }
    if looked_at == PART_ROWS {
        return Ok(Some(last));
    }
    if let Some((sha256, None)) = pending::operator_key(context.connection)? {
        put_meta(context, "operator_key_seal", &meta_values::seal_operator_key(context.sealer, &sha256))?;
    }
    put_meta(context, "key_check", &meta_values::key_check(context.sealer, Scheme::Bound))?;
    Ok(None)
}
