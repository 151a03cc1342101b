//! The database goes away and comes back, and the network between it and a node fails, under load: nothing that was
//! accepted is lost, and nothing comes twice, since no node has died.

use std::time::{Duration, Instant};

use postrider_pgtemp::{Cluster, Proxy, Settings, Way};

use crate::fleet::{Load, PATIENCE, Place, all_arrived, repeated, wait_for, wait_until_recorded};
use crate::receiver::Receiver;
use crate::service::event;

const CLIENTS: usize = 6;
/// So soon after the database's return deliveries go on.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);
const SOME: usize = 100;

/// How the database ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Stopped,
    Killed,
}

#[test]
fn a_database_that_is_restarted_under_load_costs_no_event_and_no_duplicate_and_deliveries_go_on() {
    let cluster = Cluster::start(Settings::default()).unwrap();
    let place = Place::on(&cluster);
    let receiver = Receiver::open();
    let node = place.start(&[]);
    let account = node.account();
    node.endpoint(&account, &receiver.url());
    let load = Load::begin(&[&node], &account, CLIENTS);
    for end in [End::Stopped, End::Killed] {
        load.wait_for_more(SOME);
        match end {
            End::Stopped => cluster.stop().unwrap(),
            End::Killed => cluster.kill().unwrap(),
        }
        let refused = load.refused();
        wait_for("events are refused meanwhile", || load.refused() > refused + CLIENTS);
        assert_eq!(node.status("/readyz"), 503, "{end:?}");
        assert_eq!(node.status("/healthz"), 200, "{end:?}");
        let (status, retry_after) = node.post_for_retry_after("/v1/events", &event(&account));
        assert!(status == 503 && retry_after.is_some(), "{status} {retry_after:?}");
        let before = receiver.arrivals().len();
        cluster.start_again().unwrap();
        let back = Instant::now();
        receiver.wait(PATIENCE, |arrived| arrived.len() > before + SOME);
        assert!(back.elapsed() < GOES_ON_WITHIN, "{end:?}: deliveries went on after {:?}", back.elapsed());
    }
    let accepted = load.end();
    receiver.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
    wait_until_recorded(&node, &accepted);
    assert_eq!(repeated(&receiver.arrivals()).len(), 0, "what was in flight was recorded after the return");
    assert!(node.terminate().success());
}

#[test]
fn faults_of_the_network_cost_no_event_and_no_duplicate() {
    let cluster = Cluster::shared();
    let place = Place::on(cluster);
    let proxy = Proxy::start(cluster.port()).unwrap();
    let receiver = Receiver::open();
    let node = place.start_through(&proxy.url(&place.url), &[]);
    let account = node.account();
    node.endpoint(&account, &receiver.url());
    let load = Load::begin(&[&node], &account, CLIENTS);
    let goes_on = |fault: &str| {
        let (before, since) = (receiver.arrivals().len(), Instant::now());
        receiver.wait(PATIENCE, |arrived| arrived.len() > before + SOME);
        assert!(since.elapsed() < GOES_ON_WITHIN, "{fault}: deliveries went on after {:?}", since.elapsed());
    };
    load.wait_for_more(SOME);
    proxy.cut();
    goes_on("cut");
    proxy.half_close(Way::ToNode);
    goes_on("half-closed towards the node");
    proxy.half_close(Way::ToDatabase);
    goes_on("half-closed towards the database");
    proxy.delay(Duration::from_millis(30));
    load.wait_for_more(SOME);
    proxy.delay(Duration::ZERO);
    goes_on("slow");
    proxy.refuse();
    proxy.cut();
    let refused = load.refused();
    wait_for("events are refused meanwhile", || load.refused() > refused + CLIENTS);
    proxy.accept();
    goes_on("refused");
    for way in [Way::ToNode, Way::ToDatabase] {
        let refused = load.refused();
        proxy.freeze(way);
        wait_for("events are refused meanwhile", || load.refused() > refused + CLIENTS);
        proxy.thaw();
        goes_on("frozen");
    }
    let accepted = load.end();
    receiver.wait(PATIENCE, |arrived| all_arrived(&accepted, arrived));
    wait_until_recorded(&node, &accepted);
    assert_eq!(repeated(&receiver.arrivals()).len(), 0);
}
