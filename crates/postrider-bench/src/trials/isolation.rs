//! A healthy endpoint's latency alone, and beside a crowd of endpoints that take a request and do not answer.

use std::time::Duration;

use serde_json::json;

use super::{Trial, other_receiver};
use crate::load::Load;
use crate::place::Place;
use crate::round::{self, Run};
use crate::service::{Customers, Service};
use crate::table::{Budget, Row, Unit};
use crate::{children, progress};

/// What the hanging endpoints get, all together.
const DELIVERIES_PER_SECOND: u32 = 2_000;
/// By then the crowd holds every slot that it can get.
const CROWD_AHEAD: Duration = Duration::from_secs(4);
const CROWD_SECONDS: u64 = CROWD_AHEAD.as_secs() + round::FIXED_SECONDS + 2;

/// Whose the hanging endpoints are.
#[derive(Debug, Clone, Copy)]
enum Crowd {
    OfOneAccount,
    OfAnAccountEach,
}

/// What the crowd does with its deliveries. Where it answers at once it is only load, and shows what load alone does to
/// the healthy endpoint on this machine.
const PLACES: [(&str, &str); 2] = [("hang", "hang"), ("hook", "answer at once (only load)")];

pub(super) async fn rows(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (crowd, whose) in
        [(Crowd::OfOneAccount, "of one account"), (Crowd::OfAnAccountEach, "of as many accounts")]
    {
        for (place, does) in PLACES {
            let what = format!("{} endpoints {whose} {does}", trial.args.hanging);
            let (mut alone, mut beside) = (Vec::new(), Vec::new());
            for number in 1..=trial.args.rounds {
                progress::say(&format!("{what}: {number} of {}", trial.args.rounds));
                let (one, other) = once(trial, crowd, place).await?;
                alone.push(one);
                beside.push(other);
            }
            rows.extend(compared(&what, place == "hang", &alone, &beside));
        }
    }
    Ok(rows)
}

fn compared(what: &str, has_budget: bool, alone: &[Run], beside: &[Run]) -> [Row; 3] {
    let p99 = |runs: &[Run]| runs.iter().map(|run| run.p99_ms).collect::<Vec<_>>();
    let p50 = |runs: &[Run]| runs.iter().map(|run| run.p50_ms).collect::<Vec<_>>();
    let sum = |of: fn(&Run) -> usize| beside.iter().chain(alone).map(of).sum();
    let (missing, repeated) = (sum(|run| run.missing), sum(|run| run.repeated));
    let accepted = beside.iter().chain(alone).map(|run| run.accepted).sum();
    let row = |what: String, values: &[f64]| Row::new(what, Unit::Milliseconds, values);
    let judged =
        row(format!("the same while {what}: p99"), &p99(beside)).against("alone", &p99(beside), &p99(alone));
    let judged = if has_budget { judged.within(Budget::AtMost(2.0)) } else { judged };
    [
        row("a healthy endpoint at 500/s, alone: p99".to_owned(), &p99(alone)),
        row(format!("the same while {what}: p50"), &p50(beside)).against("alone", &p50(beside), &p50(alone)),
        judged.unless_wrong(missing, repeated, accepted),
    ]
}

/// Once alone and once beside the crowd, with a fresh service.
async fn once(trial: &mut Trial<'_>, crowd: Crowd, place: &'static str) -> anyhow::Result<(Run, Run)> {
    let folder = trial.folder()?;
    let mut service = trial.start(&folder)?;
    let crowds = other_receiver().await?;
    let healthy = service.set_up(1, trial.bench.receiver.address).await?;
    let (accounts, endpoints_each) = match crowd {
        Crowd::OfOneAccount => (1, usize::try_from(trial.args.hanging)?),
        Crowd::OfAnAccountEach => (usize::try_from(trial.args.hanging)?, 1),
    };
    let receiver = crowds.address;
    let crowd = Customers { accounts, endpoints_each, receiver, place, settings: json!({}) };
    let crowd = service.add(&crowd).await?;
    tokio::time::sleep(round::SETTLE).await;
    let alone = trial.at_fixed_rate(&service, &healthy, &folder).await?;
    let beside = beside(trial, &service, &healthy, (&crowd, endpoints_each), &folder).await?;
    service.stop().await?;
    crowds.stop().await?;
    Ok((alone, beside))
}

async fn beside(
    trial: &mut Trial<'_>,
    service: &Service,
    healthy: &[String],
    (crowd, endpoints_each): (&[String], usize),
    folder: &Place,
) -> anyhow::Result<Run> {
    let events_per_second = (DELIVERIES_PER_SECOND / u32::try_from(endpoints_each)?).max(1);
    let connections = events_per_second.min(round::CONNECTIONS);
    let arguments = Load::at_rate(connections, events_per_second, CROWD_SECONDS);
    let command = round::load_command(service, crowd, &arguments, None)?;
    let (noise, run) = tokio::join!(children::result_of::<Load>(command, CROWD_SECONDS), async {
        tokio::time::sleep(CROWD_AHEAD).await;
        trial.at_fixed_rate(service, healthy, folder).await
    });
    noise?;
    run
}
