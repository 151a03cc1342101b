//! Name resolution: which names are asked for, whom, and what is made of the replies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use postrider_core::attempt::FailureCode;
use postrider_sender::limits::LOOKUP_DEADLINE;
use postrider_sender::{
    Resolve as _, ResolveError, Resolved, Sender, SenderConfig, SystemResolver, Tenant, Transport as _,
};
use tokio::time::Instant;

use crate::name_server::{MISSING, Machine, NO_ADDRESS, NameServer, Say};
use crate::setup::{AMPLE, config, failed_with, request};

const ONE: Tenant = Tenant(1);
const TWO: Tenant = Tenant(2);

async fn resolve(resolver: &SystemResolver, name: &str) -> Result<Resolved, ResolveError> {
    resolver.resolve(name, ONE, Instant::now() + AMPLE).await
}

async fn addresses(resolver: &SystemResolver, name: &str) -> Vec<String> {
    let resolved = resolve(resolver, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    shown(&resolved.addresses)
}

fn shown(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(IpAddr::to_string).collect()
}

/// Another address of this machine with the same port.
fn second(first: SocketAddr) -> SocketAddr {
    SocketAddr::new([127, 0, 0, 2].into(), first.port())
}

#[tokio::test]
async fn a_family_that_is_never_answered_does_not_hold_the_other() {
    for silent in [RecordType::AAAA, RecordType::A] {
        let server = NameServer::start(move |_, asked| match asked == silent {
            true => Say::Nothing,
            false => Say::Addresses(&["127.0.0.1", "::1"], 60),
        })
        .await;
        let machine = Machine::asking(&[server.address]);
        let resolver = machine.resolver();
        // Less than a lookup may take: the addresses come from the first reply.
        let deadline = Instant::now() + LOOKUP_DEADLINE / 2;
        let resolved = resolver.resolve("half.test", ONE, deadline).await.unwrap();
        let expected = if silent == RecordType::A { "::1" } else { "127.0.0.1" };
        assert_eq!(shown(&resolved.addresses), [expected]);
        assert!(resolved.late.is_some(), "the other family may still follow");
    }
}

#[tokio::test]
async fn a_family_that_is_refused_or_missing_does_not_fail_the_other() {
    let odd = [
        Say::Code(ResponseCode::ServFail),
        MISSING,
        Say::Code(ResponseCode::NotImp),
        Say::Code(ResponseCode::Refused),
        Say::Code(ResponseCode::FormErr),
        NO_ADDRESS,
        Say::Garbage,
    ];
    for (silent, other) in [(RecordType::AAAA, "127.0.0.1"), (RecordType::A, "::1")] {
        for odd in odd.clone() {
            let server = NameServer::start(move |_, asked| match asked == silent {
                true => odd.clone(),
                false => Say::Addresses(&["127.0.0.1", "::1"], 60),
            })
            .await;
            let machine = Machine::asking(&[server.address]);
            let resolver = machine.resolver();
            assert_eq!(addresses(&resolver, "half.test").await, [other]);
        }
    }
}

#[tokio::test]
async fn both_families_are_awaited_for_a_moment() {
    let server = NameServer::start(|_, asked| match asked {
        RecordType::AAAA => Say::After(10, Box::new(Say::Addresses(&["::1"], 60))),
        _ => Say::Addresses(&["127.0.0.1"], 60),
    })
    .await;
    let machine = Machine::asking(&[server.address]);
    let resolver = machine.resolver();
    let resolved = resolve(&resolver, "both.test").await.unwrap();
    let mut all = shown(&resolved.addresses);
    if let Some(late) = resolved.late {
        all.extend(shown(&late.await));
    }
    all.sort();
    assert_eq!(all, ["127.0.0.1", "::1"]);
    assert_eq!(addresses(&resolver, "both.test").await.len(), 2, "the whole is kept");
}

#[tokio::test]
async fn a_url_names_an_absolute_host_whatever_the_search_list_says() {
    for own_zone in [MISSING, Say::Code(ResponseCode::ServFail), NO_ADDRESS] {
        let server = NameServer::start(move |name, _| match name.ends_with(".corp.test") {
            true => Say::Addresses(&["127.0.0.2", "::1"], 60),
            false => own_zone.clone(),
        })
        .await;
        let machine = Machine::asking(&[server.address]);
        machine.write(
            "resolv.conf",
            "nameserver 127.0.0.1\nsearch corp.test\noptions ndots:5\ndomain corp.test\n",
        );
        let resolver = machine.resolver();
        for name in ["hooks.customer.test", "vault", "customer.test."] {
            resolve(&resolver, name).await.unwrap_err();
        }
        let asked = server.asked();
        assert!(!asked.is_empty() && !asked.iter().any(|name| name.contains("corp")), "{asked:?}");
    }
}

#[tokio::test]
async fn the_hosts_file_wins_in_either_family_and_nobody_is_asked() {
    let server = NameServer::start(|_, _| Say::Addresses(&["127.0.0.9", "::1"], 60)).await;
    let machine = Machine::asking(&[server.address]);
    machine.write("hosts", "127.0.0.1 receiver.internal localhost\n::1 six.internal\n");
    let resolver = machine.resolver();
    assert_eq!(addresses(&resolver, "receiver.internal").await, ["127.0.0.1"]);
    assert_eq!(addresses(&resolver, "six.internal").await, ["::1"]);
    assert_eq!(addresses(&resolver, "localhost").await, ["127.0.0.1"]);
    assert_eq!(server.asked(), Vec::<String>::new());
    assert_eq!(addresses(&resolver, "other.internal").await, ["::1", "127.0.0.9"]);
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_refuses_fails_or_is_silent() {
    for trouble in [
        Say::Code(ResponseCode::ServFail),
        Say::Code(ResponseCode::Refused),
        Say::Code(ResponseCode::NotImp),
        Say::Code(ResponseCode::FormErr),
        Say::Garbage,
        Say::Nothing,
    ] {
        let first = NameServer::start(move |_, _| trouble.clone()).await;
        let _second =
            NameServer::start_at(second(first.address), |_, _| Say::Addresses(&["127.0.0.1"], 60)).await;
        let machine = Machine::asking(&[first.address, second(first.address)]);
        let resolver = machine.resolver();
        assert_eq!(addresses(&resolver, "receiver.test").await, ["127.0.0.1"]);
        assert!(!first.asked().is_empty());
    }
}

#[tokio::test]
async fn a_name_server_that_was_silent_is_asked_last_for_a_while() {
    let first = NameServer::start(|_, _| Say::Nothing).await;
    let _second =
        NameServer::start_at(second(first.address), |_, _| Say::Addresses(&["127.0.0.1"], 60)).await;
    let machine = Machine::asking(&[first.address, second(first.address)]);
    let resolver = machine.resolver();
    addresses(&resolver, "one.test").await;
    let before = first.asked().len();
    addresses(&resolver, "two.test").await;
    assert_eq!(first.asked().len(), before);
}

#[tokio::test]
async fn a_name_server_that_does_not_exist_is_not_the_only_one_asked() {
    let server = NameServer::start(|_, _| Say::Addresses(&["127.0.0.1"], 60)).await;
    // Nothing listens at the first one, and the second is on no network.
    let absent = second(server.address);
    let machine = Machine::asking(&[absent, server.address]);
    let resolver = machine.resolver();
    assert_eq!(addresses(&resolver, "receiver.test").await, ["127.0.0.1"]);
}

#[tokio::test]
async fn the_files_are_read_again_when_they_change() {
    let first = NameServer::start(|_, _| Say::Addresses(&["127.0.0.1"], 300)).await;
    let next = NameServer::start_at(second(first.address), |_, _| Say::Addresses(&["127.0.0.2"], 300)).await;
    let machine = Machine::asking(&[first.address]);
    machine.write("hosts", "127.0.0.3 fixed.internal\n");
    let resolver = machine.resolver();
    assert_eq!(addresses(&resolver, "receiver.test").await, ["127.0.0.1"]);
    assert_eq!(addresses(&resolver, "fixed.internal").await, ["127.0.0.3"]);

    machine.write("hosts", "127.0.0.4 fixed.internal\n");
    assert_eq!(addresses(&resolver, "fixed.internal").await, ["127.0.0.4"]);
    machine.write("resolv.conf", &format!("nameserver {}\n", next.address.ip()));
    assert_eq!(addresses(&resolver, "receiver.test").await, ["127.0.0.2"], "nothing from before is believed");
    machine.remove("hosts");
    assert_eq!(addresses(&resolver, "fixed.internal").await, ["127.0.0.2"]);
}

#[tokio::test]
async fn without_a_name_server_localhost_and_the_hosts_file_resolve_and_the_rest_is_a_shortage() {
    let machine = Machine::asking(&[]);
    machine.write("hosts", "127.0.0.1 receiver.internal\n");
    for is_there in [true, false] {
        if !is_there {
            machine.remove("resolv.conf");
        }
        let resolver = machine.resolver();
        assert_eq!(addresses(&resolver, "receiver.internal").await, ["127.0.0.1"]);
        assert_eq!(addresses(&resolver, "localhost").await, ["::1", "127.0.0.1"]);
        assert_eq!(addresses(&resolver, "a.localhost.").await, ["::1", "127.0.0.1"]);
        assert!(matches!(resolve(&resolver, "example.com").await, Err(ResolveError::Shortage(_))));
        assert!(resolver.name_servers().await.unwrap().is_empty());
        let sender = Sender::new(SenderConfig { resolver: Arc::new(resolver), ..config() }).unwrap();
        let report = sender.attempt(request("http://example.com/")).await;
        let detail = failed_with(&report, FailureCode::DnsFailed);
        assert!(report.not_made && detail.contains("no name server is configured"), "{detail}");
    }
}

#[tokio::test]
async fn name_servers_that_can_not_be_reached_are_a_shortage() {
    let server = NameServer::start(|_, _| Say::Nothing).await;
    let (absent, third) =
        (second(server.address), SocketAddr::new([127, 0, 0, 3].into(), server.address.port()));
    let machine = Machine::asking(&[absent, third]);
    let resolver = machine.resolver();
    let error = resolve(&resolver, "example.com").await.unwrap_err();
    assert!(matches!(&error, ResolveError::Shortage(why) if why.contains("can be reached")), "{error:?}");
}

#[tokio::test]
async fn names_that_a_url_may_have_are_looked_up_as_they_are() {
    let server = NameServer::start(|_, _| Say::Addresses(&["127.0.0.1"], 60)).await;
    let machine = Machine::asking(&[server.address]);
    let resolver = machine.resolver();
    let label = "a".repeat(63);
    let long = [label.as_str(), &label, &label, &"b".repeat(61)].join(".");
    let names =
        ["my_host.test", "-lead.test", "trail-.test", "_", "xn--bcher-kva.test", "a!$&'()*+,;=~.test", &long];
    for name in names {
        let host = url::Url::parse(&format!("http://{name}/")).unwrap();
        assert_eq!(addresses(&resolver, host.host_str().unwrap()).await, ["127.0.0.1"], "{name}");
    }
    let asked = server.asked().join("\n");
    assert!(asked.contains("my_host.test.") && asked.contains("-lead.test."), "{asked}");
}

#[tokio::test]
async fn a_name_that_no_name_server_can_be_asked_for_fails_clearly() {
    let machine = Machine::asking(&[]);
    let resolver = machine.resolver();
    let sender = Sender::new(SenderConfig { resolver: Arc::new(resolver), ..config() }).unwrap();
    let long = ["a"; 200].join(".");
    let label = "a".repeat(64);
    for (host, why) in [("a..b.test", "empty label"), (&label, "64 bytes long"), (&long, "399 bytes long")] {
        let report = sender.attempt(request(&format!("http://{host}/"))).await;
        let detail = failed_with(&report, FailureCode::DnsNotFound);
        assert!(detail.contains(why) && !report.not_made, "{detail}");
    }
}

#[tokio::test]
async fn refusals_and_silence_are_told_in_plain_words() {
    for (say, words) in [
        (Say::Code(ResponseCode::ServFail), "SERVFAIL"),
        (Say::Code(ResponseCode::Refused), "REFUSED"),
        (Say::Code(ResponseCode::YXDomain), "with the code 6"),
        (Say::Garbage, "can't be read"),
        (Say::Nothing, "no name server answered within 3s"),
    ] {
        let server = NameServer::start(move |_, _| say.clone()).await;
        let machine = Machine::asking(&[server.address]);
        let resolver = machine.resolver();
        let error = resolve(&resolver, "receiver.test").await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ResolveError::Failed(_)) && text.contains(words), "{error:?}");
        assert!(!text.contains("Err(") && !text.contains("Other"), "{text}");
    }
}

#[tokio::test]
async fn aliases_are_followed_in_one_reply_and_hop_by_hop_and_not_for_ever() {
    let chain: Vec<String> = (1..=17).map(|n| format!("c{n}.test")).collect();
    let server = NameServer::start(move |name, _| match name {
        "chain.test" => Say::Chain(chain.clone(), "127.0.0.1"),
        "loop.test" => Say::Alias("loop.test".to_owned()),
        _ => match name.strip_prefix('h').and_then(|rest| rest.strip_suffix(".test")?.parse::<u32>().ok()) {
            Some(17) => Say::Addresses(&["127.0.0.2"], 60),
            Some(hop) => Say::Alias(format!("h{}.test", hop + 1)),
            None => MISSING,
        },
    })
    .await;
    let machine = Machine::asking(&[server.address]);
    let resolver = machine.resolver();
    assert_eq!(addresses(&resolver, "chain.test").await, ["127.0.0.1"]);
    assert_eq!(addresses(&resolver, "h0.test").await, ["127.0.0.2"]);
    resolve(&resolver, "loop.test").await.unwrap_err();
}

#[tokio::test]
async fn truncated_replies_are_asked_for_again_over_tcp_and_forged_ones_passed_over() {
    let server = NameServer::start(|name, _| match name {
        "long.test" => Say::ByTcp(Box::new(Say::Addresses(&["127.0.0.1", "127.0.0.2"], 60))),
        _ => Say::AfterForgery(Box::new(Say::Addresses(&["127.0.0.3"], 60))),
    })
    .await;
    let machine = Machine::asking(&[server.address]);
    assert_eq!(addresses(&machine.resolver(), "long.test").await, ["127.0.0.1", "127.0.0.2"]);
    assert_eq!(addresses(&machine.resolver(), "forged.test").await, ["127.0.0.3"]);
    machine.write("resolv.conf", "nameserver 127.0.0.1\noptions use-vc no-aaaa\n");
    let before = server.asked().len();
    assert_eq!(addresses(&machine.resolver(), "long.test").await, ["127.0.0.1", "127.0.0.2"]);
    assert_eq!(server.asked()[before..], ["A long.test."], "once, over TCP, for IPv4");
}

#[tokio::test]
async fn replies_are_kept_for_as_long_as_they_say() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = NameServer::start(move |name, kind| {
        if kind == RecordType::A {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Say::Addresses(&["127.0.0.1"], if name == "kept.test" { 60 } else { 0 })
    })
    .await;
    let machine = Machine::asking(&[server.address]);
    let resolver = machine.resolver();
    for (name, times) in [("kept.test", 1), ("moving.test", 3)] {
        asked.store(0, Ordering::SeqCst);
        for _ in 0..3 {
            assert_eq!(addresses(&resolver, name).await, ["127.0.0.1"]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), times, "{name}");
    }
}

#[tokio::test]
async fn one_tenants_silent_names_take_no_other_tenants_lookups() {
    let server = NameServer::start(|name, _| match name.ends_with(".hang.test") {
        true => Say::Nothing,
        false => Say::Addresses(&["127.0.0.1"], 60),
    })
    .await;
    let machine = Machine::asking(&[server.address]);
    let resolver = Arc::new(machine.resolver_with(16));
    assert_eq!(addresses(&resolver, "kept.test").await, ["127.0.0.1"]);
    let hanging: Vec<_> = (0..300)
        .map(|n| {
            let resolver = Arc::clone(&resolver);
            tokio::spawn(async move { resolve(&resolver, &format!("h{n}.hang.test")).await.unwrap_err() })
        })
        .collect();
    // Its own share is taken when the name server has been asked for as many names.
    while server.asked().len() < 7 {
        tokio::task::yield_now().await;
    }
    let deadline = Instant::now() + LOOKUP_DEADLINE / 2;
    for (tenant, name) in [(TWO, "good.test"), (Tenant::OPERATOR, "operators.test"), (ONE, "kept.test")] {
        let resolved = resolver.resolve(name, tenant, deadline).await;
        assert_eq!(shown(&resolved.unwrap().addresses), ["127.0.0.1"], "{name}");
    }
    let impatient =
        resolver.resolve("h1000.hang.test", ONE, Instant::now() + Duration::from_millis(50)).await;
    assert!(
        matches!(impatient, Err(ResolveError::Shortage(_))),
        "it waited for its own capacity: {impatient:?}"
    );
    let (mut failed, mut shortages) = (0, 0);
    for hanging in hanging {
        match hanging.await.unwrap() {
            ResolveError::Failed(_) => failed += 1,
            ResolveError::Shortage(_) => shortages += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        failed > 0 && shortages > 0 && failed + shortages == 300,
        "{failed} failed, {shortages} shortages"
    );
}

#[tokio::test]
async fn a_name_is_asked_for_once_however_many_wait_for_it() {
    let is_open = Arc::new(AtomicBool::new(false));
    let server = NameServer::start({
        let is_open = Arc::clone(&is_open);
        move |_, _| match is_open.load(Ordering::SeqCst) {
            true => Say::Addresses(&["127.0.0.1"], 60),
            false => Say::After(50, Box::new(Say::Addresses(&["127.0.0.1"], 60))),
        }
    })
    .await;
    let machine = Machine::asking(&[server.address]);
    let resolver = Arc::new(machine.resolver());
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let resolver = Arc::clone(&resolver);
            tokio::spawn(async move { addresses(&resolver, "popular.test").await })
        })
        .collect();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), ["127.0.0.1"]);
    }
    assert_eq!(server.asked().len(), 2, "one question for each family");
}
