//! Rules about the manifests: every crate takes the workspace's lints and has the name of its folder.

use std::path::Path;

use anyhow::Result;

use super::Finding;

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in super::files_below(root, "crates", "Cargo.toml")? {
        findings.extend(of_manifest(&path, &std::fs::read_to_string(root.join(&path))?));
    }
    Ok(findings)
}

fn of_manifest(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    if !lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]) {
        let why = "no `[lints]` with `workspace = true`: every crate is held to the same lints";
        findings.push(Finding::new(path, lines.len(), why));
    }
    let folder = path.split('/').rev().nth(1).unwrap_or_default();
    if !lines.contains(&format!("name = \"{folder}\"").as_str()) {
        findings.push(Finding::new(path, 1, format!("a crate has the name of its folder, `{folder}`")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_the_lints_or_with_another_name_is_caught() {
        let sound = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        assert!(of_manifest("crates/a/Cargo.toml", sound).is_empty());
        let findings = of_manifest("crates/a/Cargo.toml", "[package]\nname = \"b\"\nworkspace = true\n");
        assert!(findings[0].to_string().starts_with("crates/a/Cargo.toml:3: no `[lints]`"));
        assert!(findings[1].why.contains("name of its folder, `a`"));
    }
}
