//! Keywords that apply subschemas to the same value. Where a branch may fail, its faults are not reported: the place of the
//! keyword's own fault says enough, and costs nothing.

use super::super::evaluated::Evaluated;
use super::super::node::{DynamicRef, Keyword};
use super::{Evaluator, Fits, TooExpensive};
use crate::payload::Json;

impl<'s, 'v> Evaluator<'s, 'v> {
    pub(super) fn combination(
        &mut self,
        keyword: &'s Keyword,
        value: &'v Json<'v>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        match keyword {
            Keyword::Ref(node) => self.node(*node, value, evaluated),
            Keyword::DynamicRef(reference) => {
                let node = self.dynamic_target(reference)?;
                self.node(node, value, evaluated)
            }
            Keyword::AllOf(nodes) => {
                let mut fits = true;
                for node in nodes {
                    fits &= self.node(*node, value, evaluated.as_deref_mut())?;
                    if !fits && self.has_enough() {
                        break;
                    }
                }
                Ok(fits)
            }
            Keyword::AnyOf(nodes) => self.any_of(nodes, value, evaluated),
            Keyword::OneOf(nodes) => self.one_of(nodes, value, evaluated),
            Keyword::Not(node) => {
                let fits = !self.branch(*node, value, None)?;
                Ok(fits || self.fault(|| "must not fit the schema of \"not\"".to_owned()))
            }
            Keyword::If { condition, then, otherwise } => {
                let holds = self.branch(*condition, value, evaluated.as_deref_mut())?;
                match if holds { then } else { otherwise } {
                    Some(node) => self.node(*node, value, evaluated),
                    None => Ok(true),
                }
            }
            _ => Ok(true),
        }
    }

    fn any_of(
        &mut self,
        nodes: &[usize],
        value: &'v Json<'v>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let mut fits = false;
        for node in nodes {
            fits |= self.branch(*node, value, evaluated.as_deref_mut())?;
            // Where it counts what was evaluated, all that fit do.
            if fits && evaluated.is_none() {
                break;
            }
        }
        Ok(fits || self.fault(|| format!("must fit one of the {} schemas of \"anyOf\"", nodes.len())))
    }

    fn one_of(
        &mut self,
        nodes: &[usize],
        value: &'v Json<'v>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let mut fitting = 0;
        for node in nodes {
            fitting += usize::from(self.branch(*node, value, evaluated.as_deref_mut())?);
            if fitting > 1 {
                break;
            }
        }
        let count = nodes.len();
        Ok(match fitting {
            0 => self.fault(|| format!("must fit one of the {count} schemas of \"oneOf\", and fits none")),
            1 => true,
            _ => self
                .fault(|| format!("must fit only one of the {count} schemas of \"oneOf\", and fits several")),
        })
    }

    /// Where a dynamic reference leads: to the outermost resource on the way here that has such an anchor.
    fn dynamic_target(&mut self, reference: &DynamicRef) -> Result<usize, TooExpensive> {
        if reference.by_resource.is_empty() {
            return Ok(reference.otherwise);
        }
        self.take(self.scope.len())?;
        let anchor = |resource: &usize| {
            let at = reference.by_resource.binary_search_by_key(resource, |(resource, _)| *resource).ok()?;
            Some(reference.by_resource[at].1)
        };
        Ok(self.scope.iter().find_map(anchor).unwrap_or(reference.otherwise))
    }
}
