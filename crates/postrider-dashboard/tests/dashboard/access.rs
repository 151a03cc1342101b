//! Who gets in, for how long, and what keeps others out.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::client::Visitor;
use crate::harness::{OPERATOR_KEY, PATIENCE, Service};

/// Every page that needs no id.
const PAGES: [&str; 15] = [
    "/",
    "/search?q=acme",
    "/deliveries",
    "/endpoints",
    "/endpoints/new",
    "/events",
    "/events/new",
    "/event-types",
    "/event-types/policy.created",
    "/event-types/policy.created/edit",
    "/new-event-type",
    "/replays",
    "/replays/new",
    "/accounts",
    "/operations",
];

#[tokio::test]
async fn without_a_session_every_page_leads_to_the_login_and_back() {
    let service = Service::start().await;
    let mut visitor = Visitor::stranger(&service);
    for page in &PAGES[1..] {
        let answer = visitor.get(page).await;
        assert_eq!(answer.status, 303, "{page}");
        assert!(
            answer.header("location").starts_with("/login?to=%2F"),
            "{page}: {}",
            answer.header("location")
        );
    }
    let answer = visitor.post("/endpoints/new", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/login?over=1"));
    let answer =
        visitor.post_raw("/login", &[("key", OPERATOR_KEY), ("to", "/deliveries?status=exhausted")]).await;
    assert_eq!(answer.header("location"), "/deliveries?status=exhausted");
    let answer = visitor.post_raw("/login", &[("key", OPERATOR_KEY), ("to", "//evil.example")]).await;
    assert_eq!(answer.header("location"), "/");
    visitor.log_in(OPERATOR_KEY).await;
    for page in PAGES {
        assert_eq!(visitor.get(page).await.status, 200, "{page}");
    }
}

#[tokio::test]
async fn an_account_s_key_and_a_wrong_key_open_nothing() {
    let service = Service::start().await;
    let made = service
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_account("Acme".to_owned())
        .await
        .unwrap();
    for key in [made.live_key.as_str(), made.test_key.as_str(), "", "guess"] {
        let mut visitor = Visitor::stranger(&service);
        let answer = visitor.log_in(key).await;
        assert_eq!((answer.status, visitor.cookie.as_str()), (401, ""));
        assert!(answer.body.contains("not the operator key"));
        assert!(key.is_empty() || !answer.body.contains(key), "a key is never shown again");
    }
}

#[tokio::test]
async fn login_attempts_are_limited_and_the_right_key_must_wait_too() {
    let service = Service::start().await;
    let mut visitor = Visitor::stranger(&service);
    for _ in 0..10 {
        assert_eq!(visitor.log_in("guess").await.status, 401);
    }
    let answer = visitor.log_in(OPERATOR_KEY).await;
    assert_eq!((answer.status, visitor.cookie.as_str()), (429, ""));
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    service.clock.go_ahead(Duration::from_secs(15 * 60 + 1));
    assert_eq!(visitor.log_in(OPERATOR_KEY).await.status, 303);
}

/// Who logs in through a proxy that names them so.
async fn log_in_through_proxy(service: &Service, header: Option<(&'static str, &str)>, key: &str) -> u16 {
    let mut visitor = Visitor::stranger(service);
    visitor.headers.extend(header.map(|(name, value)| (name, value.to_owned())));
    visitor.log_in(key).await.status
}

#[tokio::test]
async fn behind_a_proxy_failures_are_counted_for_the_client_and_not_for_the_proxy() {
    let options = postrider_dashboard::DashboardOptions { behind_proxy: true, ..Default::default() };
    let service = Service::start_with(options).await;
    for port in 0..10 {
        let address = format!("198.51.100.1, 192.0.2.1:{}", 4_000 + port);
        let status = log_in_through_proxy(&service, Some(("X-Forwarded-For", &address)), "guess").await;
        assert_eq!(status, 401);
    }
    for (header, status) in [
        (("X-Forwarded-For", "192.0.2.1"), 429),
        (("Forwarded", "for=\"192.0.2.1:80\""), 429),
        (("X-Forwarded-For", "192.0.2.2:80"), 303),
        (("Forwarded", "for=\"[2001:db8::1]:80\";proto=https"), 303),
    ] {
        assert_eq!(log_in_through_proxy(&service, Some(header), OPERATOR_KEY).await, status, "{header:?}");
    }
}

#[tokio::test]
async fn where_the_client_can_t_be_determined_nobody_is_locked_out() {
    let options = postrider_dashboard::DashboardOptions { behind_proxy: true, ..Default::default() };
    let service = Service::start_with(options).await;
    let guesses = (0..20).map(|_| log_in_through_proxy(&service, None, "guess"));
    let began = std::time::Instant::now();
    let answers = futures_util::future::join_all(guesses).await;
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    assert!(began.elapsed() >= Duration::from_secs(3), "each of them is delayed");
    assert_eq!(log_in_through_proxy(&service, None, OPERATOR_KEY).await, 303);
}

#[tokio::test]
async fn the_key_that_opened_the_dashboard_from_an_address_opens_it_whatever_fails_there() {
    let service = Service::start().await;
    let mut visitor = Visitor::operator(&service).await;
    for _ in 0..10 {
        assert_eq!(Visitor::stranger(&service).log_in("guess").await.status, 401);
    }
    assert_eq!(Visitor::stranger(&service).log_in("guess").await.status, 429);
    assert_eq!(visitor.log_in(OPERATOR_KEY).await.status, 303);
}

#[tokio::test]
async fn a_session_ends_by_idleness_by_logout_and_everywhere() {
    let service = Service::start().await;
    let idle = Visitor::operator(&service).await;
    service.clock.go_ahead(Duration::from_secs(2 * 3600 + 1));
    assert_eq!(idle.get("/").await.status, 303, "idle for two hours");
    let (one, other) = (Visitor::operator(&service).await, Visitor::operator(&service).await);
    let answer = one.post("/logout", &[]).await;
    assert_eq!(answer.header("location"), "/login?out=1");
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!((one.get("/").await.status, other.get("/").await.status), (303, 200));
    let third = Visitor::operator(&service).await;
    third.post("/logout-everywhere", &[]).await;
    assert_eq!((third.get("/").await.status, other.get("/").await.status), (303, 303));
}

#[tokio::test]
async fn an_open_page_keeps_no_session_alive_and_somebody_at_it_does() {
    let service = Service::start().await;
    let hour = Duration::from_secs(3600);
    let mut visitor = Visitor::operator(&service).await;
    service.clock.go_ahead(hour);
    assert_eq!(visitor.get("/deliveries").await.status, 200);
    visitor.headers.push(("Postrider-By-Itself", "1".to_owned()));
    service.clock.go_ahead(hour);
    assert_eq!(visitor.get("/deliveries").await.status, 200);
    assert_eq!(visitor.watch("/live?").await.0, 200);
    service.clock.go_ahead(hour);
    assert_eq!(visitor.get("/deliveries").await.status, 303, "two hours since somebody did something");
    assert_eq!(visitor.watch("/live?").await.0, 303);
}

#[tokio::test]
async fn so_many_pages_of_a_session_are_live_and_the_next_is_told_what_to_do() {
    let service = Service::start().await;
    let (one, other) = (Visitor::operator(&service).await, Visitor::operator(&service).await);
    let mut feeds = Vec::new();
    for _ in 0..16 {
        let (status, feed) = one.watch("/live?").await;
        assert_eq!(status, 200);
        feeds.push(feed);
    }
    let refused = one.get("/live?").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "30"));
    assert!(refused.body.contains("Close one of the others"), "{}", refused.body);
    assert_eq!(other.watch("/live?").await.0, 200, "another session has places of its own");
    feeds.pop();
    let free = async { while one.watch("/live?").await.0 != 200 {} };
    tokio::time::timeout(PATIENCE, free).await.expect("a page that is gone leaves its place");
}

#[tokio::test]
async fn a_feed_ends_with_its_session() {
    let service = Service::start().await;
    let (one, other) = (Visitor::operator(&service).await, Visitor::operator(&service).await);
    let (_, mut feed) = one.watch("/live?").await;
    other.post("/logout-everywhere", &[]).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, feed.read_to_end(&mut rest)).await;
    ended.expect("the feed ends soon").unwrap();
    assert!(!String::from_utf8(rest).unwrap().contains("event: attempt"));
}

#[tokio::test]
async fn the_session_s_cookie_is_out_of_reach_and_secure_behind_a_proxy_that_speaks_tls() {
    let service = Service::start().await;
    let mut visitor = Visitor::stranger(&service);
    visitor.headers.push(("X-Forwarded-Proto", "https".to_owned()));
    let plain = visitor.log_in(OPERATOR_KEY).await;
    let cookie = plain.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "anybody can send that header");
    let options = postrider_dashboard::DashboardOptions { behind_proxy: true, ..Default::default() };
    let service = Service::start_with(options).await;
    let mut visitor = Visitor::stranger(&service);
    visitor.headers.push(("X-Forwarded-Proto", "https".to_owned()));
    assert!(visitor.log_in(OPERATOR_KEY).await.header("set-cookie").contains("; Secure"));
}

#[tokio::test]
async fn a_form_without_the_session_s_token_or_from_another_site_changes_nothing() {
    let service = Service::start().await;
    let (_, endpoint) = service.account("Acme").await;
    let mut visitor = Visitor::operator(&service).await;
    let path = format!("/endpoints/{endpoint}/state");
    let paths = [
        path.as_str(),
        "/logout",
        "/logout-everywhere",
        "/theme",
        "/accounts",
        "/endpoints/new",
        "/endpoints/check",
        "/events/new",
        "/replays/new",
    ];
    for path in paths {
        assert_eq!(visitor.post_raw(path, &[("to", "pause"), ("name", "x")]).await.status, 403, "{path}");
    }
    visitor.headers.push(("Origin", "https://evil.example".to_owned()));
    for path in paths {
        assert_eq!(visitor.post(path, &[("to", "pause"), ("name", "x")]).await.status, 403, "{path}");
    }
    visitor.headers.clear();
    visitor.headers.push(("Sec-Fetch-Site", "cross-site".to_owned()));
    assert_eq!(visitor.post(&path, &[("to", "pause")]).await.status, 403);
    assert_eq!(visitor.post_raw("/login", &[("key", OPERATOR_KEY)]).await.status, 403);
    assert_eq!(service.engine.endpoint(endpoint).unwrap().state.as_str(), "enabled");
    assert_eq!(service.engine.accounts(page()).rows.len(), 1);
}

fn page() -> postrider_engine::PageRequest {
    postrider_engine::PageRequest { limit: 50, before: None }
}

#[tokio::test]
async fn every_page_forbids_what_is_inline_from_elsewhere_or_framed() {
    let service = Service::start().await;
    service.account("Acme").await;
    let visitor = Visitor::operator(&service).await;
    let pages = PAGES.into_iter().chain(["/login", "/nowhere", "/deliveries/dlv_x", "/assets/nothing.js"]);
    for path in pages {
        let answer = visitor.get(path).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        for inline in ["<style", " style=", " onclick", "javascript:", "http://www", "//cdn"] {
            assert!(!answer.body.contains(inline), "{path} has {inline}");
        }
        assert_eq!(
            answer.body.matches("<script").count(),
            answer.body.matches("<script src=\"/assets/").count()
        );
    }
}

#[tokio::test]
async fn the_first_page_with_all_that_it_loads_is_under_100_kilobytes() {
    let service = Service::start().await;
    let (account, _) = service.account("Acme").await;
    for _ in 0..60 {
        service.send(account, r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#).await;
    }
    let visitor = Visitor::operator(&service).await;
    for path in ["/", "/deliveries"] {
        let page = visitor.get(path).await;
        let mut bytes = page.body.len();
        for asset in page
            .body
            .split('"')
            .filter(|part| part.starts_with("/assets/"))
            .collect::<std::collections::BTreeSet<_>>()
        {
            let answer = visitor.get(asset).await;
            assert_eq!(answer.status, 200, "{asset}");
            assert!(answer.header("cache-control").contains("immutable"), "{asset}");
            bytes += answer.body.len();
        }
        assert!(bytes < 100_000, "{path}: {bytes} bytes");
    }
}

#[tokio::test]
async fn the_api_s_own_paths_stay_the_api_s() {
    let service = Service::start().await;
    let visitor = Visitor::operator(&service).await;
    for path in ["/v1", "/v1/nothing"] {
        let answer = visitor.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (404, "application/problem+json"),
            "{path}"
        );
    }
    assert_eq!(visitor.get("/v1/accounts").await.status, 401, "a session is no key");
    assert_eq!(visitor.get("/healthz").await.status, 200);
}
