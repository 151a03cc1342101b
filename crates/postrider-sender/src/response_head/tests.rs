//! Status lines and header blocks, good and bad, and properties of the parser: any bytes, and httparse as its oracle.

use postrider_core::limits::MAX_RESPONSE_HEADER_BYTES;
use proptest::prelude::*;

use super::*;
use crate::framing::BodyLength;

/// The final response's head in these bytes and where its block ends.
fn read(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, BadStatusLine> {
    let mut scan = BlockScan::default();
    Ok(scan.find(bytes)?.map(|block| {
        let head = ResponseHead::parse(&bytes[block.start..block.end], block.status_line);
        (head, block.end)
    }))
}

fn headers(text: &str) -> (Vec<(String, String)>, Framing) {
    let block = format!("HTTP/1.1 200 OK\r\n{text}\r\n\r\n");
    let (head, end) = read(block.as_bytes()).unwrap().unwrap();
    assert_eq!((head.status, end), (200, block.len()), "{text:?}");
    let log = head.log.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (log, head.framing)
}

#[test]
fn the_version_and_the_status_decide_about_a_status_line() {
    for (line, status, is_http_1_0) in [
        ("HTTP/1.1 200 OK", 200, false),
        ("HTTP/1.0 503 Service Unavailable", 503, true),
        ("HTTP/1.1 204", 204, false),
        ("HTTP/1.1 204 ", 204, false),
        ("http/1.1 201 Created", 201, false),
        ("HTTP/1.1  200  OK", 200, false),
        ("HTTP/1.1\t200\tOK", 200, false),
        ("HTTP/1.1 200 \0\u{1}\u{7f} d\u{e9}j\u{e0}", 200, false),
        ("HTTP/1.9 999 x", 999, false),
    ] {
        assert_eq!(StatusLine::parse(line.as_bytes()), Ok(StatusLine { status, is_http_1_0 }), "{line:?}");
    }
    for line in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 20x",
        "HTTP/1.1 +20",
        "HTTP/1.1 099 x",
        "HTTP/1.1200",
        "HTTP/1. 200",
        "HTTP/1.x 200",
        "HTTP/2.0 200",
        "HTTP/2 200",
        "HTTP 200",
        "ICY 200 OK",
        "200 OK",
        "HTTP/1.1 200OK",
        "SSH-2.0-x",
    ] {
        assert_eq!(StatusLine::parse(line.as_bytes()), Err(BadStatusLine), "{line:?}");
    }
}

#[test]
fn a_block_ends_with_its_first_empty_line() {
    for (text, end) in [
        ("HTTP/1.1 200 OK\r\n\r\nbody\r\n\r\n", 19),
        ("HTTP/1.1 200 OK\n\nbody", 17),
        ("HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n", 24),
        ("\r\n\nHTTP/1.1 200 OK\r\n\r\n", 22),
        ("HTTP/1.1 200 OK\r\nA: b\r\n \r\n\t\n\r\nbody", 30),
    ] {
        for cut in 0..=text.len() {
            let mut scan = BlockScan::default();
            let first = scan.find(&text.as_bytes()[..cut]).unwrap();
            let block = first.or_else(|| scan.find(text.as_bytes()).unwrap()).unwrap();
            assert_eq!((block.end, block.status_line.status), (end, 200), "{text:?} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_status_line_is_known_as_soon_as_possible() {
    for begun in [
        "\r",
        "\r\n",
        "\n\r",
        "H",
        "http/1",
        "HTTP/1.",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200\r",
    ] {
        assert_eq!(read(begun.as_bytes()), Ok(None), "{begun:?}");
    }
    for begun in ["\0", "\rX", "S", "\r\nS", "HTTP/2", "<html>", " HTTP/1.1", "HTTP/1.1 abc\r\n"] {
        assert_eq!(read(begun.as_bytes()), Err(BadStatusLine), "{begun:?}");
    }
}

#[test]
fn headers_are_read_as_far_as_they_can_be() {
    let kept = [("a", "b")];
    for (text, expected) in [
        ("A: b", &kept[..]),
        ("A:b", &kept),
        ("A : b", &kept),
        ("A\t: \t b \t", &kept),
        ("A:\r\n b", &kept),
        ("A: b\r\n \r\n\t", &kept),
        ("A: b\r\n  c\r\n\td", &[("a", "b c d")]),
        ("A: b: c", &[("a", "b: c")]),
        ("A: caf\u{e9}", &[("a", "caf\u{fffd}\u{fffd}")]),
        ("A:", &[("a", "")]),
        ("A: b\r\nno colon\r\nC: d", &[("a", "b"), ("c", "d")]),
    ] {
        assert_eq!(
            headers(text).0,
            expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>(),
            "{text:?}"
        );
    }
}

#[test]
fn a_line_that_can_not_be_read_is_left_out_and_closes_the_connection() {
    for line in [
        "no colon",
        ": value",
        "Bad Name: x",
        "Bad\0Name: x",
        "B\u{e9}: x",
        "X: \0",
        "X: a\rb",
        "X: \u{7f}",
        "X: a\r\n b\0",
        "no colon\r\n continued",
        "=",
        "\r",
    ] {
        let (log, framing) = headers(&format!("A: b\r\n{line}\r\nContent-Length: 3"));
        assert_eq!(log.len(), 2, "{line:?}: {log:?}");
        assert_eq!((framing.body, framing.reusable_for), (BodyLength::Fixed(3), None), "{line:?}");
    }
    let (log, framing) = headers(" folded to nothing\r\nContent-Length: 3");
    assert_eq!((log.len(), framing.body, framing.reusable_for), (1, BodyLength::Fixed(3), None));
    let (_, framing) = headers("A : b\r\n c\r\nContent-Length : 3");
    assert!(framing.reusable_for.is_some(), "what can be read is no reason to close");
}

#[test]
fn the_first_retry_after_is_kept() {
    let block = b"HTTP/1.1 503 x\r\nRETRY-AFTER:\r\n 12\r\nRetry-After: 99\r\n\r\n";
    assert_eq!(read(block).unwrap().unwrap().0.retry_after.as_deref(), Some("12"));
}

#[test]
fn a_scan_takes_one_step_for_each_byte() {
    let mut bytes = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    let mut scan = BlockScan::default();
    while bytes.len() < MAX_RESPONSE_HEADER_BYTES {
        let before = scan.scanned;
        assert_eq!(scan.find(&bytes), Ok(None));
        assert!(scan.scanned == bytes.len() && before <= bytes.len(), "nothing is scanned again");
        bytes.push(b'a');
    }
}

/// Pieces of header blocks, good and bad.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "\r\n",
            "\n",
            "\r",
            " ",
            ":",
            "\0",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Connection: close\r\n",
            "X-A: b\r\n",
            "folded",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_within_the_limits(
        pieces in prop::collection::vec(piece(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = pieces.concat();
        let whole = read(&bytes);
        if let Ok(Some((head, end))) = &whole {
            prop_assert!(*end <= bytes.len() && (100..=999).contains(&head.status));
            prop_assert!(head.log.as_text().bytes().all(|byte| byte == b'\n' || byte == b'\t' || byte >= b' '));
            let read_back = HeaderLog::from_text(head.log.as_text().to_owned());
            prop_assert_eq!(read_back.as_ref(), Some(&head.log));
        }
        let mut scan = BlockScan::default();
        let (one, _) = bytes.split_at(cut.index(bytes.len() + 1));
        let block = match scan.find(one) {
            Ok(None) => scan.find(&bytes),
            found => found,
        };
        prop_assert_eq!(block.map(|block| block.map(|block| block.end)), whole.map(|read| read.map(|(_, end)| end)));
    }

    /// What a strict parser reads is read alike here.
    #[test]
    fn a_block_that_httparse_reads_is_read_alike(
        status in 100..1000_u16,
        reason in "[ -~]{0,20}",
        fields in prop::collection::vec(("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", "[ -~]{0,40}"), 0..40),
    ) {
        let mut block = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in &fields {
            block.push_str(&format!("{name}: {value}\r\n"));
        }
        block.push_str("\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut strict = httparse::Response::new(&mut slots);
        let parsed = strict.parse(block.as_bytes());
        prop_assert_eq!(parsed, Ok(httparse::Status::Complete(block.len())));
        let (head, end) = read(block.as_bytes()).unwrap().unwrap();
        prop_assert_eq!((Some(head.status), end), (strict.code, block.len()));
        let expected: Vec<(String, String)> = strict
            .headers
            .iter()
            .map(|header| {
                (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).trim().to_owned())
            })
            .collect();
        let read: Vec<(String, String)> =
            head.log.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        prop_assert_eq!(read, expected);
    }
}
