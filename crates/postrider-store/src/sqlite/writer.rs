//! The one thread that writes: takes what waits, puts it into one transaction, commits, answers.
//!
//! There is no timer and no wait: while one commit reaches the disk, the next batch gathers in the inbox. No
//! transaction is open while the thread sleeps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use postrider_core::account::AccountNo;
use rusqlite::Connection;

use super::answers::{Accepted, Others, Recorded};
use super::changes::{Context, Verdict, concerns_one_job};
use super::checkpoint::Checkpoints;
use super::hot::{Hot, Numbers};
use super::inbox::{AcceptJob, Batch, Inbox, Work};
use super::kept;
use super::late_lists::LateLists;
use super::open_files::{FileFault, OpenFiles};
use super::ready_list::ReadyList;
use crate::error::{AcceptError, StoreError};
use crate::figures::StoreFigures;
use crate::model::NewEvent;
use crate::seal::Sealer;

/// What the writer keeps between transactions.
pub(super) struct Writer<'c> {
    connection: &'c Connection,
    hot: Hot<'c>,
    sealer: Arc<Sealer>,
    numbers: Numbers,
    /// The configuration version of every account that is not deleted.
    versions: HashMap<AccountNo, i64>,
    checkpoints: Checkpoints<'c>,
    late_lists: LateLists<'c>,
    ready_list: ReadyList<'c>,
    files: OpenFiles<'c>,
    figures: Arc<StoreFigures>,
    /// Whether the last transaction failed, so that an outage is told once and not per batch.
    is_failing: bool,
}

/// The answers to a committed batch, in the order of its jobs.
struct Answers {
    accepts: Vec<Accepted>,
    records: Vec<Recorded>,
    versions: Vec<(AccountNo, Option<i64>)>,
}

/// A committed batch whose answers are still to be given, in the order of its jobs.
struct Committed {
    batch: Batch,
    accepts: Vec<Accepted>,
    records: Vec<Recorded>,
}

/// How a batch is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Without savepoints, as nearly every batch: one error undoes all of it.
    Together,
    /// A savepoint around each job, once one of them was at fault.
    OneByOne,
}

/// A failure that everyone in a batch shares.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database did not commit")]
struct NotCommitted(#[source] Arc<rusqlite::Error>);

impl<'c> Writer<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        sealer: Arc<Sealer>,
        checkpoints: Checkpoints<'c>,
        files: OpenFiles<'c>,
        list_after: (u32, u32),
        figures: Arc<StoreFigures>,
    ) -> rusqlite::Result<Self> {
        let mut versions = HashMap::new();
        let mut accounts =
            connection.prepare("SELECT no, config_version FROM accounts WHERE deleted_at IS NULL")?;
        let mut rows = accounts.query([])?;
        while let Some(row) = rows.next()? {
            versions.insert(AccountNo(row.get(0)?), row.get(1)?);
        }
        let numbers = Numbers::load(connection)?;
        Ok(Self {
            connection,
            hot: Hot::prepare(connection)?,
            sealer,
            numbers,
            versions,
            checkpoints,
            late_lists: LateLists::new(connection, list_after.0)?,
            ready_list: ReadyList::new(connection, list_after.1, &numbers)?,
            files,
            figures,
            is_failing: false,
        })
    }

    /// Works until the inbox is closed and empty.
    pub(super) fn run(&mut self, inbox: &Inbox) {
        let mut late = None;
        loop {
            let batch = match inbox.next_work(self.checkpoints.wake_at()) {
                Work::Batch(batch) => batch,
                Work::Idle => {
                    self.checkpoints.when_idle();
                    continue;
                }
                Work::Closed => break,
            };
            let is_long = batch.is_long();
            let committed = self.process(batch);
            let before = late.take();
            // A thousand deliveries that go to their lanes take the processor from this thread for a while, and whoever
            // came during their commit has waited long enough: those come first.
            if is_long && inbox.has_accepts() {
                late = committed;
            } else if let Some(committed) = committed {
                committed.answer();
            }
            if let Some(before) = before {
                before.answer();
            }
            self.checkpoints.after_batch();
        }
        if let Some(late) = late {
            late.answer();
        }
        self.checkpoints.before_close();
    }

    /// Commits a batch; those of one that can't be committed are told so.
    fn process(&mut self, mut batch: Batch) -> Option<Committed> {
        self.refuse_without_files(&mut batch);
        if batch.is_empty() {
            return None;
        }
        let (began, requests) =
            (Instant::now(), batch.accepts.len() + batch.records.len() + batch.changes.len());
        let mut outcome = self.transact(&mut batch, Care::Together);
        if outcome.as_ref().is_err_and(concerns_one_job) {
            outcome = self.transact(&mut batch, Care::OneByOne);
        }
        self.figures.committed(began.elapsed(), requests, outcome.is_ok());
        match outcome {
            Ok(mut answers) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the store can be written again");
                }
                self.note_versions(std::mem::take(&mut answers.versions));
                self.doubt_without_files(&mut answers.accepts);
                Some(Committed { batch, accepts: answers.accepts, records: answers.records })
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "the store can't be written");
                }
                refuse(batch, &NotCommitted(Arc::new(error)));
                None
            }
        }
    }

    /// Answers everything but outcomes with what happened to the database's files. Outcomes are recorded all the same: the
    /// files may come back.
    fn refuse_without_files(&mut self, batch: &mut Batch) {
        if batch.changes.is_empty() && !self.files.is_faulty() {
            // Events are looked after when they are committed.
            return;
        }
        if let Err(fault) = self.check_files() {
            let records = std::mem::take(&mut batch.records);
            refuse(std::mem::replace(batch, Batch { records, ..Batch::default() }), &fault);
        }
    }

    /// Takes back the answers to events that were committed to a file that is not the one at its path: they may be lost.
    fn doubt_without_files(&mut self, accepts: &mut [Accepted]) {
        if !self.files.is_faulty() && accepts.is_empty() {
            return;
        }
        if let Err(fault) = self.check_files() {
            for accepted in accepts.iter_mut().filter(|accepted| accepted.is_ok()) {
                *accepted = Err(AcceptError::Unavailable(Box::new(fault.clone())));
            }
        }
    }

    fn check_files(&mut self) -> Result<(), FileFault> {
        let checked = self.files.check();
        self.checkpoints.set_files_faulty(checked.is_err());
        checked
    }

    /// Whether somebody else's files are at the paths of ours.
    pub(super) fn files_are_replaced(&self) -> bool {
        self.files.are_replaced()
    }

    /// Runs a batch in one transaction. An error has undone all of it.
    fn transact(&mut self, batch: &mut Batch, care: Care) -> rusqlite::Result<Answers> {
        self.leave_transaction()?;
        self.hot.begin()?;
        let done = self.write_and_commit(batch, care);
        if done.is_err() {
            self.ready_list.undone();
            // An error here is met again, and answered, when the next transaction begins.
            self.leave_transaction().unwrap_or_else(|error| tracing::warn!(%error, "a rollback failed"));
        }
        done
    }

    fn write_and_commit(&mut self, batch: &mut Batch, care: Care) -> rusqlite::Result<Answers> {
        let answers = self.write(batch, care)?;
        let listed = self.late_lists.catch_up(&self.numbers)?;
        self.ready_list.catch_up(&self.numbers)?;
        self.hot.commit()?;
        self.late_lists.committed(listed);
        self.ready_list.committed();
        Ok(answers)
    }

    /// Undoes what is open. Some errors (a full disk) have already done so by themselves.
    fn leave_transaction(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }

    fn write(&mut self, batch: &mut Batch, care: Care) -> rusqlite::Result<Answers> {
        let mut answers = Answers {
            accepts: Vec::with_capacity(batch.accepts.len()),
            records: Vec::with_capacity(batch.records.len()),
            versions: Vec::new(),
        };
        for job in &batch.accepts {
            answers.accepts.push(self.accept(job, care)?);
        }
        for job in &batch.records {
            let Self { connection, hot, ready_list, .. } = self;
            let recorded = guarded(connection, care, || hot.record(&job.batch, ready_list))?;
            answers.records.push(recorded.map_err(|error| StoreError::Refused(Box::new(error))));
        }
        for job in &mut batch.changes {
            self.change(&mut *job.change, &mut answers.versions)?;
        }
        Ok(answers)
    }

    fn accept(&mut self, job: &AcceptJob, care: Care) -> rusqlite::Result<Accepted> {
        if !job.events.iter().all(|new| self.is_current(new)) {
            return Ok(Err(AcceptError::ConfigChanged));
        }
        let Self { connection, hot, numbers, .. } = self;
        let accepted = guarded(connection, care, || match &job.keep {
            Some(keep) if !kept::put(connection, keep)? => Ok(Err(AcceptError::AnsweredBefore)),
            _ => hot.accept(&job.events, numbers).map(Ok),
        })?;
        Ok(accepted.unwrap_or_else(|error| Err(AcceptError::Refused(Box::new(error)))))
    }

    /// Whether the event was matched by its account's newest configuration. Changes later in the same
    /// transaction do not count: accepting came before them.
    fn is_current(&self, new: &NewEvent) -> bool {
        self.versions.get(&new.event.account_no).is_some_and(|newest| *newest <= new.config_version)
    }

    fn change(
        &mut self,
        change: &mut dyn super::changes::Change,
        versions: &mut Vec<(AccountNo, Option<i64>)>,
    ) -> rusqlite::Result<()> {
        self.connection.execute_batch("SAVEPOINT change")?;
        let mut context = Context {
            connection: self.connection,
            sealer: &self.sealer,
            numbers: &mut self.numbers,
            versions: Vec::new(),
        };
        match change.run(&mut context)? {
            Verdict::Keep => {
                versions.append(&mut context.versions);
                self.connection.execute_batch("RELEASE change")
            }
            Verdict::Undo => self.connection.execute_batch("ROLLBACK TO change; RELEASE change"),
        }
    }

    /// Remembers which configuration is the newest now.
    fn note_versions(&mut self, versions: Vec<(AccountNo, Option<i64>)>) {
        for (account, version) in versions {
            match version {
                Some(version) => self.versions.insert(account, version),
                None => self.versions.remove(&account),
            };
        }
    }
}

impl Committed {
    /// Tells everyone in it.
    fn answer(self) {
        let mut others = Others::with_room_for(self.accepts.len(), self.records.len());
        for (job, answer) in self.batch.accepts.into_iter().zip(self.accepts) {
            others.accept(job.reply, answer);
        }
        for (job, answer) in self.batch.records.into_iter().zip(self.records) {
            others.record(job.reply, answer);
        }
        others.send();
        for job in self.batch.changes {
            job.change.answer(None);
        }
    }
}

/// Runs one job's statements; one by one, a fault of the job itself is undone and given back inside.
fn guarded<T>(
    connection: &Connection,
    care: Care,
    job: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<rusqlite::Result<T>> {
    if care == Care::Together {
        return job().map(Ok);
    }
    connection.execute_batch("SAVEPOINT job")?;
    match job() {
        Ok(done) => connection.execute_batch("RELEASE job").map(|()| Ok(done)),
        Err(error) if concerns_one_job(&error) => {
            connection.execute_batch("ROLLBACK TO job; RELEASE job").map(|()| Err(error))
        }
        Err(error) => Err(error),
    }
}

/// Tells everyone in a batch that it was not committed.
fn refuse(batch: Batch, why: &(impl std::error::Error + Clone + Send + Sync + 'static)) {
    let mut others = Others::with_room_for(batch.accepts.len(), batch.records.len());
    for job in batch.accepts {
        others.accept(job.reply, Err(AcceptError::Unavailable(Box::new(why.clone()))));
    }
    for job in batch.records {
        others.record(job.reply, Err(StoreError::Unavailable(Box::new(why.clone()))));
    }
    others.send();
    for job in batch.changes {
        job.change.answer(Some(StoreError::Unavailable(Box::new(why.clone()))));
    }
}

#[cfg(test)]
mod tests;
