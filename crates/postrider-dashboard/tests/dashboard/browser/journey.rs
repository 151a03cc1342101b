//! The ways that people go through the dashboard.

use serde_json::json;

use super::driver::Browser;
use crate::harness::Service;
use crate::strangers::hostile_payload;

const PAYLOAD: &str = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_makes_an_endpoint_sees_an_event_arrive_live_reads_a_failure_and_resends() {
    let service = Service::start().await;
    let account = service
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_account("Acme Insurance".to_owned())
        .await
        .unwrap()
        .account
        .id;
    let browser = Browser::start(&service).await;
    browser.log_in().await;

    browser.follow("Endpoints").await;
    browser.follow("New endpoint").await;
    browser.find(&format!("#account option[value='{account}']")).await.click().await.unwrap();
    browser.fill("#url", "http://10.0.0.1/").await;
    browser.click("#description").await;
    browser.until("#fault-url", "10.0.0.1").await;
    browser.fill("#url", &service.receiver_url).await;
    browser.fill("#description", "Acme CRM").await;
    browser.press("Create endpoint").await;
    browser.until("#secret", "whsec_").await;

    browser.go("/deliveries").await;
    browser.until("main", "No deliveries yet").await;
    browser.find("#live[data-open]").await;
    let first = service.send(account, PAYLOAD).await;
    browser.until(&format!("tr[data-key='{first}']"), "Delivered").await;

    service.receiver.answer(503, "out of order");
    let second = service.send(account, PAYLOAD).await;
    browser.until(&format!("tr[data-key='{second}']"), "Exhausted").await;
    browser.click(&format!("tr[data-key='{second}'] a.row")).await;
    browser.until(".alarm", "The receiver answered 503").await;
    browser.until("#response-body-raw", "out of order").await;

    service.receiver.answer(200, "thanks");
    browser.press("Resend").await;
    browser.until(".said", "the same guid").await;
    browser.until("[data-live=status]", "Delivered").await;
    let guids: Vec<_> =
        service.receiver.arrived().iter().map(|(headers, _)| headers["x-kasko-delivery"].clone()).collect();
    assert_eq!(guids[1], guids[guids.len() - 1], "a resend has the guid of the first");

    let endpoint = service.engine.delivery(second).await.unwrap().endpoint;
    browser.go(&format!("/endpoints/{endpoint}/secret")).await;
    browser.press("Rotate").await;
    browser.until(".said", "Both secrets sign").await;
    browser.press("Reveal").await;
    browser.until("#next-secret", "whsec_").await;
    browser.go(&format!("/endpoints/{endpoint}")).await;
    browser.press("Send a test").await;
    browser.until(".said", "on its way").await;
    browser.until("[data-live=status]", "Delivered").await;

    browser.go(&format!("/accounts/{account}")).await;
    browser.press("Make a link").await;
    browser.until("#link", "/portal/").await;
    let portal = browser.run("return document.querySelector('#link').textContent").await;
    browser.go(portal.as_str().unwrap()).await;
    browser.until("main", "offer.created").await;
    let seen = browser.run("return document.querySelector('nav[aria-label=Main]').textContent").await;
    let seen = seen.as_str().unwrap();
    assert!(
        seen.contains("Deliveries") && !seen.contains("Accounts") && !seen.contains("Operations"),
        "{seen}"
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_without_javascript() {
    let service = Service::start().await;
    let browser = Browser::without_javascript(&service).await;
    browser.log_in().await;
    assert!(browser.client.find(fantoccini::Locator::Css("html.js")).await.is_err(), "no script ran");

    browser.follow("Accounts").await;
    browser.fill("#name", "Acme").await;
    browser.press("Create").await;
    browser.until("#key-test", "sk_test_").await;
    browser.follow("To the account").await;
    browser.follow("New endpoint").await;
    browser.fill("#url", &service.receiver_url).await;
    browser.press("Create endpoint").await;
    browser.until("#secret", "whsec_").await;
    browser.follow("To the endpoint").await;
    browser.press("Pause").await;
    browser.until(".said", "Paused").await;
    browser.press("Resume").await;
    browser.until(".said", "Resumed").await;

    browser.go("/events/new").await;
    browser.find("#account option:nth-child(2)").await.click().await.unwrap();
    browser.press("Send").await;
    browser.until(".said", "durable").await;
    browser.click("table.list a.row").await;
    browser.until("h1", "offer.created").await;
    browser.press("Theme").await;
    browser.find("html[data-theme=dark]").await;
    browser.press("Log out").await;
    browser.until(".note", "logged out").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_text_does_nothing_in_a_browser_and_breaks_no_page_s_width() {
    let service = Service::start().await;
    let markup = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";
    service.receiver.answer(500, &format!("{markup}\u{202e}{}", "B".repeat(10_000)));
    let (account, _) = service.account(markup).await;
    let delivery = service.send(account, &hostile_payload()).await;
    service.until_attempted(delivery, 1).await;
    let event = service.engine.delivery(delivery).await.unwrap().event;
    let browser = Browser::start(&service).await;
    browser.log_in().await;
    for width in [1280, 390] {
        browser.client.set_window_size(width, 800).await.unwrap();
        for path in [
            format!("/deliveries/{delivery}"),
            format!("/events/{event}"),
            "/deliveries".to_owned(),
            "/endpoints".to_owned(),
        ] {
            browser.go(&path).await;
            browser.find("footer").await;
            let seen = browser
                .run(
                    "document.querySelectorAll('details').forEach(d => d.open = true);
                    return [document.title.includes('owned'), document.querySelectorAll('main img, main script').length,
                        document.documentElement.scrollWidth <= window.innerWidth]",
                )
                .await;
            assert_eq!(seen, json!([false, 0, true]), "{path} at {width}");
        }
    }
    browser.close().await;
}
