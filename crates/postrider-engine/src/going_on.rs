//! What has begun goes on to its end, whether or not somebody still waits for it.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;

use crate::EngineError;

/// Runs a change in the caller's own task, and in one of its own once the caller stops waiting: a commit without what
/// follows from it would leave the service with an old configuration, or with deliveries outside their lanes.
///
/// It is dropped without a trace where nobody has waited for it yet. A panic inside is `Unavailable`.
pub(crate) async fn finish_what_began<T: Send + 'static>(
    change: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    match GoingOn::new(AssertUnwindSafe(change).catch_unwind()).await {
        Ok(result) => result,
        Err(_panic) => Err(EngineError::Unavailable("it broke off inside the service; this is a bug".into())),
    }
}

/// A future that is handed over to a task of its own where it is dropped between its beginning and its end.
struct GoingOn<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    begun: bool,
}

impl<F: Future<Output: Send> + Send + 'static> GoingOn<F> {
    fn new(future: F) -> Self {
        Self { future: Some(Box::pin(future)), begun: false }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for GoingOn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.begun = true;
        let Some(future) = &mut self.future else { return Poll::Pending };
        let ended = future.as_mut().poll(context);
        if ended.is_ready() {
            self.future = None;
        }
        ended
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for GoingOn<F> {
    fn drop(&mut self) {
        // Without a runtime the process is ending.
        if let Some(future) = self.future.take().filter(|_| self.begun)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::finish_what_began;
    use crate::EngineError;

    /// Counts a first step, waits to be let on, and counts a second one.
    fn two_steps(
        go_on: &Arc<Notify>,
        steps: &Arc<AtomicU32>,
    ) -> impl Future<Output = Result<u32, EngineError>> + Send + use<> {
        let (go_on, steps) = (Arc::clone(go_on), Arc::clone(steps));
        finish_what_began(async move {
            steps.fetch_add(1, Ordering::Relaxed);
            go_on.notified().await;
            Ok(steps.fetch_add(1, Ordering::Relaxed) + 1)
        })
    }

    #[tokio::test]
    async fn a_change_whose_caller_leaves_runs_to_its_end_all_the_same() {
        let (go_on, steps) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let mut change = Box::pin(two_steps(&go_on, &steps));
        assert!((&mut change).now_or_never().is_none());
        drop(change);
        go_on.notify_one();
        while steps.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_change_that_nobody_waited_for_does_not_begin() {
        let (go_on, steps) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        drop(two_steps(&go_on, &steps));
        go_on.notify_one();
        tokio::task::yield_now().await;
        assert_eq!(steps.load(Ordering::Relaxed), 0);
        go_on.notify_one();
        assert_eq!(two_steps(&go_on, &steps).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_panic_inside_is_an_answer() {
        let broken = finish_what_began::<()>(async { panic!("on purpose") }).await;
        assert!(matches!(broken, Err(EngineError::Unavailable(_))), "{broken:?}");
    }
}
