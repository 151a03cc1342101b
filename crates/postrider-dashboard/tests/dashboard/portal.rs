//! What a customer sees through a link, and for how long.

use std::time::Duration;

use postrider_dashboard::DashboardOptions;
use tokio::io::AsyncReadExt as _;

use crate::client::Visitor;
use crate::harness::Service;

const PAYLOAD: &str = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#;

/// A link that the operator makes on the account's page, without its last slash.
async fn link(operator: &Visitor, account: &str, mode: &str) -> (String, String) {
    let path = format!("/accounts/{account}/portal-links");
    let made = operator.post(&path, &[("mode", mode), ("lasts", "3600")]).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let (_, rest) = made.body.split_once("<pre id=\"link\">").unwrap();
    let link = rest.split('<').next().unwrap().trim_end_matches('/').to_owned();
    (link, made.field("link"))
}

#[tokio::test]
async fn a_customer_sees_their_own_and_nothing_of_others_or_of_the_operator() {
    let service = Service::start().await;
    let ((own, own_endpoint), (other, other_endpoint)) =
        (service.account("Acme").await, service.account("Rival").await);
    let (mine, theirs) = (service.send(own, PAYLOAD).await, service.send(other, PAYLOAD).await);
    service.until_attempted(mine, 1).await;
    service.until_attempted(theirs, 1).await;
    let their_event = service.engine.delivery(theirs).await.unwrap().event;
    let operator = Visitor::operator(&service).await;
    let (base, _) = link(&operator, &own.to_string(), "").await;
    let customer = Visitor::stranger(&service);
    for page in [
        "/",
        "/deliveries",
        "/endpoints",
        "/endpoints/new",
        "/events",
        "/event-types",
        "/replays",
        "/replays/new",
    ] {
        let answer = customer.get(&format!("{base}{page}")).await;
        assert_eq!(answer.status, 200, "{page}");
        for hidden in [
            "Rival",
            &other.to_string(),
            &other_endpoint.to_string(),
            &theirs.to_string(),
            "endpoint.failing",
        ] {
            assert!(!answer.body.contains(hidden), "{page} shows {hidden}");
        }
        let links = answer.body.split("href=\"/").skip(1).chain(answer.body.split("action=\"/").skip(1));
        for link in links {
            assert!(
                link.starts_with("portal/") || link.starts_with("assets/"),
                "{page} leads to /{}",
                &link[..20]
            );
        }
    }
    for page in [format!("/deliveries/{mine}"), format!("/endpoints/{own_endpoint}")] {
        assert_eq!(customer.get(&format!("{base}{page}")).await.status, 200, "{page}");
    }
    for page in [
        format!("/deliveries/{theirs}"),
        format!("/endpoints/{other_endpoint}"),
        format!("/endpoints/{other_endpoint}/edit"),
        format!("/endpoints/{own_endpoint}/secret"),
        format!("/events/{their_event}"),
        format!("/events/{their_event}/payload"),
        format!("/accounts/{own}"),
        "/accounts".to_owned(),
        "/operations".to_owned(),
        "/events/new".to_owned(),
        "/new-event-type".to_owned(),
        "/event-types/policy.created/edit".to_owned(),
    ] {
        assert_eq!(customer.get(&format!("{base}{page}")).await.status, 404, "{page}");
    }
    let filtered =
        customer.get(&format!("{base}/deliveries?account={other}&endpoint={other_endpoint}")).await;
    assert!(!filtered.body.contains(&theirs.to_string()));
    assert_eq!(customer.get("/deliveries").await.status, 303, "the link opens the portal alone");
}

#[tokio::test]
async fn a_customer_s_forms_work_on_their_own_alone() {
    let service = Service::start().await;
    let ((own, own_endpoint), (_, other_endpoint)) =
        (service.account("Acme").await, service.account("Rival").await);
    let operator = Visitor::operator(&service).await;
    let (base, _) = link(&operator, &own.to_string(), "test").await;
    let mut customer = Visitor::stranger(&service);
    let paused = customer.post(&format!("{base}/endpoints/{own_endpoint}/state"), &[("to", "pause")]).await;
    assert_eq!(paused.status, 403, "not without the page's token");
    customer.token = customer.get(&format!("{base}/")).await.field("_token");
    let paused = customer.post(&format!("{base}/endpoints/{own_endpoint}/state"), &[("to", "pause")]).await;
    assert!(paused.header("location").starts_with(&base), "{}", paused.header("location"));
    assert_eq!(service.engine.endpoint(own_endpoint).unwrap().state.as_str(), "paused");
    let foreign =
        customer.post(&format!("{base}/endpoints/{other_endpoint}/state"), &[("to", "pause")]).await;
    assert_eq!(
        (foreign.status, service.engine.endpoint(other_endpoint).unwrap().state.as_str()),
        (404, "enabled")
    );
    // The account and the mode are the link's, whatever a form says.
    let account = service.engine.endpoint(other_endpoint).unwrap().endpoint.account.to_string();
    let url = service.receiver_url.clone();
    let fields = [("account", account.as_str()), ("mode", "live"), ("url", url.as_str()), ("types", "*")];
    let made = customer.post(&format!("{base}/endpoints/new"), &fields).await;
    assert!(made.body.contains("whsec_"), "{}", made.body);
    let request = postrider_engine::PageRequest { limit: 1, before: None };
    let newest = service.engine.endpoints(Default::default(), request).rows.remove(0).endpoint;
    assert_eq!((newest.account, newest.livemode), (own, false));
}

#[tokio::test]
async fn a_link_ends_by_time_by_hand_and_was_never_guessed() {
    let service = Service::start().await;
    let (own, _) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let (base, id) = link(&operator, &own.to_string(), "").await;
    let customer = Visitor::stranger(&service);
    assert_eq!(customer.get(&format!("{base}/")).await.status, 200);
    let path = format!("/accounts/{own}/portal-links/revoke");
    assert_eq!(operator.post(&path, &[("link", &id)]).await.status, 303);
    let over = customer.get(&format!("{base}/deliveries")).await;
    assert_eq!(over.status, 410);
    assert!(over.body.contains("This link has expired") && !over.body.contains("Acme"));
    let (base, _) = link(&operator, &own.to_string(), "").await;
    service.clock.go_ahead(Duration::from_secs(3_601));
    assert_eq!(customer.get(&format!("{base}/")).await.status, 410);
    assert_eq!(customer.get("/portal/pl_guess/").await.status, 410);
    assert_eq!(customer.get("/portal/").await.status, 410);
}

#[tokio::test]
async fn a_revoked_link_ends_its_live_feeds_at_once() {
    let service = Service::start().await;
    let (own, _) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let (base, id) = link(&operator, &own.to_string(), "").await;
    let (status, mut feed) = Visitor::stranger(&service).watch(&format!("{base}/live?")).await;
    assert_eq!(status, 200);
    let revoke = format!("/accounts/{own}/portal-links/revoke");
    assert_eq!(operator.post(&revoke, &[("link", &id)]).await.status, 303);
    let mut rest = Vec::new();
    // Its own looks at the link are 15 s apart.
    let ended = tokio::time::timeout(Duration::from_secs(10), feed.read_to_end(&mut rest)).await;
    ended.expect("it does not wait for them").unwrap();
}

#[tokio::test]
async fn links_that_open_nothing_are_counted_for_their_address_and_a_known_one_still_opens() {
    let service = Service::start().await;
    let (own, _) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let (base, _) = link(&operator, &own.to_string(), "").await;
    let (unused, _) = link(&operator, &own.to_string(), "").await;
    let customer = Visitor::stranger(&service);
    assert_eq!(customer.get(&format!("{base}/")).await.status, 200);
    for guess in 0..300 {
        assert_eq!(customer.get(&format!("/portal/pl_{guess}/")).await.status, 410);
    }
    for path in ["/portal/pl_guess/".to_owned(), format!("{unused}/")] {
        let refused = customer.get(&path).await;
        assert_eq!(refused.status, 429, "a right one and a wrong one can't be told apart");
        assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    assert_eq!(customer.get(&format!("{base}/")).await.status, 200, "it was opened from here");
}

#[tokio::test]
async fn a_delivery_that_comes_back_as_a_form_is_refused() {
    let service = Service::start().await;
    let (own, endpoint) = service.account("Acme").await;
    let delivery = service.send(own, PAYLOAD).await;
    service.until_attempted(delivery, 1).await;
    let event = service.engine.delivery(delivery).await.unwrap().event.to_string();
    let operator = Visitor::operator(&service).await;
    let (base, _) = link(&operator, &own.to_string(), "").await;
    let mut customer = Visitor::stranger(&service);
    customer.token = customer.get(&format!("{base}/")).await.field("_token");
    customer.headers.push(("X-KASKO-Delivery", event));
    let path = format!("{base}/deliveries/{delivery}/resend");
    let refused = customer.post(&path, &[]).await;
    assert_eq!(refused.status, 508);
    assert!(refused.body.contains(&endpoint.to_string()), "{}", refused.body);
    customer.headers.clear();
    assert_eq!(customer.post(&path, &[]).await.status, 303);
}

#[tokio::test]
async fn a_customer_can_t_subscribe_to_operational_events_that_never_come() {
    let service = Service::start().await;
    let (own, _) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let (base, _) = link(&operator, &own.to_string(), "test").await;
    let mut customer = Visitor::stranger(&service);
    customer.token = customer.get(&format!("{base}/")).await.field("_token");
    for pattern in ["endpoint.*", "endpoint.failing"] {
        let fields = [("url", "https://example.com/"), ("patterns", pattern)];
        let refused = customer.post(&format!("{base}/endpoints/new"), &fields).await;
        assert_eq!(refused.status, 422, "{pattern}");
        assert!(refused.body.contains("stands for operational events"), "{}", refused.body);
    }
}

#[tokio::test]
async fn the_portal_looks_like_its_operator_s_and_is_framed_where_they_say() {
    let options = DashboardOptions {
        portal_title: "Acme <Hooks>".to_owned(),
        portal_accent: Some("#0a7d5a".parse().unwrap()),
        portal_frame_origins: vec!["https://app.example.com".to_owned()],
        ..DashboardOptions::default()
    };
    let service = Service::start_with(options).await;
    let (own, _) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let (base, _) = link(&operator, &own.to_string(), "").await;
    let page = Visitor::stranger(&service).get(&format!("{base}/")).await;
    assert!(page.body.contains("Acme &lt;Hooks&gt;") && page.body.contains("/assets/accent.css"));
    assert!(page.header("content-security-policy").contains("frame-ancestors https://app.example.com"));
    assert_eq!(page.header("x-frame-options"), "");
    let delivery = service.send(own, PAYLOAD).await;
    let event = service.engine.delivery(delivery).await.unwrap().event;
    for (who, framed_by) in [(&base, "frame-ancestors https://app.example.com"), (&String::new(), "'none'")] {
        let payload = operator.get(&format!("{who}/events/{event}/payload")).await;
        let policy = payload.header("content-security-policy");
        assert!(
            payload.status == 200 && policy.ends_with(framed_by) && policy.contains("sandbox"),
            "{policy}"
        );
    }
    let own_pages = operator.get("/").await;
    assert!(own_pages.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert!(!own_pages.body.contains("accent.css"));
}

#[tokio::test]
async fn what_was_done_here_and_in_the_portal_stands_in_the_audit_log_with_its_hand() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let visitor = Visitor::operator(&service).await;
    visitor.post(&format!("/endpoints/{endpoint}/secret"), &[]).await;
    visitor.post(&format!("/endpoints/{endpoint}/state"), &[("to", "pause")]).await;
    let (base, _) = link(&visitor, &account.to_string(), "").await;
    let mut customer = Visitor::stranger(&service);
    customer.token = customer.get(&format!("{base}/endpoints/{endpoint}")).await.field("_token");
    let resumed = customer.post(&format!("{base}/endpoints/{endpoint}/state"), &[("to", "resume")]).await;
    assert_eq!(resumed.status, 303, "{}", resumed.body);
    let page = visitor.get("/audit").await.body;
    for (action, hand) in [
        ("endpoint.secret_revealed", "dashboard"),
        ("endpoint.paused", "dashboard"),
        ("endpoint.resumed", "portal link"),
        ("endpoint.created", "the service"),
    ] {
        let row = page.split("<tr data-key").skip(1).find(|row| row.contains(action));
        assert!(row.is_some_and(|row| row.contains(hand)), "{action} by {hand}: {row:?}");
    }
    let only = visitor.get("/audit?action=endpoint.paused").await.body;
    assert_eq!(only.matches("<tr data-key").count(), 1);
    assert_eq!(customer.get(&format!("{base}/audit")).await.status, 404, "a customer has no such page");
    let wrong = visitor.get("/audit?action=exploded").await.body;
    assert!(wrong.contains("it can be an action"), "a filter that can't be read is said");
}
