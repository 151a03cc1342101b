//! A server written for these tests with nothing but threads and sockets, which answers each request as it is told to and
//! keeps it: a collector, or a receiver whose requests are looked at to the last header.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// A status with an empty JSON object.
    Status(u16),
    /// Nothing, ever.
    Silence,
    /// Something that is not HTTP.
    Garbage,
}

type Seen = Arc<(Mutex<Vec<Request>>, Condvar)>;
type Script = dyn Fn(usize) -> Reply + Send + Sync;

/// The server; it answers until the process ends.
pub(crate) struct Scripted {
    address: SocketAddr,
    seen: Seen,
}

impl Scripted {
    /// A server that asks `script` what to answer to the first, second, … request.
    pub(crate) fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let (kept, script): (Seen, Arc<Script>) = (seen.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, script) = (kept.clone(), script.clone());
                std::thread::spawn(move || drop(answer_all(stream, &kept, &*script)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.0.lock().unwrap().clone()
    }

    /// Waits until `enough` is true of what came; fails the test after `patience`.
    pub(crate) fn wait(&self, patience: Duration, enough: impl Fn(&[Request]) -> bool) {
        let (seen, changed) = &*self.seen;
        let guard = seen.lock().unwrap();
        let (guard, timeout) = changed.wait_timeout_while(guard, patience, |seen| !enough(seen)).unwrap();
        let heads: Vec<&str> = guard.iter().filter_map(|request| request.head.lines().next()).collect();
        assert!(!timeout.timed_out(), "only this came in time: {heads:#?}");
    }
}

fn answer_all(stream: TcpStream, seen: &Seen, script: &Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line)? > 2 {
            head.push_str(&line.to_lowercase());
            line.clear();
        }
        if head.is_empty() {
            return Ok(());
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let number = {
            let mut all = seen.0.lock().unwrap();
            all.push(Request { head, body });
            all.len()
        };
        seen.1.notify_all();
        match script(number) {
            Reply::Status(status) => {
                write!(writer, "HTTP/1.1 {status} So\r\nContent-Length: 2\r\n\r\n{{}}")?;
            }
            Reply::Silence => {}
            Reply::Garbage => writer.write_all(b"\x00\x01this is no answer\r\n\r\n")?,
        }
    }
}
