//! kill -9 under load, over and over, with a long backlog: nothing that was accepted may be lost, and what arrives
//! twice must have been under way at a kill.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::{RECOVER_WITHIN, Trial, dead_endpoint, fill, other_receiver};
use crate::children::Receiver;
use crate::load::Load;
use crate::place::Place;
use crate::records::{self, Record};
use crate::service::{MAX_IN_FLIGHT, Service};
use crate::table::{Budget, Row, Unit};
use crate::{children, latency, progress, round, statistics};

/// Accounts under load, with one endpoint each.
const LIVE_ACCOUNTS: usize = 4;
/// Each life of the service lasts at least so long, and up to a second longer, differently each time.
const SHORTEST_LIFE: Duration = Duration::from_millis(800);
/// Steps through the second without ever meeting the same place twice.
const LIFE_STEP_MS: u64 = 337;
const LOAD_SECONDS: u64 = 10;

pub(super) async fn rows(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    let (kills, backlog) = (trial.args.kills, trial.args.backlog);
    let folder = trial.folder()?;
    let mut service = trial.start(&folder)?;
    let mut dead = other_receiver().await?;
    let live = service.set_up(LIVE_ACCOUNTS, trial.bench.receiver.address).await?;
    let down = dead_endpoint(&mut service, &mut dead, folder.path()).await?;
    progress::say(&format!("handing in {backlog} events for an endpoint that is down"));
    let mut pending = fill(&service, &down.accounts, backlog, folder.path()).await?;
    pending.extend(down.first);
    let mut lives = Lives::default();
    for number in 1..=kills {
        progress::say(&format!("kill {number} of {kills}"));
        let life = SHORTEST_LIFE + Duration::from_millis(u64::from(number) * LIFE_STEP_MS % 1_000);
        lives.accepted.extend(one_life(service, &live, life, &folder).await?);
        lives.take(&mut trial.bench.receiver, folder.path()).await?;
        service = trial.start(&folder)?;
        service.ready().await?;
    }
    progress::say("waiting for what is left");
    lives.wait_for_the_rest(&mut trial.bench.receiver, folder.path()).await?;
    dead.be_down(false).await?;
    progress::say("the dead endpoint is back; waiting for its next probe (some minutes)");
    let scratch = folder.path().join("drained");
    let drained = latency::wait_within(&mut dead, &pending, &scratch, RECOVER_WITHIN).await?;
    service.stop().await?;
    dead.stop().await?;
    Ok(lives.rows(kills, (&drained, pending.len())))
}

/// Lets the service live for a while under load, and kills it. Gives what it had answered with 202.
async fn one_life(
    service: Service,
    live: &[String],
    life: Duration,
    folder: &Place,
) -> anyhow::Result<Vec<Record>> {
    let handed_in = folder.path().join("handed-in");
    let mut arguments = Load::arguments(round::CONNECTIONS, 1, LOAD_SECONDS);
    arguments.push("--may-break".to_owned());
    let command = round::load_command(&service, live, &arguments, Some(&handed_in))?;
    let killing = async {
        tokio::time::sleep(life).await;
        service.stop().await
    };
    let (load, killed) = tokio::join!(children::result_of::<Load>(command, LOAD_SECONDS), killing);
    load.context("the load beside the kill")?;
    killed?;
    records::read(&handed_in)
}

/// What was accepted and what arrived over all lives.
#[derive(Default)]
struct Lives {
    accepted: Vec<Record>,
    lives: u32,
    /// In which life each event arrived last.
    arrived: HashMap<u128, u32>,
    /// Events that arrived in a later life than before: what the kill in between left unknown. For each life.
    repeated_by_kill: Vec<u64>,
    /// Events that arrived twice in one life.
    repeated_without_kill: u64,
}

impl Lives {
    /// Takes in what has arrived in the life that has just ended.
    async fn take(&mut self, receiver: &mut Receiver, folder: &Path) -> anyhow::Result<()> {
        let file = folder.join("arrived");
        receiver.take(&file).await?;
        self.end_life(&records::read(&file)?);
        Ok(())
    }

    fn end_life(&mut self, arrivals: &[Record]) {
        self.lives += 1;
        let mut repeated = 0;
        for arrival in arrivals {
            match self.arrived.insert(arrival.guid, self.lives) {
                None => {}
                Some(life) if life == self.lives => self.repeated_without_kill += 1,
                Some(_) => repeated += 1,
            }
        }
        self.repeated_by_kill.push(repeated);
    }

    /// In the last life nothing is killed: everything accepted must arrive.
    async fn wait_for_the_rest(&mut self, receiver: &mut Receiver, folder: &Path) -> anyhow::Result<()> {
        let left: Vec<Record> =
            self.accepted.iter().filter(|event| !self.arrived.contains_key(&event.guid)).copied().collect();
        let file = folder.join("arrived");
        latency::wait_for_all(receiver, &left, &file).await?;
        tokio::time::sleep(round::SETTLE).await;
        let mut last = records::read(&file)?;
        receiver.take(&file).await?;
        last.extend(records::read(&file)?);
        self.end_life(&last);
        Ok(())
    }

    fn lost(&self) -> usize {
        self.accepted.iter().filter(|event| !self.arrived.contains_key(&event.guid)).count()
    }

    fn rows(&self, kills: u32, (drained, pending): (&latency::Arrived, usize)) -> Vec<Row> {
        let events = |what: String, count: usize, most: f64| {
            let count = statistics::count(u64::try_from(count).unwrap_or(u64::MAX));
            Row::new(what, Unit::Events, &[count]).within(Budget::AtMost(most))
        };
        let accepted = self.accepted.len();
        let most = self.repeated_by_kill.iter().max().copied().unwrap_or_default();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let without = usize::try_from(self.repeated_without_kill).unwrap_or(usize::MAX);
        let in_flight = f64::from(MAX_IN_FLIGHT) * statistics::count(LIVE_ACCOUNTS as u64);
        vec![
            events(format!("{kills} × kill -9 under load: lost of {accepted} accepted"), self.lost(), 0.0),
            events("sent twice because of one kill, at most".to_owned(), most, in_flight),
            events("sent twice without a kill".to_owned(), without, 0.0),
            events(format!("lost of {pending} that were pending through all kills"), drained.missing, 0.0),
            events("of these, sent twice".to_owned(), drained.repeated, f64::from(MAX_IN_FLIGHT)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_again_after_a_kill_and_what_came_twice_without_one_are_told_apart() {
        let of = |guid| Record { guid, at_ns: 0 };
        let mut lives = Lives { accepted: [1, 2, 3, 4].map(of).into(), ..Lives::default() };
        lives.end_life(&[of(1), of(2)]);
        lives.end_life(&[of(2), of(3), of(3)]);
        assert_eq!((lives.lost(), lives.repeated_without_kill), (1, 1));
        assert_eq!(lives.repeated_by_kill, [0, 1]);
    }
}
