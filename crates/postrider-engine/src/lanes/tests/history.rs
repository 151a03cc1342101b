//! Any history of a few lanes keeps the rules.

use super::*;

proptest! {
    /// Any mix of pushes, outcomes, pauses and time: nothing is sent twice at once, no cap is broken, and the
    /// books (loaded, bytes, in flight) come out even when all is done.
    #[test]
    fn any_history_keeps_the_books(steps in proptest::collection::vec((0u8..8, 1i64..4, 0i64..20_000), 1..200)) {
        let mut lanes = lanes(LaneLimits { max_in_flight: 7, lane_queue: 8, loaded: 16, payload_bytes: 20, retries: 5 });
        for no in 1..=3 {
            lanes.configure(endpoint(no, no % 2, |settings| settings.ordered = no == 3), at(0));
        }
        let mut pending: BTreeMap<i64, (i64, Item)> = BTreeMap::new();
        let mut running: Vec<Dispatch> = Vec::new();
        let (mut seq, mut now) = (0, 0);
        for (kind, no, n) in steps {
            now += n / 4;
            match kind {
                0..=2 => {
                    seq += 1;
                    pending.insert(seq, (no, item(seq)));
                    lanes.push(EndpointNo(no), item(seq), at(now));
                }
                3 | 4 => {
                    while let Some(dispatch) = lanes.next(at(now)) {
                        let again = running.iter().any(|other| other.item.seq == dispatch.item.seq);
                        prop_assert!(!again, "{:?} is in flight twice", dispatch.item.seq);
                        prop_assert!(pending.contains_key(&dispatch.item.seq.0), "sent although it had ended");
                        running.push(dispatch);
                    }
                    prop_assert!(running.len() <= 7);
                    prop_assert_eq!(running.len(), lanes.in_flight());
                }
                5 => {
                    if !running.is_empty() {
                        let dispatch = running.swap_remove(usize::try_from(n).unwrap() % running.len());
                        let done = dispatch.item.seq.0;
                        let outcome = if n % 3 == 0 { down() } else { ok() };
                        let finished = end(&mut lanes, dispatch, &outcome, at(now));
                        if matches!(finished.next, Next::Delivered | Next::Exhausted) {
                            pending.remove(&done);
                        } else if let Some((_, item)) = pending.get_mut(&done) {
                            item.progress = finished.progress;
                            item.not_before = match finished.next { Next::RetryAt(due) => Some(due), _ => None };
                        }
                    }
                }
                6 => {
                    let state = if n % 2 == 0 { State::Paused } else { State::Enabled };
                    lanes.set_state(EndpointNo(no), state, false, at(now));
                }
                _ => {
                    for ready in lanes.advance(at(now)) {
                        if let Some((_, item)) = pending.get_mut(&ready.seq.0) { item.not_before = None; }
                    }
                    while let Some(refill) = lanes.take_refill() {
                        let of_lane = || pending.values().filter(|(no, _)| *no == refill.endpoint_no.0).map(|(_, item)| item);
                        let ready = of_lane().filter(|item| item.not_before.is_none()).take(refill.limit).cloned().collect();
                        let waiting = of_lane().filter(|item| refill.with_waiting && item.not_before.is_some()).take(refill.limit).cloned().collect();
                        lanes.refilled(refill, waiting, ready, at(now));
                    }
                    let due = pending.values().filter(|(_, item)| item.not_before.is_some_and(|due| due <= at(now + 1000)));
                    let rows = due.map(|(no, item)| (EndpointNo(*no), item.clone())).collect();
                    for ready in lanes.load_retries(rows, at(now)) {
                        if let Some((_, item)) = pending.get_mut(&ready.seq.0) { item.not_before = None; }
                    }
                }
            }
        }
        for dispatch in running {
            end(&mut lanes, dispatch, &ok(), at(now));
        }
        let backlog: u64 = (1..=3).filter_map(|no| lanes.view(EndpointNo(no))).map(|view| view.backlog).sum();
        for no in 1..=3 {
            lanes.remove(EndpointNo(no));
        }
        prop_assert!(backlog <= u64::try_from(seq).unwrap());
        prop_assert_eq!((lanes.loaded, lanes.payload_bytes, lanes.in_flight()), (0, 0, 0));
    }
}
