//! Checkpoints: when the write-ahead log is copied into the database, and when it starts over.
//!
//! A thread copies (`copier.rs`). When it is nearly through, the writer copies the little that has come since, between two
//! batches, and the log starts over at its beginning, unless a reader still needs it. The file is reused and stays as long
//! as it usually gets; only a file that a reader has made much longer is cut back. An idle writer does the same after a
//! while, and sleeps for good once everything is in the database.

mod copier;
mod log_state;
mod status;
mod warning;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use self::copier::Copied;
pub(super) use self::copier::Copier;
use self::log_state::{LogState, NOOP, PASSIVE, RESTART, TRUNCATE, checkpoint};
pub(super) use self::status::CheckpointStatus;
use self::warning::Warning;

/// After how many commits the log's length is examined, which costs a few microseconds.
const EXAMINE_EVERY: u32 = 8;
/// A log that is so many times longer than it should be is cut back, and what keeps it from starting over is logged.
const TOO_LONG: i64 = 4;
/// The thread leaves this part of the pages after which it begins to the writer.
const LEFT_TO_WRITER: u32 = 4;
/// The next try after one that a reader has blocked: after a part of the time for which it does already, within these.
const RETRY: (u32, Duration, Duration) = (4, Duration::from_millis(100), Duration::from_secs(5));
/// Bytes of a page in the log: its header and the page.
const FRAME_BYTES: i64 = 24 + 4_096;

/// How checkpoints are run.
pub(super) struct CheckpointOptions {
    /// Pages that the log collects before they are copied.
    pub(super) pages: u32,
    /// How long commits wait for a complete checkpoint at most, however few they are.
    pub(super) longest_wait: Duration,
    /// How often commits are copied into the database while its files are faulty.
    pub(super) rescue_every: Duration,
    /// How long other statements of the writer wait for another process.
    pub(super) patience: Duration,
    pub(super) status: Arc<CheckpointStatus>,
}

impl CheckpointOptions {
    /// Pages that the thread leaves to the writer.
    pub(super) fn left_to_writer(&self) -> u32 {
        self.pages / LEFT_TO_WRITER
    }
}

/// The size to which a log is cut back when it starts over, in bytes.
pub(super) fn log_limit(pages: u32) -> i64 {
    i64::from(pages).saturating_mul(TOO_LONG).saturating_mul(FRAME_BYTES)
}

/// The writer's side: decides when.
pub(super) struct Checkpoints<'c> {
    connection: &'c Connection,
    copier: Copier,
    pages: i64,
    longest_wait: Duration,
    patience: Duration,
    status: Arc<CheckpointStatus>,
    commits: u32,
    /// The length at the last look; a shorter one means that the log has started over.
    frames: i64,
    /// Set while a reader keeps the log from starting over.
    blocked: Option<Blocked>,
    rescue_every: Duration,
    /// Set while the files are faulty.
    rescue: Option<Rescue>,
    warning: Warning,
    is_failing: bool,
}

#[derive(Debug, Clone, Copy)]
struct Blocked {
    /// When copying last went on.
    since: Instant,
    retry_at: Instant,
    /// Pages that had been copied.
    copied: i64,
}

/// Copying what the log holds while its file may be lost.
#[derive(Debug, Clone, Copy)]
struct Rescue {
    next_at: Instant,
    /// Whether the log may hold pages that were not copied.
    is_wanted: bool,
}

impl<'c> Checkpoints<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        path: &Path,
        copier: Copier,
        options: CheckpointOptions,
    ) -> rusqlite::Result<Self> {
        let found = checkpoint(connection, NOOP)?;
        let pages = i64::from(options.pages);
        if found.frames > 0 {
            // The last run left them, or the migrations of this start.
            options.status.committed();
        }
        if found.frames >= pages {
            copier.begin();
        }
        Ok(Self {
            connection,
            copier,
            pages,
            longest_wait: options.longest_wait,
            patience: options.patience,
            status: options.status,
            commits: 0,
            frames: found.frames,
            blocked: None,
            rescue_every: options.rescue_every,
            rescue: None,
            warning: Warning::new(path),
            is_failing: false,
        })
    }

    /// Called after every batch, whether or not it was committed.
    pub(super) fn after_batch(&mut self) {
        if self.status.waiting_since().is_none() && self.holds_commits() {
            self.status.committed();
        }
        if let Some(rescue) = &mut self.rescue {
            rescue.is_wanted = true;
        }
        self.rescue_if_due();
        self.commits += 1;
        let result = self.copier.take_result();
        if self.commits < EXAMINE_EVERY && result.is_none() {
            return;
        }
        self.commits = 0;
        self.advance(result);
    }

    /// Called where the writer has nothing to do and [`Self::wake_at`] has come, or the copier has ended a run.
    pub(super) fn when_idle(&mut self) {
        self.rescue_if_due();
        let result = self.copier.take_result();
        self.advance(result);
    }

    /// When an idle writer has something to do here; `None` if everything is in the database, or the copier will wake it.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let rescue_at = self.rescue.filter(|rescue| rescue.is_wanted).map(|rescue| rescue.next_at);
        let checkpoint_at = match (self.status.waiting_since(), self.blocked) {
            (None, _) => None,
            _ if self.copier.is_running() => None,
            (_, Some(blocked)) => Some(blocked.retry_at),
            (Some(waiting_since), None) => Some(waiting_since + self.longest_wait),
        };
        rescue_at.into_iter().chain(checkpoint_at).min()
    }

    /// Takes note of a check of the files. While they are faulty the log may be lost, so it is copied when that is noticed, and
    /// then from time to time.
    pub(super) fn set_files_faulty(&mut self, is_faulty: bool) {
        if !is_faulty {
            self.rescue = None;
        } else if self.rescue.is_none() {
            self.rescue();
        }
    }

    /// Copies what is left in a log that may be lost: closed, its file is not always copied.
    pub(super) fn before_close(&mut self) {
        if self.rescue.is_some_and(|rescue| rescue.is_wanted) {
            self.rescue();
        }
    }

    fn rescue_if_due(&mut self) {
        if self.rescue.is_some_and(|rescue| rescue.is_wanted && rescue.next_at <= Instant::now()) {
            self.rescue();
        }
    }

    /// Copies everything that the log holds, however long that takes.
    fn rescue(&mut self) {
        let done = checkpoint(self.connection, PASSIVE);
        let is_wanted = !done.as_ref().is_ok_and(|log| !log.is_busy && log.uncopied() == 0);
        self.rescue = Some(Rescue { next_at: Instant::now() + self.rescue_every, is_wanted });
        self.tell(&done.map(drop));
    }

    /// Whether the log holds commits that are not in the database; also if that can't be told.
    fn holds_commits(&self) -> bool {
        checkpoint(self.connection, NOOP).map_or(true, |log| log.uncopied() > 0)
    }

    fn advance(&mut self, result: Option<Copied>) {
        let done = self.go_on(result);
        if done.is_err() {
            self.is_blocked(Instant::now(), None);
        }
        self.tell(&done);
    }

    fn tell(&mut self, done: &rusqlite::Result<()>) {
        if let Err(error) = done
            && !self.is_failing
        {
            tracing::warn!(%error, "checkpoint failed");
        }
        self.is_failing = done.is_err();
    }

    fn go_on(&mut self, result: Option<Copied>) -> rusqlite::Result<()> {
        if let Some(Copied::Nearly | Copied::Behind) = result {
            self.finish()?;
        }
        let log = checkpoint(self.connection, NOOP)?;
        if let Some(Copied::Blocked | Copied::Failed) = result {
            self.is_blocked(Instant::now(), Some(log.copied));
        }
        if log.frames < self.frames {
            // A commit has begun at the beginning of the log: the readers have let it go.
            self.is_complete(log.frames > 0);
        }
        self.frames = log.frames;
        self.warn(log);
        if self.wants_copying(log, Instant::now()) && !self.copier.begin() {
            // Without the thread the writer copies by itself.
            self.finish()?;
        }
        Ok(())
    }

    fn wants_copying(&self, log: LogState, now: Instant) -> bool {
        let Some(waiting_since) = self.status.waiting_since() else { return false };
        match self.blocked {
            Some(blocked) => now >= blocked.retry_at,
            None => {
                (log.frames >= self.pages && log.uncopied() > 0) || now >= waiting_since + self.longest_wait
            }
        }
    }

    /// Copies what is left and lets the log start over, without waiting for a reader.
    fn finish(&mut self) -> rusqlite::Result<()> {
        let is_too_long = self.frames > self.pages.saturating_mul(TOO_LONG);
        self.connection.busy_timeout(Duration::ZERO)?;
        let done = checkpoint(self.connection, if is_too_long { TRUNCATE } else { RESTART });
        self.connection.busy_timeout(self.patience)?;
        let log = done?;
        if log.is_busy {
            self.is_blocked(Instant::now(), Some(log.copied));
        } else {
            self.is_complete(false);
            self.frames = log.frames;
        }
        Ok(())
    }

    fn is_complete(&mut self, has_commits: bool) {
        self.blocked = None;
        self.status.complete();
        self.warning.end();
        if has_commits {
            self.status.committed();
        }
    }

    /// Something keeps the log from starting over: tries again later, and less often the longer nothing could be copied. Short
    /// reads that follow each other let copying go on. `copied` is `None` if it is not known.
    fn is_blocked(&mut self, now: Instant, copied: Option<i64>) {
        let before = self.blocked;
        let copied = copied.or(before.map(|blocked| blocked.copied)).unwrap_or_default();
        let since = before.filter(|blocked| copied <= blocked.copied).map_or(now, |blocked| blocked.since);
        let (part, least, most) = RETRY;
        let pause = (now.duration_since(since) / part).clamp(least, most);
        self.blocked = Some(Blocked { since, retry_at: now + pause, copied });
    }

    fn warn(&mut self, log: LogState) {
        if let Some(blocked) = self.blocked {
            let is_too_long = log.frames > self.pages.saturating_mul(TOO_LONG);
            self.warning.consider(blocked.since, is_too_long);
        }
    }
}

#[cfg(test)]
mod tests;
