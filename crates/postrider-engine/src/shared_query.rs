//! A question to the store that many callers share: one runs at a time, its answer serves everyone who asks meanwhile, and
//! nobody waits for one that has hung for longer than the caller's patience.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The last question, running or answered.
#[derive(Debug)]
pub(crate) struct SharedQuery<T>(Mutex<Option<Asked<T>>>);

#[derive(Debug, Clone)]
struct Asked<T> {
    at: Instant,
    /// `None` until it is answered; closed without an answer if the task panicked.
    answer: watch::Receiver<Option<T>>,
}

impl<T> Default for SharedQuery<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Sync + 'static> SharedQuery<T> {
    /// Returns the answer to `question`, or to the one asked before that is running or was asked within `max_age`. `None` if
    /// there is none `patience` after it was asked: at once, if it has hung for longer. A question always runs to its end,
    /// because its database connection is free only then.
    pub(crate) async fn ask<Q>(&self, max_age: Duration, patience: Duration, question: Q) -> Option<T>
    where
        Q: Future<Output = T> + Send + 'static,
    {
        let mut asked = self.running_or_recent(max_age, question);
        let answered = timeout_at(asked.at + patience, asked.answer.wait_for(Option::is_some)).await;
        answered.ok()?.ok()?.clone()
    }

    fn running_or_recent(
        &self,
        max_age: Duration,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Asked<T> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = &*last {
            let is_running = asked.answer.borrow().is_none() && asked.answer.has_changed().is_ok();
            if is_running || asked.at.elapsed() < max_age {
                return asked.clone();
            }
        }
        let (answered, answer) = watch::channel(None);
        tokio::spawn(async move {
            answered.send_replace(Some(question.await));
        });
        let asked = Asked { at: Instant::now(), answer };
        *last = Some(asked.clone());
        asked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn one_question_serves_everyone_and_one_that_hangs_delays_nobody_twice() {
        let (asked, released) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let query = SharedQuery::default();
        let ask = || {
            let (asked, released) = (Arc::clone(&asked), Arc::clone(&released));
            query.ask(Duration::ZERO, PATIENCE, async move {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                released.notified().await;
                number
            })
        };
        let began = Instant::now();
        assert_eq!(tokio::join!(ask(), ask()), (None, None));
        assert_eq!(began.elapsed(), PATIENCE);
        for _ in 0..10 {
            assert_eq!(ask().await, None);
        }
        assert_eq!(began.elapsed(), PATIENCE, "whoever comes later is told at once");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        released.notify_one();
        tokio::task::yield_now().await;
        released.notify_one();
        assert_eq!(ask().await, Some(1), "the next one asks again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_recent_answer_is_given_again_and_a_panic_is_none() {
        let query = SharedQuery::default();
        let age = Duration::from_secs(1);
        assert_eq!(query.ask(age, PATIENCE, async { 1 }).await, Some(1));
        assert_eq!(query.ask(age, PATIENCE, async { 2 }).await, Some(1));
        tokio::time::advance(age).await;
        assert_eq!(query.ask(age, PATIENCE, async { 3 }).await, Some(3));
        tokio::time::advance(age).await;
        assert_eq!(query.ask(Duration::ZERO, PATIENCE, async { panic!("on purpose") }).await, None);
        assert_eq!(query.ask(Duration::ZERO, PATIENCE, async { 4 }).await, Some(4));
    }
}
