//! One customer's latency alone, and beside another customer who takes all of what both share that the service gives.

use std::time::Duration;

use serde_json::{Value, json};

use super::Trial;
use crate::cli::Attack;
use crate::hostile::{self, Hostile};
use crate::round::{self, Run};
use crate::service::{Customers, Service};
use crate::table::{Budget, Row, Unit};
use crate::{children, progress};

/// An undisturbed latency below this half of the budget's floor counts as this: the budget is twice the undisturbed one, or
/// 50 ms.
const FLOOR_MS: f64 = 25.0;
/// By then the attack is under way.
const AHEAD: Duration = Duration::from_secs(3);
const ATTACK_SECONDS: u64 = AHEAD.as_secs() + round::FIXED_SECONDS + 2;

/// What the hostile customer does.
const ATTACKS: [(Attack, &str); 6] = [
    (Attack::Filter, "hands in long numbers beside filters of many values"),
    (Attack::Routing, "has the routing of such an event explained"),
    (Attack::UniqueItems, "hands in numbers that are hard to tell apart"),
    (Attack::OneOf, "hands in payloads that no branch of a schema accepts"),
    (Attack::Bodies, "holds bodies that lack a byte"),
    (Attack::Connections, "holds idle connections"),
];

pub(super) async fn rows(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (attack, does) in ATTACKS {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for number in 1..=trial.args.rounds {
            progress::say(&format!("hostile neighbour {does}: {number} of {}", trial.args.rounds));
            let (one, other) = once(trial, attack).await?;
            alone.push(one);
            beside.push(other);
        }
        rows.push(compared(does, &alone, &beside));
    }
    Ok(rows)
}

fn compared(does: &str, alone: &[Run], beside: &[Run]) -> Row {
    let p99 = |runs: &[Run]| runs.iter().map(|run| run.p99_ms).collect::<Vec<_>>();
    let undisturbed: Vec<f64> = p99(alone).into_iter().map(|ms| ms.max(FLOOR_MS)).collect();
    let sum = |of: fn(&Run) -> usize| beside.iter().chain(alone).map(of).sum();
    let accepted = beside.iter().chain(alone).map(|run| run.accepted).sum();
    Row::new(format!("500/s while another customer {does}: p99"), Unit::Milliseconds, &p99(beside))
        .against("alone, or 25 ms", &p99(beside), &undisturbed)
        .within(Budget::AtMost(2.0))
        .unless_wrong(sum(|run| run.missing), sum(|run| run.repeated), accepted)
}

/// Once alone and once beside the hostile customer, with a fresh service.
async fn once(trial: &mut Trial<'_>, attack: Attack) -> anyhow::Result<(Run, Run)> {
    let folder = trial.folder()?;
    let mut service = trial.start(&folder)?;
    let quiet = service.set_up(1, trial.bench.receiver.address).await?;
    let hostile = HostileCustomer::set_up(&mut service, attack, trial).await?;
    tokio::time::sleep(round::SETTLE).await;
    let alone = trial.at_fixed_rate(&service, &quiet, &folder).await?;
    let (attacked, run) = tokio::join!(
        children::result_of::<Hostile>(hostile.command(&service, attack)?, ATTACK_SECONDS),
        async {
            tokio::time::sleep(AHEAD).await;
            trial.at_fixed_rate(&service, &quiet, &folder).await
        }
    );
    anyhow::ensure!(attacked?.requests > 0, "the hostile customer did nothing");
    service.stop().await?;
    Ok((alone, run?))
}

/// A customer with a key, and what the attack needs.
struct HostileCustomer {
    key: String,
    /// The event whose routing is explained.
    event: Option<String>,
}

impl HostileCustomer {
    async fn set_up(service: &mut Service, attack: Attack, trial: &Trial<'_>) -> anyhow::Result<Self> {
        for definition in event_types() {
            service.create("/v1/event-types", definition).await?;
        }
        let receiver = trial.bench.receiver.address;
        let customers = Customers {
            accounts: 1,
            endpoints_each: 25,
            receiver,
            place: "down",
            settings: json!({ "filter": filter() }),
        };
        let account = service.add(&customers).await?.remove(0);
        let issued =
            service.create(&format!("/v1/accounts/{account}/keys"), json!({ "livemode": false })).await?;
        let key = text(&issued, "secret_key");
        let event = match attack {
            Attack::Routing => Some(text(&service.hand_in(&key, hostile::routed_event()).await?, "id")),
            _ => None,
        };
        Ok(Self { key, event })
    }

    fn command(&self, service: &Service, attack: Attack) -> anyhow::Result<tokio::process::Command> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let mut command = children::own_role("hostile")?;
        command.args(["--to", &service.address.to_string(), "--key", &self.key]);
        command.args(["--attack", attack.name(), "--seconds", &ATTACK_SECONDS.to_string()]);
        command.args(["--clients", &(2 * cores).to_string()]);
        if let Some(event) = &self.event {
            command.args(["--event", event]);
        }
        Ok(command)
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// Types that an operator may well have.
fn event_types() -> [Value; 3] {
    let branch = |number: usize| {
        json!({ "type": "object", "required": [format!("a{number}")],
            "properties": { format!("a{number}"): { "type": "string" } } })
    };
    let branches: Vec<Value> = (0..30).map(branch).collect();
    [
        json!({ "name": "hostile.any", "schema": true, "example": {} }),
        json!({ "name": "hostile.unique", "example": {},
            "schema": { "type": "object", "properties": { "tags": { "type": "array", "uniqueItems": true } } } }),
        json!({ "name": "hostile.branches", "example": {},
            "schema": { "type": "object", "properties": { "items": { "type": "array", "items": { "oneOf": branches } } } } }),
    ]
}

/// A filter of 5.5 KB, as long as an endpoint may have them.
fn filter() -> Value {
    let values: Vec<u32> = (1..=100).collect();
    json!({ "any": vec![json!({ "path": "/n", "in": values }); 25] })
}
