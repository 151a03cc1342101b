//! The catalogue in the operator's hands: added to, changed, archived; and what customers see of it.

use crate::client::Visitor;
use crate::harness::Service;

const SCHEMA: &str = r#"{"required": ["claim"], "properties": {"claim": {"type": "string"}}}"#;

/// The content of a text area.
fn typed(page: &str, name: &str) -> String {
    let (_, rest) =
        page.split_once(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split_once('>').unwrap().1.split("</").next().unwrap().replace("&quot;", "\"")
}

/// What stands beside a field as wrong.
fn fault(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("id=\"fault-{name}\"")).unwrap();
    rest.split("</div>").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_custom_type_is_added_shown_changed_and_sent() {
    let service = Service::start().await;
    let (account, _) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    assert!(operator.get("/event-types").await.body.contains("/new-event-type"));
    assert_eq!(operator.get("/new-event-type").await.status, 200);
    let fields = |name, schema, example| {
        [
            ("name", name),
            ("description", "A <b>claim</b>"),
            ("schema", schema),
            ("example", example),
            ("validation", "on"),
        ]
    };
    for (name, schema, example, field, words) in [
        ("claim.*", "", "", "name", "event type"),
        ("policy.created", "", "", "name", "already"),
        ("claim.opened", r#"{"type": "text"}"#, "", "schema", "/type"),
        ("claim.opened", "{", "", "schema", "read"),
        ("claim.opened", SCHEMA, r#"{"claim": 7}"#, "example", "/claim"),
    ] {
        let refused = operator.post("/new-event-type", &fields(name, schema, example)).await;
        assert_eq!(refused.status, 422, "{name}");
        assert!(fault(&refused.body, field).contains(words), "{name}: {}", refused.body);
        assert_eq!(
            (typed(&refused.body, "schema"), typed(&refused.body, "example")),
            (schema.to_owned(), example.to_owned())
        );
    }
    let made =
        operator.post("/new-event-type", &fields("claim.opened", SCHEMA, "{\r\n \"claim\": \"C\"}")).await;
    assert_eq!((made.status, made.header("location")), (303, "/event-types/claim.opened?said=added"));
    let page = operator.get("/event-types/claim.opened?said=added").await.body;
    for text in ["Added", "Custom", "A &lt;b&gt;claim&lt;/b&gt;", "JSON Schema 2020-12", "Archive it"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let list = operator.get("/event-types").await.body;
    assert!(list.contains("claim.opened") && list.contains("Custom"));

    let account = account.to_string();
    let form = operator.get("/events/new?type=claim.opened").await.body;
    assert_eq!(typed(&form, "payload"), "{\n \"claim\": \"C\"}", "the example");
    let event = |payload| {
        [("account", account.as_str()), ("type", "claim.opened"), ("mode", "test"), ("payload", payload)]
    };
    assert_eq!(operator.post("/events/new", &event("{}")).await.status, 422);
    assert_eq!(operator.post("/events/new", &event(r#"{"claim":"C"}"#)).await.status, 303);

    let edit = "/event-types/claim.opened/edit";
    assert_eq!(typed(&operator.get(edit).await.body, "schema"), SCHEMA);
    let refused = operator
        .post(edit, &[("schema", r#"{"required":["x"]}"#), ("example", "{\n \"claim\": \"C\"}")])
        .await;
    assert!(
        refused.status == 422 && fault(&refused.body, "schema").contains("own example"),
        "{}",
        refused.body
    );
    let saved = operator.post(edit, &[("schema", ""), ("example", "{}"), ("description", "")]).await;
    assert_eq!(saved.header("location"), "/event-types/claim.opened?said=changed");
    let page = operator.get("/event-types/claim.opened").await.body;
    assert!(page.contains("any JSON object passes") && page.contains("Validation off"), "{page}");
    let audit = operator.get("/audit?action=event_type.updated").await.body;
    assert!(audit.contains("/event-types/claim.opened") && audit.contains("schema"), "{audit}");
}

#[tokio::test]
async fn an_archived_type_is_marked_offered_nowhere_and_brought_back() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let (path, archive) = ("/event-types/policy.updated", "/event-types/policy.updated/archive");
    let edit = format!("/endpoints/{endpoint}/edit");
    let subscribed = [
        ("url", service.receiver_url.as_str()),
        ("types", "policy.updated"),
        ("timeout_seconds", "15"),
        ("max_in_flight", "10"),
    ];
    assert_eq!(operator.post(&edit, &subscribed).await.status, 303);
    assert_eq!(operator.post(archive, &[("to", "nowhere")]).await.status, 400);
    let archived = operator.post(archive, &[("to", "archived")]).await;
    assert_eq!(archived.header("location"), format!("{path}?said=archived"));
    let page = operator.get(path).await.body;
    assert!(
        page.contains("Archived") && page.contains("Bring it back") && !page.contains("Send one"),
        "{page}"
    );
    assert!(operator.get("/event-types").await.body.contains("Archived"));
    for offers in ["/events/new", "/endpoints/new", &format!("/endpoints/{endpoint}")] {
        let page = operator.get(offers).await.body;
        assert!(
            !page.contains("value=\"policy.updated\"") && !page.contains("type=policy.updated"),
            "{offers}"
        );
    }
    // It is still in the log, and an endpoint that has it may keep it.
    assert!(operator.get("/deliveries").await.body.contains("policy.updated"));
    let kept = [&subscribed[..1], &subscribed[2..], &[("patterns", "policy.updated")]].concat();
    assert_eq!(operator.post(&edit, &kept).await.status, 303);
    let account = account.to_string();
    let new = [&kept[..], &[("account", account.as_str()), ("mode", "test")]].concat();
    let refused = operator.post("/endpoints/new", &new).await;
    assert!(refused.status == 422 && refused.body.contains("is archived"), "{}", refused.body);
    assert_eq!(
        operator.post(archive, &[("to", "back")]).await.header("location"),
        format!("{path}?said=back")
    );
    assert!(operator.get("/events/new").await.body.contains("policy.updated"));
}

#[tokio::test]
async fn what_the_service_raises_itself_is_not_changed() {
    let service = Service::start().await;
    let operator = Visitor::operator(&service).await;
    let page = operator.get("/event-types/endpoint.failing").await.body;
    assert!(!page.contains("/edit") && !page.contains("Archive it"), "{page}");
    assert_eq!(operator.get("/event-types/endpoint.failing/edit").await.status, 404);
    let archived = operator.post("/event-types/endpoint.failing/archive", &[("to", "archived")]).await;
    assert_eq!(archived.status, 409, "{}", archived.body);
}
