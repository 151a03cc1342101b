//! An endpoint whose secret or headers do not open: its deliveries wait, and nothing of it is counted against it.

use super::*;

const NO: EndpointNo = EndpointNo(1);

fn with(unreadable: UnreadableValues) -> Arc<Endpoint> {
    Arc::new(Endpoint { unreadable, ..Endpoint::clone(&endpoint(1, 1, |_| {})) })
}

#[test]
fn an_endpoint_that_can_not_be_read_gets_nothing_until_it_can() {
    for unreadable in
        [UnreadableValues { secret: true, headers: false }, UnreadableValues { secret: false, headers: true }]
    {
        let mut lanes = lanes(ROOMY);
        lanes.configure(with(unreadable), at(0));
        lanes.configure(endpoint(2, 1, |_| {}), at(0));
        for seq in [1, 2] {
            lanes.push(NO, item(seq), at(0));
        }
        lanes.push(EndpointNo(2), item(3), at(0));
        assert_eq!(seqs(&drain(&mut lanes, at(0))), [3], "of its neighbour alone");
        assert_eq!((lanes.view(NO).unwrap().backlog, lanes.gauges().unreadable), (2, 1));
        assert!(!lanes.standing(NO).unwrap().is_well, "replays wait as well");
        lanes.advance(at(86_400_000));
        assert!(drain(&mut lanes, at(86_400_000)).is_empty());

        lanes.configure(with(UnreadableValues::default()), at(86_400_000));
        assert_eq!(seqs(&drain(&mut lanes, at(86_400_000))), [1, 2]);
        assert_eq!(lanes.gauges().unreadable, 0);
    }
}

/// It was taken from its lane before, and waited for its payload.
#[test]
fn what_is_under_way_when_an_endpoint_becomes_unreadable_goes_back() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes.push(NO, item(1), at(0));
    let mut dispatch = lanes.next(at(0)).unwrap();
    lanes.configure(with(UnreadableValues { secret: true, headers: false }), at(0));
    assert!(!lanes.may_still_go(&mut dispatch, at(0)));
    lanes.give_back(dispatch, at(0));
    assert!(lanes.next(at(0)).is_none());
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    let dispatch = lanes.next(at(0)).unwrap();
    assert_eq!(dispatch.item.progress, Progress::default(), "no attempt was used up");
}
