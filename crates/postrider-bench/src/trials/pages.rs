//! How long the dashboard's pages and the lists of the API take with a long log: each asked for over and over, those that
//! can be turned at random places of the log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{Trial, fill};
use crate::place::Place;
use crate::post::Connection;
use crate::service::{Customers, KEY, MAX_IN_FLIGHT, Service};
use crate::table::{Budget, Row, Unit};
use crate::{latency, progress, statistics};

/// Accounts, and endpoints of each: every event goes to so many.
const ACCOUNTS: usize = 20;
const ENDPOINTS_EACH: usize = 5;
/// Deliveries of one fill; what is filled in between is waited for.
const FILL_DELIVERIES: u64 = 1_000_000;
/// Events for endpoints that are down: some are given up, the others stay pending once the endpoints count as failing.
const EVENTS_IN_VAIN: u64 = 5_000;
/// How often each page is asked for.
const TIMES: usize = 200;
/// The goal for each page, in milliseconds.
const BUDGET_MS: f64 = 50.0;
/// Longest wait until everything that was filled in is delivered.
const SETTLE_WITHIN: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(200);

/// The pages, by what a reader of the table calls them; what stands in braces is filled in.
const PAGES: [(&str, &str); 44] = [
    ("home", "/"),
    ("deliveries", "/deliveries"),
    ("deliveries, further back", "/deliveries?before={delivery}"),
    ("deliveries of an endpoint", "/deliveries?endpoint={endpoint_id}&before={delivery}"),
    ("deliveries of an account", "/deliveries?account={account_id}&before={delivery}"),
    ("deliveries of a type", "/deliveries?type=policy.created&before={delivery}"),
    ("deliveries of a type that is not there", "/deliveries?type=offer.created&before={delivery}"),
    ("deliveries given up", "/deliveries?status=exhausted"),
    ("deliveries pending", "/deliveries?status=pending"),
    ("deliveries cancelled, of which there are none", "/deliveries?status=cancelled&before={delivery}"),
    ("deliveries since the middle of the fill", "/deliveries?since={middle}"),
    ("deliveries until then", "/deliveries?until={middle}"),
    (
        "deliveries of an account, cancelled, until then",
        "/deliveries?account={account_id}&status=cancelled&until={middle}",
    ),
    ("deliveries of an event", "/deliveries?event={event_id}"),
    ("a delivery", "/deliveries/{delivery_id}"),
    ("endpoints", "/endpoints"),
    ("an endpoint", "/endpoints/{endpoint_id}"),
    ("an endpoint's form", "/endpoints/{endpoint_id}/edit"),
    ("events", "/events"),
    ("events, further back", "/events?before={event}"),
    ("events of an account", "/events?account={account_id}&before={event}"),
    ("events of a type that is not there", "/events?type=offer.created&before={event}"),
    ("an event", "/events/{event_id}"),
    ("event types", "/event-types"),
    ("replays", "/replays"),
    ("accounts", "/accounts"),
    ("an account", "/accounts/{account_id}"),
    ("operations", "/operations"),
    ("audit log", "/audit"),
    ("search for a guid", "/search?q={event_id}"),
    ("portal: home", "{portal}/"),
    ("portal: deliveries, further back", "{portal}/deliveries?before={delivery}"),
    ("portal: given up", "{portal}/deliveries?status=exhausted"),
    ("portal: events, further back", "{portal}/events?before={event}"),
    ("API: 250 deliveries", "/v1/deliveries?limit=250&cursor={delivery_cursor}"),
    ("API: 250 of an endpoint", "/v1/deliveries?limit=250&endpoint={endpoint_id}&cursor={delivery_cursor}"),
    (
        "API: 250 of an account and mode",
        "/v1/deliveries?limit=250&account={account_id}&livemode=false&cursor={delivery_cursor}",
    ),
    ("API: 250 given up", "/v1/deliveries?limit=250&status=exhausted"),
    ("API: 250 pending", "/v1/deliveries?limit=250&status=pending"),
    (
        "API: cancelled, of which there are none",
        "/v1/deliveries?limit=250&status=cancelled&cursor={delivery_cursor}",
    ),
    ("API: a delivery with its attempts", "/v1/deliveries/{delivery_id}"),
    ("API: 250 events", "/v1/events?limit=250&cursor={event_cursor}"),
    ("API: 250 events of an account", "/v1/events?limit=250&account={account_id}&cursor={event_cursor}"),
    ("metrics", "/metrics"),
];

/// Fills a log and takes a row for each page.
pub(super) async fn rows(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    let folder = trial.folder()?;
    let mut service = trial.start(&folder)?;
    let customers = Customers {
        endpoints_each: ENDPOINTS_EACH,
        ..Customers::answered(ACCOUNTS, trial.bench.receiver.address)
    };
    let accounts = service.add(&customers).await?;
    in_vain(trial, &mut service, &folder).await?;
    let middle = fill_log(trial, &service, &accounts, &folder).await?;
    let wanted = trial.args.log_deliveries;
    progress::say("asking for pages");
    let mut reader = Reader::new(&mut service, &accounts[0], middle, wanted).await?;
    let mut rows = Vec::new();
    for (name, path) in PAGES {
        progress::say(&format!("asking for {name}"));
        rows.push(reader.time(name, path).await?);
    }
    service.stop().await?;
    trial.bench.receiver.be_down(false).await?;
    Ok(rows)
}

/// Events for endpoints that are down.
async fn in_vain(trial: &mut Trial<'_>, service: &mut Service, folder: &Place) -> anyhow::Result<()> {
    trial.bench.receiver.be_down(true).await?;
    let customers = Customers {
        accounts: 1,
        endpoints_each: 2,
        receiver: trial.bench.receiver.address,
        place: "down",
        settings: json!({ "max_in_flight": MAX_IN_FLIGHT, "retry_schedule": ["1s"] }),
    };
    let accounts = service.add(&customers).await?;
    fill(service, &accounts, EVENTS_IN_VAIN, folder.path()).await.map(drop)
}

/// Fills the log, and gives the time when half of it was there.
async fn fill_log(
    trial: &mut Trial<'_>,
    service: &Service,
    accounts: &[String],
    folder: &Place,
) -> anyhow::Result<String> {
    let wanted = trial.args.log_deliveries;
    let (mut filled, mut middle) = (0, None);
    while filled < wanted {
        progress::say(&format!("filling the log: {filled} of {wanted} deliveries"));
        let each = u64::try_from(ENDPOINTS_EACH)?;
        let events = FILL_DELIVERIES.min(wanted - filled).div_ceil(each).next_multiple_of(100);
        let accepted = fill(service, accounts, events, folder.path()).await?;
        let arrived = folder.path().join("arrived");
        let receiver = &mut trial.bench.receiver;
        let arrived = latency::wait_within(receiver, &accepted, &arrived, SETTLE_WITHIN).await?;
        ensure!(arrived.missing == 0, "{} of a fill did not arrive", arrived.missing);
        filled += events * each;
        if filled >= wanted / 2 && middle.is_none() {
            middle = Some(newest(service).await?["created_at"].as_str().context("no time")?.to_owned());
        }
    }
    settled(service).await?;
    middle.context("nothing was filled in")
}

/// Waits until nothing is pending but for the endpoints that are down.
async fn settled(service: &Service) -> anyhow::Result<()> {
    let mut connection = Connection::open(service.address).await?;
    let began = Instant::now();
    while began.elapsed() < SETTLE_WITHIN {
        let endpoints = get_json(&mut connection, "/v1/endpoints?limit=250").await?;
        let endpoints = endpoints["data"].as_array().context("a list without data")?;
        let is_quiet = |endpoint: &Value| {
            endpoint["backlog"] == 0 || endpoint["url"].as_str().is_some_and(|url| url.contains("/down/"))
        };
        if endpoints.iter().all(is_quiet) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("what was filled in is not delivered in time")
}

async fn newest(service: &Service) -> anyhow::Result<Value> {
    let mut connection = Connection::open(service.address).await?;
    let mut list = get_json(&mut connection, "/v1/deliveries?limit=1").await?;
    Ok(list["data"][0].take())
}

async fn get_json(connection: &mut Connection, path: &str) -> anyhow::Result<Value> {
    let (status, answer) = connection.get(path, [operator()?]).await?;
    ensure!(status == StatusCode::OK, "{path} answered {status}");
    serde_json::from_slice(&answer).with_context(|| format!("{path} is no JSON"))
}

fn operator() -> anyhow::Result<(HeaderName, HeaderValue)> {
    Ok((header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {KEY}"))?))
}

/// Somebody who turns pages.
struct Reader {
    connection: Connection,
    cookie: HeaderValue,
    /// What is filled into a path, but for the places.
    known: HashMap<&'static str, String>,
    /// The newest delivery's and event's number, and how many lie behind each.
    deliveries: (u64, u64),
    events: (u64, u64),
    chance: u64,
}

impl Reader {
    async fn new(
        service: &mut Service,
        account: &str,
        middle: String,
        deliveries: u64,
    ) -> anyhow::Result<Self> {
        let mut connection = Connection::open(service.address).await?;
        let (status, headers) = connection.post_form("/login", format!("key={KEY}")).await?;
        ensure!(status == StatusCode::SEE_OTHER, "the login answered {status}");
        let cookie = headers.get(header::SET_COOKIE).context("the login gave no cookie")?.to_str()?;
        let cookie = HeaderValue::try_from(cookie.split(';').next().unwrap_or_default())?;
        let newest = get_json(&mut connection, &format!("/v1/deliveries?limit=1&account={account}")).await?;
        let newest = &newest["data"][0];
        let text =
            |name: &str| newest[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let link = service.portal_link(account).await?;
        let known = HashMap::from([
            ("delivery_id", text("id")?),
            ("event_id", text("event")?),
            ("endpoint_id", text("endpoint")?),
            ("account_id", account.to_owned()),
            ("portal", link),
            ("middle", middle),
        ]);
        let events = deliveries / u64::try_from(ENDPOINTS_EACH)?;
        let deliveries = (position(&mut connection, "/v1/deliveries?limit=1").await?, deliveries);
        let events = (position(&mut connection, "/v1/events?limit=1").await?, events);
        // Any beginning will do; the same each time, so that runs ask alike.
        Ok(Self { connection, cookie, known, deliveries, events, chance: 0x9e37_79b9_7f4a_7c15 })
    }

    /// Asks for a page over and over.
    async fn time(&mut self, name: &str, path: &str) -> anyhow::Result<Row> {
        let mut times_ms = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let path = self.filled_in(path);
            let headers = [operator()?, (header::COOKIE, self.cookie.clone())];
            let began = Instant::now();
            let (status, answer) = self.connection.get(&path, headers).await?;
            times_ms.push(began.elapsed().as_secs_f64() * 1_000.0);
            let text = String::from_utf8_lossy(&answer);
            ensure!(
                status == StatusCode::OK || status == StatusCode::SEE_OTHER,
                "{path} answered {status}: {text}"
            );
        }
        let of = |percent| statistics::percentile(&times_ms, percent).context("nothing was asked for");
        let (p50, p99) = (of(50.0)?, of(99.0)?);
        let what = format!("{name}: p99 (p50 {p50:.1} ms)");
        Ok(Row::new(what, Unit::Milliseconds, &[p99]).within(Budget::AtMost(BUDGET_MS)))
    }

    fn filled_in(&mut self, path: &str) -> String {
        let (delivery, event) = (self.place(self.deliveries), self.place(self.events));
        let mut filled = path
            .replace("{delivery}", &delivery.to_string())
            .replace("{event}", &event.to_string())
            .replace("{delivery_cursor}", &format!("d{delivery:016x}"))
            .replace("{event_cursor}", &format!("e{event:016x}"));
        for (name, text) in &self.known {
            filled = filled.replace(&format!("{{{name}}}"), text);
        }
        filled
    }

    /// A place in a list, by xorshift.
    fn place(&mut self, (newest, count): (u64, u64)) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        newest - self.chance % count.clamp(1, newest)
    }
}

/// The position of the second newest row of a list, from its cursor.
async fn position(connection: &mut Connection, path: &str) -> anyhow::Result<u64> {
    let list = get_json(connection, path).await?;
    let cursor = list["next_cursor"].as_str().context("a list without a cursor")?;
    u64::from_str_radix(cursor.get(1..).unwrap_or_default(), 16).context("a cursor is no position")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_brace_of_a_path_is_known() {
        let known = ["delivery", "event", "delivery_cursor", "event_cursor", "delivery_id", "event_id"];
        let known: Vec<_> =
            known.into_iter().chain(["endpoint_id", "account_id", "portal", "middle"]).collect();
        for (name, path) in PAGES {
            for part in path.split('{').skip(1) {
                let (brace, _) = part.split_once('}').expect("a brace is closed");
                assert!(known.contains(&brace), "{name}: {brace}");
            }
        }
    }
}
