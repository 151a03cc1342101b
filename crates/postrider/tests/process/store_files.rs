//! Other programs at the files of a running service: a reader that stays, a writer that stays, files that are moved away.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::service::{Service, event, postrider, run, serve};

const PATIENCE: Duration = Duration::from_secs(60);
/// A write-ahead log is cut back to this.
const LONGEST_LOG: u64 = 4 * 4_000 * (4_096 + 24) + 32;

/// A service whose log is kept.
struct Logged {
    service: Service,
    folder: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Logged {
    fn start(folder: &Path) -> Self {
        let (reads, writes) = std::io::pipe().unwrap();
        let mut command: Command = serve(folder);
        command.args(["--log-level", "info"]).stderr(writes);
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(reads).lines().map_while(Result::ok) {
                written.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { service: Service::wait_for(command), folder: folder.to_owned(), log }
    }

    fn lines(&self, words: &str) -> Vec<String> {
        self.log.lock().unwrap().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// What `doctor` says beside the service.
    fn doctor(&self) -> String {
        let mut command = postrider(&self.folder);
        let listen = self.service.url.strip_prefix("http://").unwrap();
        command.args(["doctor", "--resolve", "localhost", "--listen", listen]);
        run(command).1
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_reader_that_stays_is_named_and_the_log_is_cut_back_when_it_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::start(folder.path());
    let account = logged.service.account();
    let path = folder.path().join("postrider.db");
    let log_bytes = || std::fs::metadata(folder.path().join("postrider.db-wal")).unwrap().len();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM events", [], |row| row.get::<_, i64>(0)).unwrap();
    let filler = "x".repeat(100_000);
    let payload =
        format!(r#"{{"id":"x","livemode":false,"policy_id":"P","product_id":"I","filler":"{filler}"}}"#);
    let one = format!(r#"{{"account":"{account}","type":"policy.created","payload":{payload}}}"#);
    let batch = format!(r#"{{"events":[{}]}}"#, vec![one; 9].join(","));
    while log_bytes() <= LONGEST_LOG + 10_000_000 {
        assert_eq!(logged.service.post("/v1/events/batch", &batch).unwrap().0, 202);
    }
    let name = format!("{} (", std::process::id());
    let warning = "a reader keeps the write-ahead log from being reset";
    wait_until("it is logged", || !logged.lines(warning).is_empty());
    let warned = &logged.lines(warning)[0];
    assert!(warned.contains("another process reads the database") && warned.contains(&name), "{warned}");
    assert!(logged.service.metric("postrider_store_bytes{part=\"write_ahead_log\"}") > LONGEST_LOG);
    let said = logged.doctor();
    assert!(said.contains("other processes read the database now") && said.contains(&name), "{said}");
    drop(reader);
    wait_until("an idle service cuts it back", || log_bytes() <= LONGEST_LOG);
    wait_until("its end is logged", || !logged.lines("the write-ahead log was reset").is_empty());
    assert_eq!(logged.lines(warning).len(), 1, "it is logged now and then");
    assert!(!logged.doctor().contains("other processes"));
}

#[test]
fn while_the_database_is_moved_away_events_are_refused_and_it_goes_on_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::start(folder.path());
    let service = &logged.service;
    let account = service.account();
    let (path, elsewhere) = (folder.path().join("postrider.db"), folder.path().join("elsewhere.db"));
    assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
    std::fs::rename(&path, &elsewhere).unwrap();
    for _ in 0..3 {
        let (status, retry_after) = service.post_for_retry_after("/v1/events", &event(&account));
        assert!(status == 503 && retry_after.is_some(), "{status} {retry_after:?}");
    }
    assert_eq!((service.status("/readyz"), service.status("/healthz")), (503, 200));
    let fault = "was deleted or moved away while the service runs";
    assert!(logged.doctor().contains(fault));
    std::fs::write(&path, "somebody's notes").unwrap();
    assert_eq!(service.post_for_retry_after("/v1/events", &event(&account)).0, 503);
    assert_eq!(service.status("/readyz"), 503);
    assert!(logged.doctor().contains("was replaced while the service runs"), "{}", logged.doctor());
    std::fs::rename(&elsewhere, &path).unwrap();
    assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
    // A check holds for a moment.
    wait_until("it is ready again", || service.status("/readyz") == 200);
    wait_until("its end is logged", || !logged.lines("the store's files are back").is_empty());
    let errors = logged.lines("the store's files have changed under the running service");
    assert!(errors.len() == 2 && errors[0].contains("ERROR") && errors[0].contains(fault), "{errors:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn while_the_lock_is_deleted_doctor_says_so_no_second_service_starts_and_the_next_event_restores_it() {
    let folder = tempfile::tempdir().unwrap();
    let logged = Logged::start(folder.path());
    let account = logged.service.account();
    let lock = folder.path().join("postrider.db.lock");
    std::fs::remove_file(&lock).unwrap();
    let said = logged.doctor();
    assert!(said.contains("postrider.db.lock was deleted while the service runs"), "{said}");
    let (code, _, err) = run(serve(folder.path()));
    assert!(code != Some(0) && err.contains("in use by another postrider process"), "{code:?} {err}");
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(logged.service.post("/v1/events", &event(&account)).unwrap().0, 202);
    assert!(std::fs::File::open(&lock).unwrap().try_lock_shared().is_err(), "it is locked again");
    wait_until("it is logged", || {
        !logged.lines("the lock file was deleted or replaced; restored").is_empty()
    });
    let said = logged.doctor();
    assert!(!said.contains("was deleted while the service runs"), "{said}");
}

#[test]
fn a_transaction_that_another_program_leaves_open_is_503_in_time_and_then_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    let account = service.account();
    let shell = Connection::open(folder.path().join("postrider.db")).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let (status, retry_after) = service.post_for_retry_after("/v1/events", &event(&account));
    assert!(status == 503 && retry_after.is_some(), "{status} {retry_after:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(service.status("/readyz"), 503);
    shell.execute_batch("COMMIT").unwrap();
    assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
    assert_eq!(service.status("/readyz"), 200);
}
