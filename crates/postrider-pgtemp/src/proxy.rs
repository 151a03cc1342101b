//! A TCP proxy with faults: it stands between a node and its database, and does to their connections what networks do.
//!
//! It runs on a thread and a runtime of its own, so a test may block, or stop the clock of its own runtime, and the
//! proxy goes on. It knows bytes only; nothing of what they mean.

mod pump;

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::{ClusterError, port};
use pump::Pump;

/// A direction of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the node sends.
    ToDatabase,
    /// What the database answers.
    ToNode,
}

/// What is wrong with the network just now. The counts are of things that happen once, to the connections there are.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    delay: Duration,
    is_frozen: [bool; 2],
    is_refusing: bool,
    cuts: u64,
    half_closes: [u64; 2],
    has_ended: bool,
}

/// A proxy for one server. It ends, with all of its connections, when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    faults: watch::Sender<Faults>,
    /// Where new connections lead.
    server: Arc<AtomicU16>,
    /// How many connections there are; and whether the listener listens.
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    accepted: AtomicUsize,
}

impl Proxy {
    /// Begins to listen on a free port of the loopback for a server on another.
    ///
    /// # Errors
    /// If no port is free, or the runtime can't start.
    pub fn start(server_port: u16) -> Result<Self, ClusterError> {
        let port = port::free().map_err(ClusterError::io("no port is free"))?;
        let listener = listen(port).map_err(ClusterError::io("the proxy can't listen"))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ClusterError::io("the proxy's runtime can't start"))?;
        let (faults, seen) = watch::channel(Faults::default());
        let counts = Arc::new(Counts::default());
        let server = Arc::new(AtomicU16::new(server_port));
        let work = Listening { port, server: server.clone(), faults: seen, counts: counts.clone() };
        let thread = std::thread::Builder::new().name("fault proxy".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work.run(listener)));
        let thread = Some(thread.map_err(ClusterError::io("the proxy's thread can't start"))?);
        Ok(Self { port, faults, server, counts, thread })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of the server, led through the proxy.
    pub fn url(&self, database_url: &str) -> String {
        let (before, after) = database_url.rsplit_once(':').unwrap_or((database_url, ""));
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{before}:{}{rest}", self.port)
    }

    /// From now on new connections lead to the server on another port, as when an address moves to a new primary. Those
    /// there are stay.
    pub fn lead_to(&self, server_port: u16) {
        self.server.store(server_port, Ordering::SeqCst);
    }

    /// From now on bytes need so much longer, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// From now on no byte passes in this direction; connections stay, new ones come about.
    pub fn freeze(&self, way: Way) {
        self.faults.send_modify(|faults| faults.is_frozen[way as usize] = true);
    }

    /// Ends [`Proxy::freeze`] in both directions; what was held passes.
    pub fn thaw(&self) {
        self.faults.send_modify(|faults| faults.is_frozen = [false; 2]);
    }

    /// Resets all connections there are, towards both ends. What was held is lost.
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }

    /// Ends one direction of all connections there are: its receiver reads an end, the other direction stays as it is.
    pub fn half_close(&self, way: Way) {
        self.faults.send_modify(|faults| faults.half_closes[way as usize] += 1);
    }

    /// From now on new connections are refused, as if nobody listened. Those there are stay. Returns when it is so.
    ///
    /// # Panics
    /// If the proxy does not obey.
    pub fn refuse(&self) {
        self.faults.send_modify(|faults| faults.is_refusing = true);
        self.wait_until("the listener is gone", || self.answers_connections() == Some(false));
    }

    /// Ends [`Proxy::refuse`]. Returns when it is so.
    ///
    /// # Panics
    /// If the proxy can't listen again.
    pub fn accept(&self) {
        self.faults.send_modify(|faults| faults.is_refusing = false);
        self.wait_until("the listener is back", || self.answers_connections() == Some(true));
    }

    /// How many connections there are just now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many connections there have been since the start.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Whether the port can be taken says whether the proxy listens on it, without a connection.
    fn answers_connections(&self) -> Option<bool> {
        match StdListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
            Ok(_free_again) => Some(false),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Some(true),
            Err(_) => None,
        }
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = std::time::Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}: the proxy does not obey");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.faults.send_modify(|faults| faults.has_ended = true);
        if let Some(thread) = self.thread.take() {
            // A panic of the proxy has been printed; the test that it disturbed has failed or has not.
            drop(thread.join());
        }
    }
}

fn listen(port: u16) -> std::io::Result<StdListener> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The listener's side: takes connections, unless it is to refuse them.
struct Listening {
    port: u16,
    server: Arc<AtomicU16>,
    faults: watch::Receiver<Faults>,
    counts: Arc<Counts>,
}

impl Listening {
    async fn run(mut self, first: StdListener) {
        let mut listener = TcpListener::from_std(first).ok();
        loop {
            let now = *self.faults.borrow_and_update();
            if now.has_ended {
                return;
            }
            match (&listener, now.is_refusing) {
                (Some(_), true) => listener = None,
                (None, false) => listener = self.listen_again().await,
                _ => {}
            }
            let next = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                accepted = next => if let Ok((node, _)) = accepted { self.begin(node) },
                // The sender lives as long as this does: it says that it has ended before it goes.
                changed = self.faults.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Somebody may be looking at this moment whether the port is free, and so hold it.
    async fn listen_again(&self) -> Option<TcpListener> {
        loop {
            if let Ok(listener) = listen(self.port).and_then(TcpListener::from_std) {
                return Some(listener);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn begin(&self, node: TcpStream) {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, self.server.load(Ordering::SeqCst)));
        let (faults, counts) = (self.faults.clone(), self.counts.clone());
        // What happens once happens to this connection from here on, before its server is reached too.
        let at_begin = *faults.borrow();
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        counts.open.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            // Where no server answers, the node's connection is closed at once: as near to a refusal as a proxy gets.
            if let Ok(database) = TcpStream::connect(server).await {
                connection(node, database, at_begin, faults).await;
            }
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// One connection: a pump for each direction, until both have ended or it is cut.
async fn connection(
    node: TcpStream,
    database: TcpStream,
    at_begin: Faults,
    mut faults: watch::Receiver<Faults>,
) {
    for stream in [&node, &database] {
        // Without it small messages would wait for each other; a proxy that does not is still one.
        drop(stream.set_nodelay(true));
    }
    let (mut from_node, mut to_node) = node.into_split();
    let (mut from_database, mut to_database) = database.into_split();
    let was_cut = {
        let up = Pump { way: Way::ToDatabase, at_begin, faults: faults.clone() };
        let down = Pump { way: Way::ToNode, at_begin, faults: faults.clone() };
        let both = async {
            tokio::join!(
                up.run(&mut from_node, &mut to_database),
                down.run(&mut from_database, &mut to_node)
            );
        };
        tokio::select! {
            () = both => false,
            _ = faults.wait_for(|now| now.cuts > at_begin.cuts || now.has_ended) => true,
        }
    };
    if was_cut {
        for stream in [from_node.as_ref(), from_database.as_ref()] {
            // With nothing to linger for, closing sends a reset.
            drop(socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)));
        }
        // Else each would say an orderly end first.
        to_node.forget();
        to_database.forget();
    }
}
