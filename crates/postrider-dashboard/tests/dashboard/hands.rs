//! What an operator and a customer do with their hands: rotations, tests, cancelling, keys.

use postrider_core::delivery::Status;
use postrider_core::id::DeliveryId;
use postrider_engine::model::Submission;

use crate::client::Visitor;
use crate::harness::Service;

const PAYLOAD: &str = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#;

/// What stands in the element of this id.
fn text_of(page: &str, id: &str) -> String {
    let (_, rest) = page.split_once(&format!("id=\"{id}\">")).unwrap_or_else(|| panic!("no #{id} in {page}"));
    rest.split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap_that_is_explained_and_ended() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let path = format!("/endpoints/{endpoint}/secret");
    let old = text_of(&operator.post(&path, &[]).await.body, "secret");
    let rotate = format!("{path}/rotate");
    for (secret, overlap, why) in
        [("short", "3600", "can’t be one"), ("", "soon", "a number"), ("", "99999999", "at most")]
    {
        let refused = operator.post(&rotate, &[("secret", secret), ("overlap", overlap)]).await;
        assert!(refused.status >= 400 && refused.body.contains(why), "{secret}/{overlap}: {}", refused.body);
    }
    let rotated = operator.post(&rotate, &[("secret", ""), ("overlap", "3600")]).await;
    assert_eq!(rotated.header("location"), format!("{path}?said=rotated"));
    let page = operator.get(&path).await.body;
    assert!(page.contains("X-KASKO-</code>") || page.contains("X-KASKO-Signature-Next"), "{page}");
    assert!(page.contains("Both secrets sign until") && !page.contains("whsec_"));
    let revealed = operator.post(&path, &[]).await.body;
    assert_eq!(text_of(&revealed, "secret"), old);
    let new = text_of(&revealed, "next-secret");
    assert_ne!(new, old);
    service.until_attempted(service.send(account, PAYLOAD).await, 1).await;
    let (headers, _) = service.receiver.arrived().remove(0);
    assert!(headers.contains_key("x-kasko-signature") && headers.contains_key("x-kasko-signature-next"));

    let again = operator.post(&rotate, &[("secret", ""), ("overlap", "3600")]).await;
    assert_eq!(again.status, 409, "one rotation at a time");
    let overlap = format!("{path}/overlap");
    assert_eq!(operator.post(&overlap, &[]).await.status, 400, "it asks to be sure");
    let ended = operator.post(&overlap, &[("sure", "on")]).await;
    assert_eq!(ended.header("location"), format!("{path}?said=ended"));
    assert_eq!(text_of(&operator.post(&path, &[]).await.body, "secret"), new);
    let at_once =
        operator.post(&rotate, &[("secret", "a-secret-of-my-own-0123456789"), ("overlap", "0")]).await;
    assert_eq!(at_once.header("location"), format!("{path}?said=ended"));
    assert_eq!(text_of(&operator.post(&path, &[]).await.body, "secret"), "a-secret-of-my-own-0123456789");
}

#[tokio::test]
async fn a_test_event_goes_to_one_endpoint_alone() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    service.endpoint(account, "another").await;
    let operator = Visitor::operator(&service).await;
    let page = operator.get(&format!("/endpoints/{endpoint}")).await.body;
    assert!(
        page.contains("policy.cancelled") && !page.contains("delivery.exhausted"),
        "what can be sent there"
    );
    let sent = operator.post(&format!("/endpoints/{endpoint}/test"), &[("type", "policy.cancelled")]).await;
    let place = sent.header("location").to_owned();
    let id: DeliveryId = place["/deliveries/".len()..].split('?').next().unwrap().parse().unwrap();
    service.until_attempted(id, 1).await;
    let delivery = service.engine.delivery(id).await.unwrap();
    assert_eq!((delivery.event_type.as_str(), delivery.endpoint), ("policy.cancelled", endpoint));
    assert!(operator.get(&place).await.body.contains("The test event is on its way."));
    assert_eq!(service.receiver.arrived().len(), 1);
    let unknown = operator.post(&format!("/endpoints/{endpoint}/test"), &[("type", "no.such")]).await;
    assert_eq!(unknown.status, 409);
}

#[tokio::test]
async fn a_pending_delivery_is_cancelled_and_a_finished_one_is_not() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    operator.post(&format!("/endpoints/{endpoint}/state"), &[("to", "pause")]).await;
    let id = service.send(account, PAYLOAD).await;
    let path = format!("/deliveries/{id}");
    assert!(operator.get(&path).await.body.contains(&format!("action=\"{path}/cancel\"")));
    let cancelled = operator.post(&format!("{path}/cancel"), &[]).await;
    assert_eq!(cancelled.header("location"), format!("{path}?said=cancelled"));
    assert_eq!(service.engine.delivery(id).await.unwrap().status, Status::Cancelled);
    assert!(!operator.get(&path).await.body.contains("/cancel\""), "there is nothing to cancel any more");
    assert_eq!(operator.post(&format!("{path}/cancel"), &[]).await.status, 409);
}

#[tokio::test]
async fn keys_are_issued_shown_once_and_revoked_by_the_operator_alone() {
    let service = Service::start().await;
    let (account, _) = service.account("Acme").await;
    let (other, _) = service.account("Rival").await;
    let operator = Visitor::operator(&service).await;
    let path = format!("/accounts/{account}");
    let made = operator.post(&format!("{path}/keys"), &[("mode", "live")]).await;
    let key = text_of(&made.body, "key");
    assert!(key.starts_with("sk_live_"), "{}", made.body);
    assert!(service.engine.authenticate(&key).is_some());
    let page = operator.get(&path).await.body;
    assert!(!page.contains(&key));
    let id = service.engine.keys(account).unwrap()[0].id.to_string();
    assert!(page.contains(&id));
    let foreign = operator.post(&format!("/accounts/{other}/keys/revoke"), &[("key", &id)]).await;
    assert_eq!(foreign.status, 404, "it is another account's");
    let revoked = operator.post(&format!("{path}/keys/revoke"), &[("key", &id)]).await;
    assert_eq!(revoked.header("location"), format!("{path}?said=revoked"));
    assert!(service.engine.authenticate(&key).is_none());
    assert_eq!(operator.post(&format!("{path}/keys"), &[("mode", "both")]).await.status, 400);
}

#[tokio::test]
async fn the_home_page_tells_how_old_the_backlog_is_and_operations_who_serves() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    assert!(!operator.get("/").await.body.contains("the oldest accepted"));
    operator.post(&format!("/endpoints/{endpoint}/state"), &[("to", "pause")]).await;
    service.send(account, PAYLOAD).await;
    assert!(operator.get("/").await.body.contains("the oldest accepted"));
    let page = operator.get("/operations").await.body;
    assert!(page.contains("id=\"nodes\"") && page.contains("Audit log"), "{page}");
}

#[tokio::test]
async fn an_address_that_takes_forms_alone_leads_to_the_page_above_it() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    for (path, above) in [
        (format!("/accounts/{account}/keys"), format!("/accounts/{account}")),
        (format!("/endpoints/{endpoint}/secret/rotate"), format!("/endpoints/{endpoint}/secret")),
        ("/logout".to_owned(), "/".to_owned()),
    ] {
        let answer = operator.get(&path).await;
        assert_eq!((answer.status, answer.header("location")), (303, above.as_str()), "{path}");
    }
}

#[tokio::test]
async fn a_page_that_has_looked_through_many_rows_in_vain_says_that_there_is_more() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    operator.post(&format!("/endpoints/{endpoint}/state"), &[("to", "pause")]).await;
    for _ in 0..11 {
        let submission = Submission {
            account,
            event_type: service.engine.catalogue().get("policy.created").cloned().unwrap(),
            livemode: false,
            payload: bytes::Bytes::from_static(PAYLOAD.as_bytes()),
        };
        service.engine.ingest(vec![submission; 1_000]).await.unwrap();
    }
    for path in
        ["/deliveries?status=cancelled", "/deliveries?type=offer.created", "/events?type=offer.created"]
    {
        let page = operator.get(path).await.body;
        assert!(page.contains("Nothing in this part") && page.contains(">Older<"), "{path}");
        let older = page
            .split("rel=\"next\" href=\"")
            .nth(1)
            .or_else(|| page.split("href=\"").find(|part| part.contains("before=")));
        let older = older.unwrap().split('"').next().unwrap().replace("&amp;", "&");
        let last = operator.get(&older).await.body;
        assert!(!last.contains("Nothing in this part") && !last.contains(">Older<"), "{older}");
    }
}
