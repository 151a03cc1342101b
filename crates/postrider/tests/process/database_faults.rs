//! A database that is there and can't be used: locked, frozen, closed to this user, or behind a pooler that does not keep
//! sessions. Events are refused meanwhile, `doctor` names the cause, and nothing that was accepted is left behind.

use postrider_pgtemp::{Cluster, PoolMode, Pooler, Settings};

use crate::fleet::{Load, PATIENCE, Place, all_arrived, repeated, wait_for, wait_until_recorded};
use crate::postgres::{check, doctor};
use crate::receiver::Receiver;
use crate::service::{OPERATOR_KEY, Service, postrider, run};

const CLIENTS: usize = 6;
const SOME: usize = 50;
const ALL_TABLES: &str =
    "accounts, account_keys, attempts, cancelled_elsewhere, configuration, deliveries, endpoints, events,
    kept_answers, leases, meta, nodes, pages, queue, replays";

/// A server of its own, a node on it, and a load on that.
struct Trial {
    cluster: Cluster,
    place: Place,
    receiver: Receiver,
    node: Service,
    load: Load,
}

impl Trial {
    fn begin() -> Self {
        let cluster = Cluster::start(Settings::default()).unwrap();
        let place = Place::on(&cluster);
        let receiver = Receiver::open();
        let node = place.start(&[]);
        let account = node.account();
        node.endpoint(&account, &receiver.url());
        let load = Load::begin(&[&node], &account, CLIENTS);
        load.wait_for_more(SOME);
        Self { cluster, place, receiver, node, load }
    }

    fn sql(&self, statements: &str) {
        let name = self.place.url.rsplit('/').next().unwrap();
        self.cluster.sql(name, statements).unwrap();
    }

    /// Waits until events are refused, and the probe says so.
    fn wait_until_refused(&self) {
        let refused = self.load.refused();
        wait_for("events are refused", || self.load.refused() > refused + CLIENTS);
        wait_for("it is not ready", || self.node.status("/readyz") == 503);
        assert_eq!(self.node.status("/healthz"), 200);
    }

    /// What `doctor` says of the store.
    fn diagnosis(&self) -> String {
        let (code, found) = doctor(self.place.path(), &self.place.url);
        assert_eq!((code, check(&found, "store").0), (Some(1), "problem"), "{found}");
        check(&found, "store").1.to_owned()
    }

    /// Everything goes on, and everything that was accepted arrives, once.
    fn end(self) {
        wait_for("it is ready again", || self.node.status("/readyz") == 200);
        self.load.wait_for_more(SOME);
        let accepted = self.load.end();
        self.receiver.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
        wait_until_recorded(&self.node, &accepted);
        assert_eq!(repeated(&self.receiver.arrivals()).len(), 0, "no node has died");
        assert_eq!(
            self.node.metric("postrider_stranded_deliveries_total"),
            0,
            "nothing had to be found again"
        );
        assert!(self.node.terminate().success());
    }
}

#[test]
fn tables_that_are_locked_for_a_while_cost_no_event_and_no_duplicate() {
    let trial = Trial::begin();
    let (name, port) = (trial.place.url.rsplit('/').next().unwrap().to_owned(), trial.cluster.port());
    let lock =
        format!("BEGIN; LOCK TABLE {ALL_TABLES} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(12); COMMIT");
    let holder = std::thread::spawn(move || {
        let url = format!("postgres://postgres@127.0.0.1:{port}/{name}?application_name=maintenance");
        let psql = std::process::Command::new("psql").args(["-q", "-c", &lock, &url]).output().unwrap();
        assert!(psql.status.success(), "{psql:?}");
    });
    trial.wait_until_refused();
    let said = trial.diagnosis();
    assert!(said.contains("is locked by process") && said.contains("(maintenance)"), "{said}");
    holder.join().unwrap();
    trial.end();
}

#[test]
fn a_server_that_hangs_for_a_while_costs_no_event_and_no_duplicate() {
    let trial = Trial::begin();
    trial.cluster.freeze().unwrap();
    trial.wait_until_refused();
    // Each client gives up after 3 s: for as long as a statement is waited for, and longer.
    let refused = trial.load.refused();
    wait_for("it hangs for a while", || trial.load.refused() > refused + 3 * CLIENTS);
    trial.cluster.thaw().unwrap();
    trial.end();
}

#[test]
fn rights_that_are_taken_away_and_given_back_cost_no_event_and_no_duplicate() {
    let trial = Trial::begin();
    for table in ["events", "queue"] {
        trial.sql(&format!("REVOKE INSERT ON {table} FROM postrider"));
        trial.wait_until_refused();
        let said = trial.diagnosis();
        assert!(said.contains(&format!("the user lacks rights on {table}")), "{said}");
        trial.sql(&format!("GRANT INSERT ON {table} TO postrider"));
        trial.load.wait_for_more(SOME);
    }
    trial.end();
}

#[test]
fn a_server_without_connections_left_costs_no_event_and_no_duplicate() {
    let trial = Trial::begin();
    trial.sql("ALTER ROLE postrider CONNECTION LIMIT 0");
    trial.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postrider'");
    trial.wait_until_refused();
    let said = trial.diagnosis();
    assert!(said.contains("too many connections for role"), "{said}");
    trial.sql("ALTER ROLE postrider CONNECTION LIMIT -1");
    trial.end();
}

#[test]
fn behind_a_pooler_in_session_mode_it_works_and_in_another_mode_the_start_is_refused_in_one_line() {
    let place = Place::new();
    let receiver = Receiver::open();
    let pooler = Pooler::start(Cluster::shared(), PoolMode::Session, 40, "").unwrap();
    let node = place.start_through(&pooler.url(&place.url), &[]);
    let account = node.account();
    node.endpoint(&account, &receiver.url());
    let load = Load::begin(&[&node], &account, CLIENTS);
    load.wait_for_more(SOME);
    let accepted = load.end();
    receiver.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
    assert!(node.terminate().success());
    drop(pooler);

    let pooler = Pooler::start(Cluster::shared(), PoolMode::Transaction, 40, "").unwrap();
    let url = pooler.url(&place.url);
    let mut serve = postrider(place.path());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--operator-key", OPERATOR_KEY, "--store", &url]);
    let (code, _, err) = run({
        serve.args(["--master-key-file", "postrider.key"]);
        serve
    });
    let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("error:")).collect();
    assert!(code == Some(1) && lines.len() == 1 && lines[0].contains("pool_mode = session"), "{err}");
    let (code, found) = doctor(place.path(), &url);
    assert_eq!((code, check(&found, "store").0), (Some(1), "problem"), "{found}");
    assert!(check(&found, "store").1.contains("pool_mode = session"), "{found}");
}

#[test]
fn a_database_of_another_encoding_is_refused_by_serve_and_named_by_doctor() {
    let place = Place::new();
    let name = place.url.rsplit('/').next().unwrap();
    let made = format!("CREATE DATABASE {name}_latin OWNER postrider ENCODING 'LATIN1' TEMPLATE template0");
    Cluster::shared().sql("postgres", &made).unwrap();
    let url = format!("{}_latin", place.url);
    let mut serve = postrider(place.path());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--operator-key", OPERATOR_KEY, "--store", &url]);
    serve.args(["--master-key-file", "postrider.key"]);
    let (code, _, err) = run(serve);
    assert!(code == Some(1) && err.contains("encoding LATIN1") && err.contains("ENCODING 'UTF8'"), "{err}");
    let (_, found) = doctor(place.path(), &url);
    assert_eq!(check(&found, "store").0, "problem", "{found}");
    assert!(check(&found, "store").1.contains("encoding LATIN1"), "{found}");
}
