//! One round: the bare limit and the service in turn, close together, since machines drift within minutes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::process::Command;

use crate::bare::{self, Bare};
use crate::children::{self, Receiver};
use crate::load::Load;
use crate::place::Place;
use crate::process::{self, Threads};
use crate::service::{self, Service};
use crate::{clock, disk, latency, progress, records, statistics};

pub(crate) const ACCOUNTS: usize = 16;
pub(crate) const CONNECTIONS: u32 = 64;
pub(crate) const BATCH: u32 = 100;
/// Fewer than for single events: each of them has a hundred events under way.
pub(crate) const BATCH_CONNECTIONS: u32 = 8;
pub(crate) const FIXED_RATE: u32 = 500;
pub(crate) const FIXED_SECONDS: u64 = 6;
const DISK_FOR: Duration = Duration::from_millis(750);
/// The disk alone is asked for as many syncs a second as the service is for deliveries.
const DISK_PAUSE: Duration = Duration::from_micros(1_000_000 / FIXED_RATE as u64);
/// What is left to record after the last arrival is done by then, and the service at rest.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);

/// How long each part of a round takes, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The bare limit, each time.
    pub(crate) bare: u64,
    pub(crate) single: u64,
    pub(crate) batch: u64,
    pub(crate) fixed: u64,
    /// At rest.
    pub(crate) idle: u64,
}

/// The pace of a report.
pub(crate) const FULL: Pace = Pace { bare: 3, single: 8, batch: 3, fixed: FIXED_SECONDS, idle: 4 };

/// What is the same for all rounds.
pub(crate) struct Bench {
    pub(crate) binary: PathBuf,
    pub(crate) receiver: Receiver,
    pub(crate) pace: Pace,
}

/// What one load came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) accepted: u64,
    /// Events that were accepted and did not arrive. Anything but 0 makes the row a failure.
    pub(crate) missing: usize,
    pub(crate) repeated: usize,
    pub(crate) refused_requests: u64,
    /// Accepted events per second of the load.
    pub(crate) accepted_per_second: f64,
    /// Events per second from the first request to the last arrival.
    pub(crate) arrived_per_second: f64,
    /// Processor time of the service and its database over all of it, for each event.
    pub(crate) cpu_us: f64,
    /// The database's part of it, where that has processes of its own.
    pub(crate) database_cpu_us: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// The figures of one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) bare_per_second: f64,
    pub(crate) bare_cpu_us: f64,
    pub(crate) single: Run,
    pub(crate) batch: Run,
    pub(crate) fixed: Run,
    /// One fsync back to back with others.
    pub(crate) busy_sync_ms: f64,
    /// One fsync at the fixed rate.
    pub(crate) sync_ms: f64,
    pub(crate) sync_p99_ms: f64,
    pub(crate) idle_mib: f64,
    pub(crate) loaded_mib: f64,
    pub(crate) idle_cpu_percent: f64,
    pub(crate) start_seconds: f64,
}

impl Bench {
    /// Takes all figures once, in a fresh folder.
    pub(crate) async fn round(&mut self, place: &Place, name: &str) -> anyhow::Result<Round> {
        let folder = place.path();
        let step = |what: &str| progress::say(&format!("{name}: {what}"));
        let pace = self.pace;
        step("bare limit");
        let before = self.bare().await?;
        let mut service = Service::start(&self.binary, place)?;
        let accounts = service.set_up(ACCOUNTS, self.receiver.address).await?;
        tokio::time::sleep(SETTLE).await;
        let idle_mib = process::resident_mib(service.pid)?;

        step("single events");
        let single = Load::arguments(CONNECTIONS, 1, pace.single);
        let single = measure(&mut self.receiver, &service, &accounts, folder, (&single, pace.single)).await?;
        step("bare limit again");
        let after = self.bare().await?;
        step("batches");
        let batch = Load::arguments(BATCH_CONNECTIONS, BATCH, pace.batch);
        let batch = measure(&mut self.receiver, &service, &accounts, folder, (&batch, pace.batch)).await?;

        step("fixed rate, and the disk alone");
        let busy_syncs = disk::sync_times_ms(folder, DISK_FOR, Duration::ZERO)?;
        let mut syncs = disk::sync_times_ms(folder, DISK_FOR, DISK_PAUSE)?;
        let fixed = Load::at_rate(CONNECTIONS, FIXED_RATE, pace.fixed);
        let fixed = measure(&mut self.receiver, &service, &accounts, folder, (&fixed, pace.fixed)).await?;
        syncs.extend(disk::sync_times_ms(folder, DISK_FOR, DISK_PAUSE)?);

        step("at rest");
        let (idle, database_idle) = (Threads::read(service.pid)?, service.database_running_seconds());
        let resting = Duration::from_secs(pace.idle);
        tokio::time::sleep(resting).await;
        let of_service = Threads::read(service.pid)?.seconds_since(&idle);
        let of_database = (service.database_running_seconds() - database_idle).max(0.0);
        let idle_cpu = (of_service + of_database) / resting.as_secs_f64();
        let loaded_mib = process::resident_mib(service.pid)?;
        service.stop().await?;
        step("start");
        let start_seconds = self.restart(place, &accounts[0]).await?;

        let sync = |times: &[f64], percent| {
            statistics::percentile(times, percent).context("the disk synced nothing")
        };
        Ok(Round {
            bare_per_second: f64::midpoint(before.per_second(), after.per_second()),
            bare_cpu_us: f64::midpoint(before.cpu_us(), after.cpu_us()),
            single,
            batch,
            fixed,
            busy_sync_ms: sync(&busy_syncs, 50.0)?,
            sync_ms: sync(&syncs, 50.0)?,
            sync_p99_ms: sync(&syncs, 99.0)?,
            idle_mib,
            loaded_mib,
            idle_cpu_percent: idle_cpu * 100.0,
            start_seconds,
        })
    }

    pub(crate) async fn bare(&mut self) -> anyhow::Result<Bare> {
        let mut command = children::own_role("bare")?;
        command.args(["--to", &self.receiver.address.to_string()]);
        command.args(["--connections", &CONNECTIONS.to_string(), "--seconds", &self.pace.bare.to_string()]);
        let bare: Bare = children::result_of(command, self.pace.bare).await?;
        let counted = self.receiver.take(Path::new("/dev/null")).await?;
        ensure!(counted == bare.requests, "{} bare POSTs were answered, {counted} arrived", bare.requests);
        Ok(bare)
    }

    /// Starts the service again on what the round left, and waits for the first event it takes to arrive.
    async fn restart(&mut self, place: &Place, account: &str) -> anyhow::Result<f64> {
        let mut service = Service::start(&self.binary, place)?;
        let (seconds, guid) = service.first_event(account, &bare::payload()?).await?;
        let event = [records::Record { guid, at_ns: clock::now_ns() }];
        let arrived =
            latency::wait_for_all(&mut self.receiver, &event, &place.path().join("arrived")).await?;
        ensure!(arrived.missing == 0, "the first event after a start did not arrive");
        service.stop().await?;
        Ok(seconds)
    }
}

/// Runs a load and waits until everything of it has arrived at the receiver, which gets nothing else.
pub(crate) async fn measure(
    receiver: &mut Receiver,
    service: &Service,
    accounts: &[String],
    folder: &Path,
    (arguments, seconds): (&[String], u64),
) -> anyhow::Result<Run> {
    let handed_in = folder.join("handed-in");
    let command = load_command(service, accounts, arguments, Some(&handed_in))?;
    let before = service.cpu()?;
    let load: Load = children::result_of(command, seconds).await?;
    let accepted = records::read(&handed_in)?;
    let arrived = latency::wait_for_all(receiver, &accepted, &folder.join("arrived")).await?;
    tokio::time::sleep(SETTLE).await;
    let after = service.cpu()?;
    let database_cpu = after.database - before.database;
    let cpu = after.service - before.service + database_cpu;
    ensure!(load.accepted > 0, "the service accepted nothing");
    let events = statistics::count(load.accepted);
    let per_second_until = |end: u64| events / clock::seconds(end.saturating_sub(load.began_ns));
    Ok(Run {
        accepted: load.accepted,
        missing: arrived.missing,
        repeated: arrived.repeated,
        refused_requests: load.refused,
        accepted_per_second: per_second_until(load.ended_ns),
        arrived_per_second: per_second_until(arrived.last_ns),
        cpu_us: cpu * 1e6 / events,
        database_cpu_us: database_cpu * 1e6 / events,
        p50_ms: arrived.percentile_ms(50.0),
        p99_ms: arrived.percentile_ms(99.0),
    })
}

/// The load as a process of its own.
pub(crate) fn load_command(
    service: &Service,
    accounts: &[String],
    arguments: &[String],
    handed_in: Option<&Path>,
) -> anyhow::Result<Command> {
    let mut command = children::own_role("load")?;
    command.args(["--to", &service.address.to_string()]).args(arguments);
    command.args(accounts.iter().flat_map(|account| ["--account", account]));
    command.env("POSTRIDER_OPERATOR_KEY", service::KEY);
    if let Some(handed_in) = handed_in {
        command.arg("--records").arg(handed_in);
    }
    Ok(command)
}

impl Load {
    /// As many events as are answered.
    pub(crate) fn arguments(connections: u32, batch: u32, seconds: u64) -> Vec<String> {
        let pairs = [
            ("--connections", u64::from(connections)),
            ("--batch", u64::from(batch)),
            ("--seconds", seconds),
        ];
        pairs.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect()
    }

    /// So many requests a second, with an event each.
    pub(crate) fn at_rate(connections: u32, rate: u32, seconds: u64) -> Vec<String> {
        let mut arguments = Self::arguments(connections, 1, seconds);
        arguments.extend(["--rate".to_owned(), rate.to_string()]);
        arguments
    }

    /// So many events, a hundred at a time.
    pub(crate) fn of_events(events: u64, seconds: u64) -> Vec<String> {
        let mut arguments = Self::arguments(BATCH_CONNECTIONS, BATCH, seconds);
        arguments.extend(["--events".to_owned(), events.to_string()]);
        arguments
    }
}
