//! Rules about the documents: a link to a file of the repository leads somewhere.

use std::path::Path;

use anyhow::Result;

use super::Finding;

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in super::files_below(root, "", ".md")? {
        let text = std::fs::read_to_string(root.join(&path))?;
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        findings.extend(of_document(&path, &text, |link| root.join(folder).join(link).exists()));
    }
    Ok(findings)
}

fn of_document(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for link in links(line) {
            let file = link.split('#').next().unwrap_or_default();
            let is_elsewhere = link.contains("://") || link.starts_with("mailto:");
            if !is_elsewhere && !file.is_empty() && !exists(file) {
                findings.push(Finding::new(path, index + 1, format!("the link to `{file}` leads nowhere")));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` and `src="target"` in a line.
fn links(line: &str) -> Vec<&str> {
    let behind = |mark: &str, end: char| -> Vec<&str> {
        line.split(mark).skip(1).filter_map(|rest| rest.split_once(end).map(|(target, _)| target)).collect()
    };
    let mut links = behind("](", ')');
    links.extend(behind("src=\"", '"'));
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_caught() {
        let text =
            "see [a](there.md#part), [b](gone.md)\n<img src=\"gone.svg\"> [c](https://x.example) [d](#here)";
        let findings = of_document("README.md", text, |file| file == "there.md");
        let found: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "README.md:1: the link to `gone.md` leads nowhere",
                "README.md:2: the link to `gone.svg` leads nowhere"
            ]
        );
    }
}
