//! Compiles a schema into nodes: follows every reference once, and finds where the schema exceeds the bounds of new ones.
//!
//! Whether it is a schema at all is decided before, by the `jsonschema` crate; what it accepts compiles here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jsonschema::{Draft, ReferencingError, Registry, Uri};
use serde_json::{Map, Value};

use super::node::{Keyword, Node};
use super::{Validator, keywords};
use crate::payload::{Violation, escaped};

/// What a schema is called that names itself nothing.
const UNNAMED: &str = "json-schema:///";
/// How many places one answer names.
const MAX_EXCEEDED: usize = 10;

/// Why a schema can't be compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// A reference leads nowhere.
    #[error(transparent)]
    Reference(#[from] ReferencingError),
    /// A regular expression is none, or becomes too large.
    #[error("\"{0}\" is no regular expression that can be used here")]
    Pattern(String),
}

impl Validator {
    /// Compiles a JSON Schema.
    pub(crate) fn compile(schema: &Value) -> Result<Self, CompileError> {
        let registry = Registry::new().draft(Draft::Draft202012).add(UNNAMED, schema)?.prepare()?;
        let unnamed = Arc::new(jsonschema::uri::from_str(UNNAMED)?);
        let mut compiler = Compiler {
            registry: &registry,
            bases: HashMap::new(),
            nodes: Vec::new(),
            values: Vec::new(),
            known: HashMap::new(),
            pending: Vec::new(),
            resources: HashMap::new(),
            anchors: Vec::new(),
            dynamic: Vec::new(),
            entries: Vec::new(),
            exceeded: Vec::new(),
        };
        compiler.note_bases(schema, &unnamed)?;
        let root = compiler.node_of(schema, &unnamed);
        compiler.compile_pending()?;
        compiler.follow_dynamic_references()?;
        compiler.find_circles();
        compiler.choose_remembered();
        let exceeded = compiler.places_of_exceeded(schema);
        Ok(Self { nodes: compiler.nodes, root, exceeded })
    }
}

/// A schema on its way to nodes.
pub(super) struct Compiler<'r> {
    registry: &'r Registry<'r>,
    /// The base URIs of the schema's objects, by their address.
    bases: HashMap<*const Value, Arc<Uri<String>>>,
    nodes: Vec<Node>,
    /// What each node was made of.
    values: Vec<&'r Value>,
    /// The node of each subschema, by its address.
    known: HashMap<*const Value, usize>,
    /// Nodes that are still empty, with their base URIs.
    pending: Vec<(usize, Arc<Uri<String>>)>,
    resources: HashMap<String, usize>,
    /// Every dynamic anchor's name, with its subschema and the base URI there.
    anchors: Vec<(String, &'r Value, Arc<Uri<String>>)>,
    /// Dynamic references: their node, the keyword's place there, and the anchor's name.
    dynamic: Vec<(usize, usize, String)>,
    /// How many ways lead to each node.
    entries: Vec<usize>,
    /// Subschemas that exceed a bound, with the keyword and the bound in words.
    exceeded: Vec<(*const Value, &'static str, String)>,
}

impl<'r> Compiler<'r> {
    /// Notes the base URI of every object of the schema.
    fn note_bases(&mut self, value: &'r Value, base: &Arc<Uri<String>>) -> Result<(), CompileError> {
        match value {
            Value::Object(fields) => {
                let base = self.base_within(fields, base)?;
                self.bases.insert(value, Arc::clone(&base));
                self.note_anchor(value, &base);
                for (key, inner) in fields {
                    if !matches!(key.as_str(), "const" | "enum" | "default" | "examples") {
                        self.note_bases(inner, &base)?;
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.note_bases(item, base)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn note_anchor(&mut self, value: &'r Value, base: &Arc<Uri<String>>) {
        if let Some(name) = value.get("$dynamicAnchor").and_then(Value::as_str) {
            self.anchors.push((name.to_owned(), value, Arc::clone(base)));
        }
    }

    /// The base URI inside of an object, which may name itself.
    fn base_within(
        &self,
        fields: &Map<String, Value>,
        outer: &Arc<Uri<String>>,
    ) -> Result<Arc<Uri<String>>, CompileError> {
        match fields.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#')) {
            Some(id) if !id.is_empty() && !id.starts_with('#') => {
                Ok(self.registry.resolve_uri(&outer.borrow(), id)?)
            }
            _ => Ok(Arc::clone(outer)),
        }
    }

    /// The node of a subschema, which is made if it is new. `base` is the base URI where it is not a part of the schema itself.
    pub(super) fn node_of(&mut self, value: &'r Value, base: &Arc<Uri<String>>) -> usize {
        if let Some(known) = self.known.get(&std::ptr::from_ref(value)) {
            self.entries[*known] += 1;
            return *known;
        }
        let node = self.nodes.len();
        let base = self.bases.get(&std::ptr::from_ref(value)).unwrap_or(base).clone();
        let resource = self.resource(&base);
        self.nodes.push(Node { resource, ..Node::default() });
        self.values.push(value);
        self.entries.push(1);
        self.known.insert(value, node);
        self.pending.push((node, base));
        node
    }

    fn resource(&mut self, base: &Uri<String>) -> usize {
        let next = self.resources.len();
        *self.resources.entry(base.as_str().to_owned()).or_insert(next)
    }

    fn compile_pending(&mut self) -> Result<(), CompileError> {
        while let Some((node, base)) = self.pending.pop() {
            match self.values[node] {
                Value::Bool(passes) => self.nodes[node].is_false = !passes,
                Value::Object(fields) => {
                    let value = self.values[node];
                    // What is no part of the schema itself is a part of a meta-schema.
                    let is_outside = !self.bases.contains_key(&std::ptr::from_ref(value));
                    let base = if is_outside { self.base_within(fields, &base)? } else { base };
                    if is_outside {
                        self.note_anchor(value, &base);
                        self.nodes[node].resource = self.resource(&base);
                    }
                    let compiled = keywords::compile(self, node, fields, &base)?;
                    let asks = |keyword: &Keyword| {
                        matches!(keyword, Keyword::UnevaluatedItems(_) | Keyword::UnevaluatedProperties(_))
                    };
                    self.nodes[node].asks_for_evaluated = compiled.iter().any(asks);
                    self.nodes[node].keywords = compiled;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The node that a reference leads to.
    pub(super) fn target(&mut self, reference: &str, base: &Arc<Uri<String>>) -> Result<usize, CompileError> {
        let (value, base) = self.resolved(reference, base)?;
        Ok(self.node_of(value, &base))
    }

    fn resolved(
        &self,
        reference: &str,
        base: &Arc<Uri<String>>,
    ) -> Result<(&'r Value, Arc<Uri<String>>), CompileError> {
        let (uri, fragment) = reference.rsplit_once('#').unwrap_or((reference, ""));
        let base = match uri {
            "" => Arc::clone(base),
            uri => self.registry.resolve_uri(&base.borrow(), uri)?,
        };
        // A resolver of its own, so that nothing on the way here counts as the dynamic scope.
        let resolved = self.registry.resolver(Uri::clone(&base)).lookup(&format!("#{fragment}"))?;
        let (value, resolver, _) = resolved.into_inner();
        Ok((value, resolver.base_uri()))
    }

    /// Notes that a dynamic reference will be the node's keyword at this place, unless its target has no dynamic anchor.
    pub(super) fn note_dynamic(&mut self, node: usize, place: usize, reference: &str, target: usize) {
        let name = reference.rsplit_once('#').map_or("", |(_, name)| name);
        if self.values[target].get("$dynamicAnchor").and_then(Value::as_str) == Some(name) {
            self.dynamic.push((node, place, name.to_owned()));
        }
    }

    /// Finds the dynamic anchors that references may lead to, until no new one turns up.
    fn follow_dynamic_references(&mut self) -> Result<(), CompileError> {
        let names: HashSet<String> = self.dynamic.iter().map(|(_, _, name)| name.clone()).collect();
        let mut by_name: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        let mut followed = 0;
        while let Some((name, value, base)) = self.anchors.get(followed).cloned() {
            followed += 1;
            if names.contains(&name) {
                let node = self.node_of(value, &base);
                self.compile_pending()?;
                by_name.entry(name).or_default().push((self.nodes[node].resource, node));
            }
        }
        let by_name: HashMap<String, Arc<[(usize, usize)]>> = by_name
            .into_iter()
            .map(|(name, mut anchors)| {
                anchors.sort_unstable();
                (name, anchors.into())
            })
            .collect();
        for (node, place, name) in &self.dynamic {
            if let Some(Keyword::DynamicRef(reference)) = self.nodes[*node].keywords.get_mut(*place)
                && let Some(anchors) = by_name.get(name)
            {
                reference.by_resource = Arc::clone(anchors);
            }
        }
        Ok(())
    }

    /// Notes that a subschema's keyword exceeds a bound.
    pub(super) fn exceed(&mut self, node: usize, keyword: &'static str, detail: impl Into<String>) {
        if self.exceeded.len() < MAX_EXCEEDED {
            self.exceeded.push((self.values[node], keyword, detail.into()));
        }
    }

    /// Finds schemas that lead back to themselves for the same value: they would never end.
    fn find_circles(&mut self) {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            No,
            Open,
            Done,
        }
        let inner: Vec<Vec<usize>> = self.nodes.iter().map(in_place).collect();
        let mut seen = vec![Seen::No; inner.len()];
        let mut circular = Vec::new();
        for start in 0..inner.len() {
            let mut open = vec![(start, 0_usize)];
            while let Some((node, next)) = open.pop() {
                if next == 0 {
                    if seen[node] != Seen::No {
                        if seen[node] == Seen::Open {
                            circular.push(node);
                        }
                        continue;
                    }
                    seen[node] = Seen::Open;
                }
                match inner[node].get(next) {
                    Some(inner) => open.extend([(node, next + 1), (*inner, 0)]),
                    None => seen[node] = Seen::Done,
                }
            }
        }
        for node in circular {
            self.exceed(
                node,
                "",
                "leads back to itself for the same value, so that checking it would not end",
            );
        }
    }

    /// Chooses the nodes whose results are remembered: otherwise the work could double with every level of a value.
    fn choose_remembered(&mut self) {
        if !self.dynamic.is_empty() {
            // What such a node says depends on the way that led there.
            return;
        }
        let inner: Vec<Vec<usize>> = self.nodes.iter().map(every_inner).collect();
        let mut outer = vec![Vec::new(); inner.len()];
        for (node, inner) in inner.iter().enumerate() {
            inner.iter().for_each(|inner| outer[*inner].push(node));
        }
        let refers = |node: &Node| node.keywords.iter().any(|keyword| matches!(keyword, Keyword::Ref(_)));
        let mut leads_on: HashSet<usize> = HashSet::new();
        let mut open: Vec<usize> = (0..inner.len()).filter(|node| refers(&self.nodes[*node])).collect();
        while let Some(node) = open.pop() {
            if leads_on.insert(node) {
                open.extend(&outer[node]);
            }
        }
        for (node, entries) in self.entries.iter().enumerate() {
            self.nodes[node].is_remembered = *entries > 1 && leads_on.contains(&node);
        }
    }

    /// The places that exceed a bound as pointers from the schema's root.
    fn places_of_exceeded(&self, schema: &Value) -> Vec<Violation> {
        fn find(value: &Value, wanted: *const Value, path: &mut Vec<String>) -> bool {
            if std::ptr::eq(value, wanted) {
                return true;
            }
            let mut enter = |key: String, inner: &Value| {
                path.push(key);
                let found = find(inner, wanted, path);
                if !found {
                    path.pop();
                }
                found
            };
            match value {
                Value::Object(fields) => fields.iter().any(|(key, inner)| enter(escaped(key), inner)),
                Value::Array(items) => {
                    items.iter().enumerate().any(|(index, inner)| enter(index.to_string(), inner))
                }
                _ => false,
            }
        }
        let place = |(wanted, keyword, detail): &(*const Value, &'static str, String)| {
            let mut path = Vec::new();
            find(schema, *wanted, &mut path);
            path.extend((!keyword.is_empty()).then(|| (*keyword).to_owned()));
            let pointer = path.iter().map(|segment| format!("/{segment}")).collect();
            Violation { pointer, detail: detail.clone() }
        };
        self.exceeded.iter().map(place).collect()
    }
}

/// The nodes that check the same value as this one.
fn in_place(node: &Node) -> Vec<usize> {
    let mut inner = Vec::new();
    for keyword in &node.keywords {
        match keyword {
            Keyword::Ref(node) | Keyword::Not(node) => inner.push(*node),
            Keyword::AllOf(nodes) | Keyword::AnyOf(nodes) | Keyword::OneOf(nodes) => inner.extend(nodes),
            Keyword::DependentSchemas(nodes) => inner.extend(nodes.iter().map(|(_, node)| *node)),
            Keyword::If { condition, then, otherwise } => {
                inner.push(*condition);
                inner.extend(then.iter().chain(otherwise));
            }
            _ => {}
        }
    }
    inner
}

/// All nodes that this one leads to, but for dynamic references.
fn every_inner(node: &Node) -> Vec<usize> {
    let mut inner = in_place(node);
    for keyword in &node.keywords {
        match keyword {
            Keyword::Properties(properties) => {
                inner.extend(properties.named.iter().map(|(_, node)| *node));
                inner.extend(properties.patterns.iter().map(|(_, node)| *node));
                inner.extend(properties.additional);
            }
            Keyword::Items(items) => {
                inner.extend(&items.prefix);
                inner.extend(items.rest);
            }
            Keyword::Contains(contains) => inner.push(contains.node),
            Keyword::PropertyNames(node)
            | Keyword::UnevaluatedItems(node)
            | Keyword::UnevaluatedProperties(node) => inner.push(*node),
            _ => {}
        }
    }
    inner
}
