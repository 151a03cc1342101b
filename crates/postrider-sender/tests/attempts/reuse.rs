//! Connections used again, and those that must not be.

use std::time::Duration;

use postrider_core::attempt::FailureCode;
use postrider_sender::limits::{MAX_CONNECTION_AGE, MAX_CONNECTION_IDLE, POOL_SWEEP_EVERY};
use postrider_sender::{Sender, SenderConfig, Transport as _};

use crate::receiver::{OK, Receiver};
use crate::setup::{answered, config, failed_with, request, sender};

#[tokio::test]
async fn a_connection_whose_answer_was_read_whole_is_used_again() {
    for answer in [
        OK,
        "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\n\r\n",
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
    ] {
        let receiver = Receiver::answering(answer).await;
        let sender = sender();
        for _ in 0..3 {
            answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
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
