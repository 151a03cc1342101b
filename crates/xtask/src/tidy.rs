//! The house rules that no compiler checks, run as a test: `cargo xtask tidy`.
//!
//! Each rule is a small file below and gives findings; this one gathers the sources and prints what was found.
//! A rule changes nothing, it only tells where and why.

mod files;
mod functions;
mod links;
mod manifests;
mod source;
mod walls;
mod words;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::cargo::{cargo, output, root};
use source::Source;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// The file, from the root.
    path: String,
    /// The line, counted from one.
    line: usize,
    /// What is wrong, and the reason for the rule.
    why: String,
}

impl Finding {
    fn new(path: &str, line: usize, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, why: why.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.why)
    }
}

/// Checks the whole workspace and prints every finding.
pub(crate) fn run() -> Result<()> {
    let root = root();
    let sources = source::all(&root)?;
    let mut findings: Vec<Finding> = sources.iter().flat_map(of_source).collect();
    findings.extend(manifests::check(&root)?);
    findings.extend(links::check(&root)?);
    let metadata = output(&mut cargo(["metadata", "--format-version", "1"]))?;
    findings.extend(walls::check(&serde_json::from_str(&metadata)?));
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} breaches of the house rules", findings.len());
    }
    println!(
        "tidy: {} source files, the manifests, the crate walls and the documents are in order",
        sources.len()
    );
    Ok(())
}

/// Everything that can be said of one source file by itself.
fn of_source(source: &Source) -> Vec<Finding> {
    let mut findings = files::check(source);
    findings.extend(functions::check(source));
    findings.extend(words::check(source));
    findings
}

/// The files below a folder whose names end so, as paths from `root`, sorted; build output and hidden folders
/// are left out.
fn files_below(root: &Path, folder: &str, ending: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
