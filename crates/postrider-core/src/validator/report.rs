//! What is wrong with a value and where, gathered up to a bound.

use crate::limits::{MAX_POINTER_BYTES, MAX_VIOLATIONS};
use crate::payload::{Violation, escaped};

/// A step from a value to one within.
#[derive(Debug, Clone, Copy)]
pub(super) enum Segment<'v> {
    Key(&'v str),
    Index(usize),
}

/// The faults so far.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Violation>);

impl Report {
    /// Notes a fault at a place. Each place has one fault of each kind of words.
    pub(super) fn add(&mut self, path: &[Segment<'_>], detail: String) {
        let pointer = pointer_of(path);
        let is_known = |known: &Violation| known.pointer == pointer && known.detail == detail;
        if !self.is_full() && !self.0.iter().any(is_known) {
            self.0.push(Violation { pointer, detail });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_VIOLATIONS
    }

    pub(super) fn into_faults(self) -> Vec<Violation> {
        self.0
    }
}

/// The JSON Pointer to a place, or to the last value on the way whose pointer is not too long.
pub(super) fn pointer_of(path: &[Segment<'_>]) -> String {
    let mut pointer = String::new();
    for segment in path {
        let before = pointer.len();
        pointer.push('/');
        match segment {
            Segment::Key(key) if key.len() > MAX_POINTER_BYTES => {
                pointer.truncate(before);
                break;
            }
            Segment::Key(key) => pointer.push_str(&escaped(key)),
            Segment::Index(index) => pointer.push_str(&index.to_string()),
        }
        if pointer.len() > MAX_POINTER_BYTES {
            pointer.truncate(before);
            break;
        }
    }
    pointer
}
