//! Asks the name servers one question: the first one first, the next one when it refuses, fails, can't be reached or stays
//! silent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, interval, sleep};

use super::message::{NoReply, Question, Reply};
use super::resolv_conf::ResolvConf;
use crate::failure::is_shortage;
use crate::limits::{
    MAX_ALIASES, MAX_UDP_REPLY_BYTES, NAME_SERVER_REPEAT, NAME_SERVER_STAGGER, SILENCE_REMEMBERED,
};
use crate::resolve::ResolveError;

/// The configured name servers.
pub(super) struct NameServers {
    servers: Vec<NameServer>,
    use_tcp: bool,
}

struct NameServer {
    address: SocketAddr,
    /// When another one answered while this one was silent; the others are asked first for a while.
    silent_at: Mutex<Option<Instant>>,
}

/// Why a name server gave no reply.
#[derive(Debug)]
enum ServerFault {
    /// This machine lacks what a question needs.
    Shortage(io::Error),
    /// It can't be reached.
    Unreachable(io::Error),
    /// It refuses or fails.
    Refused(ResponseCode),
    /// What it sends can't be read.
    Malformed,
}

impl NameServers {
    pub(super) fn new(read: &ResolvConf) -> Self {
        let servers = read
            .name_servers
            .iter()
            .map(|&address| NameServer { address, silent_at: Mutex::new(None) })
            .collect();
        Self { servers, use_tcp: read.use_tcp }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Asks until a name server has replied, following aliases that the name server leaves to us. The caller sets the deadline.
    pub(super) async fn ask(&self, question: &Question) -> Result<Reply, ResolveError> {
        let mut alias = None;
        for _ in 0..=MAX_ALIASES {
            let mut reply = self.ask_once(alias.as_ref().unwrap_or(question)).await?;
            match reply.alias.take() {
                Some(name) => alias = Some(question.about_alias(name)),
                None => return Ok(reply),
            }
        }
        Err(ResolveError::Failed(format!("the name is an alias of an alias, more than {MAX_ALIASES} times")))
    }

    async fn ask_once(&self, question: &Question) -> Result<Reply, ResolveError> {
        let order = self.in_order();
        let mut waiting = order.iter();
        let mut running = FuturesUnordered::new();
        let mut started: Vec<&NameServer> = Vec::new();
        let mut faults = Vec::new();
        loop {
            if let Some(&next) = waiting.next() {
                started.push(next);
                running.push(async move { (next, next.ask(question, self.use_tcp).await) });
            }
            tokio::select! {
                biased;
                finished = running.next() => match finished {
                    Some((server, Ok(reply))) => {
                        // Those that have not been heard of while this one answered.
                        started.retain(|other| !std::ptr::eq(*other, server));
                        started.iter().for_each(|silent| silent.note_silence(true));
                        server.note_silence(false);
                        return Ok(reply);
                    }
                    Some((server, Err(fault))) => {
                        started.retain(|other| !std::ptr::eq(*other, server));
                        faults.push(fault);
                        if running.is_empty() && waiting.len() == 0 {
                            return Err(to_error(&faults));
                        }
                    }
                    None => return Err(to_error(&faults)),
                },
                () = sleep(NAME_SERVER_STAGGER), if waiting.len() > 0 => {}
            }
        }
    }

    /// The name servers as configured, those that were silent lately last.
    fn in_order(&self) -> Vec<&NameServer> {
        let mut order: Vec<&NameServer> = self.servers.iter().collect();
        order.sort_by_key(|server| server.was_silent_lately());
        order
    }
}

impl NameServer {
    fn was_silent_lately(&self) -> bool {
        let silent_at = *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner);
        silent_at.is_some_and(|at| at.elapsed() < SILENCE_REMEMBERED)
    }

    fn note_silence(&self, is_silent: bool) {
        let mut silent_at = self.silent_at.lock().unwrap_or_else(PoisonError::into_inner);
        *silent_at = is_silent.then(Instant::now);
    }

    /// Asks this one, again and again while it is silent.
    async fn ask(&self, question: &Question, use_tcp: bool) -> Result<Reply, ServerFault> {
        if use_tcp {
            return self.ask_by_tcp(question).await;
        }
        let reply = self.ask_by_udp(question).await?;
        if !reply.is_truncated {
            return Ok(reply);
        }
        match self.ask_by_tcp(question).await {
            Ok(whole) => Ok(whole),
            // A part is better than nothing, where TCP is cut off.
            Err(_no_more) if !reply.addresses.is_empty() => Ok(reply),
            Err(fault) => Err(fault),
        }
    }

    async fn ask_by_udp(&self, question: &Question) -> Result<Reply, ServerFault> {
        // A socket and so a random port of its own for each question, which makes replies hard to forge.
        let socket = UdpSocket::bind(any_address(self.address)).await.map_err(of_io)?;
        socket.connect(self.address).await.map_err(of_io)?;
        let (id, bytes) = written(question)?;
        let mut buffer = vec![0; MAX_UDP_REPLY_BYTES];
        let mut repeat = interval(NAME_SERVER_REPEAT);
        loop {
            tokio::select! {
                received = socket.recv(&mut buffer) => {
                    let length = received.map_err(of_io)?;
                    match question.reply(id, &buffer[..length]) {
                        Ok(reply) => return Ok(reply),
                        Err(NoReply::Unrelated) => {}
                        Err(NoReply::Refused(code)) => return Err(ServerFault::Refused(code)),
                        Err(NoReply::Malformed) => return Err(ServerFault::Malformed),
                    }
                }
                _ = repeat.tick() => {
                    socket.send(&bytes).await.map_err(of_io)?;
                }
            }
        }
    }

    async fn ask_by_tcp(&self, question: &Question) -> Result<Reply, ServerFault> {
        let mut stream = TcpStream::connect(self.address).await.map_err(of_io)?;
        let (id, bytes) = written(question)?;
        let length = u16::try_from(bytes.len()).map_err(|_long| ServerFault::Malformed)?;
        let framed = [&length.to_be_bytes(), bytes.as_slice()].concat();
        stream.write_all(&framed).await.map_err(of_io)?;
        let length = stream.read_u16().await.map_err(of_io)?;
        let mut reply = vec![0; length.into()];
        stream.read_exact(&mut reply).await.map_err(of_io)?;
        match question.reply(id, &reply) {
            Ok(reply) => Ok(reply),
            Err(NoReply::Refused(code)) => Err(ServerFault::Refused(code)),
            Err(NoReply::Unrelated | NoReply::Malformed) => Err(ServerFault::Malformed),
        }
    }
}

/// A question as bytes, with a random number that its reply must repeat.
fn written(question: &Question) -> Result<(u16, Vec<u8>), ServerFault> {
    let random =
        getrandom::u32().map_err(|error| ServerFault::Shortage(io::Error::other(error.to_string())))?;
    let [high, low, ..] = random.to_be_bytes();
    let id = u16::from_be_bytes([high, low]);
    let bytes = question.to_bytes(id).ok_or(ServerFault::Malformed)?;
    Ok((id, bytes))
}

fn any_address(peer: SocketAddr) -> SocketAddr {
    let any = match peer {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, 0)
}

fn of_io(error: io::Error) -> ServerFault {
    if is_shortage(&error) { ServerFault::Shortage(error) } else { ServerFault::Unreachable(error) }
}

/// What it comes to if no name server replied. A refusal says something about the name; where none could be reached, this
/// machine lacks one.
fn to_error(faults: &[ServerFault]) -> ResolveError {
    let mut refusal = None;
    let mut shortage = None;
    for fault in faults {
        match fault {
            ServerFault::Refused(code) => {
                refusal = Some(format!("the name server answered {}", code_in_words(*code)));
            }
            ServerFault::Malformed => {
                refusal.get_or_insert_with(|| "the name server's answer can't be read".to_owned());
            }
            ServerFault::Shortage(error) => shortage = Some(crate::failure::io_in_words(error)),
            ServerFault::Unreachable(error) => {
                let words = crate::failure::io_in_words(error);
                shortage.get_or_insert_with(|| format!("no name server can be reached: {words}"));
            }
        }
    }
    match (refusal, shortage) {
        (Some(refusal), _) => ResolveError::Failed(refusal),
        (None, Some(shortage)) => ResolveError::Shortage(shortage),
        (None, None) => ResolveError::Shortage(NO_NAME_SERVER.to_owned()),
    }
}

/// What is said where none is configured.
pub(super) const NO_NAME_SERVER: &str = "no name server is configured in /etc/resolv.conf";

fn code_in_words(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "that it did not understand the question (FORMERR)".to_owned(),
        ResponseCode::ServFail => "that it failed (SERVFAIL)".to_owned(),
        ResponseCode::NotImp => "that it does not support the question (NOTIMP)".to_owned(),
        ResponseCode::Refused => "that it refuses (REFUSED)".to_owned(),
        other => format!("with the code {}", u16::from(other)),
    }
}
