//! What the forms do, sent as a browser without JavaScript sends them.

use postrider_core::delivery::Status;
use postrider_signature::kasko;

use crate::client::Visitor;
use crate::harness::Service;

const PAYLOAD: &str =
    r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I","metadata":{"rate":1.10}}"#;

#[tokio::test]
async fn an_endpoint_is_made_changed_paused_and_deleted_by_forms() {
    let service = Service::start().await;
    let account = service
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_account("Acme".to_owned())
        .await
        .unwrap()
        .account
        .id
        .to_string();
    let visitor = Visitor::operator(&service).await;
    let fields = [
        ("account", account.as_str()),
        ("mode", "test"),
        ("url", service.receiver_url.as_str()),
        ("description", "CRM"),
        ("types", "policy.created"),
        ("patterns", "offer.*"),
        ("headers", "X-Api-Key: s3cret\nX-Team: red"),
        ("retry_schedule", "5s,1m"),
        ("rate_per_second", "10"),
    ];
    let made = visitor.post("/endpoints/new", &fields).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert!(made.body.contains("whsec_"), "the secret is shown once");
    let view = service.engine.endpoints(Default::default(), page()).rows.remove(0);
    let settings = &view.endpoint.settings;
    assert_eq!(settings.subscription.to_texts(), ["policy.created", "offer.*"]);
    assert_eq!(settings.rate_limit.map(|limit| (limit.per_second, limit.burst)), Some((10, 10)));
    let path = format!("/endpoints/{}", view.endpoint.id);
    let edit = visitor.get(&format!("{path}/edit")).await;
    assert!(!edit.body.contains("s3cret"), "a header's value is not shown again");
    let url = service.receiver_url.clone();
    let changed = [
        ("url", url.as_str()),
        ("types", "*"),
        ("headers", "x-api-key\nX-Team: blue"),
        ("timeout_seconds", "5"),
    ];
    let saved = visitor.post(&format!("{path}/edit"), &changed).await;
    assert_eq!(saved.header("location"), format!("{path}?said=saved"));
    let settings = service.engine.endpoint(view.endpoint.id).unwrap().endpoint.settings.clone();
    let names: Vec<&str> = settings.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["x-api-key", "X-Team"], "a name is sent as it was typed last");
    let values: Vec<&str> = settings.headers.iter().map(|header| header.value.as_str()).collect();
    assert_eq!((values, settings.retry_schedule.is_none()), (vec!["s3cret", "blue"], true));
    for (to, state) in
        [("pause", "paused"), ("resume", "enabled"), ("disable", "disabled"), ("enable", "enabled")]
    {
        assert_eq!(visitor.post(&format!("{path}/state"), &[("to", to)]).await.status, 303);
        assert_eq!(service.engine.endpoint(view.endpoint.id).unwrap().state.as_str(), state);
    }
    assert_eq!(visitor.post(&format!("{path}/delete"), &[]).await.status, 400, "not without saying so");
    assert_eq!(visitor.post(&format!("{path}/delete"), &[("sure", "on")]).await.status, 303);
    assert_eq!(visitor.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_form_with_faults_is_shown_again_with_what_was_typed_and_each_fault_at_its_field() {
    let service = Service::start().await;
    let account = service
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_account("Acme".to_owned())
        .await
        .unwrap()
        .account
        .id
        .to_string();
    let visitor = Visitor::operator(&service).await;
    let fields = [
        ("account", account.as_str()),
        ("mode", "test"),
        ("url", "http://10.0.0.1/"),
        ("patterns", "policy..x"),
        ("timeout_seconds", "61"),
        ("headers", "Host: x"),
        ("retry_schedule", "soon"),
        ("description", "kept \"as\" typed"),
    ];
    let again = visitor.post("/endpoints/new", &fields).await;
    assert_eq!(again.status, 422);
    for words in [
        "kept &quot;as&quot; typed",
        "http://10.0.0.1/",
        "whole number from 1 to 60",
        "set by the service itself",
        "not a duration",
    ] {
        assert!(again.body.contains(words), "{words}");
    }
    let checked = visitor.post("/endpoints/check", &fields).await;
    let faults: serde_json::Value = serde_json::from_str(&checked.body).unwrap();
    let named: Vec<&str> = faults.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(named.len(), 5, "{faults}");
    for name in ["url", "types", "timeout_seconds", "headers", "retry_schedule"] {
        assert!(named.contains(&name), "{name}");
    }
    assert!(service.engine.endpoints(Default::default(), page()).rows.is_empty());
}

#[tokio::test]
async fn an_event_is_sent_by_hand_byte_for_byte_and_a_bad_payload_is_told_place_by_place() {
    let service = Service::start().await;
    let (account, _) = service.account("Acme").await;
    let account = account.to_string();
    let visitor = Visitor::operator(&service).await;
    let form = visitor.get("/events/new?type=policy.created").await;
    assert!(form.body.contains("TEST-POLICY-12345"), "it begins with the example");
    let bad = [
        ("account", account.as_str()),
        ("type", "policy.created"),
        ("payload", r#"{"livemode":false,"id":7}"#),
    ];
    let again = visitor.post("/events/new", &bad).await;
    assert_eq!(again.status, 422);
    assert!(again.body.contains("/policy_id") && again.body.contains("is required and missing"));
    let good = [("account", account.as_str()), ("type", "policy.created"), ("payload", PAYLOAD)];
    let sent = visitor.post("/events/new", &good).await;
    assert!(sent.header("location").starts_with("/events/"), "{}", sent.body);
    let page = visitor.get(sent.header("location")).await;
    assert!(page.body.contains("1.10") && page.body.contains("wants <code>*</code>"), "{}", page.body);
}

#[tokio::test]
async fn a_failed_delivery_is_explained_and_resent() {
    let service = Service::start().await;
    service.receiver.answer(404, "nothing here");
    let (account, _) = service.account("Acme").await;
    let delivery = service.send(account, PAYLOAD).await;
    service.until_attempted(delivery, 2).await;
    let visitor = Visitor::operator(&service).await;
    let path = format!("/deliveries/{delivery}");
    let page = visitor.get(&path).await;
    for words in
        ["Exhausted", "takes a POST", "nothing here", "What to do", "X-KASKO-Signature", "curl -i -X POST"]
    {
        assert!(page.body.contains(words), "{words}");
    }
    service.receiver.answer(200, "thanks");
    let resent = visitor.post(&format!("{path}/resend"), &[]).await;
    let new: postrider_core::id::DeliveryId = resent
        .header("location")
        .strip_prefix("/deliveries/")
        .unwrap()
        .split('?')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    service.until_attempted(new, 1).await;
    assert_eq!(service.engine.delivery(new).await.unwrap().status, Status::Delivered);
    let list = visitor.get("/deliveries?status=delivered").await;
    assert!(list.body.contains(&new.to_string()) && !list.body.contains(&delivery.to_string()));
}

#[tokio::test]
async fn the_signature_checker_tells_right_from_wrong() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let delivery = service.send(account, PAYLOAD).await;
    service.until_attempted(delivery, 1).await;
    let secret = service
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .secrets(endpoint)
        .await
        .unwrap()
        .secret
        .expose()
        .to_owned();
    let sent = service.receiver.arrived()[0].0["x-kasko-signature"].to_str().unwrap().to_owned();
    let visitor = Visitor::operator(&service).await;
    let path = format!("/deliveries/{delivery}/signature");
    let check = async |secret: &str, signature: &str, body: &str| {
        visitor.post(&path, &[("secret", secret), ("signature", signature), ("body", body)]).await.body
    };
    assert!(check(&secret, &sent, "").await.contains("It matches"));
    assert!(check("whsec_another_one_of_24_chars", &sent, "").await.contains("It does not match"));
    assert!(check(&secret, "md5=0", "").await.contains("no signature of the contract"));
    let changed = check(&secret, &sent, "{\r\n}").await;
    assert!(changed.contains(&kasko::sign(&secret, b"{\n}")), "{changed}");
    assert!(!changed.contains(&secret), "the secret is not shown again");
}

#[tokio::test]
async fn a_replay_is_counted_first_and_shows_its_progress() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    for _ in 0..3 {
        let delivery = service.send(account, PAYLOAD).await;
        service.until_attempted(delivery, 1).await;
    }
    let visitor = Visitor::operator(&service).await;
    let endpoint = endpoint.to_string();
    let counted = visitor.get(&format!("/replays/new?endpoint={endpoint}&status=delivered")).await;
    assert!(counted.body.contains("3 deliveries") && counted.body.contains("Resend 3"), "{}", counted.body);
    assert_eq!(service.receiver.arrived().len(), 3, "nothing is sent by counting");
    let made = visitor.post("/replays/new", &[("endpoint", &endpoint), ("status", "delivered")]).await;
    let page = visitor.get(made.header("location")).await;
    assert!(page.body.contains("of 3 resent"), "{}", page.body);
    let refused = visitor.post("/replays/new", &[("endpoint", &endpoint), ("since", "soon")]).await;
    assert_eq!(refused.status, 422);
}

#[tokio::test]
async fn accounts_are_made_renamed_and_deleted_and_keys_are_shown_once() {
    let service = Service::start().await;
    let visitor = Visitor::operator(&service).await;
    let made = visitor.post("/accounts", &[("name", "Acme")]).await;
    assert!(made.body.contains("sk_live_") && made.body.contains("sk_test_"));
    let id = service.engine.accounts(page()).rows[0].id;
    let path = format!("/accounts/{id}");
    assert!(!visitor.get(&path).await.body.contains("sk_live_"));
    assert_eq!(visitor.post("/accounts", &[("name", " ")]).await.status, 422);
    assert_eq!(visitor.post(&format!("{path}/rename"), &[("name", "Acme & Sons")]).await.status, 303);
    assert!(visitor.get("/accounts").await.body.contains("Acme &amp; Sons"));
    assert_eq!(visitor.post(&format!("{path}/delete"), &[("sure", "on")]).await.status, 303);
    assert!(service.engine.accounts(page()).rows.is_empty());
}

fn page() -> postrider_engine::PageRequest {
    postrider_engine::PageRequest { limit: 50, before: None }
}

#[tokio::test]
async fn control_characters_are_refused_in_every_text_field() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let account = account.to_string();
    let visitor = Visitor::operator(&service).await;
    let url = service.receiver_url.clone();
    for text in ["a\0b", "a\u{1b}[0mb", "a\u{7f}"] {
        let new_endpoint = [
            ("account", account.as_str()),
            ("mode", "test"),
            ("url", url.as_str()),
            ("types", "*"),
            ("description", text),
        ];
        let url_with_control = format!("{url}{text}/hook");
        for (path, fields, status) in [
            ("/accounts".to_owned(), &[("name", text)][..], 422),
            (format!("/accounts/{account}/rename"), &[("name", text)], 400),
            ("/endpoints/new".to_owned(), &new_endpoint, 422),
            (format!("/endpoints/{endpoint}/edit"), &new_endpoint[2..], 422),
            (
                format!("/endpoints/{endpoint}/edit"),
                &[("url", url_with_control.as_str()), ("types", "*")],
                422,
            ),
            ("/new-event-type".to_owned(), &[("name", "claim.opened"), ("description", text)], 422),
        ] {
            let refused = visitor.post(&path, fields).await;
            assert_eq!(refused.status, status, "{path} {text:?}: {}", refused.body);
            assert!(refused.body.contains("control characters"), "{path} {text:?}: {}", refused.body);
        }
    }
    assert_eq!(service.engine.endpoints(Default::default(), page()).rows.len(), 1);
}
