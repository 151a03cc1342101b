//! Rows to core's types and back, and what a failure of the database means.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use postrider_core::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::session;
use crate::columns::Unreadable;
use crate::error::{AcceptError, StoreError};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The store's own no.
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// The database's.
    #[error("the database returned an error")]
    Database(#[from] tokio_postgres::Error),
    /// There is no connection.
    #[error("no connection to the database: {}", session::pool_error(.0))]
    Pool(PoolError),
    /// The database has not answered in time, and nothing was done.
    #[error("the database did not answer in time")]
    TooSlow,
    /// The statement waited for a lock of another session, and was cancelled. Nothing was done.
    #[error("the statement waited for a lock that {0} holds, and was cancelled")]
    Blocked(String),
    /// The answer did not come. What was asked of it may be done, and may still be going on.
    #[error("the database's answer did not come; what was asked of it may have been done")]
    Unknown(#[source] Option<Box<tokio_postgres::Error>>),
    /// The connection had ended, and nothing was done.
    #[error("the connection to the database had ended; nothing was done")]
    NotDone,
    /// An earlier statement may still commit something, so that nothing else is begun. Nothing was done.
    #[error("an earlier statement's outcome is still unknown: {0}")]
    Unresolved(String),
    /// The server can't be written.
    #[error("the server is read-only")]
    ReadOnly,
    /// A row is not one that we write.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl From<PoolError> for Failed {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl Failed {
    fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            _ => None,
        }
    }

    /// Whether it comes from what one job asked, and not from the state of the database: a value that no column takes
    /// (class 22), that contradicts another row (class 23), or that is beyond a limit of the server (class 54).
    pub(super) fn concerns_one_job(&self) -> bool {
        self.state()
            .is_some_and(|state| ["22", "23", "54"].iter().any(|class| state.code().starts_with(class)))
    }

    /// Whether a row is there that this one can't stand beside.
    pub(super) fn is_there_already(&self) -> bool {
        self.state() == Some(&SqlState::UNIQUE_VIOLATION)
    }

    /// The answer did not come at all.
    pub(super) fn unanswered() -> Self {
        Self::Unknown(None)
    }

    /// What an unknown outcome comes to once it is known that nothing was done.
    pub(super) fn into_not_done(self) -> Self {
        match self {
            Self::Unknown(Some(_)) => Self::NotDone,
            _ => Self::TooSlow,
        }
    }

    /// The same failure, as `Unknown` where it is the connection's and not the server's answer: what was sent over it may
    /// have been done.
    pub(super) fn or_unknown(self) -> Self {
        match self {
            Self::Database(error) if is_of_connection(&error) => Self::Unknown(Some(Box::new(error))),
            other => other,
        }
    }

    /// Whether what was asked may have been done all the same.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Whether the server ended the statement because it was told to cancel it. It has done nothing then.
    pub(super) fn was_cancelled(&self) -> bool {
        self.state() == Some(&SqlState::QUERY_CANCELED)
    }

    /// Whether the server refuses every write.
    pub(super) fn is_read_only(&self) -> bool {
        self.state() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
    }

    /// Whether the connection should not be used again: it leads to a server or a schema that is not the right one any more,
    /// or has lost what was prepared on it.
    pub(super) fn makes_unfit(&self) -> bool {
        let Some(state) = self.state() else { return false };
        let lost = [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::UNDEFINED_TABLE,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
            SqlState::FEATURE_NOT_SUPPORTED,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ];
        lost.contains(state) || state.code().starts_with("57P") || state.code().starts_with("08")
    }

    /// Whether the same may work at once: the server ended it in favour of another.
    pub(super) fn is_worth_repeating(&self) -> bool {
        matches!(self.state(), Some(state) if *state == SqlState::T_R_DEADLOCK_DETECTED
            || *state == SqlState::T_R_SERIALIZATION_FAILURE)
    }
}

/// Whether an error is no answer to the statement: the connection broke, or the server ended the session.
fn is_of_connection(error: &tokio_postgres::Error) -> bool {
    let is_broken =
        || error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>());
    error.code().map_or_else(is_broken, |state| {
        let code = state.code();
        code.starts_with("57P") || code.starts_with("08") || code == "40003"
    })
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(error) => error,
            failed if failed.is_there_already() => Self::Conflict("it is there already"),
            failed if failed.concerns_one_job() => Self::Refused(Box::new(failed)),
            failed => Self::Unavailable(Box::new(failed)),
        }
    }
}

impl From<Failed> for AcceptError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(StoreError::LeaseLost) => Self::LeaseLost,
            Failed::Refused(StoreError::AnsweredBefore) => Self::AnsweredBefore,
            failed if failed.concerns_one_job() => Self::Refused(Box::new(failed)),
            failed => Self::Unavailable(Box::new(failed)),
        }
    }
}

/// A time from a column.
pub(super) fn time(row: &Row, index: usize) -> Timestamp {
    Timestamp::from_ms(row.get(index))
}

/// A time from a column that may be empty.
pub(super) fn optional_time(row: &Row, index: usize) -> Option<Timestamp> {
    row.get::<_, Option<i64>>(index).map(Timestamp::from_ms)
}

/// An id from a column.
pub(super) fn id_bytes(row: &Row, index: usize) -> [u8; 16] {
    row.get::<_, Uuid>(index).into_bytes()
}

/// An id as its column holds it.
pub(super) fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

/// A count as a column takes it; what is beyond it stays at the largest.
pub(super) fn to_i64(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// A count of attempts as its column takes it.
pub(super) fn to_i32(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count from a column; nothing there is negative.
pub(super) fn to_u32(column: i32) -> u32 {
    u32::try_from(column).unwrap_or(0)
}
