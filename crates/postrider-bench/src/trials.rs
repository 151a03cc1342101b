//! The rows beyond the rounds, each a trial of its own: what happens beside hanging receivers, with a long backlog,
//! with many endpoints, with a long log, how long pages of that take, after an outage, and when the process is killed.

mod backlog;
mod cost;
mod crash;
mod isolation;
mod neighbour;
mod outage;
mod pages;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::children::{self, Receiver};
use crate::cli::{Part, ReportArgs};
use crate::load::Load;
use crate::place::Place;
use crate::progress;
use crate::records::{self, Record};
use crate::round::{self, Bench};
use crate::service::{Customers, MAX_IN_FLIGHT, Service};
use crate::table::Row;

/// Longest that a fill may take: ten million events at a few thousand a second.
const FILL_SECONDS: u64 = 600;
/// Longest wait for a failing endpoint's next probe, and for the backlog behind it. Probes are at most five minutes
/// apart within the first six.
const RECOVER_WITHIN: Duration = Duration::from_secs(900);

/// By then a dead endpoint counts as failing: ten failures over half a minute.
const FAIL_WITHIN: Duration = Duration::from_secs(90);

/// What every trial needs.
pub(crate) struct Trial<'a> {
    pub(crate) bench: &'a mut Bench,
    pub(crate) args: &'a ReportArgs,
    pub(crate) parent: PathBuf,
}

impl Trial<'_> {
    /// Takes the rows of one part; none of [`Part::Rounds`], which is not a trial.
    pub(crate) async fn rows(&mut self, part: Part) -> anyhow::Result<Vec<Row>> {
        match part {
            Part::Rounds => Ok(Vec::new()),
            Part::Isolation => isolation::rows(self).await,
            Part::Neighbour => neighbour::rows(self).await,
            Part::Backlog => backlog::rows(self).await,
            Part::Endpoints => cost::with_endpoints(self).await,
            Part::Log => cost::with_log_rows(self).await,
            Part::Pages => pages::rows(self).await,
            Part::Outage => outage::rows(self).await,
            Part::Crash => crash::rows(self).await,
        }
    }

    /// A folder for a fresh store; it goes with the value.
    fn folder(&self) -> anyhow::Result<Place> {
        Place::new(self.args.store, &self.parent)
    }

    fn start(&self, folder: &Place) -> anyhow::Result<Service> {
        Service::start(&self.bench.binary, folder)
    }

    /// Events of one account at the fixed rate, alone with the common receiver.
    async fn at_fixed_rate(
        &mut self,
        service: &Service,
        accounts: &[String],
        folder: &Place,
    ) -> anyhow::Result<round::Run> {
        let load = Load::at_rate(round::CONNECTIONS, round::FIXED_RATE, round::FIXED_SECONDS);
        let load = (load.as_slice(), round::FIXED_SECONDS);
        round::measure(&mut self.bench.receiver, service, accounts, folder.path(), load).await
    }
}

/// Hands in so many events, a hundred at a time, and gives what was accepted.
async fn fill(
    service: &Service,
    accounts: &[String],
    events: u64,
    folder: &Path,
) -> anyhow::Result<Vec<Record>> {
    let handed_in = folder.join("filled");
    let arguments = Load::of_events(events, FILL_SECONDS);
    let command = round::load_command(service, accounts, &arguments, Some(&handed_in))?;
    let _: Load = children::result_of(command, FILL_SECONDS).await?;
    records::read(&handed_in)
}

/// An account whose endpoint is down and has been found to be: nothing but probes goes there any more.
async fn dead_endpoint(
    service: &mut Service,
    receiver: &mut Receiver,
    folder: &Path,
) -> anyhow::Result<Dead> {
    receiver.be_down(true).await?;
    let customers = Customers {
        accounts: 1,
        endpoints_each: 1,
        receiver: receiver.address,
        place: "down",
        settings: json!({ "max_in_flight": MAX_IN_FLIGHT, "retry_schedule": vec!["3s"; 30] }),
    };
    let accounts = service.add(&customers).await?;
    progress::say("an endpoint goes down; waiting until it counts as failing (half a minute)");
    let first = fill(service, &accounts, u64::from(round::BATCH), folder).await?;
    let began = Instant::now();
    while !service.is_failing(&accounts[0]).await? {
        anyhow::ensure!(began.elapsed() < FAIL_WITHIN, "a dead endpoint does not count as failing");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(Dead { accounts, first })
}

/// See [`dead_endpoint`].
struct Dead {
    accounts: Vec<String>,
    /// What was tried in vain until it counted as failing.
    first: Vec<Record>,
}

/// A second receiver, so that what hangs or is down does not share a thread with what is quick.
async fn other_receiver() -> anyhow::Result<Receiver> {
    Receiver::start().await
}
