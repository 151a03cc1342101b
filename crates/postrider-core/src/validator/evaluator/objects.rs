//! Keywords about objects.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::evaluated::Evaluated;
use super::super::node::{Keyword, Properties};
use super::super::report::{Report, Segment};
use super::{Evaluator, Fits};
use crate::payload::{Json, Members};

impl<'s, 'v> Evaluator<'s, 'v> {
    pub(super) fn object_keyword(
        &mut self,
        keyword: &'s Keyword,
        value: &'v Json<'v>,
        members: &'v Members<'v>,
        evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let count = u64::try_from(members.len()).unwrap_or(u64::MAX);
        match keyword {
            Keyword::MinProperties(min) => {
                Ok(count >= *min || self.fault(|| format!("must have at least {min} members")))
            }
            Keyword::MaxProperties(max) => {
                Ok(count <= *max || self.fault(|| format!("must have at most {max} members")))
            }
            Keyword::Required(names) => self.required(names, members, None),
            Keyword::DependentRequired(dependent) => {
                let mut fits = true;
                self.take(dependent.len())?;
                for (name, required) in dependent {
                    if members.find(name).is_some() {
                        fits &= self.required(required, members, Some(name))?;
                    }
                }
                Ok(fits)
            }
            Keyword::DependentSchemas(dependent) => {
                self.dependent_schemas(dependent, value, members, evaluated)
            }
            Keyword::Properties(properties) => self.properties(properties, members, evaluated),
            Keyword::PropertyNames(node) => self.property_names(*node, members),
            Keyword::UnevaluatedProperties(node) => self.unevaluated_properties(*node, members, evaluated),
            _ => Ok(true),
        }
    }

    fn required(&mut self, names: &[Box<str>], members: &Members<'_>, because: Option<&str>) -> Fits {
        self.take(names.len())?;
        let mut fits = true;
        for name in names {
            if members.find(name).is_none() {
                fits = false;
                if self.is_silent {
                    break;
                }
                let mut path: Vec<Segment<'_>> = self.path.clone();
                path.push(Segment::Key(name));
                let detail = match because {
                    None => "is required and missing".to_owned(),
                    Some(other) => format!("is required where \"{other}\" is there, and missing"),
                };
                self.report.add(&path, detail);
            }
        }
        Ok(fits)
    }

    fn dependent_schemas(
        &mut self,
        dependent: &[(Box<str>, usize)],
        value: &'v Json<'v>,
        members: &Members<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let mut fits = true;
        self.take(dependent.len())?;
        for (name, node) in dependent {
            if members.find(name).is_some() {
                fits &= self.node(*node, value, evaluated.as_deref_mut())?;
            }
            if !fits && self.has_enough() {
                break;
            }
        }
        Ok(fits)
    }

    fn properties(
        &mut self,
        properties: &'s Properties,
        members: &'v Members<'v>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let Properties { named, patterns, additional } = properties;
        let mut fits = true;
        let only_names = patterns.is_empty() && additional.is_none();
        if only_names && named.len() < members.len() {
            self.take(named.len())?;
            for (name, node) in named {
                let Some((at, key, value)) = members.entry(name) else { continue };
                if let Some(evaluated) = evaluated.as_deref_mut() {
                    evaluated.add(at);
                }
                fits &= self.within(Segment::Key(key), *node, value)?;
                if !fits && self.has_enough() {
                    break;
                }
            }
            return Ok(fits);
        }
        for (at, (key, value)) in members.iter().enumerate() {
            self.take(1)?;
            let mut is_known = false;
            if let Ok(place) = named.binary_search_by(|(name, _)| name.as_ref().cmp(key)) {
                is_known = true;
                fits &= self.within(Segment::Key(key), named[place].1, value)?;
            }
            for (pattern, node) in patterns {
                self.take(pattern.steps(key))?;
                if pattern.is_match(key) {
                    is_known = true;
                    fits &= self.within(Segment::Key(key), *node, value)?;
                }
            }
            if let Some(node) = additional
                && !is_known
            {
                is_known = true;
                fits &= self.within(Segment::Key(key), *node, value)?;
            }
            if let Some(evaluated) = evaluated.as_deref_mut()
                && is_known
            {
                evaluated.add(at);
            }
            if !fits && self.has_enough() {
                break;
            }
        }
        Ok(fits)
    }

    /// Names are checked by an evaluator of their own: they are no values of the payload.
    fn property_names(&mut self, node: usize, members: &'v Members<'v>) -> Fits {
        let mut fits = true;
        for (key, _) in members.iter() {
            let name = Json::String(Cow::Borrowed(key));
            let mut evaluator = Evaluator {
                nodes: self.nodes,
                left: self.left,
                depth: self.depth,
                path: Vec::new(),
                scope: std::mem::take(&mut self.scope),
                remembered: HashMap::new(),
                report: Report::default(),
                is_silent: true,
                form: std::mem::take(&mut self.form),
            };
            let judged = evaluator.node(node, &name, None);
            self.left = evaluator.left;
            self.scope = std::mem::take(&mut evaluator.scope);
            self.form = std::mem::take(&mut evaluator.form);
            if !judged? {
                self.path.push(Segment::Key(key));
                fits = self.fault(|| "must have a name that fits \"propertyNames\"".to_owned());
                self.path.pop();
                if self.has_enough() {
                    break;
                }
            }
        }
        Ok(fits)
    }

    fn unevaluated_properties(
        &mut self,
        node: usize,
        members: &'v Members<'v>,
        evaluated: Option<&mut Evaluated>,
    ) -> Fits {
        let Some(evaluated) = evaluated else { return Ok(true) };
        let mut fits = true;
        self.take(members.len())?;
        for (at, (key, value)) in members.iter().enumerate() {
            if !evaluated.has(at) {
                fits &= self.within(Segment::Key(key), node, value)?;
                if !fits && self.has_enough() {
                    break;
                }
            }
        }
        evaluated.add_all();
        Ok(fits)
    }
}
