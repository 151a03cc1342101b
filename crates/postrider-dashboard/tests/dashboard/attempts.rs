//! A delivery with many attempts: the page shows a part of them and the way to the others.

use postrider_core::attempt::{Attempt, FailureCode, HeaderLog, Outcome, RequestLog, Timings};
use postrider_core::audit::Who;
use postrider_core::delivery::{Next, Progress};
use postrider_engine::model::StateChange;
use postrider_store::Store as _;
use postrider_store::model::{Record, RecordBatch};

use crate::client::{Answer, Visitor};
use crate::harness::Service;

/// The numbers of the attempts that the timeline links to.
fn shown(page: &Answer) -> Vec<u32> {
    let links = page.body.split("data-key=\"attempt-").skip(1);
    links.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_hundred_attempts_are_shown_a_part_at_a_time_and_each_can_be_reached() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    service.engine.by(Who::SERVICE).change_state(endpoint, StateChange::Pause).await.unwrap();
    let id = service.send(account, r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#).await;
    let delivery = service.engine.delivery(id).await.unwrap();
    let at = service.engine.now();
    let attempt = |number: u32| Attempt {
        number,
        probe: true,
        started_at: at,
        timings: Timings { total_us: 1_234, ..Timings::default() },
        request: RequestLog {
            url: format!("https://receiver.example/{number}"),
            headers: HeaderLog::default(),
        },
        response: None,
        outcome: Outcome::Answered { status: 500, retry_after: None },
    };
    let record = |number: u32| Record {
        seq: delivery.seq,
        attempt: Some(attempt(number)),
        next: Next::Waits,
        progress: Progress { attempts: number, used: 1 },
        at,
    };
    let records = (1..=100).map(record).collect();
    service.store.record(RecordBatch { records, health: Vec::new() }.into()).await.unwrap();

    let operator = Visitor::operator(&service).await;
    let path = format!("/deliveries/{id}");
    let page = operator.get(&path).await;
    assert_eq!(shown(&page), (61..=100).collect::<Vec<_>>());
    assert!(page.body.contains("https://receiver.example/100"), "the last one is looked at");
    assert!(page.body.contains(&format!("href=\"{path}?before=61\"")));

    let earlier = operator.get(&format!("{path}?before=61")).await;
    assert_eq!(shown(&earlier), (21..=60).collect::<Vec<_>>());
    assert!(earlier.body.contains("https://receiver.example/60"), "the last one of this part");
    assert!(earlier.body.contains(&format!("href=\"{path}?attempt=30&amp;before=61\"")));
    assert!(earlier.body.contains(&format!("href=\"{path}\">Show the last attempts")));
    let first = operator.get(&format!("{path}?before=21")).await;
    assert_eq!(shown(&first), (1..=20).collect::<Vec<_>>());
    assert!(!first.body.contains("?before=1\""), "nothing is before the first");

    let one = operator.get(&format!("{path}?attempt=7")).await;
    assert_eq!(shown(&one), (61..=100).collect::<Vec<_>>());
    assert!(
        one.body.contains("https://receiver.example/7<")
            && !one.body.contains("https://receiver.example/100<")
    );
    let none = operator.get(&format!("{path}?attempt=777")).await;
    assert!(none.body.contains("https://receiver.example/100<"), "what is not there gives way to the last");
}

#[tokio::test]
async fn the_portal_names_no_internal_address_and_the_operators_page_does() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    service.engine.by(Who::SERVICE).change_state(endpoint, StateChange::Pause).await.unwrap();
    let id = service.send(account, r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#).await;
    let delivery = service.engine.delivery(id).await.unwrap();
    let at = service.engine.now();
    let failed = |number: u32, code: FailureCode, detail: &str| Record {
        seq: delivery.seq,
        attempt: Some(Attempt {
            number,
            probe: true,
            started_at: at,
            timings: Timings::default(),
            request: RequestLog { url: "http://inside.corp/hook".to_owned(), headers: HeaderLog::default() },
            response: None,
            outcome: Outcome::Failed { code, detail: detail.to_owned() },
        }),
        next: Next::Waits,
        progress: Progress { attempts: number, used: 1 },
        at,
    };
    let blocked = "inside.corp leads to 10.9.8.7, a private address, which deliveries may not reach";
    let records = vec![
        failed(1, FailureCode::ConnectRefused, "nothing listens at inside.corp (10.9.8.7:80)"),
        failed(2, FailureCode::AddressBlocked, blocked),
    ];
    service.store.record(RecordBatch { records, health: Vec::new() }.into()).await.unwrap();

    let operator = Visitor::operator(&service).await;
    let made =
        operator.post(&format!("/accounts/{account}/portal-links"), &[("mode", ""), ("lasts", "3600")]).await;
    let (_, rest) = made.body.split_once("<pre id=\"link\">").unwrap();
    let portal = rest.split('<').next().unwrap().trim_end_matches('/').to_owned();
    let customer = Visitor::stranger(&service);
    for attempt in [1, 2] {
        let path = format!("/deliveries/{id}?attempt={attempt}");
        assert!(operator.get(&path).await.body.contains("10.9.8.7"), "{attempt}");
        let page = customer.get(&format!("{portal}{path}")).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("10.9.8.7") && !page.body.contains("a private address"), "{attempt}");
        assert!(page.body.contains("leads to a forbidden address"), "the last one is told of on top");
    }
}
