//! Throwaway clusters do what tests rely on: they start, keep what is committed, come back, and leave nothing behind.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postrider_pgtemp::{Cluster, Settings};

const PATIENCE: Duration = Duration::from_secs(60);

fn name_of(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn each_database_of_the_shared_cluster_is_fresh_and_belongs_to_an_ordinary_user() {
    let cluster = Cluster::shared();
    let (first, second) = (cluster.database().unwrap(), cluster.database().unwrap());
    assert_ne!(first, second);
    cluster.sql(name_of(&first), "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)").unwrap();
    assert_eq!(cluster.sql(name_of(&first), "SELECT n, n + 1 FROM t ORDER BY n").unwrap(), "1|2\n2|3");
    let refused = cluster.sql(name_of(&second), "SELECT * FROM t").unwrap_err().to_string();
    assert!(refused.contains("does not exist"), "{refused}");
    let owner =
        "SELECT rolname, rolsuper FROM pg_roles r JOIN pg_database d ON r.oid = d.datdba WHERE datname = ";
    assert_eq!(cluster.sql("postgres", &format!("{owner}'{}'", name_of(&second))).unwrap(), "postrider|f");
}

#[test]
fn what_is_committed_survives_a_stop_and_a_kill_on_the_same_port() {
    let cluster = Cluster::start(Settings::default()).unwrap();
    let url = cluster.database().unwrap();
    let port = cluster.port();
    cluster.sql(name_of(&url), "CREATE TABLE t (n int)").unwrap();
    for turn in 1..=2 {
        cluster.sql(name_of(&url), "INSERT INTO t VALUES (1)").unwrap();
        if turn == 1 {
            cluster.stop().unwrap()
        } else {
            cluster.kill().unwrap()
        }
        assert_eq!(cluster.pid(), None);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens");
        assert!(cluster.stop().unwrap_err().to_string().contains("is not running"));
        cluster.start_again().unwrap();
        assert!(cluster.start_again().unwrap_err().to_string().contains("is running already"));
        assert_eq!(cluster.sql(name_of(&url), "SELECT count(*) FROM t").unwrap(), turn.to_string());
    }
    assert!(cluster.running_time() > Duration::ZERO);
}

#[test]
fn settings_reach_the_server() {
    let others = vec![("synchronous_commit".to_owned(), "off".to_owned())];
    let parent = tempfile::tempdir().unwrap();
    // The server's user goes through it.
    std::fs::set_permissions(parent.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let settings = Settings { is_durable: true, others, parent: Some(parent.path().to_owned()) };
    let cluster = Cluster::start(settings).unwrap();
    assert!(cluster.folder().starts_with(parent.path()));
    assert!(cluster.version().unwrap().split('.').next().unwrap().parse::<u32>().unwrap() >= 14);
    let shown = cluster.sql("postgres", "SHOW fsync; SHOW full_page_writes; SHOW synchronous_commit");
    assert_eq!(shown.unwrap(), "on\non\noff");
    let wrong =
        Settings { others: vec![("no_such_setting".to_owned(), "1".to_owned())], ..Settings::default() };
    let refused = Cluster::start(wrong).unwrap_err().to_string();
    assert!(refused.contains("no_such_setting"), "{refused}");
}

#[test]
fn a_cluster_that_is_dropped_is_gone_with_its_folder_whether_it_ran_or_not() {
    for is_running in [true, false] {
        let cluster = Cluster::start(Settings::default()).unwrap();
        let (pid, folder) = (cluster.pid().unwrap(), cluster.folder().to_owned());
        if !is_running {
            cluster.kill().unwrap();
        }
        drop(cluster);
        assert!(!Path::new(&format!("/proc/{pid}")).exists() && !folder.exists());
    }
}

#[test]
fn a_process_that_is_killed_leaves_no_server_and_no_folder_behind() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_postrider-pgtemp"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.next().unwrap().starts_with("postgres://postrider@127.0.0.1:"));
    let folder = PathBuf::from(lines.next().unwrap());
    let server = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let process = PathBuf::from(format!("/proc/{}", server.lines().next().unwrap()));
    assert!(process.exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_for("the server ends and its folder goes", || !process.exists() && !folder.exists());
}

#[test]
fn processor_time_counts_the_servers_children_those_that_have_ended_too() {
    let cluster = Cluster::start(Settings::default()).unwrap();
    let before = cluster.cpu_time();
    // The session that did the work has ended when psql has.
    cluster.sql("postgres", "SELECT sum(n) FROM generate_series(1, 3000000) AS n").unwrap();
    wait_for("the work of an ended session is counted", || {
        cluster.cpu_time() >= before + Duration::from_millis(100)
    });
}
