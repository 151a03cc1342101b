//! `/metrics`: what Prometheus reads, whoever the customers are.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::harness::{PATIENCE, Service};

/// Every sample by its name and labels; judged by the rules of the text format on the way.
async fn samples(service: &Service) -> BTreeMap<String, f64> {
    let answer = service.operator("GET", "/metrics", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    assert!(text.ends_with('\n'));
    let (mut samples, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind).is_none(), "{name} is there twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            let is_known = ["", "_bucket", "_sum", "_count"]
                .into_iter()
                .any(|end| bare.strip_suffix(end).is_some_and(|base| kinds.contains_key(base)));
            assert!(is_known && bare.starts_with("postrider_"), "{line}");
            assert!(
                samples.insert(name.to_owned(), value.parse().unwrap()).is_none(),
                "{name} is there twice"
            );
        }
    }
    samples
}

#[tokio::test]
async fn what_happens_is_counted() {
    let service = Service::start().await;
    let account = service.account("a").await;
    service.endpoint(&account, json!({})).await;
    let failing = service.endpoint(&account, json!({ "livemode": true })).await;
    let pause = format!("/v1/endpoints/{}/pause", failing["id"].as_str().unwrap());
    service.operator("POST", &pause, "").await;
    let before = samples(&service).await;
    assert_eq!(before["postrider_events_total"], 0.0);
    assert_eq!(before["postrider_oldest_pending_age_seconds"], 0.0);
    assert_eq!(before["postrider_endpoints{standing=\"healthy\"}"], 1.0);
    assert_eq!(before["postrider_endpoints{standing=\"paused\"}"], 1.0);
    service.event(&account).await;
    let pending = samples(&service).await;
    assert_eq!(pending["postrider_pending_deliveries"], 1.0);
    assert_eq!(pending["postrider_in_flight_requests"], 1.0);
    service.receivers.answer_with(200);
    let event = service.event(&account).await;
    service.wait_for_delivery(&event["deliveries"][0]["id"], |row| row["status"] == "delivered").await;
    service.receivers.answer_with(500);
    let event = service.event(&account).await;
    service.wait_for_delivery(&event["deliveries"][0]["id"], |row| row["attempt_count"] == 1).await;
    let after = samples(&service).await;
    for (name, value) in [
        ("postrider_events_total", 3.0),
        ("postrider_deliveries_created_total", 3.0),
        ("postrider_deliveries_finished_total{outcome=\"delivered\"}", 1.0),
        ("postrider_deliveries_finished_total{outcome=\"exhausted\"}", 0.0),
        ("postrider_attempts_total{outcome=\"received\"}", 1.0),
        ("postrider_attempts_total{outcome=\"status\"}", 1.0),
        ("postrider_attempts_total{outcome=\"timeout\"}", 0.0),
        ("postrider_attempt_duration_seconds_count{phase=\"total\"}", 2.0),
        ("postrider_attempt_duration_seconds_count{phase=\"tls\"}", 0.0),
        ("postrider_attempt_duration_seconds_sum{phase=\"total\"}", 0.00425),
        ("postrider_attempt_duration_seconds_bucket{phase=\"total\",le=\"0.001\"}", 0.0),
        ("postrider_attempt_duration_seconds_bucket{phase=\"total\",le=\"0.0025\"}", 2.0),
        ("postrider_attempt_duration_seconds_bucket{phase=\"total\",le=\"+Inf\"}", 2.0),
        ("postrider_pending_deliveries", 2.0),
    ] {
        assert_eq!(after.get(name), Some(&value), "{name}");
    }
    assert!(after["postrider_store_commit_duration_seconds_count"] >= 3.0);
    assert!(after["postrider_store_bytes{part=\"database\"}"] > 10_000.0);
    assert!(after["postrider_store_bytes{part=\"write_ahead_log\"}"] > 10_000.0);
    assert!(after.contains_key("postrider_store_free_bytes"));
    assert!(after["postrider_store_checkpoint_age_seconds"] >= 0.0);
    assert!(after["postrider_store_oldest_row_age_seconds{table=\"audit\"}"] > 0.0);
    assert_eq!(after["postrider_store_oldest_row_age_seconds{table=\"idempotency\"}"], 0.0);
    assert_eq!(after["postrider_store_retention_seconds{table=\"idempotency\"}"], 86_400.0);
    assert_eq!(before["postrider_oldest_event_age_seconds"], 0.0);
    assert!(after["postrider_store_commit_size_sum"] >= after["postrider_store_commit_size_count"]);
    // It grows with time, which a first look may be too early for.
    let grows = async { while samples(&service).await["postrider_oldest_pending_age_seconds"] <= 0.0 {} };
    tokio::time::timeout(PATIENCE, grows).await.unwrap();
    assert!(samples(&service).await["postrider_oldest_event_age_seconds"] > 0.0);
    service.stop().await;
}

#[tokio::test]
async fn the_page_is_the_operators_and_as_long_whoever_the_customers_are() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let one: Vec<String> = samples(&service).await.into_keys().collect();
    for name in ["b", "c", "d"] {
        let account = service.account(name).await;
        service.endpoint(&account, json!({ "event_types": ["policy.*"] })).await;
        service.event(&account).await;
    }
    let many: Vec<String> = samples(&service).await.into_keys().collect();
    assert_eq!(one, many);
    assert_eq!(service.call(&account.live_key, "GET", "/metrics", "").await.status, 403);
    assert_eq!(service.connect().await.request("GET", "/metrics", &[], b"").await.status, 401);
    service.stop().await;
}

/// Metrics that the SQLite store of these tests doesn't have.
const ONLY_WITH_POSTGRESQL: [&str; 2] =
    ["postrider_store_oldest_transaction_age_seconds", "postrider_store_dead_rows"];

#[tokio::test]
async fn every_metric_of_the_alert_rules_and_of_the_dashboard_is_there() {
    let service = Service::start().await;
    let known: Vec<String> = samples(&service).await.into_keys().collect();
    let mut named = 0;
    for document in [
        include_str!("../../../../docs/operations.md"),
        include_str!("../../../../docs/alerts.yml"),
        include_str!("../../../../docs/grafana-dashboard.json"),
    ] {
        for name in document.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            if name.starts_with("postrider_") {
                let is_known = known.iter().any(|sample| {
                    sample
                        .split('{')
                        .next()
                        .is_some_and(|bare| bare == name || bare == format!("{name}_count"))
                });
                assert!(is_known || ONLY_WITH_POSTGRESQL.contains(&name), "{name}");
                named += 1;
            }
        }
    }
    assert!(named > 40);
    service.stop().await;
}

/// Every node reports all of them: a sum over nodes would count each once per node.
#[tokio::test]
async fn what_every_node_reports_is_never_summed_and_the_operators_account_is_no_customer() {
    let service = Service::start().await;
    service.account("Acme").await;
    assert_eq!(samples(&service).await["postrider_accounts"], 1.0);
    service.stop().await;
    for document in
        [include_str!("../../../../docs/alerts.yml"), include_str!("../../../../docs/grafana-dashboard.json")]
    {
        for expression in document.lines().filter(|line| line.contains("postrider_endpoints")) {
            assert!(expression.contains("max") && !expression.contains("sum"), "{expression}");
        }
    }
}

/// Just then somebody wants to know what the service still counts by itself.
#[tokio::test]
async fn while_the_store_does_not_answer_everything_else_is_told() {
    let service = Service::start().await;
    let before = samples(&service).await;
    assert_eq!(before["postrider_store_up"], 1.0);
    assert!(before.contains_key("postrider_oldest_pending_age_seconds"));
    service.engine.shutdown(Duration::ZERO).await;
    let without = samples(&service).await;
    assert_eq!(without["postrider_store_up"], 0.0);
    assert!(!without.contains_key("postrider_oldest_pending_age_seconds"));
    assert!(without.contains_key("postrider_store_failed_commits_total"));
    service.stop().await;
}
