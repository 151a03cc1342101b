//! Bodies that are refused unread: too long, of another kind, too slow, too many at once.

use std::time::Duration;

use postrider_api::ApiOptions;
use tokio::io::AsyncWriteExt as _;

use crate::client::{Answer, Connection};
use crate::harness::{PATIENCE, Service, event_body, payload};

const OPERATOR: (&str, &str) = ("Authorization", "Bearer op_the_operators_key_of_this_test");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const MIB: usize = 1024 * 1024;

fn head(path: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: api\r\n{}: {}\r\n{}: {}\r\n{more}\r\n",
        OPERATOR.0, OPERATOR.1, JSON.0, JSON.1
    )
}

async fn answer(connection: &mut Connection) -> Answer {
    tokio::time::timeout(PATIENCE, connection.answer()).await.unwrap()
}

#[tokio::test]
async fn a_body_is_taken_up_to_its_limit_and_not_a_byte_further() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let good = event_body(&account.id, &payload(false));
    let batch = format!("{{\"events\":[{good}]}}");
    for (path, body, limit) in [("/v1/events", good, MIB), ("/v1/events/batch", batch, 8 * MIB)] {
        for (length, status) in [(limit, 202), (limit + 1, 413)] {
            let padded = format!("{body}{}", " ".repeat(length - body.len()));
            let answer = service.operator("POST", path, &padded).await;
            assert_eq!(answer.status, status, "{path} with {length}: {}", answer.text());
            // The same without a word about its length beforehand.
            let mut connection = service.connect().await;
            let chunk = format!("{length:x}\r\n{padded}\r\n0\r\n\r\n");
            connection.send(head(path, "Transfer-Encoding: chunked\r\n").as_bytes()).await;
            connection.send(chunk.as_bytes()).await;
            assert_eq!(self::answer(&mut connection).await.status, status, "{path} with {length} in chunks");
        }
    }
    assert_eq!(service.stored_events().await, 4);
    service.stop().await;
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_the_413_and_may_go_on_afterwards() {
    let service = Service::start().await;
    let mut connection = service.connect().await;
    connection.send(head("/v1/events", &format!("Content-Length: {}\r\n", 12 * MIB)).as_bytes()).await;
    connection.send(&vec![b'x'; MIB]).await;
    // The answer is there before the body is.
    let refused = answer(&mut connection).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "body_too_large"));
    connection.send(&vec![b'x'; 11 * MIB]).await;
    let after = connection.request("GET", "/healthz", &[], b"").await;
    assert_eq!(after.status, 200);

    // And a client that reads nothing before it has sent everything finds it as well.
    let mut late = service.connect().await;
    late.send(head("/v1/events", &format!("Content-Length: {}\r\n", 15 * MIB)).as_bytes()).await;
    late.send(&vec![b'x'; 15 * MIB]).await;
    assert_eq!(answer(&mut late).await.status, 413);
    assert_eq!(service.stored_events().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn draining_ends_where_a_body_does_not() {
    let service = Service::start().await;
    let mut endless = service.connect().await;
    endless.send(head("/v1/events", "Transfer-Encoding: chunked\r\n").as_bytes()).await;
    let chunk = [format!("{MIB:x}\r\n").as_bytes(), &vec![b'x'; MIB], b"\r\n"].concat();
    let mut sent_mib = 0;
    while sent_mib < 200 && endless.stream.write_all(&chunk).await.is_ok() {
        sent_mib += 1;
    }
    assert!(sent_mib < 200, "the connection was never closed");
    assert_eq!(service.operator("GET", "/healthz", "").await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let mut refused = service.connect().await;
    let asks = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", 2 * MIB);
    refused.send(head("/v1/events", &asks).as_bytes()).await;
    assert_eq!(answer(&mut refused).await.status, 413);

    let body = event_body(&account.id, &payload(false));
    let mut wanted = service.connect().await;
    let asks = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len());
    wanted.send(head("/v1/events", &asks).as_bytes()).await;
    assert_eq!(answer(&mut wanted).await.status, 100);
    wanted.send(body.as_bytes()).await;
    assert_eq!(answer(&mut wanted).await.status, 202);
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_415_with_a_hint() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let body = event_body(&account.id, &payload(false));
    for (headers, hint) in [
        (vec![], "Content-Type: application/json"),
        (vec![("Content-Type", "application/x-www-form-urlencoded")], "curl"),
        (vec![("Content-Type", "text/plain")], "application/json"),
        (vec![("Content-Type", "application/json; charset=iso-8859-1")], "UTF-8"),
        (vec![("Content-Type", "application/jsonp")], "application/json"),
        (vec![JSON, ("Content-Encoding", "gzip")], "Content-Encoding"),
    ] {
        let headers = [vec![OPERATOR], headers].concat();
        let answer = service.connect().await.request("POST", "/v1/events", &headers, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"), "{headers:?}");
        assert!(answer.detail().contains(hint), "{}", answer.detail());
    }
    for value in
        ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\"; v=1"]
    {
        let headers = [OPERATOR, ("Content-Type", value)];
        let answer = service.connect().await.request("POST", "/v1/events", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 202, "{value}");
    }
    assert_eq!(service.stored_events().await, 3);
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_stays_away_is_408() {
    let options = ApiOptions { body_timeout: Duration::from_millis(50), ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let mut slow = service.connect().await;
    slow.send(head("/v1/events", "Content-Length: 100\r\n").as_bytes()).await;
    slow.send(b"{").await;
    let refused = answer(&mut slow).await;
    assert_eq!((refused.status, refused.code().as_str()), (408, "body_timeout"));
    assert!(tokio::time::timeout(PATIENCE, slow.is_closed()).await.unwrap());
    service.stop().await;
}

/// The head of a batch with an account's key.
fn batch_head(key: &str) -> String {
    format!(
        "POST /v1/events/batch HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        8 * MIB
    )
}

#[tokio::test]
async fn bodies_beyond_an_accounts_memory_are_503_for_that_account_only_and_the_memory_is_given_back() {
    let options = ApiOptions { body_memory_bytes: 0, ..ApiOptions::default() }; // the least there is
    let service = Service::start_with(options).await;
    let (hostile, other) = (service.account("hostile").await, service.account("other").await);
    let mut large = service.connect().await;
    large.send(batch_head(&hostile.test_key).as_bytes()).await;
    large.send(&vec![b' '; 8 * MIB - 1]).await;
    // Nothing tells when the service has read all that was sent, so another is tried until it is refused.
    let full = async {
        loop {
            let answer = service.call(&hostile.test_key, "POST", "/v1/events", "{}").await;
            if answer.status != 422 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, full).await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    assert!(refused.detail().contains("this account"), "{}", refused.detail());
    let body = event_body(&other.id, &payload(false));
    assert_eq!(service.call(&other.test_key, "POST", "/v1/events", &body).await.status, 202);
    assert_eq!(service.operator("POST", "/v1/events", &body).await.status, 202);
    large.send(b" ").await;
    assert_eq!(answer(&mut large).await.status, 400);
    let own = event_body(&hostile.id, &payload(false));
    assert_eq!(service.call(&hostile.test_key, "POST", "/v1/events", &own).await.status, 202);
    assert_eq!(service.stored_events().await, 3);
    service.stop().await;
}

#[tokio::test]
async fn bodies_that_are_announced_and_not_sent_take_no_memory_from_others() {
    let options = ApiOptions { body_memory_bytes: 0, ..ApiOptions::default() }; // room for one batch
    let service = Service::start_with(options).await;
    let account = service.account("a").await;
    let mut stalled = Vec::new();
    for _ in 0..16 {
        let mut connection = service.connect().await;
        let asks = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", 8 * MIB);
        connection.send(head("/v1/events/batch", &asks).as_bytes()).await;
        // Once the body is asked for, the service is waiting for it.
        assert_eq!(answer(&mut connection).await.status, 100);
        connection.send(b"{").await;
        stalled.push(connection);
    }
    let body = event_body(&account.id, &payload(false));
    assert_eq!(service.operator("POST", "/v1/events", &body).await.status, 202);
    drop(stalled);
    service.stop().await;
}
