//! Connections used again, and those that must not be.

use std::time::Duration;

use postrider_core::attempt::FailureCode;
use postrider_sender::limits::{MAX_CONNECTION_AGE, MAX_CONNECTION_IDLE, POOL_SWEEP_EVERY, REUSE_SUSPENSION};
use postrider_sender::{AttemptRequest, Sender, SenderConfig, Tenant, Transport as _};

use crate::receiver::{OK, Receiver};
use crate::setup::{answered, config, failed_with, request, sender};

#[tokio::test]
async fn a_connection_whose_answer_was_read_whole_is_used_again() {
    for answer in [
        OK,
        "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nX-Folded: a\r\n b\r\n\r\nok",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 2, 2\n\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let receiver = Receiver::answering(answer).await;
        let sender = sender();
        for _ in 0..5 {
            sender.attempt(request(&receiver.url("/"))).await;
        }
        assert_eq!((receiver.connections(), receiver.requests().len()), (1, 5), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_the_receiver_ends_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than was announced",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno colon\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let receiver = Receiver::answering(answer).await;
        let sender = sender();
        for _ in 0..3 {
            assert!(sender.attempt(request(&receiver.url("/"))).await.outcome.is_received());
        }
        assert_eq!((receiver.connections(), receiver.requests().len()), (3, 3), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_whose_body_was_not_read_whole_is_dropped() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let receiver = Receiver::answering(answer).await;
    let sender = sender();
    for _ in 0..2 {
        answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    }
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn attempts_at_one_time_never_share_a_connection() {
    let receiver = Receiver::start(|mut peer| async move {
        while peer.request().await.is_some() {
            if peer.number == 0 {
                peer.ring();
                peer.hang().await;
                return;
            }
            peer.say(OK).await;
        }
    })
    .await;
    let sender = sender();
    let url = receiver.url("/");
    tokio::select! {
        hanging = sender.attempt(request(&url)) => panic!("{hanging:?}"),
        () = async {
            receiver.bell().await;
            for _ in 0..3 {
                answered(&sender.attempt(request(&url)).await, 200);
            }
        } => {}
    }
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_request_that_meets_a_closed_connection_goes_on_a_fresh_one() {
    for last_word in [None, Some("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.request().await;
            peer.say(OK).await;
            if let Some(last_word) = last_word {
                peer.say(last_word).await;
                peer.ring();
                peer.hang().await;
            } else {
                peer.close_and_ring();
            }
        })
        .await;
        let sender = sender();
        for round in 1..=3 {
            answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
            receiver.bell().await;
            assert_eq!((receiver.connections(), receiver.requests().len()), (round, round));
        }
    }
}

#[tokio::test]
async fn a_request_that_was_written_is_not_repeated() {
    for resets in [false, true] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.request().await;
            peer.say(OK).await;
            peer.request().await;
            if resets {
                peer.reset();
            }
        })
        .await;
        let sender = sender();
        answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
        let report = sender.attempt(request(&receiver.url("/"))).await;
        let code = if resets { FailureCode::ConnectionReset } else { FailureCode::ConnectionClosed };
        failed_with(&report, code);
        assert_eq!(
            (receiver.connections(), receiver.requests().len()),
            (1, 2),
            "the receiver may have acted"
        );
    }
}

#[tokio::test]
async fn a_sender_that_keeps_nothing_opens_a_connection_each_time() {
    let receiver = Receiver::answering(OK).await;
    let sender = Sender::new(SenderConfig { max_idle: 0, ..config() }).unwrap();
    for _ in 0..3 {
        answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    }
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn no_more_connections_wait_than_are_allowed_to() {
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let receiver = Receiver::start(move |mut peer| {
        let both = std::sync::Arc::clone(&both);
        async move {
            while peer.request().await.is_some() {
                both.wait().await; // So that two attempts are always under way together.
                peer.say(OK).await;
            }
        }
    })
    .await;
    let sender = Sender::new(SenderConfig { max_idle: 1, ..config() }).unwrap();
    for connections in [2, 3, 4] {
        let (one, other) = tokio::join!(
            sender.attempt(request(&receiver.url("/"))),
            sender.attempt(request(&receiver.url("/")))
        );
        answered(&one, 200);
        answered(&other, 200);
        assert_eq!(receiver.connections(), connections, "one of two was kept");
    }
}

/// The pool is full of one tenant's connections: another's takes the place of the one that has been idle longest.
#[tokio::test]
async fn at_the_bound_the_tenant_that_has_most_makes_room() {
    const HELD: usize = 8;
    let many = many_receivers(HELD).await;
    let (busy, quiet) = (Receiver::answering(OK).await, Receiver::answering(OK).await);
    let sender = Sender::new(SenderConfig { max_idle: HELD, ..config() }).unwrap();
    let send = async |tenant: u64, receiver: &Receiver| {
        let attempt = AttemptRequest { tenant: Tenant(tenant), ..request(&receiver.url("/")) };
        answered(&sender.attempt(attempt).await, 200);
    };
    for receiver in &many {
        send(1, receiver).await;
    }
    // Others come, and keep their connections while the first goes on over all of its origins.
    for round in 0..5 {
        send(2, &busy).await;
        send(3, &quiet).await;
        for receiver in &many {
            send(1, receiver).await;
        }
        assert_eq!((busy.connections(), quiet.connections()), (1, 1), "round {round}");
    }
    let opened: usize = many.iter().map(Receiver::connections).sum();
    assert!(opened > HELD, "the first had to make room");
}

async fn many_receivers(count: usize) -> Vec<Receiver> {
    let mut receivers = Vec::new();
    for _ in 0..count {
        receivers.push(Receiver::answering(OK).await);
    }
    receivers
}

#[tokio::test]
async fn at_the_bound_the_newcomer_is_kept_and_the_longest_idle_is_closed() {
    let receivers = many_receivers(3).await;
    let sender = Sender::new(SenderConfig { max_idle: 2, ..config() }).unwrap();
    let send = async |at: usize| answered(&sender.attempt(request(&receivers[at].url("/"))).await, 200);
    for at in [0, 1, 2] {
        send(at).await;
    }
    for at in [2, 1] {
        send(at).await;
    }
    assert_eq!(receivers.iter().map(Receiver::connections).collect::<Vec<_>>(), [1, 1, 1]);
    send(0).await;
    assert_eq!(receivers[0].connections(), 2);
}

#[tokio::test]
async fn an_attempt_that_is_given_up_closes_its_connection() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.ring();
        peer.hang().await;
        peer.ring();
    })
    .await;
    let sender = sender();
    tokio::select! {
        report = sender.attempt(request(&receiver.url("/"))) => panic!("{report:?}"),
        () = receiver.bell() => {}
    }
    receiver.bell().await;
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn origins_do_not_share_connections() {
    let (one, other) = (Receiver::answering(OK).await, Receiver::answering(OK).await);
    let sender = sender();
    for receiver in [&one, &other, &one, &other] {
        answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    }
    assert_eq!((one.connections(), other.connections()), (1, 1));
}

/// A 204 or a length that is too small, the rest of the body a moment later: it must never be taken for the response to the
/// next request.
#[tokio::test]
async fn bytes_that_come_after_the_end_of_a_response_cost_the_next_event_at_most_one_connection() {
    for (response, rest) in [
        ("HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n", "No Content"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", " and more"),
    ] {
        let receiver = Receiver::start(move |mut peer| async move {
            while peer.request().await.is_some() {
                peer.say(response).await;
                peer.ring();
                peer.say(rest).await;
            }
        })
        .await;
        let sender = sender();
        for _ in 0..10 {
            let report = sender.attempt(request(&receiver.url("/"))).await;
            assert!(report.outcome.is_received(), "{:?}", report.outcome);
            receiver.bell().await;
            tokio::task::yield_now().await;
        }
        assert_eq!(receiver.requests().len(), 10);
    }
}

/// A receiver that resets each connection on which a second request comes.
async fn resetting_reused() -> Receiver {
    Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.say(OK).await;
        peer.request().await;
        peer.reset();
    })
    .await
}

#[tokio::test]
async fn a_failure_on_a_reused_connection_is_reported_and_the_next_attempts_use_fresh_ones() {
    let receiver = resetting_reused().await;
    let sender = sender();
    answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    let lost = sender.attempt(request(&receiver.url("/"))).await;
    failed_with(&lost, FailureCode::ConnectionReset);
    assert!(lost.on_reused_connection);
    for connections in 2..=6 {
        let report = sender.attempt(request(&receiver.url("/"))).await;
        answered(&report, 200);
        assert!(!report.on_reused_connection);
        assert_eq!(receiver.connections(), connections, "none is kept for a while");
    }
    pass(REUSE_SUSPENSION).await;
    answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    failed_with(&sender.attempt(request(&receiver.url("/"))).await, FailureCode::ConnectionReset);
}

#[tokio::test]
async fn an_attempt_that_asks_for_a_fresh_connection_gets_one() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();
    for connections in 1..=3 {
        let attempt = AttemptRequest { fresh_connection: true, ..request(&receiver.url("/")) };
        answered(&sender.attempt(attempt).await, 200);
        assert_eq!(receiver.connections(), connections);
    }
    answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    assert_eq!(receiver.connections(), 3, "the others may use what it leaves");
}

#[tokio::test]
async fn a_connection_waits_only_as_long_as_the_receiver_keeps_it() {
    let ok = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 2\r\n\r\nok";
    let receiver = Receiver::answering(ok).await;
    let sender = sender();
    let mut connections = 0;
    for (pause_ms, is_fresh) in [(0, true), (3_900, false), (3_900, false), (4_100, true), (10_000, true)] {
        pass(Duration::from_millis(pause_ms)).await;
        answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
        connections += usize::from(is_fresh);
        assert_eq!(receiver.connections(), connections, "after {pause_ms} ms");
    }
}

/// Lets this much time pass at once for the sender.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_connection_that_waits_too_long_is_closed_without_being_asked_for() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.say(OK).await;
        peer.hang().await;
        peer.ring();
    })
    .await;
    let sender = sender();
    answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    // The sweeper wakes at its own pace, so time passes in steps no longer than that.
    for _ in 0..=MAX_CONNECTION_IDLE.as_secs() / POOL_SWEEP_EVERY.as_secs() {
        pass(POOL_SWEEP_EVERY).await;
        tokio::task::yield_now().await;
    }
    receiver.bell().await;
    answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_connection_in_use_is_replaced_when_it_is_too_old() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();
    let step = MAX_CONNECTION_AGE / 10;
    for used in 0..=10 {
        answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
        assert_eq!(receiver.connections(), if used < 10 { 1 } else { 2 }, "after {:?}", step * used);
        pass(step).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_attempts_at_once_are_all_answered() {
    let receiver = Receiver::answering(OK).await;
    let sender = std::sync::Arc::new(sender());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (sender, url) = (std::sync::Arc::clone(&sender), receiver.url("/"));
        running.spawn(async move {
            for _ in 0..10 {
                answered(&sender.attempt(request(&url)).await, 200);
            }
        });
    }
    running.join_all().await;
    assert_eq!(receiver.requests().len(), 500);
    assert!(receiver.connections() <= 50, "{}", receiver.connections());
}
