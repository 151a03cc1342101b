//! Bodies in every framing, whole and broken, cut anywhere.

use proptest::prelude::*;

use super::*;

/// Decodes pieces that arrive one after the other, then the end of the connection. Gives what was kept, how it ended, and
/// how many bytes were left over.
fn decode(length: BodyLength, pieces: &[&[u8]]) -> (Vec<u8>, BodyEnd, usize) {
    let mut decoder = BodyDecoder::new(length);
    let all: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut consumed = 0;
    for piece in pieces {
        let (taken, end) = decoder.decode(piece);
        assert!(taken <= piece.len());
        consumed += taken;
        if let Some(end) = end {
            return (decoder.kept, end, all - consumed);
        }
        assert_eq!(taken, piece.len(), "without an end all bytes belong to the body");
    }
    let end = decoder.at_close();
    (decoder.kept, end, 0)
}

#[test]
fn chunks_are_decoded_wherever_they_are_cut() {
    for (text, content, end, left) in [
        ("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello", BodyEnd::Whole, 0),
        ("3;a=b;c=\"d\"\r\nhel\r\n02 \r\nlo\r\n000\r\n\r\n", "hello", BodyEnd::Whole, 0),
        ("A\r\n0123456789\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\nHTTP/1.1", "0123456789", BodyEnd::Whole, 8),
        ("3\nhel\n2\nlo\n0\n\n", "hello", BodyEnd::Whole, 0),
        ("0\r\n\r\nrest", "", BodyEnd::Whole, 4),
        ("3\r\nhel\r\n", "hel", BodyEnd::CutOff, 0),
        ("3\r\nhel\r\n0\r\nTrailer: x", "hel", BodyEnd::CutOff, 0),
        ("3\r\nhello\r\n", "hel", BodyEnd::CutOff, 3),
        ("3\r\nhel\r\nmore", "hel", BodyEnd::CutOff, 3),
        ("-1\r\nx", "", BodyEnd::CutOff, 4),
        ("\r\n3\r\nhel", "", BodyEnd::CutOff, 7),
        ("FFFFFFFFFFFFFFFFF\r\nx", "", BodyEnd::CutOff, 3),
        ("FFFFFFFFFFFFFFFF\r\nx", "x", BodyEnd::CutOff, 0),
    ] {
        let expected = (content.as_bytes().to_vec(), end, left);
        assert_eq!(decode(BodyLength::Chunked, &[text.as_bytes()]), expected, "{text:?}");
        for cut in 0..text.len() {
            let (one, other) = text.as_bytes().split_at(cut);
            let (kept, met, _) = decode(BodyLength::Chunked, &[one, other]);
            assert_eq!((&kept, met), (&expected.0, end), "{text:?} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_content_of_chunks_is_bounded() {
    for endless in ["0\r\nTrailer: x\r\n", "1;extension=", "0\r\n\t"] {
        let endless = format!("{endless}{}", "x".repeat(MAX_CHUNK_OVERHEAD_BYTES));
        let (kept, end, left) = decode(BodyLength::Chunked, &[endless.as_bytes()]);
        assert_eq!((kept.len(), end), (0, BodyEnd::CutOff));
        assert_eq!(left, endless.len() - MAX_CHUNK_OVERHEAD_BYTES - 1);
    }
    let whole_in_single_bytes = "1\r\nx\r\n".repeat(MAX_KEPT_BODY_BYTES) + "0\r\n\r\n";
    let (kept, end, _) = decode(BodyLength::Chunked, &[whole_in_single_bytes.as_bytes()]);
    assert_eq!((kept.len(), end), (MAX_KEPT_BODY_BYTES, BodyEnd::Whole));
}

#[test]
fn a_body_at_the_limit_is_whole_and_a_longer_one_is_not() {
    for (length, end) in [(MAX_KEPT_BODY_BYTES, BodyEnd::Whole), (MAX_KEPT_BODY_BYTES + 1, BodyEnd::CutOff)] {
        let body = vec![b'x'; length];
        for delimiter in [BodyLength::Fixed(length as u64), BodyLength::UntilClose] {
            let (kept, met, _) = decode(delimiter, &[&body]);
            assert_eq!((kept.len(), met), (MAX_KEPT_BODY_BYTES, end), "{delimiter:?}");
        }
    }
    assert_eq!(decode(BodyLength::Fixed(9), &[b"short"]), (b"short".to_vec(), BodyEnd::CutOff, 0));
    assert_eq!(decode(BodyLength::Fixed(2), &[b"long"]), (b"lo".to_vec(), BodyEnd::Whole, 2));
}

proptest! {
    /// Bytes of a receiver can't make the decoder panic or keep more than the limit, and where they are cut makes no
    /// difference.
    #[test]
    fn any_bytes_are_decoded_within_the_limits(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(&b"0123456789abcdefABCDEF\r\n; \t:"[..])], 0..400),
        cut in any::<prop::sample::Index>(),
        length in 0..500_u64,
    ) {
        for delimiter in [BodyLength::Chunked, BodyLength::UntilClose, BodyLength::Fixed(length)] {
            let (kept, end, left) = decode(delimiter, &[&bytes]);
            prop_assert!(kept.len() <= MAX_KEPT_BODY_BYTES && kept.len() + left <= bytes.len());
            let (one, other) = bytes.split_at(cut.index(bytes.len() + 1));
            let in_pieces = decode(delimiter, &[one, other]);
            prop_assert_eq!((kept, end), (in_pieces.0, in_pieces.1));
        }
    }

    /// What a correct sender encodes is what is decoded.
    #[test]
    fn chunks_read_back(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20)) {
        let mut encoded = Vec::new();
        for chunk in &chunks {
            encoded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            encoded.extend_from_slice(chunk);
            encoded.extend_from_slice(b"\r\n");
        }
        encoded.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(decode(BodyLength::Chunked, &[&encoded]), (chunks.concat(), BodyEnd::Whole, 0));
    }
}
