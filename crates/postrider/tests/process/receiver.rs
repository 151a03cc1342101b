//! A receiver written for these tests with nothing but threads and sockets: it notes each guid and answers 200.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// What arrived under one guid.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) times: Vec<Instant>,
    pub(crate) signature: String,
    pub(crate) event_type: String,
    pub(crate) body: Vec<u8>,
}

type Arrivals = Arc<(Mutex<HashMap<String, Arrival>>, Condvar)>;

/// A receiver whose port is its own from the beginning; connections are refused until it opens.
pub(crate) struct Receiver {
    socket: Option<Socket>,
    address: SocketAddr,
    arrivals: Arrivals,
}

impl Receiver {
    /// Takes a port without listening on it.
    pub(crate) fn closed() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket: Some(socket), address, arrivals: Arrivals::default() }
    }

    /// A receiver that answers from now on.
    pub(crate) fn open() -> Self {
        let mut receiver = Self::closed();
        receiver.begin();
        receiver
    }

    pub(crate) fn begin(&mut self) {
        let socket = self.socket.take().expect("a receiver begins once");
        socket.listen(1_024).unwrap();
        let listener: TcpListener = socket.into();
        let arrivals = self.arrivals.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let arrivals = arrivals.clone();
                std::thread::spawn(move || drop(answer_all(stream, &arrivals)));
            }
        });
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn arrivals(&self) -> HashMap<String, Arrival> {
        self.arrivals.0.lock().unwrap().clone()
    }

    /// Waits until `enough` is true of what arrived; fails the test after `patience`.
    pub(crate) fn wait(&self, patience: Duration, enough: impl Fn(&HashMap<String, Arrival>) -> bool) {
        let (arrivals, changed) = &*self.arrivals;
        let guard = arrivals.lock().unwrap();
        let (guard, timeout) =
            changed.wait_timeout_while(guard, patience, |arrivals| !enough(arrivals)).unwrap();
        assert!(!timeout.timed_out(), "only {} different guids arrived in time", guard.len());
    }
}

/// Answers every request of a connection.
fn answer_all(stream: TcpStream, arrivals: &Arrivals) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut headers = HashMap::new();
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        note(arrivals, &headers, body);
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

fn note(arrivals: &Arrivals, headers: &HashMap<String, String>, body: Vec<u8>) {
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let (signature, event_type) = (header("x-kasko-signature"), header("x-kasko-event"));
    let mut all = arrivals.0.lock().unwrap();
    all.entry(header("x-kasko-delivery"))
        .or_insert_with(|| Arrival { times: Vec::new(), signature, event_type, body })
        .times
        .push(Instant::now());
    arrivals.1.notify_all();
}
