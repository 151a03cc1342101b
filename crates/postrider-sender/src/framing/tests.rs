//! Tables of headers and what they say about a body and its connection.

use super::*;

const MINUTE: Option<Duration> = Some(MAX_CONNECTION_IDLE);

fn framing(status: u16, is_http_1_0: bool, headers: &[(&str, &str)]) -> Framing {
    let mut fields = FramingFields::default();
    for (name, value) in headers {
        fields.take(name.as_bytes(), value.as_bytes());
    }
    fields.framing(status, is_http_1_0)
}

#[test]
fn a_body_is_delimited_by_what_can_be_read_of_its_headers() {
    use BodyLength::{Chunked, Fixed, UntilClose};
    const LENGTH: &str = "Content-Length";
    const CODING: &str = "transfer-encoding";
    for (headers, body, reusable_for, is_certain) in [
        (&[(LENGTH, "5")][..], Fixed(5), MINUTE, true),
        (&[(LENGTH, "5"), (LENGTH, "5")], Fixed(5), MINUTE, true),
        (&[(LENGTH, "5, 5")], Fixed(5), MINUTE, true),
        (&[(LENGTH, "0005")], Fixed(5), MINUTE, true),
        (&[(LENGTH, "99999999999999999999999")], Fixed(u64::MAX), MINUTE, true),
        (&[(LENGTH, "7"), (LENGTH, "5")], Fixed(5), None, false),
        (&[(LENGTH, "5, 7")], Fixed(5), None, false),
        (&[(LENGTH, "5"), (LENGTH, "many")], Fixed(5), None, false),
        (&[(LENGTH, "+5")], UntilClose, None, true),
        (&[(LENGTH, "")], UntilClose, None, true),
        (&[], UntilClose, None, true),
        (&[(CODING, "chunked")], Chunked, MINUTE, true),
        (&[(CODING, " Chunked ,")], Chunked, MINUTE, true),
        (&[(CODING, "gzip, chunked")], Chunked, None, true),
        (&[(CODING, "chunked"), (LENGTH, "5")], Chunked, None, true),
        (&[(CODING, "chunked"), (LENGTH, "many")], Chunked, None, true),
        (&[(CODING, "gzip")], UntilClose, None, true),
        (&[(CODING, "chunked, gzip")], UntilClose, None, true),
    ] {
        assert_eq!(framing(200, false, headers), Framing { body, reusable_for, is_certain }, "{headers:?}");
        let of_1_0 = framing(200, true, headers);
        assert_eq!((of_1_0.body, of_1_0.reusable_for), (body, None), "HTTP/1.0: {headers:?}");
    }
}

#[test]
fn a_status_without_a_body_that_announces_one_closes_the_connection() {
    for status in [204, 304] {
        for (headers, reusable_for) in [
            (&[][..], MINUTE),
            (&[("Content-Length", "0")], MINUTE),
            (&[("Content-Length", "0"), ("Content-Type", "text/plain")], MINUTE),
            (&[("Content-Type", "text/plain")], None),
            (&[("Content-Length", "10")], None),
            (&[("Content-Length", "none")], None),
            (&[("Transfer-Encoding", "chunked")], None),
        ] {
            let framing = framing(status, false, headers);
            assert_eq!(
                (framing.body, framing.reusable_for),
                (BodyLength::Fixed(0), reusable_for),
                "{headers:?}"
            );
        }
    }
    assert_eq!(framing(101, false, &[("Content-Length", "0")]).reusable_for, None);
}

#[test]
fn the_connection_is_kept_as_the_receiver_says() {
    let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
    for (is_http_1_0, headers, reusable_for) in [
        (false, &[("Connection", "close")][..], None),
        (false, &[("Connection", "x, Close")], None),
        (false, &[("Connection", "keep-alive")], MINUTE),
        (true, &[("Connection", "Keep-Alive")], MINUTE),
        (true, &[("Connection", "keep-alive, close")], None),
        (false, &[("Keep-Alive", "timeout=5")], seconds(4.0)),
        (false, &[("Keep-Alive", "timeout=5, max=100")], seconds(4.0)),
        (false, &[("keep-alive", "max=1 , Timeout = 2")], seconds(1.0)),
        (false, &[("Keep-Alive", "timeout=1")], seconds(0.5)),
        (false, &[("Keep-Alive", "timeout=3600")], MINUTE),
        (false, &[("Keep-Alive", "timeout=99999999999999999999")], MINUTE),
        (false, &[("Keep-Alive", "timeout=0")], None),
        (false, &[("Keep-Alive", "max=0")], None),
        (false, &[("Keep-Alive", "timeout=soon, 5, =, timeout")], MINUTE),
    ] {
        let mut headers = headers.to_vec();
        headers.push(("Content-Length", "2"));
        assert_eq!(framing(200, is_http_1_0, &headers).reusable_for, reusable_for, "{headers:?}");
    }
}

#[test]
fn a_line_that_can_not_be_read_closes_the_connection() {
    let fields =
        FramingFields { has_unreadable_line: true, content_length: Some(2), ..FramingFields::default() };
    let framing = fields.framing(200, false);
    assert_eq!((framing.body, framing.reusable_for), (BodyLength::Fixed(2), None));
}
