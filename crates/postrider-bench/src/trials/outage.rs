//! A receiver that is down for a while and comes back: how long until everything has arrived.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::{Trial, other_receiver};
use crate::load::Load;
use crate::service::{Customers, MAX_IN_FLIGHT};
use crate::table::{Budget, Row, Unit};
use crate::{children, clock, latency, progress, records, round};

const BEFORE: Duration = Duration::from_secs(4);
/// Too short to count as failing, which takes half a minute.
const DOWN_FOR: Duration = Duration::from_secs(10);
const LOAD_SECONDS: u64 = 20;
/// What is tried again waits two seconds; the outage is over before thirty attempts are.
const RETRY_EVERY: &str = "2s";

pub(super) async fn rows(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    progress::say("an outage of the receiver");
    let folder = trial.folder()?;
    let mut service = trial.start(&folder)?;
    let mut receiver = other_receiver().await?;
    let schedule = vec![RETRY_EVERY; 30];
    let customers = Customers {
        accounts: 1,
        endpoints_each: 1,
        receiver: receiver.address,
        place: "down",
        settings: json!({ "retry_schedule": schedule, "max_in_flight": MAX_IN_FLIGHT }),
    };
    let accounts = service.add(&customers).await?;
    let handed_in = folder.path().join("handed-in");
    let arguments = Load::at_rate(round::CONNECTIONS, round::FIXED_RATE, LOAD_SECONDS);
    let command = round::load_command(&service, &accounts, &arguments, Some(&handed_in))?;
    let outage = async {
        tokio::time::sleep(BEFORE).await;
        receiver.be_down(true).await?;
        tokio::time::sleep(DOWN_FOR).await;
        receiver.be_down(false).await?;
        anyhow::Ok(clock::now_ns())
    };
    let (load, up_at_ns) = tokio::join!(children::result_of::<Load>(command, LOAD_SECONDS), outage);
    let (load, up_at_ns) = (load?, up_at_ns?);
    ensure!(load.refused == 0, "{} requests were refused", load.refused);
    let accepted = records::read(&handed_in)?;
    let scratch = folder.path().join("arrived");
    let arrived = latency::wait_for_all(&mut receiver, &accepted, &scratch).await?;
    service.stop().await?;
    receiver.stop().await?;
    // What was handed in during the outage, and whatever arrived later than at once because of it.
    let late = arrived.last_late_ns(Duration::from_millis(500)).unwrap_or(up_at_ns);
    let recovered = clock::seconds(late.saturating_sub(up_at_ns));
    let row = Row::new(
        "after 10 s of outage at 500/s, retries every 2 s: until nothing is late any more",
        Unit::Seconds,
        &[recovered],
    )
    .within(Budget::AtMost(5.0))
    .unless_wrong(arrived.missing, arrived.repeated, load.accepted);
    Ok(vec![row])
}
