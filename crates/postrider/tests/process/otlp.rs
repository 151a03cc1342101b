//! Traces and metrics pushed to a collector over real sockets: what arrives there, what never does, and that a collector
//! which is of no use harms nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scripted::{Reply, Request, Scripted};
use crate::service::{Poster, Service, event, postrider, run, serve};

const PATIENCE: Duration = Duration::from_secs(30);
const LOCAL: [&str; 2] = ["--allow-nets", "127.0.0.0/8"];
/// What the last flush may take, and what else a busy machine needs for leaving.
const LEAVES_WITHIN: Duration = Duration::from_secs(8);

/// A service that pushes to this collector; retries come soon.
fn traced(folder: &std::path::Path, collector: &str) -> Service {
    Service::start(
        folder,
        &[&LOCAL[..], &["--retry-schedule", "1s,1s", "--otlp-endpoint", collector]].concat(),
    )
}

/// Looks again and again until it is so; fails the test after a while.
fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never came to that");
    }
}

fn bodies(requests: &[Request], path: &str) -> Vec<Value> {
    let to_path = |request: &&Request| request.head.starts_with(&format!("post {path} http/1.1"));
    requests.iter().filter(to_path).map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

/// Every span that came.
fn spans(requests: &[Request]) -> Vec<Value> {
    let of = |body: Value| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    bodies(requests, "/v1/traces").into_iter().flat_map(of).collect()
}

fn of_trace<'a>(spans: &'a [Value], trace: &str, name: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["traceId"] == trace && span["name"] == name).collect()
}

fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let all = of["attributes"].as_array().unwrap();
    let value = all.iter().find(|one| one["key"] == key).map(|one| one["value"].as_object().unwrap());
    value.and_then(|value| value.values().next()).unwrap_or(&Value::Null)
}

fn nanos(span: &Value, key: &str) -> u64 {
    span[key].as_str().unwrap().parse().unwrap()
}

/// The last value of a metric that was pushed.
fn pushed(requests: &[Request], name: &str) -> Option<Value> {
    let bodies = bodies(requests, "/v1/metrics");
    let metrics = bodies.last()?["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array()?.clone();
    metrics.into_iter().find(|metric| metric["name"] == name)
}

/// The requests as they would have come without a path of the collector's own.
fn strip(requests: &[Request]) -> Vec<Request> {
    let strip = |one: &Request| Request { head: one.head.replacen("/base/", "/", 1), ..one.clone() };
    requests.iter().map(strip).collect()
}

/// The attributes of the one attempt of an event, which was taken in with this answer and received.
fn has_what_it_should_say(deliver: &Value, account: &str, taken: &Value) {
    for (key, value) in [
        ("postrider.event.id", taken["id"].clone()),
        ("postrider.event.type", json!("policy.created")),
        ("postrider.account.id", json!(account)),
        ("postrider.delivery.id", taken["deliveries"][0]["id"].clone()),
        ("postrider.endpoint.id", taken["deliveries"][0]["endpoint"].clone()),
        ("postrider.delivery.status", json!("delivered")),
        ("postrider.attempt.number", json!("1")),
        ("postrider.attempt.outcome", json!("received")),
        ("http.response.status_code", json!("200")),
        ("server.address", json!("127.0.0.1")),
    ] {
        assert_eq!(attribute(deliver, key), &value, "{key}");
    }
    assert!(!attribute(deliver, "postrider.attempt.connect_us").is_null(), "a phase that happened");
}

/// Who pushed, and the metrics after one event that was received.
fn metrics_came(seen: &[Request]) {
    let resource = &bodies(seen, "/v1/traces")[0]["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), "postrider");
    assert!(attribute(resource, "service.instance.id").as_str().is_some_and(|name| !name.is_empty()));
    let events = pushed(seen, "postrider_events_total").unwrap();
    assert_eq!(events["sum"]["dataPoints"][0]["asInt"], "1");
    assert_eq!(
        (&events["sum"]["isMonotonic"], &events["sum"]["aggregationTemporality"]),
        (&json!(true), &json!(2))
    );
    let phases = pushed(seen, "postrider_attempt_duration_seconds").unwrap();
    let total = phases["histogram"]["dataPoints"].as_array().unwrap().last().unwrap();
    assert_eq!((attribute(total, "phase"), &total["count"]), (&json!("total"), &json!("1")));
    let (bounds, counts) = (&total["explicitBounds"], total["bucketCounts"].as_array().unwrap());
    assert_eq!(bounds.as_array().unwrap().len() + 1, counts.len());
    assert_eq!(counts.iter().filter(|count| *count == "1").count(), 1, "not cumulative: {counts:?}");
}

#[test]
fn an_event_is_one_trace_from_its_taking_in_to_the_attempt_and_receivers_see_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, receiver) =
        (Scripted::start(|_| Reply::Status(200)), Scripted::start(|_| Reply::Status(200)));
    let service = traced(folder.path(), &format!("{}/base/", collector.url()));
    let account = service.account();
    let url = format!("{}/hook/path-nobody-may-trace?token=query-nobody-may-trace", receiver.url());
    let secret = service.endpoint(&account, &url)["secret"].as_str().unwrap().to_owned();
    let caller = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let headers = [caller, ("tracestate", "vendor=state-nobody-may-trace"), ("baggage", "a=b")];
    let payload = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I","first_name":"payload-nobody-may-trace"}"#;
    let body = format!(r#"{{"account":"{account}","type":"policy.created","payload":{payload}}}"#);
    let (status, taken) = Poster::new(&service.url).post_with(&headers, "/v1/events", &body).unwrap();
    assert_eq!(status, 202, "{taken}");
    let guid = taken["id"].as_str().unwrap();
    collector.wait(PATIENCE, |seen| of_trace(&spans(&strip(seen)), guid, "deliver").len() == 1);
    let all = spans(&strip(&collector.seen()));
    let [root, accept, deliver] = ["ingest", "accept", "deliver"].map(|name| of_trace(&all, guid, name)[0]);
    assert_eq!((&root["spanId"], &root["kind"]), (&json!(guid[16..]), &json!(2)));
    assert_eq!(root.get("parentSpanId"), None);
    assert_eq!((&accept["parentSpanId"], &deliver["parentSpanId"]), (&root["spanId"], &root["spanId"]));
    assert_ne!(accept["spanId"], deliver["spanId"]);
    let link = &root["links"][0];
    assert_eq!((&link["traceId"], &link["spanId"]), (&json!(&caller.1[3..35]), &json!(&caller.1[36..52])));
    let times = [(root, "startTimeUnixNano"), (accept, "startTimeUnixNano"), (accept, "endTimeUnixNano")];
    let times = times.map(|(span, key)| nanos(span, key));
    assert!(times.is_sorted() && times[2] <= nanos(root, "endTimeUnixNano"), "{times:?}");
    assert!(times[2] <= nanos(deliver, "startTimeUnixNano"), "nothing is sent before it is committed");
    assert!(nanos(deliver, "startTimeUnixNano") < nanos(deliver, "endTimeUnixNano"));
    assert_eq!((&deliver["kind"], deliver.get("status")), (&json!(3), None));
    has_what_it_should_say(deliver, &account, &taken);
    let head = &receiver.seen()[0].head;
    assert!(head.starts_with("post /hook/path-nobody-may-trace?token="), "{head}");
    for never in ["traceparent", "tracestate", "baggage", "b3:", &guid[16..] as &str] {
        let named = head.replace(&format!("x-kasko-delivery: {guid}"), "");
        assert!(!named.contains(never), "{never}: {head}");
    }
    // They are counted once the collector's answer is there.
    until(|| service.metric("postrider_otlp_exported_spans_total") >= 3);
    assert!(service.terminate().success());
    let everything: String =
        collector.seen().iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect();
    assert!(!everything.contains("nobody-may-trace") && !everything.contains(&secret), "{everything}");
    let seen = strip(&collector.seen());
    assert!(seen.iter().all(|request| request.head.contains("\ncontent-type: application/json\r")));
    metrics_came(&seen);
}

#[test]
fn every_attempt_of_an_event_is_in_its_trace_over_a_restart_and_a_stop_leaves_no_span_behind() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Scripted::start(|_| Reply::Status(200));
    let receiver = Scripted::start(|number| Reply::Status(if number < 3 { 500 } else { 200 }));
    let service = traced(folder.path(), &collector.url());
    let account = service.account();
    service.endpoint(&account, &format!("{}/hook", receiver.url()));
    let batch = format!(r#"{{"events":[{}]}}"#, event(&account));
    // Two of them are none, by the rules of W3C Trace Context.
    let twice = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"); 2];
    let (status, taken) = Poster::new(&service.url).post_with(&twice, "/v1/events/batch", &batch).unwrap();
    assert_eq!(status, 202, "{taken}");
    let guid = taken["results"][0]["id"].as_str().unwrap().to_owned();
    receiver.wait(PATIENCE, |seen| seen.len() == 1);
    // What is in flight ends, and what has ended is told, before the process leaves.
    assert!(service.terminate().success());
    let before = spans(&collector.seen());
    let root = of_trace(&before, &guid, "ingest")[0].clone();
    assert_eq!((attribute(&root, "http.route"), root.get("links")), (&json!("/v1/events/batch"), None));
    assert_eq!(of_trace(&before, &guid, "deliver").len(), receiver.seen().len());
    let again = traced(folder.path(), &collector.url());
    collector.wait(PATIENCE, |seen| of_trace(&spans(seen), &guid, "deliver").len() == 3);
    let all = spans(&collector.seen());
    let mut attempts = of_trace(&all, &guid, "deliver");
    attempts.sort_by_key(|span| nanos(span, "startTimeUnixNano"));
    for (span, (number, status)) in attempts.iter().zip([("1", "500"), ("2", "500"), ("3", "200")]) {
        assert_eq!(span["parentSpanId"], root["spanId"]);
        assert_eq!(attribute(span, "postrider.attempt.number"), number);
        assert_eq!(attribute(span, "http.response.status_code"), status);
        let is_error = span["status"]["code"] == 2 && attribute(span, "error.type") == "status";
        assert_eq!(is_error, status == "500", "{span}");
    }
    assert_eq!(of_trace(&all, &guid, "ingest").len(), 1, "taken in once");
    assert!(again.terminate().success());
}

#[test]
fn a_collector_that_hangs_slows_neither_deliveries_nor_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, receiver) =
        (Scripted::start(|_| Reply::Silence), Scripted::start(|_| Reply::Status(200)));
    let service = traced(folder.path(), &collector.url());
    let account = service.account();
    service.endpoint(&account, &format!("{}/hook", receiver.url()));
    for _ in 0..20 {
        assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
    }
    receiver.wait(PATIENCE, |seen| seen.len() == 20);
    collector.wait(PATIENCE, |seen| !bodies(seen, "/v1/traces").is_empty());
    let asked_at = Instant::now();
    assert!(service.terminate().success());
    assert!(asked_at.elapsed() < LEAVES_WITHIN, "{:?}", asked_at.elapsed());
}

#[test]
fn a_collector_that_refuses_talks_nonsense_or_is_not_there_costs_spans_alone() {
    for (is_refusing, collector) in [
        (true, Scripted::start(|_| Reply::Status(500)).url()),
        (false, Scripted::start(|_| Reply::Garbage).url()),
        (false, "http://127.0.0.1:9".to_owned()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Scripted::start(|_| Reply::Status(200));
        let service = traced(folder.path(), &collector);
        let account = service.account();
        service.endpoint(&account, &format!("{}/hook", receiver.url()));
        assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
        receiver.wait(PATIENCE, |seen| seen.len() == 1);
        let rejected = "postrider_otlp_dropped_spans_total{reason=\"rejected\"}";
        if is_refusing {
            until(|| service.metric(rejected) >= 3);
        }
        assert_eq!(service.metric("postrider_otlp_exported_spans_total"), 0);
        assert!(service.terminate().success());
    }
}

#[test]
fn an_address_that_is_none_is_one_clear_line_and_doctor_looks_whether_somebody_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = serve(folder.path());
    wrong.env("POSTRIDER_OTLP_ENDPOINT", "collector:4318");
    let (code, _, err) = run(wrong);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("POSTRIDER_OTLP_ENDPOINT is \"collector:4318\"; it must be the collector's"),
        "{err}"
    );
    let collector = Scripted::start(|number| Reply::Status(if number == 1 { 200 } else { 404 }));
    for status in ["good", "warning"] {
        let mut doctor = postrider(folder.path());
        doctor.args(["doctor", "--json", "--resolve", "localhost", "--listen", "127.0.0.1:0"]);
        let (code, out, err) = run({
            doctor.args(["--otlp-endpoint", &collector.url()]);
            doctor
        });
        assert_eq!(code, Some(0), "a warning at most: {out}{err}");
        let found: Value = serde_json::from_str(&out).unwrap();
        let checks = found["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["area"] == "OTLP collector").unwrap();
        assert_eq!(check["status"], status, "{check}");
    }
    assert_eq!(collector.seen()[0].body, br#"{"resourceSpans":[]}"#);
}
