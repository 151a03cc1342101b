//! Which of a lane's deliveries memory knows, so that none is loaded a second time: neither one that is queued, in
//! flight or waiting in a timer, nor one whose outcome is decided and not yet committed, nor one that was let go while
//! a read of the store was on its way and is still in what that read brings.

use std::collections::{HashMap, HashSet};

use postrider_core::delivery::DeliverySeq;

/// What memory knows of one lane.
#[derive(Debug, Default)]
pub(super) struct Known {
    loaded: HashSet<DeliverySeq>,
    unrecorded: HashMap<DeliverySeq, Unrecorded>,
    /// How many of those are between memory and the store, see [`Self::has_one_between`] …
    between: usize,
    /// … and how many have come to their end.
    over: usize,
    /// Deliveries that another node may have taken over while they were in flight, or while their outcome was on its way.
    lost: HashSet<DeliverySeq>,
    /// Set while a refill reads: what was let go since the read began.
    let_go: Option<HashSet<DeliverySeq>>,
    /// Whether what that read brings may be another node's by now.
    is_read_void: bool,
    /// The highest number that a refill has taken over; a fresh delivery up to it has been seen already.
    taken_over: Option<DeliverySeq>,
}

/// A delivery with outcomes that are not committed yet.
#[derive(Debug, Default)]
struct Unrecorded {
    outcomes: u32,
    /// Whether the delivery goes on in memory: queued, or waiting in a timer.
    goes_on: bool,
    /// Whether it has come to its end.
    is_over: bool,
    /// Whether memory dropped it since its outcome was decided.
    dropped: bool,
}

impl Unrecorded {
    fn is_between(&self) -> bool {
        !self.goes_on && !self.is_over
    }
}

/// A delivery that memory let go of when its last outcome was committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct LetGo {
    /// Whether memory had dropped it before: what its outcome says is not all that may have become of it since.
    pub(super) was_dropped: bool,
    /// Whether its outcome may have been refused: the store may still have it pending, as this node's or another's.
    pub(super) was_lost: bool,
}

impl Known {
    pub(super) fn len(&self) -> usize {
        self.loaded.len()
    }

    /// How many deliveries are known that have not come to their end.
    pub(super) fn pending(&self) -> usize {
        self.loaded.len().saturating_sub(self.over)
    }

    /// Every delivery that is known.
    pub(super) fn all(&self) -> impl Iterator<Item = DeliverySeq> + '_ {
        self.loaded.iter().copied()
    }

    /// Whether a delivery is known.
    pub(super) fn knows(&self, seq: DeliverySeq) -> bool {
        self.loaded.contains(&seq)
    }

    /// Whatever is known or being read just now may be another node's already.
    pub(super) fn lose_all(&mut self) {
        self.lost.clone_from(&self.loaded);
        self.is_read_void = self.let_go.is_some();
    }

    /// Whether a delivery may have been another node's since before its attempt ended.
    pub(super) fn is_lost(&self, seq: DeliverySeq) -> bool {
        self.lost.contains(&seq)
    }

    /// Takes a delivery in; false where it is known already.
    pub(super) fn load(&mut self, seq: DeliverySeq) -> bool {
        self.loaded.insert(seq)
    }

    /// Takes in what a refill brought; false where it is known, or was let go since the read began.
    pub(super) fn take_over(&mut self, seq: DeliverySeq) -> bool {
        self.taken_over = self.taken_over.max(Some(seq));
        let was_let_go = self.let_go.as_ref().is_some_and(|let_go| let_go.contains(&seq));
        !was_let_go && self.load(seq)
    }

    /// Whether a refill has brought this fresh delivery before the one who accepted it came to say so.
    pub(super) fn has_taken_over(&self, seq: DeliverySeq) -> bool {
        self.taken_over >= Some(seq)
    }

    /// An attempt has ended; its outcome is on its way to the store.
    pub(super) fn attempted(&mut self, seq: DeliverySeq, goes_on: bool, is_over: bool) {
        let unrecorded =
            self.unrecorded.entry(seq).or_insert(Unrecorded { goes_on: true, ..Unrecorded::default() });
        self.between -= usize::from(unrecorded.is_between());
        self.over -= usize::from(unrecorded.is_over);
        unrecorded.outcomes += 1;
        (unrecorded.goes_on, unrecorded.is_over) = (goes_on, is_over);
        self.between += usize::from(unrecorded.is_between());
        self.over += usize::from(unrecorded.is_over);
    }

    /// An outcome is committed. Some where memory lets go of the delivery with it.
    pub(super) fn recorded(&mut self, seq: DeliverySeq) -> Option<LetGo> {
        let unrecorded = self.unrecorded.get_mut(&seq)?;
        unrecorded.outcomes = unrecorded.outcomes.saturating_sub(1);
        if unrecorded.outcomes > 0 {
            return None;
        }
        let unrecorded = self.unrecorded.remove(&seq)?;
        self.between -= usize::from(unrecorded.is_between());
        self.over -= usize::from(unrecorded.is_over);
        let Unrecorded { goes_on, dropped, .. } = unrecorded;
        let was_lost = self.lost.contains(&seq);
        (!goes_on && self.forget(seq)).then_some(LetGo { was_dropped: dropped, was_lost })
    }

    /// Whether a delivery has come to its end, and the store does not know yet.
    pub(super) fn is_over(&self, seq: DeliverySeq) -> bool {
        self.unrecorded.get(&seq).is_some_and(|unrecorded| unrecorded.is_over)
    }

    /// How many outcomes are not committed yet.
    pub(super) fn unrecorded(&self) -> usize {
        self.unrecorded.len()
    }

    /// Whether a delivery that is not over is neither in memory nor, as it is now, in the store yet.
    pub(super) fn has_one_between(&self) -> bool {
        self.between > 0
    }

    /// Memory drops a delivery that the store has. True where it is let go at once; otherwise it stays known until
    /// its outcomes are committed, because the store still shows it as it was before.
    pub(super) fn drop_from_memory(&mut self, seq: DeliverySeq) -> bool {
        match self.unrecorded.get_mut(&seq) {
            Some(unrecorded) => {
                self.between -= usize::from(unrecorded.is_between());
                (unrecorded.goes_on, unrecorded.dropped) = (false, true);
                self.between += usize::from(unrecorded.is_between());
                false
            }
            None => self.forget(seq),
        }
    }

    /// Forgets a delivery; true where it was known.
    pub(super) fn forget(&mut self, seq: DeliverySeq) -> bool {
        if let Some(let_go) = &mut self.let_go {
            let_go.insert(seq);
        }
        self.lost.remove(&seq);
        self.loaded.remove(&seq)
    }

    /// A refill begins to read.
    pub(super) fn begin_read(&mut self) {
        self.let_go = Some(HashSet::new());
        self.is_read_void = false;
    }

    /// Whether nothing of what the refill has read may be taken in.
    pub(super) fn is_read_void(&self) -> bool {
        self.is_read_void
    }

    /// The refill's read is taken in, or failed.
    pub(super) fn end_read(&mut self) {
        self.let_go = None;
    }
}
