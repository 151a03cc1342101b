//! What was found, and how it is shown: lines for people, an object for programs.

use serde_json::{Value, json};

use crate::terminal::{BAD, DIM, GOOD, WAIT, paint, say};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Good,
    Warning,
    Problem,
}

#[derive(Debug)]
struct Finding {
    area: &'static str,
    status: Status,
    found: String,
    /// What would be right, unless it is.
    advice: Option<String>,
}

/// Everything that was found, in the order of looking.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// It is as it should be.
    pub(super) fn good(&mut self, area: &'static str, found: impl Into<String>) {
        self.add(area, Status::Good, found.into(), None);
    }

    /// The service works; but somebody should know.
    pub(super) fn warning(
        &mut self,
        area: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(area, Status::Warning, found.into(), Some(advice.into()));
    }

    /// The service does not work like this.
    pub(super) fn problem(
        &mut self,
        area: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(area, Status::Problem, found.into(), Some(advice.into()));
    }

    pub(super) fn has_problems(&self) -> bool {
        self.count(Status::Problem) > 0
    }

    fn add(&mut self, area: &'static str, status: Status, found: String, advice: Option<String>) {
        self.0.push(Finding { area, status, found, advice });
    }

    fn count(&self, status: Status) -> usize {
        self.0.iter().filter(|finding| finding.status == status).count()
    }

    /// Shows everything on standard output.
    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            return say(self.to_json());
        }
        say("");
        for line in self.0.iter().flat_map(lines_of) {
            say(line);
        }
        say("");
        say(format!("  {}", self.summary()));
        say("");
    }

    fn summary(&self) -> String {
        let (problems, warnings) = (self.count(Status::Problem), self.count(Status::Warning));
        let several = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        match (problems, warnings) {
            (0, 0) => paint(GOOD, "all is well"),
            (0, _) => paint(WAIT, several(warnings, "warning")),
            (_, 0) => paint(BAD, several(problems, "problem")),
            _ => paint(BAD, format!("{}, {}", several(problems, "problem"), several(warnings, "warning"))),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let checks: Vec<Value> = self
            .0
            .iter()
            .map(|finding| {
                json!({
                    "area": finding.area,
                    "status": match finding.status {
                        Status::Good => "good",
                        Status::Warning => "warning",
                        Status::Problem => "problem",
                    },
                    "found": finding.found,
                    "advice": finding.advice,
                })
            })
            .collect();
        json!({ "is_well": !self.has_problems(), "checks": checks })
    }
}

fn lines_of(finding: &Finding) -> Vec<String> {
    let mark = match finding.status {
        Status::Good => paint(GOOD, "✓"),
        Status::Warning => paint(WAIT, "!"),
        Status::Problem => paint(BAD, "✗"),
    };
    let mut lines = vec![format!("  {mark} {:<14} {}", finding.area, finding.found)];
    lines.extend(finding.advice.iter().map(|advice| format!("    {:<14} {}", "", paint(DIM, advice))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_do_not_fail_and_problems_do() {
        let mut findings = Findings::default();
        findings.good("clock", "right");
        findings.warning("guard", "open", "close it");
        assert!(!findings.has_problems());
        assert_eq!(findings.to_json()["is_well"], true);
        findings.problem("store", "gone", "bring it back");
        assert!(findings.has_problems() && findings.summary().contains("1 problem, 1 warning"));
        let shown = findings.to_json();
        assert_eq!(shown["is_well"], false);
        assert_eq!(
            shown["checks"][2],
            json!({ "area": "store", "status": "problem", "found": "gone", "advice": "bring it back" })
        );
        assert_eq!(shown["checks"][0]["advice"], Value::Null);
    }
}
