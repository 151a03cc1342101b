//! What stands at the paths of a [`PathSet`] in one payload.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::{HashMap, HashSet};

use super::path_set::PathSet;
use crate::decimal::DecimalRef;
use crate::payload::{NotJson, Scanner, decoded};

/// The values that a payload has at the paths of some filters.
#[derive(Debug)]
pub struct Collected<'s, 'p> {
    set: &'s PathSet,
    found: HashMap<u32, Found<'p>>,
    steps: Cell<usize>,
}

/// The same for one of the filters.
#[derive(Debug, Clone, Copy)]
pub struct Values<'c, 'p> {
    collected: &'c Collected<'c, 'p>,
    filter: usize,
}

/// A value of the payload. What is asked of it more than once is read once.
#[derive(Debug)]
pub(super) struct Found<'p> {
    kind: Kind,
    /// Its text; of a string, what stands between the quotes.
    raw: &'p str,
    /// The number of this occurrence …
    occurrence: usize,
    /// … and that of the value that it stands in. Of a name that stands twice in an object the last one counts, with all
    /// that stands in it.
    within: usize,
    number: OnceCell<Option<DecimalRef<'p>>>,
    text: OnceCell<Cow<'p, str>>,
    count: OnceCell<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool(bool),
    Number,
    String,
    Array,
    Object,
}

impl<'s, 'p> Collected<'s, 'p> {
    /// The values at the paths of the filter that stands at this place in the set.
    pub fn of_filter<'c>(&'c self, filter: usize) -> Values<'c, 'p>
    where
        's: 'c,
    {
        Values { collected: self, filter }
    }

    /// What was done so far: bytes read, paths followed, conditions tested.
    pub fn steps(&self) -> usize {
        self.steps.get()
    }

    fn count(&self, steps: usize) {
        self.steps.set(self.steps.get().saturating_add(steps));
    }

    /// The value at a node, if that is the last occurrence of each name on the way.
    fn at(&self, node: u32) -> Option<&Found<'p>> {
        let found = self.found.get(&node)?;
        let (mut inner, mut at) = (found, node);
        while at != 0 {
            self.count(1);
            at = self.set.parent(at);
            let outer = self.found.get(&at)?;
            if inner.within != outer.occurrence {
                return None;
            }
            inner = outer;
        }
        Some(found)
    }
}

impl<'c, 'p> Values<'c, 'p> {
    pub(super) fn at(&self, condition: usize) -> Option<&'c Found<'p>> {
        self.collected.at(self.collected.set.node_of(self.filter, condition)?)
    }

    pub(super) fn count_condition(&self) {
        self.collected.count(1);
    }
}

impl<'p> Found<'p> {
    pub(super) fn raw(&self) -> &'p str {
        self.raw
    }

    pub(super) fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    pub(super) fn bool(&self) -> Option<bool> {
        if let Kind::Bool(value) = self.kind { Some(value) } else { None }
    }

    /// The number; none where it is none, or its exponent is beyond 18 digits.
    pub(super) fn number(&self) -> Option<&DecimalRef<'p>> {
        if self.kind != Kind::Number {
            return None;
        }
        let read = || DecimalRef::parse(self.raw).filter(|number| !number.is_extreme());
        self.number.get_or_init(read).as_ref()
    }

    pub(super) fn text(&self) -> Option<&str> {
        let is_text = self.kind == Kind::String;
        is_text.then(|| self.text.get_or_init(|| decoded(self.raw)).as_ref())
    }

    /// How many items an array has.
    pub(super) fn item_count(&self) -> Option<usize> {
        let count = || count_items(self.raw).unwrap_or(0);
        (self.kind == Kind::Array).then(|| *self.count.get_or_init(count))
    }

    /// How many fields an object has; a name that stands twice is one.
    pub(super) fn field_count(&self) -> Option<usize> {
        let count = || count_fields(self.raw).unwrap_or(0);
        (self.kind == Kind::Object).then(|| *self.count.get_or_init(count))
    }
}

fn count_items(array: &str) -> Result<usize, NotJson> {
    let mut scanner = Scanner::new(array);
    scanner.open()?;
    let mut count = 0;
    if !scanner.closes_at_once(b']') {
        loop {
            scanner.skip_value()?;
            count += 1;
            if scanner.closes(b']')? {
                break;
            }
        }
    }
    Ok(count)
}

fn count_fields(object: &str) -> Result<usize, NotJson> {
    let mut scanner = Scanner::new(object);
    scanner.open()?;
    let mut names = HashSet::new();
    if !scanner.closes_at_once(b'}') {
        loop {
            names.insert(decoded(scanner.key()?));
            scanner.skip_value()?;
            if scanner.closes(b'}')? {
                break;
            }
        }
    }
    Ok(names.len())
}

/// One pass over a payload.
pub(super) struct Walk<'s, 'p> {
    set: &'s PathSet,
    scanner: Scanner<'p>,
    found: HashMap<u32, Found<'p>>,
    occurrences: usize,
    steps: usize,
}

impl<'s, 'p> Walk<'s, 'p> {
    pub(super) fn over(set: &'s PathSet, payload: &'p str) -> Collected<'s, 'p> {
        let scanner = Scanner::new(payload);
        let mut walk = Self { set, scanner, found: HashMap::new(), occurrences: 0, steps: 0 };
        let read = walk.value(0, 0).and_then(|()| walk.scanner.finish());
        if read.is_err() {
            walk.found.clear();
        }
        let steps = walk.steps + walk.scanner.at();
        Collected { set, found: walk.found, steps: Cell::new(steps) }
    }

    /// Reads the value at a node, which stands in the occurrence `within`.
    fn value(&mut self, node: u32, within: usize) -> Result<(), NotJson> {
        self.occurrences += 1;
        let occurrence = self.occurrences;
        let first = self.scanner.next_token().ok_or(NotJson::End)?;
        let start = self.scanner.at();
        let kind = match first {
            b'"' => Kind::String,
            b'{' if self.set.leads_on(node) => {
                self.object(node, occurrence)?;
                Kind::Object
            }
            b'[' if self.set.has_indices(node) => {
                self.array(node, occurrence)?;
                Kind::Array
            }
            first => {
                self.scanner.skip_value()?;
                match first {
                    b'{' => Kind::Object,
                    b'[' => Kind::Array,
                    b't' => Kind::Bool(true),
                    b'f' => Kind::Bool(false),
                    b'n' => Kind::Null,
                    _ => Kind::Number,
                }
            }
        };
        let raw = if kind == Kind::String { self.scanner.string()? } else { self.scanner.since(start) };
        self.steps += 1;
        let found = Found {
            kind,
            raw,
            occurrence,
            within,
            number: OnceCell::new(),
            text: OnceCell::new(),
            count: OnceCell::new(),
        };
        self.found.insert(node, found);
        Ok(())
    }

    fn object(&mut self, node: u32, occurrence: usize) -> Result<(), NotJson> {
        self.scanner.open()?;
        if self.scanner.closes_at_once(b'}') {
            return Ok(());
        }
        loop {
            let key = decoded(self.scanner.key()?);
            self.steps += 1;
            match self.set.member(node, &key) {
                Some(member) => self.value(member, occurrence)?,
                None => self.scanner.skip_value()?,
            }
            if self.scanner.closes(b'}')? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, node: u32, occurrence: usize) -> Result<(), NotJson> {
        self.scanner.open()?;
        if self.scanner.closes_at_once(b']') {
            return Ok(());
        }
        for index in 0.. {
            self.steps += 1;
            match self.set.item(node, index) {
                Some(item) => self.value(item, occurrence)?,
                None => self.scanner.skip_value()?,
            }
            if self.scanner.closes(b']')? {
                break;
            }
        }
        Ok(())
    }
}
