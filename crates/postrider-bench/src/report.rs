//! The report: rounds in turn, then the table. A whole run is bounded; whatever ends it takes the children along.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::children::Receiver;
use crate::cli::{Part, ReportArgs};
use crate::conditions::Conditions;
use crate::place::{Place, StoreKind};
use crate::round::{self, Bench, Round, Run};
use crate::table::{self, Budget, Row, Unit, Verdict};
use crate::trials::Trial;
use crate::{progress, service};

/// Longest that one round may take, the wait for late arrivals included.
const ROUND_WITHIN: Duration = Duration::from_secs(120);
/// Longest that one trial may take; ten million events in the log take most of it.
const TRIAL_WITHIN: Duration = Duration::from_secs(3_600);

/// Everything that a run gives, as it is written to the JSON file.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    conditions: Conditions,
    rows: Vec<Row>,
    rounds: Vec<Round>,
}

/// Runs all rounds and prints the table. A missed budget is a result; lost events are a failure.
pub(crate) async fn run(args: ReportArgs) -> anyhow::Result<ExitCode> {
    let report = or_interrupted(measure(&args)).await;
    progress::clear();
    let report = report?;
    let table = table::markdown(&report.rows);
    progress::print(&format!("{}\n\n{table}", report.conditions.line()))?;
    write(args.markdown, &table)?;
    write(args.json, &serde_json::to_string_pretty(&report).context("could not write the report")?)?;
    Ok(if has_failed(&report.rows) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Lets a signal end the work, and with it the processes and folders that it has.
pub(crate) async fn or_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for signals")?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("interrupted"),
    }
}

async fn measure(args: &ReportArgs) -> anyhow::Result<Report> {
    let binary = service::binary(args.binary.clone())?;
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut bench = Bench { binary, receiver: Receiver::start().await?, pace: round::FULL };
    let wanted: Vec<Part> = Part::value_variants()
        .iter()
        .filter(|part| args.only.is_empty() || args.only.contains(part))
        .copied()
        .collect();
    let rounds = if wanted.contains(&Part::Rounds) {
        take_rounds(&mut bench, args, &parent).await?
    } else {
        Vec::new()
    };
    let mut rows = if rounds.is_empty() { Vec::new() } else { rows(&rounds, args.store) };
    for part in wanted {
        rows.extend(take_trial(&mut bench, args, &parent, part).await?);
    }
    bench.receiver.stop().await?;
    let conditions = Conditions::read(&parent, Place::new(args.store, &parent)?.store()?);
    Ok(Report { version: env!("CARGO_PKG_VERSION"), conditions, rows, rounds })
}

async fn take_rounds(bench: &mut Bench, args: &ReportArgs, parent: &Path) -> anyhow::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let place = Place::new(args.store, parent)?;
        let name = format!("round {number} of {}", args.rounds);
        let round = tokio::time::timeout(ROUND_WITHIN, bench.round(&place, &name)).await;
        rounds.push(round.context("the round took too long")??);
    }
    Ok(rounds)
}

/// The rows of one trial. One that breaks off is a failed row and does not spoil the others; what is left of it ends
/// before the next one begins.
async fn take_trial(
    bench: &mut Bench,
    args: &ReportArgs,
    parent: &Path,
    part: Part,
) -> anyhow::Result<Vec<Row>> {
    let mut trial = Trial { bench, args, parent: parent.to_owned() };
    let taken = tokio::time::timeout(TRIAL_WITHIN, trial.rows(part)).await;
    let failure = match taken {
        Ok(Ok(rows)) => return Ok(rows),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_late) => "it took too long".to_owned(),
    };
    // What the broken one still sends must not be counted as another's.
    let broken = std::mem::replace(&mut bench.receiver, Receiver::start().await?);
    broken.stop().await?;
    let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    Ok(vec![Row::broken(name, failure)])
}

/// Whether events were lost or repeated, or a row could not be taken. A missed budget is no failure.
pub(crate) fn has_failed(rows: &[Row]) -> bool {
    rows.iter().any(|row| matches!(row.verdict, Verdict::Failed(_)))
}

fn write(path: Option<PathBuf>, text: &str) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
}

/// All rows of the table, medians over the rounds.
pub(crate) fn rows(rounds: &[Round], store: StoreKind) -> Vec<Row> {
    let budgets = Budgets::of(store);
    let mut rows = bare_rows(rounds);
    rows.extend(throughput_rows(rounds, &budgets));
    if store == StoreKind::Postgres {
        rows.extend(database_rows(rounds));
    }
    rows.extend(latency_rows(rounds));
    rows.extend(footprint_rows(rounds, &budgets));
    rows
}

/// Where the two stores are held to different figures.
struct Budgets {
    cpu: f64,
    single_rate: f64,
    batch_rate: f64,
    idle_cpu_percent: f64,
}

impl Budgets {
    fn of(store: StoreKind) -> Self {
        match store {
            StoreKind::Sqlite => Self { cpu: 4.0, single_rate: 0.25, batch_rate: 1.5, idle_cpu_percent: 0.5 },
            StoreKind::Postgres => {
                Self { cpu: 10.0, single_rate: 0.1, batch_rate: 2.0, idle_cpu_percent: 1.0 }
            }
        }
    }
}

/// What of the processor time is the database's, which has processes of its own.
fn database_rows(rounds: &[Round]) -> Vec<Row> {
    let row = |what: &str, figure: fn(&Round) -> f64| {
        Row::new(format!("the database's part of it, {what}"), Unit::Microseconds, &of(rounds, figure))
    };
    vec![
        row("single events", |r| r.single.database_cpu_us),
        row("batches", |r| r.batch.database_cpu_us),
        row("at 500/s", |r| r.fixed.database_cpu_us),
    ]
}

fn bare_rows(rounds: &[Round]) -> Vec<Row> {
    vec![
        Row::new(
            "bare signed POST, 64 connections",
            Unit::EventsPerSecond,
            &of(rounds, |r| r.bare_per_second),
        ),
        Row::new("bare signed POST: CPU per request", Unit::Microseconds, &of(rounds, |r| r.bare_cpu_us)),
    ]
}

fn throughput_rows(rounds: &[Round], budgets: &Budgets) -> Vec<Row> {
    let bare_cpu = of(rounds, |r| r.bare_cpu_us);
    let bare_rate = of(rounds, |r| r.bare_per_second);
    let single_cpu = of(rounds, |r| r.single.cpu_us);
    let single_rate = of(rounds, |r| r.single.arrived_per_second);
    let batch_in = of(rounds, |r| r.batch.accepted_per_second);
    let batch_out = of(rounds, |r| r.batch.arrived_per_second);
    let batch_cpu = of(rounds, |r| r.batch.cpu_us);
    let single = |row: Row| complete(row, rounds, |r| &r.single);
    let batch = |row: Row| complete(row, rounds, |r| &r.batch);
    vec![
        single(
            Row::new("CPU per delivery at saturation", Unit::Microseconds, &single_cpu)
                .against("bare", &single_cpu, &bare_cpu)
                .within(Budget::AtMost(budgets.cpu)),
        ),
        single(
            Row::new("end to end, one event per request, 64 clients", Unit::EventsPerSecond, &single_rate)
                .against("bare", &single_rate, &bare_rate)
                .within(Budget::AtLeast(budgets.single_rate)),
        ),
        batch(
            Row::new("batch ingest (100 per request): accepted", Unit::EventsPerSecond, &batch_in)
                .against("single", &batch_in, &single_rate)
                .within(Budget::AtLeast(budgets.batch_rate)),
        ),
        batch(Row::new("batch ingest: end to end", Unit::EventsPerSecond, &batch_out).against(
            "single",
            &batch_out,
            &single_rate,
        )),
        batch(
            Row::new("batch ingest: CPU per delivery", Unit::Microseconds, &batch_cpu)
                .against("bare", &batch_cpu, &bare_cpu),
        ),
    ]
}

fn latency_rows(rounds: &[Round]) -> Vec<Row> {
    let sync = of(rounds, |r| r.sync_ms);
    let (p50, p99) = (of(rounds, |r| r.fixed.p50_ms), of(rounds, |r| r.fixed.p99_ms));
    let fixed = |row: Row| complete(row, rounds, |r| &r.fixed);
    vec![
        Row::new("fsync back to back, p50", Unit::Milliseconds, &of(rounds, |r| r.busy_sync_ms)),
        Row::new("fsync at 500/s, p50", Unit::Milliseconds, &sync),
        Row::new("fsync at 500/s, p99", Unit::Milliseconds, &of(rounds, |r| r.sync_p99_ms)),
        fixed(
            Row::new("end to end at 500/s, p50", Unit::Milliseconds, &p50)
                .against("fsync", &p50, &sync)
                .within(Budget::AtMost(3.0)),
        ),
        fixed(
            Row::new("end to end at 500/s, p99", Unit::Milliseconds, &p99)
                .against("fsync", &p99, &sync)
                .within(Budget::AtMost(10.0)),
        ),
        fixed(Row::new("CPU per delivery at 500/s", Unit::Microseconds, &of(rounds, |r| r.fixed.cpu_us))),
    ]
}

fn footprint_rows(rounds: &[Round], budgets: &Budgets) -> Vec<Row> {
    let plain = |what, unit, figure: fn(&Round) -> f64, most: f64| {
        Row::new(what, unit, &of(rounds, figure)).within(Budget::AtMost(most))
    };
    vec![
        plain("memory idle, before the load", Unit::Mebibytes, |r| r.idle_mib, 40.0),
        Row::new("memory at rest after the load", Unit::Mebibytes, &of(rounds, |r| r.loaded_mib)),
        plain("start to first 202, nothing pending", Unit::Seconds, |r| r.start_seconds, 2.0),
        plain("idle CPU", Unit::PercentOfCore, |r| r.idle_cpu_percent, budgets.idle_cpu_percent),
    ]
}

/// Fails the row if any round lost an event of this load, or sent one twice: nothing crashed, so there is no
/// reason to.
fn complete(row: Row, rounds: &[Round], load: fn(&Round) -> &Run) -> Row {
    let missing = rounds.iter().map(|round| load(round).missing).sum();
    let repeated = rounds.iter().map(|round| load(round).repeated).sum();
    row.unless_wrong(missing, repeated, rounds.iter().map(|round| load(round).accepted).sum())
}

fn of(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> Vec<f64> {
    rounds.iter().map(figure).collect()
}
