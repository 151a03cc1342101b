//! What a delivery costs where there is much of something, against what it costs where there is little.

use std::path::Path;

use super::{Trial, fill};
use crate::load::Load;
use crate::round::{self, Run};
use crate::service::Service;
use crate::table::{Budget, Row, Unit};
use crate::{latency, progress};

const SECONDS: u64 = 5;
/// Events of one fill; what is filled in between is waited for.
const FILL_EVENTS: u64 = 500_000;

/// Many accounts with an endpoint each, all of them with traffic.
pub(super) async fn with_endpoints(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    let many = usize::try_from(trial.args.endpoints)?;
    let (few_folder, many_folder) = (trial.folder()?, trial.folder()?);
    let receiver = trial.bench.receiver.address;
    let (mut few_service, mut many_service) = (trial.start(&few_folder)?, trial.start(&many_folder)?);
    let few_accounts = few_service.set_up(round::ACCOUNTS, receiver).await?;
    progress::say(&format!("making {many} endpoints"));
    let many_accounts = many_service.set_up(many, receiver).await?;
    let few = Side { service: few_service, accounts: few_accounts, folder: few_folder.path() };
    let many_side = Side { service: many_service, accounts: many_accounts, folder: many_folder.path() };
    let what = format!("CPU per delivery with {many} endpoints, all of them with traffic");
    alternate(trial, few, many_side, "endpoints", what).await
}

/// A log that has been filled before.
pub(super) async fn with_log_rows(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    let (empty_folder, full_folder) = (trial.folder()?, trial.folder()?);
    let receiver = trial.bench.receiver.address;
    let (mut empty, mut full) = (trial.start(&empty_folder)?, trial.start(&full_folder)?);
    let empty_accounts = empty.set_up(round::ACCOUNTS, receiver).await?;
    let full_accounts = full.set_up(round::ACCOUNTS, receiver).await?;
    let wanted = trial.args.log_rows;
    let mut filled = 0;
    while filled < wanted {
        progress::say(&format!("filling the log: {filled} of {wanted}"));
        let events = FILL_EVENTS.min(wanted - filled).max(u64::from(round::BATCH));
        let accepted = fill(&full, &full_accounts, events, full_folder.path()).await?;
        let arrived = full_folder.path().join("arrived");
        let arrived = latency::wait_for_all(&mut trial.bench.receiver, &accepted, &arrived).await?;
        anyhow::ensure!(arrived.missing == 0, "{} of a fill did not arrive", arrived.missing);
        filled += events;
    }
    let empty = Side { service: empty, accounts: empty_accounts, folder: empty_folder.path() };
    let full = Side { service: full, accounts: full_accounts, folder: full_folder.path() };
    let what = format!("CPU per delivery with {wanted} events in the log");
    alternate(trial, empty, full, "log", what).await
}

/// One of the two services that are compared.
struct Side<'a> {
    service: Service,
    accounts: Vec<String>,
    folder: &'a Path,
}

/// Both services in turn, as fast as they answer; the one that is not asked is at rest.
async fn alternate(
    trial: &mut Trial<'_>,
    little: Side<'_>,
    much: Side<'_>,
    name: &str,
    what: String,
) -> anyhow::Result<Vec<Row>> {
    let load = Load::arguments(round::CONNECTIONS, 1, SECONDS);
    let (mut of_little, mut of_much) = (Vec::new(), Vec::new());
    for number in 1..=trial.args.rounds {
        progress::say(&format!("{name}: {number} of {}", trial.args.rounds));
        for (side, runs) in [(&little, &mut of_little), (&much, &mut of_much)] {
            let Side { service, accounts, folder } = side;
            let receiver = &mut trial.bench.receiver;
            runs.push(round::measure(receiver, service, accounts, folder, (&load, SECONDS)).await?);
        }
    }
    little.service.stop().await?;
    much.service.stop().await?;
    let cpu = |runs: &[Run]| runs.iter().map(|run| run.cpu_us).collect::<Vec<_>>();
    let both = || of_little.iter().chain(&of_much);
    let row = Row::new(what, Unit::Microseconds, &cpu(&of_much))
        .against("with few", &cpu(&of_much), &cpu(&of_little))
        .within(Budget::AtMost(1.3))
        .unless_wrong(
            both().map(|run| run.missing).sum(),
            both().map(|run| run.repeated).sum(),
            both().map(|run| run.accepted).sum(),
        );
    Ok(vec![row])
}
