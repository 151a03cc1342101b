//! Whatever a receiver sends: an attempt ends within its limits, and never panics.

use postrider_core::attempt::Outcome;
use postrider_core::limits::{MAX_KEPT_BODY_BYTES, MAX_RESPONSE_HEADER_BYTES};
use postrider_sender::Transport as _;
use postrider_sender::limits::MAX_KEPT_HEADER_BYTES;
use proptest::prelude::*;

use crate::receiver::Receiver;
use crate::setup::{request, sender};

/// Parts of responses, good and bad.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let texts = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 500 x\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 x\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        " folded\r\n",
        "X: \0\r\n",
        "\r\n",
        "5\r\nhello\r\n",
        "ffffffffffffffff\r\n",
        "0\r\n\r\n",
    ];
    prop_oneof![
        4 => prop::sample::select(texts.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (1..40_000_usize).prop_map(|length| vec![b'x'; length]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_lead_to_an_outcome_within_the_limits(
        begins_well in any::<bool>(),
        parts in prop::collection::vec(part(), 0..12),
    ) {
        let begin = if begins_well { "HTTP/1.1 200 OK\r\n" } else { "" };
        let bytes = [begin.as_bytes(), &parts.concat()].concat();
        let ends_at = |end: &[u8]| bytes.windows(end.len()).position(|window| window == end);
        let block_end = ends_at(b"\r\n\r\n").into_iter().chain(ends_at(b"\n\n")).min();
        let has_block_of_2xx =
            begins_well && block_end.is_some_and(|end| end + 4 <= MAX_RESPONSE_HEADER_BYTES);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let reports = runtime.block_on(async {
            let receiver = Receiver::start(move |mut peer| {
                let bytes = bytes.clone();
                async move {
                    peer.request().await;
                    peer.say(&bytes).await;
                }
            })
            .await;
            let sender = sender();
            // The second meets what the first leaves.
            [sender.attempt(request(&receiver.url("/"))).await, sender.attempt(request(&receiver.url("/"))).await]
        });
        for report in &reports {
            if let Some(response) = &report.response {
                prop_assert!(response.body.len() <= MAX_KEPT_BODY_BYTES);
                let kept: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                prop_assert!(kept <= 3 * MAX_KEPT_HEADER_BYTES, "as text, where one byte may become three");
            }
        }
        if has_block_of_2xx {
            let is_200 = matches!(reports[0].outcome, Outcome::Answered { status: 200, .. });
            prop_assert!(is_200, "{:?}", reports[0].outcome);
        }
    }
}
