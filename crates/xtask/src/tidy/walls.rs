//! The walls between the crates, read from what cargo resolved: who may use whom, and which libraries stay
//! behind one crate.
//!
//! Dependencies of tests are free, but for one thing: nothing at all uses the tools.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Finding;

/// Who may use which crate of the workspace. A new crate gets a line here.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("postrider-signature", &[]),
    ("postrider-core", &["postrider-signature"]),
    ("postrider-store", &["postrider-core", "postrider-signature"]),
    ("postrider-sender", &["postrider-core", "postrider-signature"]),
    ("postrider-engine", &["postrider-store", "postrider-sender", "postrider-core", "postrider-signature"]),
    ("postrider-api", &["postrider-engine", "postrider-core"]),
    // Signature for the panel that checks one.
    ("postrider-dashboard", &["postrider-engine", "postrider-core", "postrider-signature"]),
    // The sender brings what it exports to the collector; it has no socket of its own.
    ("postrider-telemetry", &["postrider-engine", "postrider-sender", "postrider-core"]),
    ("postrider", THE_BINARY),
    ("postrider-bench", &["postrider-core", "postrider-signature", "postrider-pgtemp"]),
    // Servers for tests and measurements; knows nothing of the product.
    ("postrider-pgtemp", &[]),
    ("xtask", &[]),
];

const THE_BINARY: &[&str] = &[
    "postrider-api",
    // For `postrider bench`; it knows the service only as a process that speaks HTTP.
    "postrider-bench",
    "postrider-dashboard",
    "postrider-engine",
    "postrider-store",
    "postrider-sender",
    "postrider-telemetry",
    "postrider-core",
    "postrider-signature",
];

/// Libraries that only the named crates may use directly, with the reason.
const KEPT_BY: [(&[&str], &[&str], &str); 6] = [
    (
        &["rusqlite", "libsqlite3-sys", "tokio-postgres", "deadpool-postgres"],
        &["postrider-store"],
        "only the store speaks SQL",
    ),
    (
        &["hickory-proto", "hickory-net", "hickory-resolver"],
        &["postrider-sender"],
        "only the sender talks to receivers",
    ),
    (
        &["rustls"],
        // The command line for the words of its own client's errors.
        &["postrider-sender", "postrider-bench", "postrider-store", "postrider"],
        "only the sender talks to receivers",
    ),
    (
        &["tokio-rustls", "rustls-native-certs", "webpki-root-certs", "webpki-roots"],
        // The store for its way to a PostgreSQL server, which is often in another place.
        &["postrider-sender", "postrider-bench", "postrider-store"],
        "only the sender talks to receivers",
    ),
    (
        &["ureq"],
        &["postrider", "xtask"],
        "an HTTP client is for the command line, which talks to its own service, and for the test tool",
    ),
    (
        &["reqwest", "openssl", "native-tls"],
        &[],
        "one HTTP stack and one TLS library, both in Rust, are enough",
    ),
];

/// Crates that do no I/O, so that nothing they use may do any, however far down.
const PURE: [&str; 2] = ["postrider-signature", "postrider-core"];

/// What doing I/O means.
const DOES_IO: [&str; 9] =
    ["tokio", "mio", "rusqlite", "hyper", "axum", "ureq", "reqwest", "rustls", "hickory-net"];

/// Crates that are tools: nothing uses them, not even a test.
const TOOLS: [&str; 1] = ["xtask"];

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Who uses whom, by id: in the product, and in tests only.
struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    product: BTreeMap<&'a str, Vec<&'a str>>,
    tests: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        let names = metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
        let mut graph = Self { names, product: BTreeMap::new(), tests: BTreeMap::new() };
        for node in &metadata.resolve.nodes {
            for dependency in &node.deps {
                let is_of_tests = dependency.dep_kinds.iter().all(|k| k.kind.as_deref() == Some("dev"));
                let edges = if is_of_tests { &mut graph.tests } else { &mut graph.product };
                edges.entry(node.id.as_str()).or_default().push(&dependency.pkg);
            }
        }
        graph
    }

    fn name(&self, id: &str) -> &'a str {
        self.names.get(id).copied().unwrap_or("?")
    }

    fn direct(&self, id: &str) -> BTreeSet<&'a str> {
        self.product.get(id).into_iter().flatten().map(|used| self.name(used)).collect()
    }

    /// Everything used, however far down.
    fn all(&self, id: &'a str) -> BTreeSet<&'a str> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            for used in self.product.get(id).into_iter().flatten() {
                if seen.insert(*used) {
                    open.push(used);
                }
            }
        }
        seen.into_iter().map(|id| self.name(id)).collect()
    }
}

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let graph = Graph::new(metadata);
    let members: BTreeSet<&str> = metadata.workspace_members.iter().map(|id| graph.name(id)).collect();
    let mut findings = Vec::new();
    for id in &metadata.workspace_members {
        let name = graph.name(id);
        let whys = of_member(&graph, &members, id, name);
        let path = format!("crates/{name}/Cargo.toml");
        findings.extend(whys.into_iter().map(|why| Finding::new(&path, 1, why)));
    }
    findings
}

fn of_member<'a>(graph: &Graph<'a>, members: &BTreeSet<&str>, id: &'a str, name: &str) -> Vec<String> {
    let mut whys = Vec::new();
    let direct = graph.direct(id);
    match MAY_USE.iter().find(|(member, _)| *member == name) {
        None => whys.push("a crate without a place: give it a line in the table of tidy's walls".to_owned()),
        Some((_, may_use)) => {
            for used in direct.iter().filter(|used| members.contains(*used) && !may_use.contains(used)) {
                whys.push(format!("uses {used}: dependencies run one way, see ARCHITECTURE.md"));
            }
        }
    }
    for (libraries, keepers, reason) in KEPT_BY.iter().filter(|(_, keepers, _)| !keepers.contains(&name)) {
        for used in libraries.iter().filter(|library| direct.contains(*library)) {
            whys.push(format!("uses {used}, which is kept by {keepers:?}: {reason}"));
        }
    }
    if PURE.contains(&name) {
        let all = graph.all(id);
        for used in DOES_IO.iter().filter(|library| all.contains(*library)) {
            whys.push(format!("reaches {used} through its dependencies, but does no I/O"));
        }
    }
    let of_tests = graph.tests.get(id).into_iter().flatten().map(|used| graph.name(used));
    for used in of_tests.filter(|used| TOOLS.contains(used)) {
        whys.push(format!("its tests use {used}, which is a tool"));
    }
    whys
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace in which each of `edges` is `(user, used, kind)`; what has a dash or is a tool is a member.
    fn found(edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        let ids: BTreeSet<&str> = edges.iter().flat_map(|(user, used, _)| [*user, *used]).collect();
        let is_member = |id: &&str| MAY_USE.iter().any(|(name, _)| name == id) || id.starts_with("postrider");
        let dependencies = |id: &str| {
            let own = edges.iter().filter(|(user, ..)| *user == id);
            let kinds = |kind: &Option<&str>| vec![Kind { kind: kind.map(str::to_owned) }];
            own.map(|(_, used, kind)| Dependency { pkg: (*used).to_owned(), dep_kinds: kinds(kind) })
                .collect()
        };
        let metadata = Metadata {
            packages: ids.iter().map(|id| Package { id: (*id).to_owned(), name: (*id).to_owned() }).collect(),
            workspace_members: ids.iter().copied().filter(is_member).map(str::to_owned).collect(),
            resolve: Resolve {
                nodes: ids.iter().map(|id| Node { id: (*id).to_owned(), deps: dependencies(id) }).collect(),
            },
        };
        check(&metadata).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_house_as_it_should_be_is_in_order() {
        let edges = [
            ("postrider", "postrider-api", None),
            ("postrider", "ureq", None),
            ("postrider-api", "postrider-engine", None),
            ("postrider-api", "postrider-store", Some("dev")),
            ("postrider-engine", "postrider-store", None),
            ("postrider-engine", "postrider-sender", None),
            ("postrider-sender", "postrider-core", None),
            ("postrider-store", "postrider-core", None),
            ("postrider-store", "rusqlite", None),
            ("postrider-core", "postrider-signature", None),
            ("postrider-core", "tokio", Some("dev")),
        ];
        assert_eq!(found(&edges), [] as [String; 0]);
    }

    #[test]
    fn every_hole_in_a_wall_is_caught() {
        for (user, used, expected) in [
            ("postrider-store", "postrider-engine", "uses postrider-engine: dependencies run one way"),
            ("postrider-api", "postrider-store", "uses postrider-store"),
            ("postrider-engine", "xtask", "uses xtask"),
            ("postrider-engine", "rusqlite", "only the store speaks SQL"),
            ("postrider-telemetry", "postrider-store", "uses postrider-store"),
            ("postrider-telemetry", "tokio-rustls", "only the sender talks to receivers"),
            ("postrider-engine", "postrider-telemetry", "uses postrider-telemetry"),
            ("postrider-api", "tokio-rustls", "only the sender talks to receivers"),
            ("postrider-engine", "ureq", "an HTTP client is for the command line"),
            ("postrider-new", "postrider-core", "a crate without a place"),
        ] {
            let findings = found(&[(user, used, None)]);
            assert_eq!(findings.len(), 1, "{user} uses {used}: {findings:?}");
            assert!(findings[0].contains(expected), "{findings:?}");
        }
    }

    #[test]
    fn io_far_below_a_pure_crate_is_caught() {
        let findings = found(&[("postrider-core", "innocent", None), ("innocent", "tokio", None)]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains("reaches tokio"), "{findings:?}");
    }

    #[test]
    fn a_test_that_uses_a_tool_is_caught() {
        assert!(found(&[("postrider", "xtask", Some("dev"))])[0].contains("which is a tool"));
    }
}
