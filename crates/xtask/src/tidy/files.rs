//! Rules about a whole file: its length, its header, its name.

use super::Finding;
use super::source::Source;

/// The longest file, inline tests counted.
const MAX_FILE_LINES: usize = 400;

/// Names that say nothing, so that everything ends up under them.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "helpers", "helper", "manager", "misc"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_FILE_LINES && !source.is_in_test_folder() {
        findings.push(Finding::new(
            &source.path,
            lines,
            format!("{lines} lines: a file has at most {MAX_FILE_LINES}, so that it can be read in one go; split it"),
        ));
    }
    if !source.text.starts_with("//!") {
        let why = "no `//!` header: a file begins with its job, and what it must not do";
        findings.push(Finding::new(&source.path, 1, why));
    }
    findings.extend(name(&source.path));
    findings
}

fn name(path: &str) -> Option<Finding> {
    if path.ends_with("/mod.rs") {
        let why = "`mod.rs`: a module is `name.rs` beside its folder, so that tabs can be told apart";
        return Some(Finding::new(path, 1, why));
    }
    let parts = path.trim_end_matches(".rs").split('/').skip(2);
    let empty = parts.flat_map(|part| part.split('_')).find(|word| EMPTY_NAMES.contains(word))?;
    let why = format!("named `{empty}`: name a file after its job, or it becomes a heap of everything");
    Some(Finding::new(path, 1, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::parse(path, text).unwrap()).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_long_file_is_caught_and_a_long_test_is_not() {
        let text = format!("//! Long.\n{}", "// line\n".repeat(400));
        assert!(found("crates/a/src/b.rs", &text)[0].starts_with("crates/a/src/b.rs:401: 401 lines"));
        assert!(found("crates/a/tests/b.rs", &text).is_empty());
        assert!(found("crates/a/src/b.rs", &text[..text.len() - 8]).is_empty());
    }

    #[test]
    fn a_missing_header_is_caught() {
        assert!(found("crates/a/src/b.rs", "// Not a header\n")[0].contains("no `//!` header"));
    }

    #[test]
    fn names_that_say_nothing_are_caught() {
        for path in [
            "crates/a/src/mod.rs",
            "crates/a/tests/common/mod.rs",
            "crates/a/src/utils.rs",
            "crates/a/src/lane_manager.rs",
            "crates/a/src/helpers/b.rs",
        ] {
            assert_eq!(found(path, "//! Header.\n").len(), 1, "{path}");
        }
        for path in ["crates/a/src/mode.rs", "crates/common/src/lib.rs", "crates/a/src/commons.rs"] {
            assert!(found(path, "//! Header.\n").is_empty(), "{path}");
        }
    }
}
