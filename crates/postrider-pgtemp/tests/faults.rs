//! The proxy makes the faults that it says it makes, seen from both ends of plain connections.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use postrider_pgtemp::{Cluster, Proxy, Way};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing must come for it to count as silence.
const SILENCE: Duration = Duration::from_millis(200);

/// A server, a proxy before it, and both ends of one connection.
struct Wire {
    server: TcpListener,
    proxy: Proxy,
    node: TcpStream,
    database: TcpStream,
}

fn wire() -> Wire {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap().port()).unwrap();
    let node = connect(&proxy);
    let database = server.accept().unwrap().0;
    database.set_read_timeout(Some(PATIENCE)).unwrap();
    Wire { server, proxy, node, database }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn passes(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"hello").unwrap();
    let mut read = [0; 5];
    to.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"hello");
}

fn is_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let read = stream.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(read.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{read}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

#[test]
fn bytes_pass_both_ways_and_an_end_passes_too() {
    let mut wire = wire();
    passes(&mut wire.node, &mut wire.database);
    passes(&mut wire.database, &mut wire.node);
    assert_eq!((wire.proxy.open(), wire.proxy.accepted()), (1, 1));
    wire.node.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(wire.database.read(&mut [0; 1]).unwrap(), 0);
    passes(&mut wire.database, &mut wire.node);
}

#[test]
fn a_delay_holds_bytes_for_so_long_but_not_one_after_the_other() {
    const DELAY: Duration = Duration::from_millis(300);
    let mut wire = wire();
    wire.proxy.delay(DELAY);
    let began = Instant::now();
    for _ in 0..20 {
        wire.node.write_all(b"hello").unwrap();
    }
    let mut read = [0; 100];
    wire.database.read_exact(&mut read).unwrap();
    assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
    wire.proxy.delay(Duration::ZERO);
    passes(&mut wire.database, &mut wire.node);
}

#[test]
fn a_frozen_way_is_silent_until_it_thaws_and_loses_nothing() {
    let mut wire = wire();
    wire.proxy.freeze(Way::ToNode);
    wire.database.write_all(b"answer").unwrap();
    is_silent(&mut wire.node);
    passes(&mut wire.node, &mut wire.database);
    let _new = connect(&wire.proxy);
    let (mut new, _) = wire.server.accept().unwrap();
    new.write_all(b"x").unwrap();
    wire.proxy.thaw();
    let mut read = [0; 6];
    wire.node.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"answer");
    wire.proxy.freeze(Way::ToDatabase);
    wire.node.write_all(b"x").unwrap();
    is_silent(&mut wire.database);
}

#[test]
fn a_cut_resets_what_is_there_at_both_ends_and_spares_what_comes_later() {
    let mut wire = wire();
    wire.proxy.cut();
    for stream in [&mut wire.node, &mut wire.database] {
        assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    let mut node = connect(&wire.proxy);
    let (mut database, _) = wire.server.accept().unwrap();
    passes(&mut node, &mut database);
}

#[test]
fn a_half_closed_connection_ends_one_way_and_stays_open_the_other() {
    let mut wire = wire();
    wire.proxy.half_close(Way::ToNode);
    assert_eq!(wire.node.read(&mut [0; 1]).unwrap(), 0);
    passes(&mut wire.node, &mut wire.database);
}

#[test]
fn while_it_refuses_nobody_gets_in_and_those_inside_stay() {
    let mut wire = wire();
    wire.proxy.refuse();
    let refused = TcpStream::connect(("127.0.0.1", wire.proxy.port())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    passes(&mut wire.node, &mut wire.database);
    wire.proxy.accept();
    let mut node = connect(&wire.proxy);
    let (mut database, _) = wire.server.accept().unwrap();
    passes(&mut node, &mut database);
}

#[test]
fn a_dropped_proxy_is_gone_with_its_connections() {
    let mut wire = wire();
    let port = wire.proxy.port();
    drop(wire.proxy);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(matches!(wire.node.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn a_database_is_reached_through_the_proxy() {
    let cluster = Cluster::shared();
    let proxy = Proxy::start(cluster.port()).unwrap();
    let url = cluster.database().unwrap();
    let through = proxy.url(&url);
    let name = url.rsplit_once('/').unwrap().1;
    assert_eq!(through, format!("postgres://postrider@127.0.0.1:{}/{name}", proxy.port()));
    let asked =
        std::process::Command::new("psql").args(["-X", "-A", "-t", "-c", "SELECT 6 * 7", &through]).output();
    assert_eq!(String::from_utf8(asked.unwrap().stdout).unwrap().trim(), "42");
    assert_eq!(proxy.accepted(), 1);
}
