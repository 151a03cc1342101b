//! Hostile clients: with one account key, and at the lowest CPU priority, they take as much of what all customers share as
//! the service lets them. They ignore what they are answered, and come back when a connection ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::{Attack, HostileArgs};
use crate::post::Connection;

/// The lowest CPU priority.
const NICE: i32 = 19;
/// How many digits the long number of a payload has; a payload may have a megabyte.
const DIGITS: usize = 1_000_000;
/// How many numbers the array for `uniqueItems` has: no two are equal, and all are the same double.
const NUMBERS: usize = 1_200;
/// How many items the payload has that no branch of `oneOf` accepts.
const ITEMS: usize = 100_000;
/// The length that an unfinished body announces: the most that a request may have.
const BODY_BYTES: usize = 8 * 1024 * 1024;
/// How many unfinished bodies, and how many idle connections, each client holds.
const BODIES_EACH: usize = 8;
const CONNECTIONS_EACH: usize = 1_500;
/// The pause before a client that was refused comes back.
const PAUSE: Duration = Duration::from_millis(20);

/// How often the clients asked for something.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Hostile {
    pub(crate) requests: u64,
}

/// Attacks until the time is over.
pub(crate) async fn run(args: HostileArgs) -> anyhow::Result<Hostile> {
    rustix::process::nice(NICE).context("could not lower the priority")?;
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let (body, args) = (body(args.attack), Arc::new(args));
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        let (args, body) = (Arc::clone(&args), body.clone());
        clients.spawn(async move {
            let mut requests = 0;
            // A client that is cut off in the middle has asked all the same.
            drop(tokio::time::timeout_at(end, client(&args, &body, &mut requests)).await);
            requests
        });
    }
    let requests = clients.join_all().await.into_iter().sum();
    Ok(Hostile { requests })
}

/// Goes on for ever.
async fn client(args: &HostileArgs, body: &Bytes, requests: &mut u64) {
    loop {
        let asked = match args.attack {
            Attack::Filter | Attack::UniqueItems | Attack::OneOf => ask(args, body, requests).await,
            Attack::Routing => explain(args, requests).await,
            Attack::Bodies => hold_bodies(args, requests).await,
            Attack::Connections => hold_connections(args, requests).await,
        };
        if asked.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn authorization(args: &HostileArgs) -> anyhow::Result<(header::HeaderName, HeaderValue)> {
    Ok((header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", args.key))?))
}

/// Hands in the same event over and over.
async fn ask(args: &HostileArgs, body: &Bytes, requests: &mut u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(args.to).await?;
    while !connection.is_closed() {
        *requests += 1;
        connection.post("/v1/events", [authorization(args)?], body.clone()).await?;
    }
    Ok(())
}

/// Has the routing of one event explained over and over.
async fn explain(args: &HostileArgs, requests: &mut u64) -> anyhow::Result<()> {
    let event = args.event.as_deref().context("--event is missing")?;
    let path = format!("/v1/events/{event}/routing");
    let mut connection = Connection::open(args.to).await?;
    while !connection.is_closed() {
        *requests += 1;
        connection.get(&path, [authorization(args)?]).await?;
    }
    Ok(())
}

/// Holds bodies that lack one byte until the service gives up on each.
async fn hold_bodies(args: &HostileArgs, requests: &mut u64) -> anyhow::Result<()> {
    let mut held = JoinSet::new();
    for _ in 0..BODIES_EACH {
        *requests += 1;
        held.spawn(hold_body(args.to, args.key.clone()));
    }
    while let Some(ended) = held.join_next().await {
        ended.context("a client broke off")??;
    }
    Ok(())
}

async fn hold_body(to: SocketAddr, key: String) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    let head = format!(
        "POST /v1/events/batch HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&vec![b' '; BODY_BYTES - 1]).await?;
    stream.read_u8().await?;
    Ok(())
}

/// Holds connections that say nothing until the service closes one.
async fn hold_connections(args: &HostileArgs, requests: &mut u64) -> anyhow::Result<()> {
    let mut held = Vec::with_capacity(CONNECTIONS_EACH);
    for _ in 0..CONNECTIONS_EACH {
        *requests += 1;
        held.push(TcpStream::connect(args.to).await?);
    }
    let first = held.first_mut().context("no connection is held")?;
    first.read_u8().await?;
    Ok(())
}

/// The body of an event for an attack that hands one in.
fn body(attack: Attack) -> Bytes {
    let event =
        |payload: String| format!(r#"{{"type":"{}","payload":{payload}}}"#, event_type(attack)).into();
    match attack {
        Attack::Filter | Attack::Routing => event(format!(r#"{{"n":{}}}"#, "7".repeat(DIGITS))),
        Attack::UniqueItems => {
            let numbers: Vec<String> = (0..NUMBERS).map(|exponent| format!("1e-{exponent}")).collect();
            event(format!(r#"{{"tags":[{}]}}"#, numbers.join(",")))
        }
        Attack::OneOf => event(format!(r#"{{"items":[{}]}}"#, vec![r#"{"x":1}"#; ITEMS].join(","))),
        Attack::Bodies | Attack::Connections => Bytes::new(),
    }
}

/// The event type that an attack hands in events of.
pub(crate) fn event_type(attack: Attack) -> &'static str {
    match attack {
        Attack::UniqueItems => "hostile.unique",
        Attack::OneOf => "hostile.branches",
        _ => "hostile.any",
    }
}

/// The event that the routing of is explained.
pub(crate) fn routed_event() -> Bytes {
    body(Attack::Routing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_json_within_a_payloads_limit() {
        for attack in [Attack::Filter, Attack::Routing, Attack::UniqueItems, Attack::OneOf] {
            let body = body(attack);
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(event["payload"].is_object() && body.len() <= 1 << 20, "{attack:?}: {}", body.len());
        }
    }
}
