//! `postrider nodes`: which nodes serve from the store, as a table for people or as the service's own JSON.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::NodesArgs;
use crate::client::Client;
use crate::terminal::{BOLD, DIM, paint, say};

/// The columns: what a field is called, and what it is called on the terminal.
const COLUMNS: [(&str, &str); 7] = [
    ("id", "node"),
    ("name", "name"),
    ("version", "version"),
    ("started_at", "started"),
    ("seen_at", "last seen"),
    ("pending", "pending"),
    ("leases", "leases"),
];

/// Asks and shows.
pub(crate) fn run(args: &NodesArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.client)?.get("/v1/nodes")?;
    if args.json {
        say(answer);
        return Ok(ExitCode::SUCCESS);
    }
    let nodes = answer.get("data").and_then(Value::as_array).context("the answer has no nodes")?;
    for (index, line) in table(nodes).into_iter().enumerate() {
        let is_this = index > 0 && nodes.get(index - 1).is_some_and(|node| node["this"] == true);
        let mark = if is_this { paint(DIM, "  answered") } else { String::new() };
        say(if index == 0 { paint(DIM, line) } else { paint(BOLD, line) + &mark });
    }
    Ok(ExitCode::SUCCESS)
}

/// A line of headings and one for each node, the columns below each other.
fn table(nodes: &[Value]) -> Vec<String> {
    let cell = |node: &Value, field: &str| match &node[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<[String; COLUMNS.len()]> = std::iter::once(COLUMNS.map(|(_, heading)| heading.to_owned()))
        .chain(nodes.iter().map(|node| COLUMNS.map(|(field, _)| cell(node, field))))
        .collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; COLUMNS.len()]| {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_columns_stand_below_each_other() {
        let node = |no: u32, name: &str| {
            json!({ "id": format!("node_{no}"), "name": name, "version": "0.1.0", "this": no == 7, "started_at": "a", "seen_at": "b",
                "pending": 12, "leases": 0 })
        };
        assert_eq!(
            table(&[node(7, "one"), node(12, "another")]),
            [
                "node     name     version  started  last seen  pending  leases",
                "node_7   one      0.1.0    a        b          12       0",
                "node_12  another  0.1.0    a        b          12       0",
            ]
        );
    }
}
