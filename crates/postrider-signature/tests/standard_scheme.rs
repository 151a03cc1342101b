//! Standard Webhooks v1 against its published example, and against headers that must not pass.

use std::time::Duration;

use postrider_signature::VerifyError;
use postrider_signature::standard::{self, DEFAULT_TOLERANCE, KeyError, MAX_SIGNATURES};
use proptest::prelude::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn key() -> Vec<u8> {
    standard::key_from_secret(SECRET).expect("the example has a key")
}

fn verify_at(timestamp: &str, signatures: &str, now: i64) -> Result<(), VerifyError> {
    standard::verify([key()], ID, timestamp, signatures, BODY, now, DEFAULT_TOLERANCE)
}

fn verify(signatures: &str) -> Result<(), VerifyError> {
    verify_at(&AT.to_string(), signatures, AT)
}

#[test]
fn the_published_example_is_signed_and_verified() {
    assert_eq!(standard::sign(&key(), ID, AT, BODY), SIGNATURE);
    assert_eq!(verify(SIGNATURE), Ok(()));
}

#[test]
fn one_right_signature_among_several_is_enough() {
    let other = standard::sign(b"another key", ID, AT, BODY);
    for header in [
        format!("{other} {SIGNATURE}"),
        format!("{SIGNATURE} {other}"),
        format!("v1a,whatever v2,{} {SIGNATURE}", &SIGNATURE[3..]),
        format!("  {SIGNATURE}  "),
    ] {
        assert_eq!(verify(&header), Ok(()), "{header}");
    }
}

#[test]
fn any_of_the_receivers_keys_may_match() {
    let keys = [b"old".to_vec(), key()];
    let at = AT.to_string();
    assert_eq!(standard::verify(&keys, ID, &at, SIGNATURE, BODY, AT, DEFAULT_TOLERANCE), Ok(()));
    let none: [&[u8]; 0] = [];
    let refused = standard::verify(none, ID, &at, SIGNATURE, BODY, AT, DEFAULT_TOLERANCE);
    assert_eq!(refused, Err(VerifyError::Mismatch), "without a key nothing is believed");
}

#[test]
fn headers_without_a_v1_signature_are_called_malformed() {
    for header in ["", " ", "v1", "v2,abc", &SIGNATURE[3..], "V1,abc", "v1a,abc", ",", "sha1=abc"] {
        assert_eq!(verify(header), Err(VerifyError::MalformedSignature), "{header:?}");
    }
}

#[test]
fn wrong_signatures_do_not_match() {
    for header in
        ["v1,", "v1,abc", &SIGNATURE[..46], &format!("{SIGNATURE}="), &SIGNATURE.replace("g0h", "G0h")]
    {
        assert_eq!(verify(header), Err(VerifyError::Mismatch), "{header:?}");
    }
    let commas = format!("{SIGNATURE},{SIGNATURE}");
    assert_eq!(verify(&commas), Err(VerifyError::Mismatch), "only spaces separate");
}

#[test]
fn a_list_is_read_only_up_to_its_limit() {
    let fillers = "v1,no ".repeat(MAX_SIGNATURES - 1);
    assert_eq!(verify(&format!("{fillers}{SIGNATURE}")), Ok(()));
    assert_eq!(verify(&format!("v1,no {fillers}{SIGNATURE}")), Err(VerifyError::Mismatch));
}

#[test]
fn the_id_the_time_and_the_body_are_all_signed() {
    let at = AT.to_string();
    let judge = |id: &str, timestamp: &str, body: &[u8]| {
        standard::verify([key()], id, timestamp, SIGNATURE, body, AT, DEFAULT_TOLERANCE)
    };
    assert_eq!(judge(ID, &at, BODY), Ok(()));
    assert_eq!(judge("msg_other", &at, BODY), Err(VerifyError::Mismatch));
    assert_eq!(judge(ID, "1614265331", BODY), Err(VerifyError::Mismatch));
    assert_eq!(judge(ID, &at, b"{}"), Err(VerifyError::Mismatch));
}

#[test]
fn a_timestamp_may_lie_five_minutes_off_and_no_more() {
    let at = AT.to_string();
    assert_eq!(verify_at(&at, SIGNATURE, AT + 300), Ok(()));
    assert_eq!(verify_at(&at, SIGNATURE, AT - 300), Ok(()));
    assert_eq!(verify_at(&at, SIGNATURE, AT + 301), Err(VerifyError::TimestampTooOld));
    assert_eq!(verify_at(&at, SIGNATURE, AT - 301), Err(VerifyError::TimestampInFuture));
    let wide = Duration::from_secs(3600);
    assert_eq!(standard::verify([key()], ID, &at, SIGNATURE, BODY, AT + 3600, wide), Ok(()));
}

#[test]
fn a_garbled_timestamp_is_called_so_and_an_absurd_one_does_no_harm() {
    for garbled in [
        "",
        "-",
        "soon",
        "1614265330.0",
        "+1614265330",
        "01614265330",
        " 1614265330",
        "-0",
        "9223372036854775808",
    ] {
        assert_eq!(verify_at(garbled, SIGNATURE, AT), Err(VerifyError::MalformedTimestamp), "{garbled:?}");
    }
    assert_eq!(verify_at("9223372036854775807", SIGNATURE, i64::MIN), Err(VerifyError::TimestampInFuture));
    assert_eq!(verify_at("-9223372036854775808", SIGNATURE, i64::MAX), Err(VerifyError::TimestampTooOld));
    for early in [0, -5] {
        let signature = standard::sign(&key(), ID, early, BODY);
        assert_eq!(verify_at(&early.to_string(), &signature, 0), Ok(()), "{early}");
    }
}

#[test]
fn a_secret_is_its_prefix_and_standard_base64() {
    assert_eq!(key().len(), 24);
    assert_eq!(standard::key_from_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Err(KeyError::Prefix));
    for text in ["whsec_", "whsec_...", "whsec_a", "whsec_dG9v-_==", "whsec_ dG9v"] {
        assert_eq!(standard::key_from_secret(text), Err(KeyError::Base64), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies(
        key in proptest::collection::vec(any::<u8>(), 0..100),
        id in ".*",
        at in any::<i64>(),
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let signature = standard::sign(&key, &id, at, &body);
        let verified = standard::verify([&key], &id, &at.to_string(), &signature, &body, at, Duration::ZERO);
        prop_assert_eq!(verified, Ok(()));
    }

    #[test]
    fn a_flipped_bit_never_verifies(
        body in proptest::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let signature = standard::sign(&key(), ID, AT, &body);
        let judge = |body: &[u8], signature: &str| {
            standard::verify([key()], ID, &AT.to_string(), signature, body, AT, DEFAULT_TOLERANCE)
        };
        let mut changed_body = body.clone();
        changed_body[at.index(body.len())] ^= 1 << bit;
        prop_assert_eq!(judge(&changed_body, &signature), Err(VerifyError::Mismatch));

        let mut changed = signature.into_bytes();
        let place = at.index(changed.len());
        changed[place] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(changed) {
            prop_assert!(judge(&body, &changed).is_err());
        }
    }

    #[test]
    fn no_header_makes_verifying_panic(timestamp in ".*", signature in ".*") {
        prop_assert!(verify_at(&timestamp, &signature, AT).is_err());
    }
}
