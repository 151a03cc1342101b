//! A name server of the tests' own, over UDP and TCP on loopback, and a resolver that asks it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use postrider_sender::{ResolverFiles, SystemResolver};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// What a name server says to a question.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// These addresses (those of the family that was asked for), with a time to live in seconds.
    Addresses(&'static [&'static str], u32),
    /// The name is an alias of this one, and nothing more.
    Alias(String),
    /// Each name is an alias of the next, and the last one has this address.
    Chain(Vec<String>, &'static str),
    /// A code, and nothing else.
    Code(ResponseCode),
    /// Nothing.
    Nothing,
    /// The same after so many milliseconds.
    After(u64, Box<Say>),
    /// "Too long for a datagram" over UDP, and this over TCP.
    ByTcp(Box<Say>),
    /// A reply to somebody else's question first, then this.
    AfterForgery(Box<Say>),
    /// Bytes that are no message.
    Garbage,
}

pub(crate) const MISSING: Say = Say::Code(ResponseCode::NXDomain);
pub(crate) const NO_ADDRESS: Say = Say::Addresses(&[], 0);

type Script = Arc<dyn Fn(&str, RecordType) -> Say + Send + Sync>;

/// A running name server.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub(crate) async fn start(script: impl Fn(&str, RecordType) -> Say + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), script).await
    }

    /// At this address; the same port takes UDP and TCP.
    pub(crate) async fn start_at(
        address: SocketAddr,
        script: impl Fn(&str, RecordType) -> Say + Send + Sync + 'static,
    ) -> Self {
        let script: Script = Arc::new(script);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind(address).await.expect("a TCP socket");
            let same = tcp.local_addr().expect("an address");
            if let Ok(udp) = UdpSocket::bind(same).await {
                break (tcp, Arc::new(udp));
            }
            assert_eq!(address.port(), 0, "{address} is in use");
        };
        let address = tcp.local_addr().expect("an address");
        tokio::spawn(serve_udp(udp, Arc::clone(&script), Arc::clone(&asked)));
        tokio::spawn(serve_tcp(tcp, script, Arc::clone(&asked)));
        Self { address, asked }
    }

    /// The questions so far, such as `A example.com.`; each only once in a row.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics there").clone()
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let (script, asked, socket) = (Arc::clone(&script), Arc::clone(&asked), Arc::clone(&socket));
        let bytes = buffer[..length].to_vec();
        tokio::spawn(async move {
            for reply in replies(&bytes, &script, &asked, false).await {
                drop(socket.send_to(&reply, peer).await);
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
        tokio::spawn(async move {
            let length = stream.read_u16().await.expect("a length");
            let mut bytes = vec![0; length.into()];
            stream.read_exact(&mut bytes).await.expect("a question");
            for reply in replies(&bytes, &script, &asked, true).await {
                let length = u16::try_from(reply.len()).expect("a short reply");
                drop(stream.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat()).await);
            }
        });
    }
}

async fn replies(bytes: &[u8], script: &Script, asked: &Mutex<Vec<String>>, by_tcp: bool) -> Vec<Vec<u8>> {
    let question = Message::from_vec(bytes).expect("a question");
    assert!(question.metadata.recursion_desired);
    let query = question.queries.first().expect("a question").clone();
    let name = query.name.to_string();
    asked.lock().expect("no test panics there").push(format!("{} {name}", query.query_type));
    let mut say = script(name.trim_end_matches('.'), query.query_type);
    let mut replies = Vec::new();
    loop {
        let mut message = Message::response(question.metadata.id, OpCode::Query);
        message.metadata.message_type = MessageType::Response;
        message.add_query(query.clone());
        match say {
            Say::Nothing => return replies,
            Say::After(ms, later) => {
                let forever = std::future::pending::<()>();
                drop(tokio::time::timeout(Duration::from_millis(ms), forever).await);
                say = *later;
                continue;
            }
            Say::AfterForgery(later) => {
                let mut forged = message.clone();
                forged.metadata.id = question.metadata.id.wrapping_add(1);
                forged.add_answer(record(&query.name, RData::A(A::new(10, 6, 6, 6)), 60));
                replies.push(forged.to_vec().expect("a message"));
                say = *later;
                continue;
            }
            Say::ByTcp(whole) if by_tcp => {
                say = *whole;
                continue;
            }
            Say::ByTcp(_) => message.metadata.truncation = true,
            Say::Garbage => {
                replies.push([&question.metadata.id.to_be_bytes(), [0xff; 30].as_slice()].concat());
                return replies;
            }
            Say::Code(code) => message.metadata.response_code = code,
            Say::Addresses(addresses, ttl) => {
                answer(&mut message, &query.name, query.query_type, addresses, ttl)
            }
            Say::Alias(of) => {
                message.add_answer(record(&query.name, alias(&of), 60));
            }
            Say::Chain(names, address) => {
                let mut owner = query.name.clone();
                for name in names {
                    message.add_answer(record(&owner, alias(&name), 60));
                    owner = absolute(&name);
                }
                answer(&mut message, &owner, query.query_type, &[address], 60);
            }
        }
        replies.push(message.to_vec().expect("a message"));
        return replies;
    }
}

fn answer(message: &mut Message, name: &Name, asked: RecordType, addresses: &[&str], ttl: u32) {
    for address in addresses {
        match (address.parse().expect("an address"), asked) {
            (IpAddr::V4(address), RecordType::A) => {
                message.add_answer(record(name, RData::A(A(address)), ttl));
            }
            (IpAddr::V6(address), RecordType::AAAA) => {
                message.add_answer(record(name, RData::AAAA(AAAA(address)), ttl));
            }
            _ => {}
        }
    }
}

fn record(name: &Name, data: RData, ttl: u32) -> Record {
    Record::from_rdata(name.clone(), ttl, data)
}

fn alias(of: &str) -> RData {
    RData::CNAME(CNAME(absolute(of)))
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).expect("a name")
}

/// A machine's resolver configuration, in a folder of its own.
pub(crate) struct Machine {
    folder: TempDir,
    port: u16,
}

impl Machine {
    /// One whose name servers are at these addresses, which have the same port.
    pub(crate) fn asking(name_servers: &[SocketAddr]) -> Self {
        let port = name_servers.first().map_or(53, SocketAddr::port);
        let machine = Self { folder: tempfile::tempdir().expect("a folder"), port };
        let lines: Vec<String> =
            name_servers.iter().map(|server| format!("nameserver {}\n", server.ip())).collect();
        machine.write("resolv.conf", &lines.concat());
        machine
    }

    /// Replaces a file as editors and container runtimes do: a new one takes its place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("a file");
        fs::rename(new, self.path(name)).expect("a file");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("the file");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn resolver(&self) -> SystemResolver {
        self.resolver_with(256)
    }

    pub(crate) fn resolver_with(&self, concurrent_lookups: usize) -> SystemResolver {
        let files = ResolverFiles {
            resolv_conf: self.path("resolv.conf"),
            hosts: self.path("hosts"),
            port: self.port,
        };
        SystemResolver::with(files, concurrent_lookups)
    }
}
