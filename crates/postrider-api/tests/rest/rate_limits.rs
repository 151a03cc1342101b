//! Limits at the edge: of account keys where that is set, and of unknown keys from one address always.

use std::time::{Duration, Instant};

use postrider_api::ApiOptions;

use crate::harness::{OPERATOR_KEY, PATIENCE, Service, event_body, payload};

#[tokio::test]
async fn a_key_past_its_limit_is_429_with_standard_headers_and_nothing_is_done() {
    let service = Service::start_with(ApiOptions { rate_limit_per_second: 3, ..ApiOptions::default() }).await;
    let account = service.account("a").await;
    let body = event_body(&account.id, &payload(false));
    let (mut accepted, mut refused) = (0, 0);
    // Fast enough that one of them comes too soon, however slow the machine is.
    let until_refused = async {
        while refused == 0 {
            let answer = service.call(&account.test_key, "POST", "/v1/events", &body).await;
            assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=3;w=1"));
            let left = answer.header("ratelimit").unwrap().to_owned();
            assert!(left.starts_with("\"key\";r=") && left.ends_with(";t=1"), "{left}");
            match answer.status {
                202 => accepted += 1,
                429 => {
                    refused += 1;
                    assert_eq!(
                        (answer.code().as_str(), answer.header("retry-after")),
                        ("rate_limited", Some("1"))
                    );
                    assert_eq!(left, "\"key\";r=0;t=1");
                }
                other => panic!("{other}: {}", answer.text()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, until_refused).await.unwrap();
    assert_eq!(service.stored_events().await, accepted);
    let other = service.call(&account.live_key, "GET", "/v1/events", "").await;
    assert_eq!(other.status, 200, "another key has its own");
    for _ in 0..20 {
        let answer = service.call(OPERATOR_KEY, "GET", "/v1/accounts", "").await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None), "the operator has no limit");
    }
    service.stop().await;
}

#[tokio::test]
async fn without_a_limit_there_are_no_headers_of_one() {
    let service = Service::start().await;
    let account = service.account("a").await;
    for _ in 0..20 {
        let answer = service.call(&account.test_key, "GET", "/v1/events", "").await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
    service.stop().await;
}

#[tokio::test]
async fn who_tries_unknown_keys_waits_longer_and_longer_and_a_known_key_never() {
    let service = Service::start().await;
    let account = service.account("a").await;
    for _ in 0..10 {
        assert_eq!(service.call("sk_live_guess", "GET", "/v1/events", "").await.status, 401);
    }
    let began = Instant::now();
    let mut guesses = Vec::new();
    for _ in 0..5 {
        let mut connection = service.connect().await;
        connection
            .send(b"GET /v1/events HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer sk_live_guess\r\n\r\n")
            .await;
        guesses.push(connection);
    }
    // From the same address, while the guesses wait for their answers.
    for key in [&account.test_key, &account.live_key] {
        assert_eq!(service.call(key, "GET", "/v1/events", "").await.status, 200);
    }
    for mut guess in guesses {
        assert_eq!(guess.answer().await.status, 401);
    }
    assert!(
        began.elapsed() >= Duration::from_millis(1_600),
        "the fifth waits so long: {:?}",
        began.elapsed()
    );
    // No key at all is no guess.
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(service.connect().await.request("GET", "/v1/events", &[], b"").await.status, 401);
    }
    assert!(began.elapsed() < Duration::from_millis(3_200), "{:?}", began.elapsed());
    service.stop().await;
}
