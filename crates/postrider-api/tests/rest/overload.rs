//! A full accept queue: refused at once with a time to come back, nothing half stored, and the next one works.

use postrider_api::ApiOptions;
use postrider_store::sqlite::SqliteOptions;

use crate::harness::{OPERATOR_KEY, Service, event_body, payload};

/// How many clients push at once into a queue of one row.
const CLIENTS: usize = 32;
/// One round is nearly always enough: a commit takes longer than the other requests need to come.
const MOST_ROUNDS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_503_with_retry_after_and_nothing_is_stored_of_what_was_refused() {
    let one_row = SqliteOptions { accept_queue_rows: 1, ..SqliteOptions::default() };
    let service = Service::start_on(one_row, ApiOptions::default()).await;
    let account = service.account("Acme").await;
    let body = event_body(&account.id, &payload(false));
    let (mut accepted, mut refused) = (0, 0);
    for _round in 0..MOST_ROUNDS {
        let calls = (0..CLIENTS).map(|_| service.call(OPERATOR_KEY, "POST", "/v1/events", &body));
        for answer in futures_util::future::join_all(calls).await {
            if answer.status == 202 {
                accepted += 1;
                continue;
            }
            refused += 1;
            assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"), "{}", answer.text());
            assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
        }
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "a queue of one row was never full for {CLIENTS} clients at once");
    let mut stored = 0;
    let mut path = "/v1/events?limit=250".to_owned();
    loop {
        let page = service.get(&path).await;
        stored += page["data"].as_array().unwrap().len();
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/events?limit=250&cursor={cursor}");
    }
    assert_eq!(stored, accepted);
    assert_eq!(service.operator("POST", "/v1/events", &body).await.status, 202);
    service.stop().await;
}
