//! The clock's record: kept, read and written in one transaction.

use std::time::Duration;

use postrider_core::service_clock::{CLOCK_DOUBT, ClockDoubt, ServiceTime};

use super::Backend;
use super::world::World;

const HOUR: Duration = Duration::from_secs(3600);

/// How long the service has run adds up, and a clock that was in doubt still is.
pub async fn running_time_and_doubts_survive_a_reopen(backend: &dyn Backend) {
    let mut world = World::new(backend).await;
    let at = world.now();
    let first = world.store.observe_clock(at, Duration::ZERO).await.unwrap();
    assert_eq!((first.trusted_at, first.service_time, first.doubt), (Some(at), ServiceTime::default(), None));
    let later = at.plus(HOUR);
    world.store.observe_clock(later, HOUR).await.unwrap();
    world = world.reopen().await;
    let ahead = later.plus(CLOCK_DOUBT * 365);
    let observed = world.store.observe_clock(ahead, Duration::ZERO).await.unwrap();
    assert_eq!(observed.service_time, ServiceTime::new(HOUR));
    assert_eq!(observed.trusted_at, Some(later));
    world = world.reopen().await;
    let observed = world.store.observe_clock(ahead.plus(HOUR * 5), HOUR * 4).await.unwrap();
    assert_eq!(observed.doubt, Some(ClockDoubt { read_at: ahead.plus(HOUR * 5), ran: HOUR * 4 }));
    assert_eq!(observed.service_time, ServiceTime::new(HOUR * 5));
    let right = world.store.observe_clock(later.plus(HOUR), Duration::ZERO).await.unwrap();
    assert_eq!((right.trusted_at, right.doubt), (Some(later.plus(HOUR)), None));
}

/// A store that no release with this record has served yet is compared with its newest event.
pub async fn the_first_look_compares_with_what_is_stored(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    world.accept(&lane).await;
    let ahead = world.now().plus(CLOCK_DOUBT * 30);
    let observed = world.store.observe_clock(ahead, Duration::ZERO).await.unwrap();
    assert_eq!(observed.distrusted_for(), Some(CLOCK_DOUBT));
}
