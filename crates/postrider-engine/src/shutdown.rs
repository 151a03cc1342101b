//! Stops the service: nothing new, what is in flight ends, every outcome is recorded, the store closes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::{Engine, Inner};

/// How long recording what has ended may take after the grace, before the process leaves all the same.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// How long accepting the last operational events may take before that.
const LAST_ANNOUNCEMENTS: Duration = Duration::from_secs(5);
/// How long leaving to others what is not in flight may take; the rest is theirs when the store closes.
const STEP_DOWN: Duration = Duration::from_secs(5);
/// How long writing down the last uses of keys may take, and how long the service's running time.
const LAST_NOTES: Duration = Duration::from_secs(2);
/// How long the store may take to close. What it has committed is durable without that.
const CLOSE_STORE: Duration = Duration::from_secs(10);

impl Engine {
    /// Takes no more events and begins no more attempts.
    pub fn begin_shutdown(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.0.lanes().stop();
    }

    /// Whether the service is on its way out; what would go on for ever should end.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// Lets what is in flight end within `grace`, beginning no more attempts. Gives how many requests were still in
    /// flight when the grace ended; after the next start they are made again.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.begin_shutdown();
        self.0.step_down().await;
        let all_ended = async {
            loop {
                let ended = self.0.idle.notified();
                if self.0.lanes().in_flight() == 0 {
                    return;
                }
                ended.await;
            }
        };
        match tokio::time::timeout(grace, all_ended).await {
            Ok(()) => 0,
            Err(_elapsed) => self.0.lanes().in_flight(),
        }
    }

    /// Records what has ended and closes the store; nothing may be called afterwards.
    pub async fn close(&self) {
        self.0.end_announcer().await;
        self.0.end_tasks().await;
        if tokio::time::timeout(LAST_NOTES, self.0.note_key_uses()).await.is_err() {
            tracing::warn!("it could not be written down in time when keys were last used");
        }
        match tokio::time::timeout(LAST_NOTES, self.0.observe_clock()).await {
            Ok(Ok(_trusted)) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to store the service's running time"
                );
            }
            Err(_elapsed) => tracing::warn!("timed out storing the service's running time"),
        }
        if tokio::time::timeout(CLOSE_STORE, self.0.store.close()).await.is_err() {
            tracing::error!(
                "the store did not close in time; what it committed is there after the next start"
            );
        }
    }

    /// Stops: [`Self::drain`], then [`Self::close`].
    pub async fn shutdown(&self, grace: Duration) -> usize {
        let left = self.drain(grace).await;
        self.close().await;
        left
    }
}

impl Inner {
    pub(crate) fn hold_tasks(
        &self,
        tasks: Vec<JoinHandle<()>>,
        announcer: JoinHandle<()>,
        recorder: JoinHandle<()>,
    ) {
        *self.announcer.lock().unwrap_or_else(PoisonError::into_inner) = Some(announcer);
        *self.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        *self.recorder.lock().unwrap_or_else(PoisonError::into_inner) = Some(recorder);
    }

    /// Leaves everything but what is in flight to other nodes, at once.
    async fn step_down(&self) {
        if !self.store.is_shared() {
            return;
        }
        let keep = self.lanes().unfinished();
        let stepping = tokio::time::timeout(STEP_DOWN, self.store.step_down(keep));
        match stepping.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "nothing could be left to other nodes yet; it is when this one is gone"
                );
            }
            Err(_elapsed) => tracing::error!("not everything could be left to other nodes in time"),
        }
    }

    /// Whether the recorder should end once it has recorded what there is.
    pub(crate) fn recorder_must_end(&self) -> bool {
        self.recorder_ends.load(Ordering::Relaxed)
    }

    /// Lets everything that happened be told: it is accepted as events, which needs the store.
    async fn end_announcer(&self) {
        self.announcer_stop.notify_one();
        let announcer = self.announcer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut announcer) = announcer else { return };
        if tokio::time::timeout(LAST_ANNOUNCEMENTS, &mut announcer).await.is_err() {
            announcer.abort();
            tracing::error!("operational events are left out: they could not be accepted in time");
        }
    }

    async fn end_tasks(self: &Arc<Self>) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        self.recorder_ends.store(true, Ordering::Relaxed);
        self.recorder_stop.notify_one();
        let recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(recorder) = recorder
            && tokio::time::timeout(LAST_RECORDS, recorder).await.is_err()
        {
            tracing::error!(
                "the last outcomes could not be recorded in time; they are tried again after the next start"
            );
        }
    }
}
