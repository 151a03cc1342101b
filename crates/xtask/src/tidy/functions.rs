//! Rules about functions: their length, and the names of tests.

use super::Finding;
use super::source::Source;

/// The longest function, from `fn` to its closing brace. Tests, which tell one story each, are exempt.
const MAX_FUNCTION_LINES: usize = 70;

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in &source.functions {
        let name = &function.name;
        if function.lines > MAX_FUNCTION_LINES && !function.in_test {
            let lines = function.lines;
            let why =
                format!("`{name}` has {lines} lines: at most {MAX_FUNCTION_LINES}; give its parts names");
            findings.push(Finding::new(&source.path, function.line, why));
        }
        if function.is_test && name.starts_with("test_") {
            let why = format!("`{name}`: a test's name is a sentence that says what holds, without `test_`");
            findings.push(Finding::new(&source.path, function.line, why));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check(&Source::parse("a.rs", text).unwrap()).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_long_function_is_caught_and_a_long_test_is_not() {
        let long = format!("fn f() {{\n{}}}\n", "// line\n".repeat(69));
        assert!(found(&long)[0].starts_with("a.rs:1: `f` has 71 lines"));
        assert!(found(&format!("#[test]\n{long}")).is_empty());
        assert!(found(&long.replacen("// line\n", "", 1)).is_empty());
    }

    #[test]
    fn a_test_called_test_is_caught() {
        assert!(found("#[test]\nfn test_it() {}")[0].starts_with("a.rs:2: `test_it`"));
        assert!(found("fn test_payload() {}").is_empty());
    }
}
