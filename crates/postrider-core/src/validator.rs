//! Checks JSON values against JSON Schema 2020-12, and counts every step, so that what a payload costs is bounded whatever the
//! schema says (ADR 5).
//!
//! The `jsonschema` crate decides what is a schema (`catalogue/schema.rs`); it can't be stopped or counted, so it checks no
//! payload. Faults are reported by location and never repeat the value: it is personal data.

mod compiler;
mod evaluated;
mod evaluator;
mod keywords;
mod node;
mod pattern;
mod report;

use crate::payload::Json;
use crate::payload::Violation;
use node::Node;

pub(crate) use compiler::CompileError;

/// A compiled schema.
pub(crate) struct Validator {
    nodes: Vec<Node>,
    root: usize,
    /// Where it exceeds a bound that holds for schemas which are given now: pointers from its root, with the bound.
    exceeded: Vec<Violation>,
}

/// What came of checking a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// How many steps it took.
    pub(crate) steps: usize,
}

/// Whether a value fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fits,
    /// It does not, at these places.
    Faults(Vec<Violation>),
    /// It takes more steps than it may; the pointer leads to the place that was reached.
    TooExpensive {
        pointer: String,
    },
}

impl Validator {
    /// Checks a value in at most `budget` steps. One step is a keyword applied to a value, or some bytes looked at.
    pub(crate) fn check(&self, value: &Json<'_>, budget: usize) -> Outcome {
        evaluator::evaluate(self, value, budget)
    }

    /// Where the schema exceeds a bound that holds for schemas which are given now.
    pub(crate) fn exceeded(&self) -> &[Violation] {
        &self.exceeded
    }
}

#[cfg(test)]
mod tests;
