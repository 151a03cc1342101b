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

/// Tries unknown keys until the address has used up its failures; gives how many were judged.
async fn guess_until_refused(service: &Service) -> usize {
    for judged in 0..100 {
        let answer = service.call("sk_live_guess", "GET", "/v1/events", "").await;
        if answer.status == 429 {
            return judged;
        }
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"));
    }
    panic!("guesses are never refused");
}

#[tokio::test]
async fn an_address_that_tries_unknown_keys_is_refused_before_its_keys_are_judged() {
    let service = Service::start().await;
    let (one, other) = (service.account("a").await, service.account("b").await);
    // Accepted from here a moment ago, as the operator's is: it made the accounts.
    assert_eq!(service.call(&one.test_key, "GET", "/v1/events", "").await.status, 200);
    assert_eq!(guess_until_refused(&service).await, 10);
    // A right key and a wrong one can't be told apart.
    for key in [&other.test_key, "sk_live_guess"] {
        let refused = service.call(key, "GET", "/v1/events", "").await;
        assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"), "{key}");
        assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 1);
        assert_eq!(refused.header("ratelimit"), None);
    }
    // What was accepted from here goes on, and what wants no key is open.
    assert_eq!(service.call(&one.test_key, "GET", "/v1/events", "").await.status, 200);
    assert_eq!(service.operator("GET", "/v1/accounts", "").await.status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(service.call("sk_live_guess", "GET", path, "").await.status, 200);
    }
    // No key at all is no guess.
    assert_eq!(service.connect().await.request("GET", "/v1/events", &[], b"").await.status, 401);
    let metrics = service.operator("GET", "/metrics", "").await.text();
    assert!(metrics.contains("postrider_failed_keys_total{use=\"api\"} 10\n"), "{metrics}");
    assert!(metrics.contains("postrider_unjudged_keys_total{use=\"api\"} 3\n"), "{metrics}");
    service.stop().await;
}

#[tokio::test]
async fn a_limited_key_is_not_told_apart_either() {
    let service = Service::start_with(ApiOptions { rate_limit_per_second: 5, ..ApiOptions::default() }).await;
    let account = service.account("a").await;
    guess_until_refused(&service).await;
    let refused = service.call(&account.test_key, "GET", "/v1/events", "").await;
    assert_eq!((refused.status, refused.header("ratelimit-policy")), (429, None));
    service.stop().await;
}

#[tokio::test]
async fn behind_a_proxy_the_forwarded_address_counts_in_every_spelling() {
    let service = Service::start_with(ApiOptions { behind_proxy: true, ..ApiOptions::default() }).await;
    let call = async |header: (&str, &str)| {
        let headers = [("Authorization", "Bearer sk_live_guess"), header];
        service.connect().await.request("GET", "/v1/events", &headers, b"").await.status
    };
    for port in 0..10 {
        let address = format!("203.0.113.7, 192.0.2.1:{}", 4_000 + port);
        assert_eq!(call(("X-Forwarded-For", &address)).await, 401);
    }
    for header in [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "198.51.100.9, 192.0.2.1:80"),
        ("Forwarded", "for=198.51.100.9, for=\"192.0.2.1:80\";proto=https"),
    ] {
        assert_eq!(call(header).await, 429, "{header:?}");
    }
    for header in [("X-Forwarded-For", "192.0.2.1, 192.0.2.2"), ("Forwarded", "for=\"[2001:db8::1]:80\"")] {
        assert_eq!(call(header).await, 401, "{header:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn where_the_address_is_not_told_nobody_is_refused() {
    let service = Service::start_with(ApiOptions { behind_proxy: true, ..ApiOptions::default() }).await;
    let account = service.account("a").await;
    let began = Instant::now();
    let guesses: Vec<_> = (0..20).map(|_| service.call("sk_live_guess", "GET", "/v1/events", "")).collect();
    let (answers, right) = tokio::join!(
        futures_util::future::join_all(guesses),
        service.call(&account.test_key, "GET", "/v1/events", "")
    );
    assert_eq!(right.status, 200);
    assert!(answers.iter().all(|answer| answer.status == 401));
    assert!(began.elapsed() >= Duration::from_secs(3), "each of them is delayed");
    service.stop().await;
}
