//! What a page costs does not grow with the log: every page and list reads as much with many deliveries as with few.
//!
//! Counted in steps of the database's machine and not in time, so that it says the same on every machine; how long
//! pages take is measured by `postrider-bench`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_core::attempt::{Attempt, HeaderLog, Outcome, RequestLog, Timings};
use postrider_core::audit::Who;
use postrider_core::delivery::{DeliverySeq, Next, Progress};
use postrider_core::event::Event;
use postrider_core::id::{DeliveryId, EventId};
use postrider_core::time::Timestamp;
use postrider_engine::model::StateChange;
use postrider_store::Store as _;
use postrider_store::model::{NewDelivery, NewEvent, Record, RecordBatch};

use crate::client::Visitor;
use crate::harness::{OPERATOR_KEY, Service};

/// Deliveries in the log at first, and then. What a page may look through in vain (10,000 rows) lies below both, and below
/// the events of both.
const FEW: u64 = 30_000;
const MANY: u64 = 300_000;
/// Endpoints of the account; each event goes to all of them.
const ENDPOINTS: u64 = 2;
/// How much more a page may read in the longer log: the trees are deeper, and counting is coarse.
const MORE: f64 = 1.25;
const COARSE: u64 = 5_000;

/// Fills the log behind the engine's back: its endpoints are paused, so that it sends nothing.
struct Filler<'a> {
    service: &'a Service,
    event: Event,
    config_version: i64,
    endpoints: Vec<postrider_core::endpoint::EndpointNo>,
    made: u64,
    /// The last delivery and the last event.
    last: Option<(DeliveryId, EventId)>,
}

impl Filler<'_> {
    /// Hands in events of two types until so many deliveries have been made. Nearly all are delivered; some were
    /// given up, some are pending, and some have their attempt in the log.
    async fn up_to(&mut self, deliveries: u64) {
        let store = &self.service.store;
        let begin = self.event.created_at;
        while self.made < deliveries {
            let mut events = Vec::new();
            for _ in 0..500 {
                let at = begin.plus(Duration::from_secs(self.made / ENDPOINTS * 10));
                let delivery = |endpoint_no: &_, number: u64| NewDelivery {
                    id: DeliveryId::new(at, u128::from(number) << 40),
                    endpoint_no: *endpoint_no,
                    is_own: true,
                };
                let new: Vec<_> =
                    self.endpoints.iter().zip(self.made..).map(|(no, number)| delivery(no, number)).collect();
                let id = EventId::new(at, u128::from(self.made) << 40);
                self.last = Some((new[0].id, id));
                let event_type =
                    if self.made.is_multiple_of(ENDPOINTS * 2) { "policy.created" } else { "policy.updated" };
                let event =
                    Event { id, created_at: at, event_type: event_type.to_owned(), ..self.event.clone() };
                events.push(NewEvent { event, config_version: self.config_version, deliveries: new });
                self.made += ENDPOINTS;
            }
            let seqs = store.accept(events).await.unwrap();
            let records = seqs.iter().filter_map(|seq| outcome(*seq, begin)).collect();
            store.record(RecordBatch { records, health: Vec::new() }.into()).await.unwrap();
        }
    }
}

/// What becomes of a delivery; nothing where it stays pending.
fn outcome(seq: DeliverySeq, at: Timestamp) -> Option<Record> {
    // Of each kind more than the longest page shows also in the short log, and of every endpoint.
    let next = match seq.0 % 97 {
        1 => return None,
        2 => Next::Exhausted,
        _ => Next::Delivered,
    };
    let attempt = Attempt {
        number: 1,
        probe: false,
        started_at: at,
        timings: Timings { total_us: 1_234, ..Timings::default() },
        request: RequestLog { url: "https://receiver.example/".to_owned(), headers: HeaderLog::default() },
        response: None,
        outcome: Outcome::Answered { status: 200, retry_after: None },
    };
    let attempt = (seq.0 % 50 < 3).then_some(attempt);
    Some(Record { seq, attempt, next, progress: Progress { attempts: 1, used: 1 }, at })
}

/// Every page and list that reads the log.
fn pages(filler: &Filler<'_>, endpoint: &str, customer: &str) -> Vec<String> {
    let account = filler.event.account;
    let (delivery, event) = filler.last.unwrap();
    let middle = filler.made / 2;
    let day = filler.event.created_at.plus(Duration::from_secs(200 * 10)).to_string();
    let mut pages = vec!["/".to_owned(), "/operations".to_owned(), "/metrics".to_owned()];
    for path in ["deliveries", "endpoints", "events", "event-types", "replays", "accounts", "audit"] {
        pages.extend([format!("/{path}"), format!("/v1/{path}?limit=250")]);
    }
    let filters = [
        format!("endpoint={endpoint}"),
        format!("account={account}"),
        format!("account={account}&status=exhausted"),
        "status=exhausted".to_owned(),
        "status=pending".to_owned(),
        "status=cancelled".to_owned(),
        "type=policy.updated".to_owned(),
        "type=nothing.of.it".to_owned(),
        format!("event={event}"),
        format!("since={day}"),
        format!("until={day}"),
    ];
    for filter in &filters {
        pages.push(format!("/deliveries?{filter}"));
        pages.push(format!("/deliveries?{filter}&before={middle}"));
        pages.push(format!("/v1/deliveries?limit=250&{}", filter.replace("nothing.of.it", "offer.created")));
    }
    for filter in [format!("account={account}"), "type=offer.created".to_owned(), format!("since={day}")] {
        pages.extend([format!("/events?{filter}"), format!("/v1/events?limit=250&{filter}")]);
    }
    for of in [
        format!("deliveries/{delivery}"),
        format!("events/{event}"),
        format!("endpoints/{endpoint}"),
        format!("accounts/{account}"),
    ] {
        pages.extend([format!("/{of}"), format!("/v1/{of}")]);
    }
    pages.push(format!("/search?q={event}"));
    pages.push(format!("/endpoints/{endpoint}/edit"));
    pages.push(format!("/v1/events/{event}/payload"));
    pages.push(format!("/v1/events/{event}/routing"));
    pages.extend(
        ["", "/deliveries", "/deliveries?status=exhausted", "/endpoints", "/events"]
            .map(|path| format!("{customer}{path}")),
    );
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_and_no_list_reads_more_because_the_log_is_long() {
    let service = Service::start().await;
    let (account, first) = service.account("Acme").await;
    let mut endpoints = vec![first];
    for number in 1..ENDPOINTS {
        endpoints.push(service.endpoint(account, &format!("endpoint {number}")).await);
    }
    for endpoint in &endpoints {
        service.engine.by(Who::SERVICE).change_state(*endpoint, StateChange::Pause).await.unwrap();
    }
    let configuration = service.store.load().await.unwrap();
    let made = configuration.accounts.iter().find(|made| made.id == account).unwrap();
    let numbers =
        endpoints.iter().map(|id| configuration.endpoints.iter().find(|made| made.id == *id).unwrap().no);
    let mut filler = Filler {
        service: &service,
        event: Event {
            id: EventId::new(service.engine.now(), 1),
            account_no: made.no,
            account,
            event_type: String::new(),
            livemode: false,
            payload: bytes::Bytes::from_static(b"{}"),
            created_at: service.engine.now().minus(Duration::from_secs(20 * 24 * 3600)),
        },
        config_version: made.config_version,
        endpoints: numbers.collect(),
        made: 0,
        last: None,
    };
    let mut operator = Visitor::operator(&service).await;
    operator.headers.push(("Authorization", format!("Bearer {OPERATOR_KEY}")));
    let link = service.engine.by(Who::SERVICE).create_portal_link(account, None, None, None).await;
    let customer = format!("/portal/{}", link.unwrap().token);
    let steps = &service.store.figures().unwrap().read_steps;
    let mut costs = Vec::new();
    for deliveries in [FEW, MANY] {
        filler.up_to(deliveries).await;
        let mut cost = Vec::new();
        for page in pages(&filler, &first.to_string(), &customer) {
            // Once before, so that statements are prepared.
            for _ in 0..2 {
                let before = steps.load(Ordering::Relaxed);
                let answer = operator.get(&page).await;
                let status = if page.starts_with("/search") { 303 } else { 200 };
                assert_eq!(answer.status, status, "{page}: {}", answer.body);
                cost.push((page.clone(), steps.load(Ordering::Relaxed) - before));
            }
        }
        costs.push(cost);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let bound = |few: u64| few as f64 * MORE + COARSE as f64;
    for ((page, few), (_, many)) in costs[0].iter().zip(&costs[1]).skip(1).step_by(2) {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let is_bounded = *many as f64 <= bound(*few);
        assert!(is_bounded, "{page} took {few} steps with {FEW} deliveries and {many} with {MANY}");
    }
    let dearest = costs[1].iter().map(|(_, many)| many).max();
    assert!(dearest > Some(&10_000), "the steps are counted at all: {dearest:?}");
}
