//! The cases of the end-to-end run, each a story from accounts to records.

use anyhow::{Context as _, Result, ensure};

use super::certificates;
use super::events::{self, Event};
use super::php::Place;
use super::rest::Accepted;
use super::service::Service;
use super::webhook::Webhook;

/// A secret as an operator would give it: visible ASCII of any kind.
const GIVEN_SECRET: &str = "whsec_given/by+the=operator!0123";

pub(super) fn php_takes_the_examples(service: &Service) -> Result<()> {
    php_takes(service, "php-examples", &events::examples())
}

pub(super) fn php_takes_awkward_json(service: &Service) -> Result<()> {
    let mut awkward = events::awkward();
    awkward.push(events::large());
    php_takes(service, "php-awkward", &awkward)
}

/// Hands the events in for an account with one PHP endpoint and proves that it took each.
fn php_takes(service: &Service, name: &str, events: &[Event]) -> Result<()> {
    let account = service.rest.account(name)?;
    let place = Place::new()?;
    let endpoint = service.rest.endpoint(&account, &place.url(), false, &["*"], None)?;
    let php = place.start(&service.folder, name, &endpoint.secret)?;
    for event in events {
        let accepted =
            service.rest.event(&account, event).with_context(|| format!("handing in {}", event.payload))?;
        goes_to(&accepted, &[&endpoint.id])?;
        service.rest.wait_until_delivered(&accepted)?;
        php.records.prove(event, &accepted)?;
    }
    ensure!(php.records.count()? == events.len(), "PHP got something else too");
    Ok(())
}

pub(super) fn webhook_takes_every_event(service: &Service) -> Result<()> {
    let account = service.rest.account("webhook")?;
    let webhook = Webhook::start(&service.folder, "webhook", GIVEN_SECRET)?;
    let types = ["offer.created", "policy.*"];
    let endpoint = service.rest.endpoint(&account, &webhook.url(), false, &types, Some(GIVEN_SECRET))?;
    let mut events = events::examples();
    events.extend(events::awkward());
    for event in &events {
        let accepted = service.rest.event(&account, event)?;
        goes_to(&accepted, &[&endpoint.id])?;
        service.rest.wait_until_delivered(&accepted)?;
        webhook.records.prove(event, &accepted)?;
    }
    ensure!(webhook.records.count()? == events.len(), "webhook got something else too");
    Ok(())
}

/// A receiver inside, with a certificate of the company's own authority.
pub(super) fn webhook_takes_events_over_https(service: &Service) -> Result<()> {
    let account = service.rest.account("webhook over https")?;
    let identity = certificates::identity(&service.folder);
    let webhook = Webhook::start_secure(&service.folder, "webhook-https", GIVEN_SECRET, &identity)?;
    service.rest.endpoint(&account, &webhook.url(), false, &["*"], Some(GIVEN_SECRET))?;
    for event in &events::examples() {
        let accepted = service.rest.event(&account, event)?;
        service.rest.wait_until_delivered(&accepted)?;
        webhook.records.prove(event, &accepted)?;
    }
    Ok(())
}

pub(super) fn webhook_refuses_a_wrong_secret(service: &Service) -> Result<()> {
    let account = service.rest.account("wrong secret")?;
    let webhook = Webhook::start(&service.folder, "webhook-wrong", "whsec_the_receiver_has_another")?;
    let endpoint = service.rest.endpoint(&account, &webhook.url(), false, &["*"], Some(GIVEN_SECRET))?;
    let accepted = service.rest.event(&account, &events::examples()[0])?;
    goes_to(&accepted, &[&endpoint.id])?;
    let delivery = service.rest.wait_for_delivery(&accepted.deliveries[0].0, |delivery| {
        delivery["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty())
    })?;
    ensure!(delivery["status"] == "pending", "a refused delivery is tried again, but it is {delivery}");
    ensure!(delivery["next_attempt_at"].is_string(), "there is no next attempt: {delivery}");
    ensure!(delivery["attempts"][0].to_string().contains("500"), "no word of the 500: {delivery}");
    ensure!(webhook.records.count()? == 0, "the receiver took a request with a wrong signature");
    Ok(())
}

pub(super) fn modes_are_kept_apart(service: &Service) -> Result<()> {
    let account = service.rest.account("modes")?;
    let (live_place, test_place) = (Place::new()?, Place::new()?);
    let live_endpoint = service.rest.endpoint(&account, &live_place.url(), true, &["*"], None)?;
    let test_endpoint = service.rest.endpoint(&account, &test_place.url(), false, &["*"], None)?;
    let live_php = live_place.start(&service.folder, "php-live", &live_endpoint.secret)?;
    let test_php = test_place.start(&service.folder, "php-test", &test_endpoint.secret)?;

    let (live_event, test_event) = (events::live(), events::examples().remove(0));
    let live = service.rest.with_key(&account.live_key).own_event(&live_event)?;
    let test = service.rest.with_key(&account.test_key).own_event(&test_event)?;
    goes_to(&live, &[&live_endpoint.id])?;
    goes_to(&test, &[&test_endpoint.id])?;
    for (accepted, event, php) in [(&live, &live_event, &live_php), (&test, &test_event, &test_php)] {
        service.rest.wait_until_delivered(accepted)?;
        php.records.prove(event, accepted)?;
        ensure!(php.records.count()? == 1, "an event of the other mode arrived");
    }
    Ok(())
}

pub(super) fn types_are_filtered(service: &Service) -> Result<()> {
    let account = service.rest.account("types")?;
    let (all_place, policy_place) = (Place::new()?, Place::new()?);
    let all = service.rest.endpoint(&account, &all_place.url(), false, &["*"], None)?;
    let policies = service.rest.endpoint(&account, &policy_place.url(), false, &["policy.*"], None)?;
    let all_php = all_place.start(&service.folder, "php-all", &all.secret)?;
    let policy_php = policy_place.start(&service.folder, "php-policies", &policies.secret)?;

    for event in events::examples() {
        let accepted = service.rest.event(&account, &event)?;
        let is_policy = event.kind.starts_with("policy.");
        let both: [&str; 2] = [&all.id, &policies.id];
        goes_to(&accepted, if is_policy { &both } else { &both[..1] })?;
        service.rest.wait_until_delivered(&accepted)?;
        // Both requests of one event carry the same guid.
        all_php.records.prove(&event, &accepted)?;
        if is_policy {
            policy_php.records.prove(&event, &accepted)?;
        }
    }
    ensure!(
        (all_php.records.count()?, policy_php.records.count()?) == (4, 3),
        "an offer went to the policies"
    );
    Ok(())
}

/// Proves that an event goes to these endpoints and no other.
fn goes_to(accepted: &Accepted, endpoints: &[&str]) -> Result<()> {
    let mut chosen: Vec<&str> = accepted.deliveries.iter().map(|(_, endpoint)| endpoint.as_str()).collect();
    let mut expected = endpoints.to_vec();
    chosen.sort_unstable();
    expected.sort_unstable();
    ensure!(chosen == expected, "the event goes to {chosen:?}, not to {expected:?}");
    Ok(())
}
