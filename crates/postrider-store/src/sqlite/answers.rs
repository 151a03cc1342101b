//! Answers to those who wait for a commit. The writer wakes one of them, and that one hands the others theirs.
//!
//! To wake a task from a thread outside the runtime takes a lock and often a system call; from a task it takes next
//! to nothing. Nobody's answer depends on another's patience: whoever leaves without taking an answer passes the
//! others on all the same.

use postrider_core::delivery::DeliverySeq;
use tokio::sync::oneshot;

use crate::error::{AcceptError, StoreError};

/// What became of a request.
pub(super) type Accepted = Result<Vec<DeliverySeq>, AcceptError>;
/// What became of outcomes.
pub(super) type Recorded = Result<(), StoreError>;

/// Someone's answer, and with it those of others.
pub(super) struct Answer<T> {
    own: T,
    others: Others,
}

impl<T> Answer<T> {
    /// The own answer; the others go to theirs.
    pub(super) fn take(self) -> T {
        drop(self.others);
        self.own
    }
}

/// Where someone waits.
pub(super) type Reply<T> = oneshot::Sender<Answer<T>>;

/// Answers on their way. Where this is dropped, everyone in it gets theirs.
#[derive(Default)]
pub(super) struct Others {
    accepts: Vec<(Reply<Accepted>, Accepted)>,
    records: Vec<(Reply<Recorded>, Recorded)>,
}

impl Others {
    pub(super) fn with_room_for(accepts: usize, records: usize) -> Self {
        Self { accepts: Vec::with_capacity(accepts), records: Vec::with_capacity(records) }
    }

    pub(super) fn accept(&mut self, reply: Reply<Accepted>, answer: Accepted) {
        self.accepts.push((reply, answer));
    }

    pub(super) fn record(&mut self, reply: Reply<Recorded>, answer: Recorded) {
        self.records.push((reply, answer));
    }

    /// Wakes one who still waits, and gives it everything else.
    pub(super) fn send(mut self) {
        while let Some((reply, own)) = self.accepts.pop() {
            match reply.send(Answer { own, others: std::mem::take(&mut self) }) {
                Ok(()) => return,
                // This one has gone away; its answer goes with it.
                Err(mut gone) => self = std::mem::take(&mut gone.others),
            }
        }
        // Only outcomes are left, and they come in one or two jobs.
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let no_others = Others::default;
        // Whoever asked may have gone away; what was committed stands all the same.
        for (reply, own) in self.accepts.drain(..) {
            drop(reply.send(Answer { own, others: no_others() }));
        }
        for (reply, own) in self.records.drain(..) {
            drop(reply.send(Answer { own, others: no_others() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Others, [oneshot::Receiver<Answer<Accepted>>; 2], oneshot::Receiver<Answer<Recorded>>) {
        let mut others = Others::with_room_for(2, 1);
        let (first, first_waits) = oneshot::channel();
        let (second, second_waits) = oneshot::channel();
        let (third, third_waits) = oneshot::channel();
        others.accept(first, Ok(vec![DeliverySeq(1)]));
        others.accept(second, Ok(vec![DeliverySeq(2)]));
        others.record(third, Ok(()));
        (others, [first_waits, second_waits], third_waits)
    }

    fn seq(answer: Answer<Accepted>) -> i64 {
        answer.take().unwrap()[0].0
    }

    #[tokio::test]
    async fn the_one_who_is_woken_hands_the_others_theirs() {
        let (others, [first, second], third) = three();
        others.send();
        assert_eq!(seq(second.await.unwrap()), 2);
        assert_eq!(seq(first.await.unwrap()), 1);
        assert!(third.await.unwrap().take().is_ok());
    }

    #[tokio::test]
    async fn whoever_leaves_before_or_after_the_answer_holds_up_nobody() {
        let (others, [first, second], third) = three();
        drop(second);
        others.send();
        assert_eq!(seq(first.await.unwrap()), 1);
        assert!(third.await.unwrap().take().is_ok());

        let (others, [first, second], third) = three();
        others.send();
        drop(second);
        assert_eq!(seq(first.await.unwrap()), 1);
        assert!(third.await.unwrap().take().is_ok());

        let (others, [first, second], third) = three();
        drop((first, second));
        others.send();
        assert!(third.await.unwrap().take().is_ok());
    }
}
