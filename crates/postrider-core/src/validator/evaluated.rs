//! Which members or items of one value keywords have evaluated, for `unevaluatedProperties` and `unevaluatedItems`.

/// A set of positions within one object or array.
#[derive(Debug, Clone)]
pub(super) struct Evaluated {
    words: Vec<u64>,
    len: usize,
}

impl Evaluated {
    /// None of `len` yet.
    pub(super) fn none_of(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// How many steps it costs to make one, or to add one to another.
    pub(super) fn steps(&self) -> usize {
        1 + self.words.len()
    }

    pub(super) fn add(&mut self, at: usize) {
        if let Some(word) = self.words.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn add_all(&mut self) {
        self.words.fill(u64::MAX);
    }

    pub(super) fn add_others(&mut self, others: &Self) {
        for (word, other) in self.words.iter_mut().zip(&others.words) {
            *word |= other;
        }
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word & 1 << (at % 64) != 0)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}
