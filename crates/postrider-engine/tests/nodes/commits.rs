//! Commits whose answers come late or not at all: locks, a server that takes its time before it commits, and connections
//! that fall silent or break, on several databases at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_core::audit::Who;
use postrider_core::id::AccountId;
use postrider_core::replay::Selection;
use postrider_engine::model::ReplayDraft;
use postrider_pgtemp::Way;

use crate::harness::{Database, Node, Reply, Seen, pause};

/// How many databases are treated so at once.
const COPIES: u64 = 6;
/// For how long.
const UNREST: Duration = Duration::from_secs(15);
/// How long a node waits for its database, and others for a node: as long as they do unless it is set otherwise.
const LAPSE: Duration = Duration::from_secs(6);
const NODE_PATIENCE: Duration = Duration::from_secs(5);

/// How soon everything is sent once there is peace: what nobody heard of is noticed as soon as it can be asked for, and
/// half a minute later at the latest.
const CALM_WITHIN: Duration = Duration::from_secs(30);

/// Lets transactions that touch these tables take their time between their last statement and their commit.
const SLOW_COMMITS: &str = "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.15 THEN PERFORM pg_sleep(random() * 2.5); END IF; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT OR UPDATE OR DELETE ON queue
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT OR UPDATE OR DELETE ON leases
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT OR UPDATE OR DELETE ON replays
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()";
const QUICK_COMMITS: &str =
    "DROP TRIGGER dawdle ON queue; DROP TRIGGER dawdle ON leases; DROP TRIGGER dawdle ON replays";

/// What should be sent, and is not; the endpoint that never takes anything is left out.
const PENDING: &str = "SELECT count(*) FROM queue q JOIN endpoints ep ON ep.no = q.endpoint_no
    WHERE ep.url <> 'https://cancelled.example/'";
/// The guids of what was cancelled by hand.
const CANCELLED: &str = "SELECT ev.id FROM deliveries d JOIN events ev ON ev.seq = d.event_seq
    JOIN endpoints ep ON ep.no = d.endpoint_no
    WHERE d.status = 3 AND d.cancel_reason = 'operator' AND ep.url = 'https://cancelled.example/'";

/// A small generator, so that a run can be told by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn millis(&mut self, at_most: u64) -> Duration {
        Duration::from_millis(self.roll(at_most))
    }
}

/// Hands events in until the time is over, and gives the guids of those that were accepted. Half of the calls have an
/// idempotency key, and are made again, at the other node, until they are answered; callers have little patience.
async fn hand_in(nodes: [Arc<Node>; 2], account: AccountId, caller: u64, mut dice: Dice) -> Vec<String> {
    let (began, mut accepted) = (Instant::now(), Vec::new());
    let mut call: u64 = 0;
    while began.elapsed() < UNREST {
        call += 1;
        let mut node = &nodes[usize::try_from(dice.roll(2)).unwrap()];
        if dice.roll(2) == 0 {
            if let Ok(one) = node.try_send(account).await {
                if dice.roll(6) == 0 {
                    // One that is refused may be made all the same.
                    drop(node.engine.by(Who::SERVICE).cancel_delivery(one.deliveries[0].0).await);
                }
                accepted.push(one.id.to_string());
            }
        } else {
            let mut scope = [7; 32];
            scope[..8].copy_from_slice(&(caller << 32 | call).to_be_bytes());
            loop {
                let patience = Duration::from_millis(1_500);
                if let Ok(Some(guid)) = tokio::time::timeout(patience, node.send_once(account, scope)).await {
                    accepted.push(guid);
                    break;
                }
                node = &nodes[usize::try_from(dice.roll(2)).unwrap()];
                pause(dice.millis(300)).await;
            }
        }
        pause(dice.millis(120)).await;
    }
    accepted
}

/// Makes trouble until the time is over.
async fn make_trouble(database: Arc<Database>, nodes: [Arc<Node>; 2], mut dice: Dice) {
    let began = Instant::now();
    while began.elapsed() < UNREST {
        let node = &nodes[usize::try_from(dice.roll(2)).unwrap()];
        match dice.roll(4) {
            0 | 1 => {
                let tables = ["events", "queue", "deliveries", "leases", "attempts", "replays"];
                let table = tables[usize::try_from(dice.roll(6)).unwrap()];
                let ms = 500 + dice.roll(6_000);
                let lock = format!(
                    "BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({ms} / 1000.0); COMMIT"
                );
                database.try_sql(&lock).await;
            }
            2 => {
                node.proxy().freeze(Way::ToNode);
                pause(dice.millis(1_800)).await;
                if dice.roll(2) == 0 {
                    node.proxy().cut();
                }
                node.proxy().thaw();
            }
            _ => node.proxy().cut(),
        }
        pause(dice.millis(500)).await;
    }
}

async fn one_copy(seed: u64) {
    let database = Arc::new(Database::new());
    // Whatever is for this host is pending until it is cancelled.
    let script =
        |seen: &Seen, _: usize| Reply::Status(if seen.host == "cancelled.example" { 500 } else { 200 });
    let nodes = [
        Arc::new(database.node_of_patience(LAPSE, NODE_PATIENCE, script).await),
        Arc::new(database.node_of_patience(LAPSE, NODE_PATIENCE, script).await),
    ];
    let account = nodes[0].account().await;
    nodes[1].until_known(account).await;
    nodes[0].endpoint(account, "cancelled.example", |_| {}).await;
    nodes[0].endpoint(account, "fine.example", |_| {}).await;
    let replayed = nodes[0].endpoint(account, "replayed.example", |_| {}).await;
    nodes[0].endpoint(account, "ordered.example", |settings| settings.ordered = true).await;
    let numbers = [nodes[0].number().await, nodes[1].number().await];
    database.sql(SLOW_COMMITS).await;
    let callers =
        (0..6).map(|caller| tokio::spawn(hand_in(nodes.clone(), account, caller, Dice(seed * 100 + caller))));
    let callers: Vec<_> = callers.collect();
    let trouble = tokio::spawn(make_trouble(Arc::clone(&database), nodes.clone(), Dice(seed)));
    // May be refused, and may be made although it is refused.
    let replay = ReplayDraft { endpoint: replayed, selection: Selection::default() };
    pause(UNREST / 2).await;
    drop(nodes[0].engine.by(Who::SERVICE).create_replay(replay).await);
    let mut accepted = Vec::new();
    for caller in callers {
        accepted.extend(caller.await.unwrap());
    }
    trouble.await.unwrap();
    database.sql(QUICK_COMMITS).await;
    assert!(!accepted.is_empty(), "seed {seed}: something was accepted");
    let calm = Instant::now();
    database.until_sql(PENDING, "0").await;
    assert!(calm.elapsed() < CALM_WITHIN, "seed {seed}: {:?}", calm.elapsed());
    // What was cancelled stays so. A request that was in flight then may have ended since.
    let cancelled = database.sql(CANCELLED).await;
    let sent = |guid: &str| {
        database.seen().iter().filter(|seen| seen.host == "cancelled.example" && seen.guid == guid).count()
    };
    let before: Vec<_> = cancelled.lines().map(|guid| (guid, sent(guid))).collect();
    pause(Duration::from_secs(3)).await;
    for (guid, count) in before {
        assert_eq!(sent(guid), count, "seed {seed}: {guid} was sent again after it was cancelled");
    }
    let mut times: BTreeMap<(String, String), usize> = BTreeMap::new();
    for seen in database.seen() {
        *times.entry((seen.host, seen.guid)).or_default() += 1;
    }
    let came = |host: &str, guid: &str| times.get(&(host.to_owned(), guid.to_owned())).copied().unwrap_or(0);
    for guid in &accepted {
        for host in ["fine.example", "ordered.example"] {
            assert!(came(host, guid) > 0, "seed {seed}: {guid} never came to {host}");
        }
    }
    let numbers_now = [nodes[0].number().await, nodes[1].number().await];
    if numbers == numbers_now {
        // No node was taken for dead, so nothing is sent twice. A replay sends once more, and retries do.
        for ((host, guid), count) in &times {
            let may_repeat = ["replayed.example", "cancelled.example"].contains(&host.as_str());
            assert!(*count == 1 || may_repeat, "seed {seed}: {guid} came to {host} {count} times");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_a_commits_answer_what_was_accepted_is_sent_and_nothing_twice() {
    futures_util::future::join_all((1..=COPIES).map(one_copy)).await;
}
