//! Everything written that is neither accepted events nor outcomes: accounts, endpoints, event types,
//! resends, replays, cancelling.
//!
//! Each change runs in a savepoint of the writer's transaction, so that its refusal hurts nobody else, and it
//! must leave [`Context::versions`] telling what it did to accounts.

pub(super) mod accounts;
pub(super) mod deliveries;
pub(super) mod endpoints;
pub(super) mod event_types;
pub(super) mod portal_links;
pub(super) mod replays;
pub(super) mod retention;

use postrider_core::account::AccountNo;
use rusqlite::{Connection, ErrorCode, ffi};
use tokio::sync::oneshot;

use super::hot::Numbers;
use crate::error::StoreError;
use crate::seal::Sealer;

/// What a change works with.
pub(super) struct Context<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sealer: &'a Sealer,
    pub(super) numbers: &'a mut Numbers,
    /// The configuration versions that hold once this is committed; none for a deleted account.
    pub(super) versions: Vec<(AccountNo, Option<i64>)>,
}

/// Why a change is not made.
pub(super) enum NotMade {
    /// The store's own no.
    Refused(StoreError),
    /// The database's.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for NotMade {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for NotMade {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// What a change wants to become of its savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Undo,
}

/// A change in the queue, its type of answer hidden.
pub(super) trait Change: Send {
    /// Makes the change; an error is one that concerns the whole transaction.
    fn run(&mut self, context: &mut Context<'_>) -> rusqlite::Result<Verdict>;

    /// Gives the answer once the commit is over; `failed` tells why there was none.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

/// A change and who waits for its answer.
struct Asked<F, T> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

/// The transaction of a change was undone.
#[derive(Debug, thiserror::Error)]
#[error("the change was undone with others that failed")]
struct Undone;

/// A change made of a function that runs once, and where its answer arrives.
pub(super) fn ask<F, T>(work: F) -> (Box<dyn Change>, oneshot::Receiver<Result<T, StoreError>>)
where
    F: FnOnce(&mut Context<'_>) -> Result<T, NotMade> + Send + 'static,
    T: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Asked { work: Some(work), result: None, reply }), answer)
}

impl<F, T> Change for Asked<F, T>
where
    F: FnOnce(&mut Context<'_>) -> Result<T, NotMade> + Send,
    T: Send,
{
    fn run(&mut self, context: &mut Context<'_>) -> rusqlite::Result<Verdict> {
        let Some(work) = self.work.take() else {
            // It runs once: a first transaction has made it and was undone for another job's fault.
            if matches!(self.result, Some(Ok(_))) {
                self.result = Some(Err(StoreError::Unavailable(Box::new(Undone))));
            }
            return Ok(Verdict::Undo);
        };
        let refused = match work(context) {
            Ok(made) => {
                self.result = Some(Ok(made));
                return Ok(Verdict::Keep);
            }
            Err(NotMade::Refused(error)) => error,
            Err(NotMade::Failed(error)) if is_a_duplicate(&error) => {
                StoreError::Conflict("it is there already")
            }
            Err(NotMade::Failed(error)) if concerns_one_job(&error) => StoreError::Refused(Box::new(error)),
            Err(NotMade::Failed(error)) => return Err(error),
        };
        self.result = Some(Err(refused));
        Ok(Verdict::Undo)
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let result = match (failed, self.result) {
            (Some(error), _) => Err(error),
            (None, Some(result)) => result,
            (None, None) => Err(StoreError::Conflict("it was not tried")),
        };
        // Who asked may have gone away; the change stands all the same.
        drop(self.reply.send(result));
    }
}

/// Whether a row exists that this one can't stand beside. Other constraints (`CHECK`, `NOT NULL`) refuse the value.
fn is_a_duplicate(error: &rusqlite::Error) -> bool {
    let unique =
        [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_ROWID];
    error.sqlite_error().is_some_and(|error| unique.contains(&error.extended_code))
}

/// Whether an error comes from what one job asked, and not from the state of the database.
pub(super) fn concerns_one_job(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(..) => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        ),
        // Everything else is about one statement's parameters or one row's values.
        _ => true,
    }
}
