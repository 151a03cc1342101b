//! Rows to core's types and back, and what a failure of the database means.

use deadpool_postgres::PoolError;
use postrider_core::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::columns::Unreadable;
use crate::error::{AcceptError, StoreError};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The store's own no.
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// The database's.
    #[error("the database said no")]
    Database(#[from] tokio_postgres::Error),
    /// There is no connection.
    #[error("no connection to the database")]
    Pool(#[from] PoolError),
    /// The database has not answered in time. What was asked of it may be done or not.
    #[error("the database did not answer in time")]
    TooSlow,
    /// A row is not one that we write.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Failed {
    fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            _ => None,
        }
    }

    /// Whether it comes from what one job asked, and not from the state of the database: a value that no column takes
    /// (class 22), or that contradicts another row (class 23).
    pub(super) fn concerns_one_job(&self) -> bool {
        self.state().is_some_and(|state| state.code().starts_with("22") || state.code().starts_with("23"))
    }

    /// Whether a row is there that this one can't stand beside.
    pub(super) fn is_there_already(&self) -> bool {
        self.state() == Some(&SqlState::UNIQUE_VIOLATION)
    }

    /// Whether the same may work at once: the server ended it in favour of another.
    pub(super) fn is_worth_repeating(&self) -> bool {
        matches!(self.state(), Some(state) if *state == SqlState::T_R_DEADLOCK_DETECTED
            || *state == SqlState::T_R_SERIALIZATION_FAILURE)
    }
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
