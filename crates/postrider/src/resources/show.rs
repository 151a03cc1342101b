//! Answers as people read them: a table for a list, a line for each field of one thing.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::table::{Column, cell, printable, render};
use crate::terminal::{DIM, NAME, paint, say};

/// Fields that are lists of things of their own: shown below the others, as tables.
const INNER: [(&str, &[Column]); 4] = [
    (
        "attempts",
        &[
            Column::of("number", "NO"),
            Column::of("started_at", "STARTED"),
            Column::of("outcome", "OUTCOME"),
            Column::of("status", "STATUS"),
            Column::of("timings.total_ms", "MS"),
            Column::of("failure.detail", "WHY"),
        ],
    ),
    (
        "data",
        &[
            Column::of("endpoint", "ENDPOINT"),
            Column::of("url", "URL"),
            Column::of("matches", "MATCHES"),
            Column::of("reason", "WHY"),
        ],
    ),
    ("deliveries", &[Column::of("id", "DELIVERY"), Column::of("endpoint", "ENDPOINT")]),
    (
        "results",
        &[Column::of("id", "EVENT"), Column::of("type", "TYPE"), Column::of("created_at", "CREATED")],
    ),
];

/// The answer as it is.
pub(super) fn json(answer: &Value) -> anyhow::Result<ExitCode> {
    say(serde_json::to_string_pretty(answer).context("the answer can't be shown")?);
    Ok(ExitCode::SUCCESS)
}

/// A remark beside the answer, which is none of it.
pub(crate) fn hint(text: &str) {
    use std::io::Write as _;
    drop(writeln!(anstream::stderr(), "{}", paint(DIM, printable(text))));
}

/// A list.
pub(super) fn table(rows: &[Value], columns: &[Column]) {
    if rows.is_empty() {
        hint("there are none");
        return;
    }
    say(render(rows, columns));
}

/// One thing, field by field.
pub(super) fn one(answer: &Value) {
    let Value::Object(fields) = answer else {
        say(cell(answer));
        return;
    };
    let mut lines = Vec::new();
    let mut inner = Vec::new();
    flatten("", fields, &mut lines, &mut inner);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, value) in lines {
        say(format!("{}  {value}", paint(NAME, format!("{name:width$}"))));
    }
    for (name, rows, columns) in inner {
        say(format!("\n{}", paint(NAME, name)));
        table(&rows, columns);
    }
}

type Inner = (String, Vec<Value>, &'static [Column]);

/// Every field with its text, those of objects behind a dot. A payload stays one value.
fn flatten(
    before: &str,
    fields: &Map<String, Value>,
    lines: &mut Vec<(String, String)>,
    inner: &mut Vec<Inner>,
) {
    for (key, value) in fields {
        let name = format!("{before}{}", printable(key));
        let known = INNER.iter().find(|(known, _)| *known == name);
        match (value, known) {
            (Value::Array(rows), Some((_, columns))) => inner.push((name, rows.clone(), columns)),
            (Value::Object(below), _) if !below.is_empty() && !is_opaque(&name) => {
                flatten(&format!("{name}."), below, lines, inner);
            }
            _ => lines.push((name, cell(value))),
        }
    }
}

/// What is somebody else's JSON is shown as that.
fn is_opaque(name: &str) -> bool {
    matches!(name, "payload" | "schema" | "example" | "filter")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_objects_stand_behind_a_dot_and_payloads_stay_whole() {
        let answer =
            json!({ "id": "x", "counts": { "matched": 3 }, "payload": { "a": { "b": 1 } }, "headers": {} });
        let (mut lines, mut inner) = (Vec::new(), Vec::new());
        flatten("", answer.as_object().unwrap(), &mut lines, &mut inner);
        let shown: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["id=x", "counts.matched=3", "payload={\"a\":{\"b\":1}}", "headers={}"]);
        assert!(inner.is_empty());
    }
}
