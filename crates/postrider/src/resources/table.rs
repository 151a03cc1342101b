//! Tables as wide as the terminal, and texts that can't do anything to it.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

/// One column: which field of a row, and what stands above it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// The field; those of objects behind a dot.
    path: &'static str,
    title: &'static str,
}

impl Column {
    pub(crate) const fn of(path: &'static str, title: &'static str) -> Self {
        Self { path, title }
    }

    fn text(self, row: &Value) -> String {
        let value = self.path.split('.').try_fold(row, |value, name| value.get(name));
        value.map(cell).unwrap_or_default()
    }
}

/// The table as text. On a terminal it is no wider than that; elsewhere a row is always one line.
pub(super) fn render(rows: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|column| column.title));
    for row in rows {
        table.add_row(columns.iter().map(|column| column.text(row)));
    }
    // The first names the row, and is there to be copied.
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

/// A value as a person reads it.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => readable_time(text).unwrap_or_else(|| printable(text)),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            values.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        other => printable(&other.to_string()),
    }
}

/// A time of the service's to the second: `2026-01-31 08:00:00Z`. None where the text is something else.
fn readable_time(text: &str) -> Option<String> {
    const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, wanted): (u8, u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        fixed => byte == fixed,
    };
    let is_time = text.len() == SHAPE.len() && text.bytes().zip(SHAPE.iter().copied()).all(fits);
    is_time.then(|| format!("{} {}Z", &text[..10], &text[11..19]))
}

/// A text without what would steer a terminal: somebody else may have written it.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::of("id", "ID"), Column::of("counts.matched", "MATCHED"), Column::of("at", "AT")];

    #[test]
    fn a_table_has_its_titles_and_a_line_for_each_row() {
        let rows = [
            json!({ "id": "a", "counts": { "matched": 12 }, "at": "2026-01-31T08:00:00.123Z" }),
            json!({ "id": "bcd", "counts": {}, "at": null }),
        ];
        let text = render(&rows, &COLUMNS);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines,
            [vec!["ID", "MATCHED", "AT"], vec!["a", "12", "2026-01-31", "08:00:00Z"], vec!["bcd", "-"]]
        );
    }

    #[test]
    fn nothing_that_somebody_wrote_steers_the_terminal() {
        let evil = "\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\r\n";
        let rows = [json!({ "id": evil, "counts": { "matched": [{ "a": evil }] }, "at": [evil] })];
        let text = render(&rows, &COLUMNS);
        assert!(
            !text.contains(|c: char| c != '\n' && c.is_control()) && !text.contains('\u{202e}'),
            "{text:?}"
        );
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn only_the_services_own_times_are_shortened() {
        assert_eq!(cell(&json!("2026-01-31T08:00:00.123Z")), "2026-01-31 08:00:00Z");
        for other in
            ["2026-01-31T08:00:00Z", "2026-01-31", "2026-01-31T08:00:00.123Zé", "é026-01-31T08:00:00.12Z"]
        {
            assert_eq!(cell(&json!(other)), other);
        }
    }
}
