//! The paths of many filters as one tree, by which a payload is read once for all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Filter;
use super::collected::{Collected, Walk};
use crate::limits::MAX_PAYLOAD_DEPTH;

/// The paths that some filters ask for. Its size is linear in the filters' own.
#[derive(Debug)]
pub struct PathSet {
    /// The first one is the root, and the children of each stand beside each other, sorted by their segments.
    nodes: Vec<PathNode>,
    /// The segments of all nodes.
    segments: String,
    /// The children that are found by their index in an array, by their parent and that index.
    by_index: HashMap<(u32, usize), u32>,
    /// For each filter the node of each condition; none where no payload can have a value there.
    filters: Vec<Box<[Option<u32>]>>,
}

#[derive(Debug)]
struct PathNode {
    parent: u32,
    /// Where its segment stands in `segments`.
    segment: (u32, u32),
    /// Where its children begin, and how many they are.
    children: (u32, u32),
    has_indices: bool,
}

/// A node as the tree is built.
struct Growing {
    parent: u32,
    segment: String,
    children: Vec<u32>,
}

impl PathSet {
    /// The paths of these filters, which are then asked by their place among them.
    pub fn of<'f>(filters: impl IntoIterator<Item = &'f Filter>) -> Self {
        let mut growing = vec![Growing { parent: 0, segment: String::new(), children: Vec::new() }];
        let mut known = HashMap::new();
        let filters: Vec<Box<[Option<u32>]>> = filters
            .into_iter()
            .map(|filter| filter.paths.iter().map(|path| grow(&mut growing, &mut known, path)).collect())
            .collect();
        drop(known);
        Self::arranged(growing, filters)
    }

    /// Puts children beside each other, parents first.
    fn arranged(mut growing: Vec<Growing>, mut filters: Vec<Box<[Option<u32>]>>) -> Self {
        let mut set = Self {
            nodes: Vec::with_capacity(growing.len()),
            segments: String::new(),
            by_index: HashMap::new(),
            filters: Vec::new(),
        };
        let mut order = vec![0_u32];
        let mut place = vec![0_u32; growing.len()];
        let mut next = 0;
        while let Some(old) = order.get(next).copied() {
            let mut children = std::mem::take(&mut growing[old as usize].children);
            children.sort_by(|a, b| growing[*a as usize].segment.cmp(&growing[*b as usize].segment));
            let new = number(next);
            place[old as usize] = new;
            let first = number(order.len());
            let mut has_indices = false;
            for (offset, child) in children.iter().enumerate() {
                if let Some(index) = array_index(&growing[*child as usize].segment) {
                    set.by_index.insert((new, index), first + number(offset));
                    has_indices = true;
                }
            }
            let start = number(set.segments.len());
            let grown = &growing[old as usize];
            set.segments.push_str(&grown.segment);
            set.nodes.push(PathNode {
                parent: place[grown.parent as usize],
                segment: (start, number(set.segments.len())),
                children: (first, number(children.len())),
                has_indices,
            });
            order.append(&mut children);
            next += 1;
        }
        for node in filters.iter_mut().flatten().flatten() {
            *node = place[*node as usize];
        }
        set.filters = filters;
        set
    }

    /// Reads a payload in one pass and collects the values at all paths. Nothing is found in what is not JSON.
    pub fn collect<'p>(&self, payload: &'p [u8]) -> Collected<'_, 'p> {
        Walk::over(self, std::str::from_utf8(payload).unwrap_or_default())
    }

    /// How many paths there are to be found; a measure of the set's size.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node_of(&self, filter: usize, condition: usize) -> Option<u32> {
        self.filters.get(filter)?.get(condition).copied().flatten()
    }

    pub(super) fn parent(&self, node: u32) -> u32 {
        self.nodes[node as usize].parent
    }

    /// Whether a path leads on from here.
    pub(super) fn leads_on(&self, node: u32) -> bool {
        self.nodes[node as usize].children.1 > 0
    }

    /// The node that a member of an object leads to.
    pub(super) fn member(&self, node: u32, key: &str) -> Option<u32> {
        let (first, count) = self.nodes[node as usize].children;
        let children = &self.nodes[first as usize..][..count as usize];
        let segment = |child: &PathNode| &self.segments[child.segment.0 as usize..child.segment.1 as usize];
        let found = children.binary_search_by(|child| segment(child).cmp(key)).ok()?;
        Some(first + number(found))
    }

    /// Whether any path leads on by an array's index.
    pub(super) fn has_indices(&self, node: u32) -> bool {
        self.nodes[node as usize].has_indices
    }

    /// The node that an item of an array leads to.
    pub(super) fn item(&self, node: u32, index: usize) -> Option<u32> {
        self.by_index.get(&(node, index)).copied()
    }
}

/// The node of a path, which is made if it is new. None where it is deeper than a payload may be.
fn grow(growing: &mut Vec<Growing>, known: &mut HashMap<(u32, String), u32>, path: &str) -> Option<u32> {
    if path.matches('/').count() > MAX_PAYLOAD_DEPTH {
        return None;
    }
    let mut node = 0;
    for segment in path.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        node = match known.entry((node, segment)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let child = number(growing.len());
                let (parent, segment) = unknown.key().clone();
                growing.push(Growing { parent, segment, children: Vec::new() });
                growing[parent as usize].children.push(child);
                *unknown.insert(child)
            }
        };
    }
    Some(node)
}

/// A segment as an index of an array (RFC 6901, section 4).
fn array_index(segment: &str) -> Option<usize> {
    let is_index = segment.bytes().all(|byte| byte.is_ascii_digit())
        && (segment.len() == 1 || !segment.starts_with('0'));
    if is_index { segment.parse().ok() } else { None }
}

/// A set of paths has far fewer nodes and bytes than this: an account has at most so many endpoints.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
