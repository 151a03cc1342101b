//! Applies a compiled schema to a value, and counts every step.
//!
//! A schema either reports faults, or (inside `anyOf`, `oneOf`, `not`, `if` and `contains`) only says whether the value fits and
//! ends at the first fault, so that no branch's faults are gathered in vain. Results of subschemas that several references lead
//! to are remembered: without that the work could double with each level of a value.

mod arrays;
mod combinations;
mod objects;
mod scalars;

use std::collections::HashMap;

use super::evaluated::Evaluated;
use super::node::{Keyword, Node};
use super::report::{Report, Segment, pointer_of};
use super::{Outcome, Validator, Verdict};
use crate::limits::MAX_VALIDATION_DEPTH;
use crate::payload::Json;
pub(super) use scalars::canonical_form;

/// How many bytes are looked at in the time of a step.
const BYTES_PER_STEP: usize = 8;
/// How many steps it costs to remember a result: it takes memory.
const STEPS_TO_REMEMBER: usize = 4;
/// How many results are remembered for one value; beyond this the work may repeat, within its steps.
const MAX_REMEMBERED: usize = 100_000;

/// The steps are used up, or the schema's references are nested too deeply.
pub(super) struct TooExpensive;

type Fits = Result<bool, TooExpensive>;

/// Checks a value in at most `budget` steps.
pub(super) fn evaluate(validator: &Validator, value: &Json<'_>, budget: usize) -> Outcome {
    let mut evaluator = Evaluator {
        nodes: &validator.nodes,
        left: budget,
        depth: 0,
        path: Vec::new(),
        scope: Vec::new(),
        remembered: HashMap::new(),
        report: Report::default(),
        is_silent: false,
        form: Vec::new(),
    };
    let verdict = match evaluator.node(validator.root, value, None) {
        Ok(true) => Verdict::Fits,
        Ok(false) => Verdict::Faults(std::mem::take(&mut evaluator.report).into_faults()),
        Err(TooExpensive) => Verdict::TooExpensive { pointer: pointer_of(&evaluator.path) },
    };
    Outcome { verdict, steps: budget - evaluator.left }
}

/// What is known of a subschema and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remembered {
    Fits,
    /// It does not, but its faults were not reported.
    Silently,
    /// It does not, and its faults are in the report.
    Reported,
}

struct Evaluator<'s, 'v> {
    nodes: &'s [Node],
    /// How many steps are left.
    left: usize,
    /// How many subschemas are being applied, one within the other.
    depth: usize,
    /// Where the value stands that is looked at.
    path: Vec<Segment<'v>>,
    /// The resources that were entered on the way here, the outermost first.
    scope: Vec<usize>,
    /// By subschema and the value's address.
    remembered: HashMap<(usize, *const Json<'v>), Remembered>,
    report: Report,
    /// Whether faults are not reported.
    is_silent: bool,
    /// Room for canonical forms.
    form: Vec<u8>,
}

impl<'s, 'v> Evaluator<'s, 'v> {
    fn take(&mut self, steps: usize) -> Result<(), TooExpensive> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(TooExpensive)
            }
        }
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), TooExpensive> {
        self.take(bytes / BYTES_PER_STEP)
    }

    /// Reports a fault of the value at the current place. Returns false, to be returned.
    fn fault(&mut self, detail: impl FnOnce() -> String) -> bool {
        if !self.is_silent {
            self.report.add(&self.path, detail());
        }
        false
    }

    /// Whether it is of no use to look on after a fault.
    fn has_enough(&self) -> bool {
        self.is_silent || self.report.is_full()
    }

    /// Applies a subschema to a value. On an error, the path leads to the value that was looked at.
    fn node(&mut self, node: usize, value: &'v Json<'v>, evaluated: Option<&mut Evaluated>) -> Fits {
        self.take(1)?;
        let this: &'s Node = &self.nodes[node];
        let key = (node, std::ptr::from_ref(value));
        let is_remembered = this.is_remembered && evaluated.is_none();
        if is_remembered {
            match self.remembered.get(&key) {
                Some(Remembered::Fits) => return Ok(true),
                Some(Remembered::Reported) => return Ok(false),
                Some(Remembered::Silently) if self.is_silent => return Ok(false),
                Some(Remembered::Silently) | None => {}
            }
        }
        if self.depth == MAX_VALIDATION_DEPTH {
            return Err(TooExpensive);
        }
        self.depth += 1;
        let is_entered = self.scope.last() != Some(&this.resource);
        if is_entered {
            self.scope.push(this.resource);
        }
        let fits = self.keywords(this, value, evaluated)?;
        if is_entered {
            self.scope.pop();
        }
        self.depth -= 1;
        if is_remembered && self.remembered.len() < MAX_REMEMBERED {
            self.take(STEPS_TO_REMEMBER)?;
            let result = match (fits, self.is_silent) {
                (true, _) => Remembered::Fits,
                (false, true) => Remembered::Silently,
                (false, false) => Remembered::Reported,
            };
            self.remembered.insert(key, result);
        }
        Ok(fits)
    }

    fn keywords(&mut self, node: &'s Node, value: &'v Json<'v>, evaluated: Option<&mut Evaluated>) -> Fits {
        if node.is_false {
            return Ok(self.fault(|| "is not allowed here".to_owned()));
        }
        if !node.asks_for_evaluated {
            return self.each_keyword(node, value, evaluated);
        }
        // Its own record: what stands beside this subschema is not seen from within.
        let mut own = Evaluated::none_of(match value {
            Json::Object(members) => members.len(),
            Json::Array(items) => items.len(),
            _ => 0,
        });
        self.take(own.steps())?;
        let fits = self.each_keyword(node, value, Some(&mut own))?;
        if let Some(evaluated) = evaluated {
            self.take(own.steps())?;
            evaluated.add_others(&own);
        }
        Ok(fits)
    }

    fn each_keyword(
        &mut self,
        node: &'s Node,
        value: &'v Json<'v>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let mut fits = true;
        for keyword in &node.keywords {
            // What was not evaluated can't be told once something is wrong.
            let is_last = matches!(keyword, Keyword::UnevaluatedItems(_) | Keyword::UnevaluatedProperties(_));
            if !fits && (is_last || self.has_enough()) {
                break;
            }
            fits &= self.keyword(keyword, value, evaluated.as_deref_mut())?;
        }
        Ok(fits)
    }

    fn keyword(
        &mut self,
        keyword: &'s Keyword,
        value: &'v Json<'v>,
        evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        self.take(1)?;
        match keyword {
            Keyword::Type(_)
            | Keyword::Enum(_)
            | Keyword::Limit(..)
            | Keyword::MultipleOf(_)
            | Keyword::MinLength(_)
            | Keyword::MaxLength(_)
            | Keyword::Pattern(_) => self.scalar_keyword(keyword, value),
            Keyword::Ref(_)
            | Keyword::DynamicRef(_)
            | Keyword::AllOf(_)
            | Keyword::AnyOf(_)
            | Keyword::OneOf(_)
            | Keyword::Not(_)
            | Keyword::If { .. } => self.combination(keyword, value, evaluated),
            Keyword::DependentSchemas(_)
            | Keyword::MinProperties(_)
            | Keyword::MaxProperties(_)
            | Keyword::Required(_)
            | Keyword::DependentRequired(_)
            | Keyword::Properties(_)
            | Keyword::PropertyNames(_)
            | Keyword::UnevaluatedProperties(_) => match value {
                Json::Object(members) => self.object_keyword(keyword, value, members, evaluated),
                _ => Ok(true),
            },
            Keyword::MinItems(_)
            | Keyword::MaxItems(_)
            | Keyword::UniqueItems
            | Keyword::Items(_)
            | Keyword::Contains(_)
            | Keyword::UnevaluatedItems(_) => match value {
                Json::Array(items) => self.array_keyword(keyword, items, evaluated),
                _ => Ok(true),
            },
        }
    }

    /// Applies a subschema to a value within the current one.
    fn within(&mut self, segment: Segment<'v>, node: usize, value: &'v Json<'v>) -> Fits {
        self.path.push(segment);
        let fits = self.node(node, value, None)?;
        self.path.pop();
        Ok(fits)
    }

    /// Whether a subschema applies, without a report of its faults. What it evaluates counts if it does.
    fn branch(&mut self, node: usize, value: &'v Json<'v>, evaluated: Option<&mut Evaluated>) -> Fits {
        let was_silent = std::mem::replace(&mut self.is_silent, true);
        let fits = match evaluated {
            None => self.node(node, value, None)?,
            Some(evaluated) => {
                let mut own = Evaluated::none_of(evaluated.len());
                self.take(2 * own.steps())?;
                let fits = self.node(node, value, Some(&mut own))?;
                if fits {
                    evaluated.add_others(&own);
                }
                fits
            }
        };
        self.is_silent = was_silent;
        Ok(fits)
    }
}
