//! Nodes on one database, and a load that goes to all of them as a careful client hands it in: what is refused, or not
//! answered, goes to the next node; what was answered with 202 counts.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postrider_pgtemp::Cluster;

use crate::receiver::Arrival;
use crate::service::{Poster, Service, event};

pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
/// A client that gets no answer for so long asks another node.
const CLIENT_PATIENCE: Duration = Duration::from_secs(3);
/// Thirty retries a second apart: nothing is exhausted while a test goes on.
const RETRIES: &str =
    "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s";

/// A folder with a master key, and an empty database.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) url: String,
}

impl Place {
    /// On the server that the tests share.
    pub(crate) fn new() -> Self {
        Self::on(Cluster::shared())
    }

    /// On a server of the test's own.
    pub(crate) fn on(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("postrider.key");
        std::fs::write(&key, KEY).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { folder, url: cluster.database().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A node that may deliver to this machine.
    pub(crate) fn start(&self, flags: &[&str]) -> Service {
        self.start_through(&self.url, flags)
    }

    /// The same with another way to the database.
    pub(crate) fn start_through(&self, url: &str, flags: &[&str]) -> Service {
        let own = ["--store", url, "--master-key-file", "postrider.key", "--allow-nets", "127.0.0.0/8"];
        let retries = ["--retry-schedule", RETRIES];
        Service::start(self.path(), &[&own, retries.as_slice(), flags].concat())
    }
}

/// What was answered with 202, and when.
pub(crate) type Accepted = HashMap<String, Instant>;

/// Clients that hand in events until they are told to stop.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    urls: Vec<String>,
    body: String,
    accepted: Mutex<Accepted>,
    refused: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    /// Begins with so many clients, each on the nodes in turn.
    pub(crate) fn begin(nodes: &[&Service], account: &str, clients: usize) -> Self {
        let shared = Arc::new(Shared {
            urls: nodes.iter().map(|node| node.url.clone()).collect(),
            body: event(account),
            accepted: Mutex::default(),
            refused: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let client = |first: usize| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.hand_in(first))
        };
        let clients = (0..clients).map(client).collect();
        Self { shared, clients }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.lock().unwrap().len()
    }

    /// How many requests were answered with 503, or not at all.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Waits until so many more have been accepted.
    pub(crate) fn wait_for_more(&self, events: usize) {
        let before = self.accepted();
        wait_for(&format!("{events} more events are accepted"), || self.accepted() >= before + events);
    }

    /// Ends it, and gives what was accepted.
    pub(crate) fn end(self) -> Accepted {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        std::mem::take(&mut *self.shared.accepted.lock().unwrap())
    }
}

impl Shared {
    fn hand_in(&self, first: usize) {
        let clients: Vec<Poster> =
            self.urls.iter().map(|url| Poster::patient(url, CLIENT_PATIENCE)).collect();
        let mut turn = first;
        while !self.is_over.load(Ordering::SeqCst) {
            turn += 1;
            match clients[turn % clients.len()].post("/v1/events", &self.body) {
                Ok((202, answer)) => {
                    let guid = answer["id"].as_str().unwrap().to_owned();
                    self.accepted.lock().unwrap().insert(guid, Instant::now());
                }
                Ok((503, _)) | Err(_) => {
                    self.refused.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                }
                Ok((status, answer)) => panic!("{status}: {answer}"),
            }
        }
    }
}

pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// Whether everything that was accepted is among what arrived.
pub(crate) fn all_arrived(accepted: &Accepted, arrived: &HashMap<String, Arrival>) -> bool {
    accepted.keys().all(|guid| arrived.contains_key(guid))
}

/// What arrived more than once.
pub(crate) fn repeated(arrived: &HashMap<String, Arrival>) -> Vec<&Arrival> {
    arrived.values().filter(|arrival| arrival.times.len() > 1).collect()
}

/// Waits until the outcome of everything that was accepted is recorded. (An event whose commit was not answered in time
/// may be there too; it gets its turn when the node next compares its lanes with the store.)
pub(crate) fn wait_until_recorded(node: &Service, accepted: &Accepted) {
    wait_for("the outcomes are recorded", || {
        let pending = node.get("/v1/deliveries?status=pending&limit=250");
        let pending = pending["data"].as_array().unwrap();
        !pending.iter().any(|delivery| accepted.contains_key(delivery["event"].as_str().unwrap()))
    });
}
