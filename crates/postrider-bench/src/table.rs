//! The table of budgets: what was measured, its ratio to the bare limit of the same run, and whether the budget
//! holds. Knows how to judge and how to write it down, not how to measure.

use serde::Serialize;

use crate::statistics;

/// A limit on a row's ratio or, where it has none, on its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

/// How a row came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub(crate) enum Verdict {
    Pass,
    Miss,
    /// Events were lost or repeated, or there is no true ratio: the figures say nothing.
    Failed(String),
    /// A figure without a budget, to read the others by.
    Noted,
}

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "events/s")]
    EventsPerSecond,
    #[serde(rename = "µs")]
    Microseconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MiB")]
    Mebibytes,
    #[serde(rename = "% of a core")]
    PercentOfCore,
    #[serde(rename = "events")]
    Events,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    /// The ratio, and what it is a ratio to.
    pub(crate) ratio: Option<f64>,
    pub(crate) ratio_to: Option<&'static str>,
    pub(crate) budget: Option<Budget>,
    pub(crate) verdict: Verdict,
}

impl Row {
    /// A figure: the median over the rounds.
    pub(crate) fn new(what: impl Into<String>, unit: Unit, values: &[f64]) -> Self {
        let value = statistics::median(values).unwrap_or(f64::NAN);
        Self {
            what: what.into(),
            value,
            unit,
            ratio: None,
            ratio_to: None,
            budget: None,
            verdict: Verdict::Noted,
        }
    }

    /// Gives it a ratio: the median of each round's own, so that a machine that drifts between rounds does not
    /// mix one round's limit with another's figure.
    pub(crate) fn against(mut self, name: &'static str, values: &[f64], limits: &[f64]) -> Self {
        let ratios: Option<Vec<f64>> =
            values.iter().zip(limits).map(|(value, limit)| statistics::ratio(*value, *limit)).collect();
        self.ratio = ratios.and_then(|ratios| statistics::median(&ratios));
        self.ratio_to = Some(name);
        self
    }

    /// Judges it.
    pub(crate) fn within(mut self, budget: Budget) -> Self {
        let judged = if self.ratio_to.is_some() { self.ratio } else { Some(self.value) };
        self.budget = Some(budget);
        self.verdict = match judged.filter(|value| value.is_finite()) {
            None => Verdict::Failed("no true figure".to_owned()),
            Some(value) if budget.holds(value) => Verdict::Pass,
            Some(_) => Verdict::Miss,
        };
        self
    }

    /// A row that could not be taken.
    pub(crate) fn broken(what: impl Into<String>, why: String) -> Self {
        Self { verdict: Verdict::Failed(why), ..Self::new(what, Unit::Events, &[]) }
    }

    /// Makes it a failure where events were lost or came more than once.
    pub(crate) fn unless_wrong(mut self, missing: usize, repeated: usize, accepted: u64) -> Self {
        if missing > 0 {
            self.verdict = Verdict::Failed(format!("{missing} of {accepted} events did not arrive"));
        } else if repeated > 0 {
            self.verdict = Verdict::Failed(format!("{repeated} requests too many for {accepted} events"));
        }
        self
    }
}

impl Budget {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// The rows as a Markdown table.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("| what | budget | measured | ratio | |\n| --- | --- | --- | --- | --- |\n");
    for row in rows {
        let cells = [budget(row), figure(row.value, row.unit), ratio(row), verdict(&row.verdict)];
        text += &format!(
            "| {} | {} |
",
            row.what,
            cells.join(" | ")
        );
    }
    text
}

/// The rows for a terminal: columns of equal width, figures to the right.
pub(crate) fn aligned(rows: &[Row]) -> String {
    let lines: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let ratio = row.ratio_to.map(|to| format!("{} × {to}", ratio(row))).unwrap_or_default();
            let budget = row.budget.map(|_| format!("budget {}", budget(row))).unwrap_or_default();
            let verdict = verdict(&row.verdict).replace("**", "");
            [row.what.clone(), figure(row.value, row.unit), ratio, verdict, budget]
        })
        .collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let [what, value, ratio, verdict] = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for [a, b, c, d, e] in &lines {
        let line = format!("  {a:<what$}  {b:>value$}  {c:<ratio$}  {d:<verdict$}  {e}");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn budget(row: &Row) -> String {
    let (sign, limit) = match row.budget {
        None => return "–".to_owned(),
        Some(Budget::AtMost(limit)) => ('≤', limit),
        Some(Budget::AtLeast(limit)) => ('≥', limit),
    };
    match row.ratio_to {
        Some(name) => format!("{sign} {limit} × {name}"),
        None => format!("{sign} {limit} {}", row.unit.text()),
    }
}

fn ratio(row: &Row) -> String {
    match (row.ratio, row.ratio_to) {
        (Some(ratio), _) => format!("{ratio:.2}"),
        (None, Some(_)) => "none".to_owned(),
        (None, None) => "–".to_owned(),
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Miss => "**miss**".to_owned(),
        Verdict::Failed(why) => format!("**failed**: {why}"),
        Verdict::Noted => String::new(),
    }
}

fn figure(value: f64, unit: Unit) -> String {
    let decimals = match unit {
        Unit::EventsPerSecond | Unit::Events => 0,
        Unit::Microseconds | Unit::Mebibytes => 1,
        Unit::Milliseconds | Unit::Seconds | Unit::PercentOfCore => 2,
    };
    format!("{value:.decimals$} {}", unit.text())
}

impl Unit {
    fn text(self) -> &'static str {
        match self {
            Self::EventsPerSecond => "/s",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
            Self::PercentOfCore => "% of a core",
            Self::Events => "events",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> Row {
        Row::new("a row", Unit::Microseconds, values)
    }

    #[test]
    fn a_budget_judges_the_ratio_where_there_is_one_and_the_value_where_there_is_none() {
        let by_ratio = row(&[80.0]).against("bare", &[80.0], &[20.0]);
        assert_eq!(by_ratio.clone().within(Budget::AtMost(4.0)).verdict, Verdict::Pass);
        assert_eq!(by_ratio.clone().within(Budget::AtMost(3.9)).verdict, Verdict::Miss);
        assert_eq!(by_ratio.within(Budget::AtLeast(4.1)).verdict, Verdict::Miss);
        assert_eq!(row(&[80.0]).within(Budget::AtMost(80.0)).verdict, Verdict::Pass);
        assert_eq!(row(&[80.0]).within(Budget::AtLeast(80.0)).verdict, Verdict::Pass);
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_own_ratios() {
        let (values, limits) = ([10.0, 40.0, 90.0], [10.0, 20.0, 30.0]);
        let row = row(&values).against("bare", &values, &limits);
        assert_eq!((row.value, row.ratio), (40.0, Some(2.0)));
    }

    #[test]
    fn without_a_true_ratio_no_budget_passes() {
        for (values, limits) in [(&[80.0][..], &[0.0][..]), (&[f64::NAN], &[20.0]), (&[], &[])] {
            let row = row(values).against("bare", values, limits).within(Budget::AtMost(4.0));
            assert!(matches!(row.verdict, Verdict::Failed(_)), "{values:?}");
        }
        assert!(matches!(row(&[]).within(Budget::AtMost(4.0)).verdict, Verdict::Failed(_)));
    }

    #[test]
    fn lost_or_repeated_events_fail_a_row_that_would_pass() {
        let judged = |missing, repeated| {
            row(&[80.0]).within(Budget::AtMost(90.0)).unless_wrong(missing, repeated, 10).verdict
        };
        assert_eq!(judged(0, 0), Verdict::Pass);
        assert_eq!(judged(1, 2), Verdict::Failed("1 of 10 events did not arrive".to_owned()));
        assert_eq!(judged(0, 2), Verdict::Failed("2 requests too many for 10 events".to_owned()));
    }

    #[test]
    fn on_a_terminal_the_columns_stand_below_each_other() {
        let rows =
            [row(&[80.0]).against("bare", &[80.0], &[20.0]).within(Budget::AtMost(4.0)), row(&[1234.5])];
        assert_eq!(
            aligned(&rows),
            "  a row    80.0 µs  4.00 × bare  pass  budget ≤ 4 × bare\n  a row  1234.5 µs\n"
        );
    }

    #[test]
    fn the_table_shows_budget_figure_ratio_and_verdict() {
        let rows = [
            row(&[25.04]),
            row(&[110.0]).against("bare", &[110.0], &[25.0]).within(Budget::AtMost(4.0)),
            Row::new("memory", Unit::Mebibytes, &[21.25]).within(Budget::AtMost(40.0)),
        ];
        assert_eq!(
            markdown(&rows),
            "| what | budget | measured | ratio | |\n\
             | --- | --- | --- | --- | --- |\n\
             | a row | – | 25.0 µs | – |  |\n\
             | a row | ≤ 4 × bare | 110.0 µs | 4.40 | **miss** |\n\
             | memory | ≤ 40 MiB | 21.2 MiB | – | pass |\n"
        );
    }
}
