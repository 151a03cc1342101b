//! Keywords about arrays.

use std::collections::HashMap;

use super::super::evaluated::Evaluated;
use super::super::node::{Contains, Items, Keyword};
use super::super::report::Segment;
use super::{Evaluator, Fits};
use crate::payload::Json;

impl<'s, 'v> Evaluator<'s, 'v> {
    pub(super) fn array_keyword(
        &mut self,
        keyword: &'s Keyword,
        items: &'v [Json<'v>],
        evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        match keyword {
            Keyword::MinItems(min) => {
                Ok(count >= *min || self.fault(|| format!("must have at least {min} items")))
            }
            Keyword::MaxItems(max) => {
                Ok(count <= *max || self.fault(|| format!("must have at most {max} items")))
            }
            Keyword::UniqueItems => self.unique(items),
            Keyword::Items(wanted) => self.items(wanted, items, evaluated),
            Keyword::Contains(contains) => self.contains(contains, items, evaluated),
            Keyword::UnevaluatedItems(node) => self.unevaluated_items(*node, items, evaluated),
            _ => Ok(true),
        }
    }

    /// Exact, and linear: equal items have the same canonical form.
    fn unique(&mut self, items: &'v [Json<'v>]) -> Fits {
        let mut seen: HashMap<Box<[u8]>, usize> = HashMap::new();
        let mut form = std::mem::take(&mut self.form);
        let mut equal = None;
        for (index, item) in items.iter().enumerate() {
            form.clear();
            self.take(2)?;
            self.push_form(item, &mut form, usize::MAX)?;
            if let Some(earlier) = seen.get(form.as_slice()) {
                equal = Some((*earlier, index));
                break;
            }
            seen.insert(form.as_slice().into(), index);
        }
        self.form = form;
        Ok(equal.is_none_or(|(earlier, later)| {
            self.fault(|| {
                format!("must have items that differ, and the items {earlier} and {later} are equal")
            })
        }))
    }

    fn items(&mut self, wanted: &'s Items, items: &'v [Json<'v>], evaluated: Option<&mut Evaluated>) -> Fits {
        let mut fits = true;
        let nodes = wanted.prefix.iter().copied().map(Some).chain(std::iter::repeat(wanted.rest));
        for (index, (item, node)) in items.iter().zip(nodes).enumerate() {
            let Some(node) = node else { break };
            fits &= self.within(Segment::Index(index), node, item)?;
            if !fits && self.has_enough() {
                break;
            }
        }
        match (evaluated, wanted.rest) {
            (Some(evaluated), Some(_)) => evaluated.add_all(),
            (Some(evaluated), None) => (0..wanted.prefix.len()).for_each(|index| evaluated.add(index)),
            (None, _) => {}
        }
        Ok(fits)
    }

    fn contains(
        &mut self,
        contains: &Contains,
        items: &'v [Json<'v>],
        mut evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let Contains { node, min, max } = *contains;
        let mut found = 0_u64;
        for (index, item) in items.iter().enumerate() {
            self.path.push(Segment::Index(index));
            let fits = self.branch(node, item, None)?;
            self.path.pop();
            found += u64::from(fits);
            match evaluated.as_deref_mut() {
                Some(evaluated) if fits => evaluated.add(index),
                Some(_) => {}
                None if max.is_none() && found >= min || max.is_some_and(|max| found > max) => break,
                None => {}
            }
        }
        if found < min {
            return Ok(self
                .fault(|| format!("must have at least {min} items that fit \"contains\", and has {found}")));
        }
        let max = max.unwrap_or(u64::MAX);
        Ok(found <= max || self.fault(|| format!("must have at most {max} items that fit \"contains\"")))
    }

    fn unevaluated_items(
        &mut self,
        node: usize,
        items: &'v [Json<'v>],
        evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let Some(evaluated) = evaluated else { return Ok(true) };
        let mut fits = true;
        self.take(items.len())?;
        for (index, item) in items.iter().enumerate() {
            if !evaluated.has(index) {
                fits &= self.within(Segment::Index(index), node, item)?;
                if !fits && self.has_enough() {
                    break;
                }
            }
        }
        evaluated.add_all();
        Ok(fits)
    }
}
