//! Every page as somebody meets it who uses the keyboard alone, has it read out, sees little, or holds a phone.

use postrider_core::audit::Who;
use postrider_engine::model::StateChange;
use serde_json::{Value, json};

use super::driver::Browser;
use crate::harness::Service;

const PAYLOAD: &str = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#;
const TAB: &str = "\u{e004}";

/// A service in which something of everything is there, and the paths of all its pages.
async fn everything() -> (Service, Vec<String>) {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme Insurance").await;
    let good = service.send(account, PAYLOAD).await;
    service.until_attempted(good, 1).await;
    service.receiver.answer(500, "{\"broken\": true}");
    let failed = service.send(account, PAYLOAD).await;
    service.until_attempted(failed, 2).await;
    let paused = service.endpoint(account, "Held back").await;
    let hand = service.engine.by(Who::SERVICE);
    hand.change_state(paused, StateChange::Pause).await.unwrap();
    let disabled = service.endpoint(account, &"A long description without an end ".repeat(20)).await;
    hand.change_state(disabled, StateChange::Disable).await.unwrap();
    let pending = service.send(account, PAYLOAD).await;
    let of_paused = postrider_engine::DeliveryFilter { endpoint: Some(paused), ..Default::default() };
    let page = postrider_engine::PageRequest { limit: 1, before: None };
    let held = service.engine.deliveries(of_paused, page).await.unwrap().rows[0].id;
    let event = service.engine.delivery(pending).await.unwrap().event;
    let portal = hand.create_portal_link(account, None, None, None).await.unwrap().token;
    let mut paths: Vec<String> = [
        "/login",
        "/",
        "/deliveries",
        "/deliveries?status=cancelled",
        "/deliveries?since=soon",
        "/endpoints",
        "/endpoints/new",
        "/events",
        "/events/new",
        "/event-types",
        "/event-types/policy.created",
        "/event-types/policy.created/edit",
        "/new-event-type",
        "/replays",
        "/accounts",
        "/operations",
        "/audit",
        "/nowhere",
    ]
    .map(str::to_owned)
    .into();
    paths.extend([good, failed, held].map(|id| format!("/deliveries/{id}")));
    for id in [endpoint, paused, disabled] {
        paths.push(format!("/endpoints/{id}"));
    }
    paths.extend([
        format!("/endpoints/{endpoint}/edit"),
        format!("/endpoints/{endpoint}/secret"),
        format!("/replays/new?endpoint={endpoint}"),
        format!("/events/{event}"),
        format!("/accounts/{account}"),
        format!("/portal/{portal}/"),
        format!("/portal/{portal}/deliveries/{failed}"),
        format!("/portal/{portal}/endpoints/{endpoint}"),
        "/portal/pl_nothing/".to_owned(),
    ]);
    (service, paths)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_can_be_read_out_seen_in_both_themes_and_fits_a_phone() {
    let (service, paths) = everything().await;
    let browser = Browser::start(&service).await;
    browser.log_in().await;
    let mut faults = Vec::new();
    for path in &paths {
        browser.client.set_window_size(1280, 900).await.unwrap();
        browser.go(path).await;
        browser.find("main").await;
        let mut found = browser.run(STRUCTURE).await;
        for theme in ["light", "dark"] {
            let more = browser.run(&CONTRAST.replace("THEME", theme)).await;
            found
                .as_array_mut()
                .unwrap()
                .extend(more.as_array().unwrap().iter().map(|fault| json!(format!("{theme}: {fault}"))));
        }
        browser.client.set_window_size(390, 844).await.unwrap();
        let fits = browser.run("return document.documentElement.scrollWidth <= window.innerWidth").await;
        if fits != json!(true) {
            faults.push(format!("{path} is wider than a phone"));
        }
        faults.extend(found.as_array().unwrap().iter().map(|fault| format!("{path}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    browser.close().await;
}

/// What can be used on a page, in the order of the page: what the tabulator key must come to. Of the buttons of one choice
/// the browser stops at the chosen one, and of what is folded in nothing is there.
const USABLE: &str = "
    window.usable = [...document.querySelectorAll('a[href],button,input:not([type=hidden]),select,textarea,summary')]
        .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled && !e.closest('dialog')
            && !(e.type === 'radio' && !e.checked));
    return window.usable.length";
/// Which of them has the focus, and whether that can be seen; -1 for a part of the page that can be scrolled by keys.
const FOCUSED: &str = "
    const e = document.activeElement;
    const ring = getComputedStyle(e);
    return [window.usable.indexOf(e), ring.outlineStyle !== 'none' && parseFloat(ring.outlineWidth) > 0]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_reached_and_seen_by_keyboard() {
    let (service, paths) = everything().await;
    let browser = Browser::start(&service).await;
    browser.log_in().await;
    let failed = paths.iter().filter(|path| path.starts_with("/deliveries/")).nth(1).unwrap();
    let endpoint = paths.iter().find(|path| path.starts_with("/endpoints/ep_")).unwrap();
    for path in ["/", "/deliveries", "/endpoints/new", "/operations", failed, endpoint] {
        browser.go(path).await;
        // A page that stands still has an order to compare with.
        browser.run("const live = document.querySelector('#live'); if (live?.getAttribute('aria-pressed') === 'true') live.click(); document.activeElement.blur()").await;
        let count = browser.run(USABLE).await.as_u64().unwrap();
        let mut reached = Vec::new();
        for _ in 0..count + 12 {
            let active = browser.client.active_element().await.unwrap();
            active.send_keys(TAB).await.unwrap();
            let seen = browser.run(FOCUSED).await;
            let index = seen[0].as_i64().unwrap();
            if index >= 0 && reached.last() != Some(&index) {
                assert_eq!(seen[1], json!(true), "{path}: the focus can't be seen on number {index}");
                reached.push(index);
            }
            if Some(index) == i64::try_from(count - 1).ok() {
                break;
            }
        }
        let in_order: Vec<i64> = (0..i64::try_from(count).unwrap()).collect();
        assert_eq!(reached, in_order, "{path}: the order of the keyboard is that of the page");
        let first = browser.run("return window.usable[0].textContent").await;
        assert_eq!(first, json!("Skip to the content"), "{path}");
    }
    browser.go("/").await;
    let body = browser.find("body").await;
    body.send_keys("gd").await.unwrap();
    browser.until("h1", "Deliveries").await;
    let body = browser.find("body").await;
    body.send_keys("j").await.unwrap();
    let active = browser.client.active_element().await.unwrap();
    assert_eq!(active.attr("class").await.unwrap().as_deref(), Some("row"));
    active.send_keys("\u{e007}").await.unwrap();
    browser.until("h1", "policy.created").await;
    browser.close().await;
}

/// A page that nobody sees is not live; it is looked at again as soon as somebody sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_out_of_sight_leaves_its_place_and_takes_it_again() {
    let service = Service::start().await;
    let (account, _) = service.account("Acme").await;
    let browser = Browser::start(&service).await;
    browser.log_in().await;
    browser.go("/deliveries").await;
    browser.find("#live[data-open]").await;
    let sight = |state: &str| {
        format!(
            "document.querySelector('#live').removeAttribute('data-open');
            Object.defineProperty(document, 'hidden', {{ value: {state}, configurable: true }});
            document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.run(&sight("true")).await;
    let unseen = service.send(account, PAYLOAD).await;
    service.until_attempted(unseen, 1).await;
    let row = format!("tr[data-key='{unseen}']");
    let shown = browser.run(&format!("return document.querySelector(\"{row}\") === null")).await;
    assert_eq!(shown, json!(true), "it stands still");
    browser.run(&sight("false")).await;
    browser.find("#live[data-open]").await;
    browser.until(&row, "Delivered").await;
    let shown = browser.run("return document.querySelector('#live').textContent").await;
    assert_eq!(shown, Value::from("Live"));
    browser.close().await;
}

/// What is wrong with a page for whoever has it read out: names, labels, headings, tables, ids.
const STRUCTURE: &str = "
    const faults = [];
    const say = (what, e) => faults.push(`${what}: ${e.outerHTML.slice(0, 120)}`);
    const outside = (e) => !e.closest('dialog');
    document.querySelectorAll('details').forEach((d) => { d.open = true; });
    if (!document.documentElement.lang) faults.push('no language');
    if (!document.title.trim()) faults.push('no title');
    if ([...document.querySelectorAll('main')].length !== 1) faults.push('not one main');
    const headings = [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].filter(outside);
    if (headings.filter((h) => h.tagName === 'H1').length !== 1) faults.push('not one h1');
    let level = 0;
    for (const h of headings) {
        const next = Number(h.tagName[1]);
        if (!h.textContent.trim()) say('an empty heading', h);
        if (next > level + 1) say(`a heading of level ${next} behind one of ${level}`, h);
        level = next;
    }
    for (const field of document.querySelectorAll('input:not([type=hidden]),select,textarea,progress')) {
        const label = [...field.labels].map((l) => l.textContent).join(' ').trim() || field.getAttribute('aria-label');
        if (!label) say('no label', field);
    }
    for (const e of document.querySelectorAll('a,button,summary')) {
        const name = e.getAttribute('aria-label') || e.textContent.trim() || e.querySelector('svg[aria-label],img[alt]:not([alt=\"\"])');
        if (!name) say('no name', e);
        if (e.tabIndex < 0) say('out of reach', e);
    }
    for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) say('out of order', e);
    for (const e of document.querySelectorAll('img:not([alt])')) say('no alternative', e);
    for (const e of document.querySelectorAll('svg:not([aria-label]):not([aria-hidden]):not([aria-labelledby])')) say('a drawing without words', e);
    for (const e of document.querySelectorAll('th:not([scope])')) say('a head of what', e);
    for (const e of document.querySelectorAll('nav:not([aria-label]):not([aria-labelledby])')) say('a navigation without a name', e);
    const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
    for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`the id ${id} is there twice`);
    for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for']) {
        for (const e of document.querySelectorAll(`[${name}]`)) {
            for (const id of e.getAttribute(name).split(/\\s+/)) if (!document.getElementById(id)) say(`${name} names nothing`, e);
        }
    }
    const usable = 'a[href],button,input,select,textarea,summary,label,dialog *';
    for (const e of document.querySelectorAll('body *')) {
        if (getComputedStyle(e).cursor === 'pointer' && !e.closest(usable)) say('for the mouse alone', e);
    }
    return faults";

/// Finds text whose contrast to what is behind it is below 4.5 (WCAG 2.2, 1.4.3 AA).
const CONTRAST: &str = "
    document.documentElement.dataset.theme = 'THEME';
    document.querySelectorAll('details').forEach((d) => { d.open = true; });
    const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n.slice(0, 3), 1] : n; };
    const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c.slice(0, 3); } return parse(getComputedStyle(document.documentElement).backgroundColor).slice(0, 3); };
    const faults = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
        const e = node.parentElement;
        if (!node.textContent.trim() || !e.checkVisibility() || e.closest('.visually-hidden,.skip,option,dialog,tr.new,:disabled')) continue;
        const [a, b] = [light(parse(getComputedStyle(e).color).slice(0, 3)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) faults.add(`${ratio.toFixed(2)} ${e.tagName}.${e.className}: ${node.textContent.trim().slice(0, 30)}`);
    }
    return [...faults]";
