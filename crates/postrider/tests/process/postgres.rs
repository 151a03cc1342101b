//! `serve`, `migrate` and `doctor` on a PostgreSQL database: the way in, and what each wrong way is answered with.

use std::path::Path;
use std::time::Duration;

use postrider_pgtemp::{Cluster, Settings};
use serde_json::Value;

use crate::fleet::Place;
use crate::receiver::Receiver;
use crate::service::{OPERATOR_KEY, Service, event, postrider, run};

const PATIENCE: Duration = Duration::from_secs(60);
/// The one line that a start with these flags is refused with.
fn refused(folder: &Path, flags: &[&str]) -> String {
    let mut command = postrider(folder);
    command.args(["serve", "--listen", "127.0.0.1:0", "--operator-key", OPERATOR_KEY]).args(flags);
    let (code, _, err) = run(command);
    let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!((code, lines.len()), (Some(1), 1), "{err}");
    lines[0].to_owned()
}

pub(crate) fn doctor(folder: &Path, store: &str) -> (Option<i32>, Value) {
    let mut command = postrider(folder);
    command.args(["doctor", "--json", "--resolve", "localhost", "--listen", "127.0.0.1:0", "--store", store]);
    command.args(["--master-key-file", "postrider.key"]);
    let (code, out, err) = run(command);
    (code, serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}{err}")))
}

pub(crate) fn check<'a>(found: &'a Value, area: &str) -> (&'a str, &'a str) {
    let checks = found["checks"].as_array().unwrap();
    let check =
        checks.iter().find(|check| check["area"] == area).unwrap_or_else(|| panic!("{area}: {found}"));
    (check["status"].as_str().unwrap(), check["found"].as_str().unwrap())
}

#[test]
fn a_node_delivers_and_the_next_start_finds_what_was_there() {
    let place = Place::new();
    let receiver = Receiver::open();
    let service = place.start(&[]);
    let account = service.account();
    service.endpoint(&account, &receiver.url());
    let first = service.post("/v1/events", &event(&account)).unwrap();
    assert_eq!(first.0, 202, "{}", first.1);
    receiver.wait(PATIENCE, |arrived| arrived.len() == 1);
    assert!(service.terminate().success());
    let service = place.start(&[]);
    assert_eq!(service.get("/v1/accounts")["data"][0]["id"], account);
    assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
    receiver.wait(PATIENCE, |arrived| arrived.len() == 2);
    let deliveries = service.get("/v1/deliveries");
    assert_eq!(deliveries["data"].as_array().unwrap().len(), 2);
}

#[test]
fn a_key_that_is_not_named_missing_or_another_is_one_clear_line() {
    let place = Place::new();
    let unnamed = refused(place.path(), &["--store", &place.url]);
    assert!(unnamed.contains("--master-key-file must name"), "{unnamed}");
    let missing = refused(place.path(), &["--store", &place.url, "--master-key-file", "gone.key"]);
    assert!(missing.contains("gone.key is missing") && missing.contains("every node"), "{missing}");
    assert!(!place.path().join("gone.key").exists(), "each node would make another");
    place.start(&[]).terminate();
    std::fs::write(place.path().join("other.key"), "//////////////////////////////////////////8=\n").unwrap();
    let other = refused(place.path(), &["--store", &place.url, "--master-key-file", "other.key"]);
    assert!(other.contains("does not fit"), "{other}");
}

#[test]
fn a_database_that_cannot_be_reached_is_one_clear_line_without_the_password() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = taken.local_addr().unwrap().port();
    drop(taken);
    let cluster = Cluster::start(Settings::default()).unwrap();
    cluster.sql("postgres", "CREATE ROLE guarded LOGIN PASSWORD 'right'").unwrap();
    let rules = cluster.folder().join("data/pg_hba.conf");
    let open = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("host all guarded 127.0.0.1/32 scram-sha-256\n{open}")).unwrap();
    cluster.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    let port = cluster.port();
    for (store, said) in [
        (format!("postgres://u:pa55word@127.0.0.1:{nobody}/d"), "can't be reached"),
        (format!("postgres://guarded:pa55word@127.0.0.1:{port}/postgres"), "password authentication failed"),
        (format!("postgres://postgres:pa55word@127.0.0.1:{port}/no_such_database"), "does not exist"),
        ("postgres://u:pa55word@127.0.0.1:port/d".to_owned(), "connection string"),
    ] {
        let line = refused(place.path(), &["--store", &store, "--master-key-file", "postrider.key"]);
        assert!(line.contains(said) && line.contains("•••") && !line.contains("pa55word"), "{line}");
        let (code, found) = doctor(place.path(), &store);
        assert_eq!((code, check(&found, "store").0), (Some(1), "problem"), "{found}");
        assert!(!found.to_string().contains("pa55word"), "{found}");
    }
    let right = format!("postgres://guarded:right@127.0.0.1:{port}/postgres");
    let (_, found) = doctor(place.path(), &right);
    assert!(check(&found, "store").1.contains("may not make tables"), "{found}");
}

#[test]
fn print_config_and_the_log_show_the_store_without_its_password() {
    let place = Place::new();
    let store = place.url.replace("postrider@", "postrider:pa55word@");
    let mut command = postrider(place.path());
    command
        .args(["serve", "--print-config", "--master-key-file", "postrider.key"])
        .env("POSTRIDER_STORE", &store);
    let (code, out, _) = run(command);
    let line = out.lines().find(|line| line.starts_with("store ")).unwrap();
    assert!(line.contains("postgres://postrider:•••@127.0.0.1") && line.ends_with("# environment"), "{line}");
    assert_eq!((code, out.contains("pa55word")), (Some(0), false));
    let flags = ["--store", &store, "--master-key-file", "postrider.key"];
    let service = Service::start(place.path(), &flags);
    assert!(!service.said.join("\n").contains("pa55word"));
    let said = service.said.iter().find(|line| line.contains("store ")).unwrap();
    assert!(said.contains("postrider:•••@"), "{said}");
}

#[test]
fn a_database_is_served_and_examined_through_a_unix_socket() {
    let in_data_folder = ("unix_socket_directories".to_owned(), ".".to_owned());
    let cluster = Cluster::start(Settings { others: vec![in_data_folder], ..Settings::default() }).unwrap();
    let place = Place::on(&cluster);
    let name = place.url.rsplit('/').next().unwrap();
    let (folder, port) = (cluster.folder().join("data").display().to_string(), cluster.port());
    let escaped = folder.replace('/', "%2F");
    let by_host = format!("postgres://postrider:pa55word@{escaped}:{port}/{name}");
    let by_parameter =
        format!("postgres:///{name}?host={folder}&port={port}&user=postrider&password=pa55word");
    let receiver = Receiver::open();
    for (count, url) in
        [by_host.clone(), format!("{by_host}?sslmode=require"), by_parameter].into_iter().enumerate()
    {
        let service = place.start_through(&url, &[]);
        let said = service.said.join("\n");
        assert!(said.contains("•••") && !said.contains("pa55word"), "{said}");
        let account = service.account();
        service.endpoint(&account, &receiver.url());
        assert_eq!(service.post("/v1/events", &event(&account)).unwrap().0, 202);
        receiver.wait(PATIENCE, |arrived| arrived.len() == count + 1);
        let (_, found) = doctor(place.path(), &url);
        assert_eq!(check(&found, "store").0, "good", "{found}");
        assert!(check(&found, "store").1.contains("1 nodes alive"), "{found}");
        assert!(!found.to_string().contains("pa55word"), "{found}");
        assert!(service.terminate().success());
    }
    let nobody = format!("postgres://postrider@{escaped}:1/{name}");
    let line = refused(place.path(), &["--store", &nobody, "--master-key-file", "postrider.key"]);
    assert!(line.contains("can't be reached"), "{line}");
    let without_host = format!("postgres:///{name}");
    let line = refused(place.path(), &["--store", &without_host, "--master-key-file", "postrider.key"]);
    assert!(line.contains("host"), "{line}");
}

#[test]
fn migrate_makes_the_tables_once() {
    let place = Place::new();
    let migrate = || {
        let mut command = postrider(place.path());
        command.arg("migrate").env("POSTRIDER_STORE", &place.url);
        run(command)
    };
    let (code, out, err) = migrate();
    assert!(code == Some(0) && out.contains("schema version 0 →"), "{out}{err}");
    assert!(migrate().1.contains("up to date"));
}

#[test]
fn doctor_looks_at_the_server_and_its_settings() {
    let place = Place::new();
    let (code, found) = doctor(place.path(), &place.url);
    // The tests' server does not bring its commits to the disk.
    assert_eq!((code, check(&found, "durability")), (Some(1), ("problem", "the server has fsync off")));
    assert!(check(&found, "store").1.contains("empty"), "{found}");
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 'postrider_schema'";
    let name = place.url.rsplit_once('/').unwrap().1;
    assert_eq!(Cluster::shared().sql(name, tables).unwrap(), "0", "nothing was made");

    let others = [("max_connections", "40"), ("synchronous_commit", "off")];
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let cluster = Cluster::start(Settings { is_durable: true, others, ..Settings::default() }).unwrap();
    let place = Place::on(&cluster);
    let service = place.start(&[]);
    let (code, found) = doctor(place.path(), &place.url);
    assert_eq!(code, Some(0), "{found}");
    assert!(check(&found, "store").1.contains("1 nodes alive"), "{found}");
    assert!(check(&found, "durability").1.contains("synchronous_commit is off, but on for"), "{found}");
    assert_eq!(check(&found, "failover").0, "warning");
    assert!(check(&found, "connections").1.contains("room for 2"), "{found}");
    assert_eq!(check(&found, "server clock").0, "good");
    drop(service);
    std::fs::write(place.path().join("postrider.key"), "//////////////////////////////////////////8=\n")
        .unwrap();
    let (code, found) = doctor(place.path(), &place.url);
    assert!(code == Some(1) && check(&found, "store").1.contains("does not fit"), "{found}");
    std::fs::remove_file(place.path().join("postrider.key")).unwrap();
    let (_, found) = doctor(place.path(), &place.url);
    assert_eq!((check(&found, "master key").0, check(&found, "store").0), ("problem", "problem"));
}
