//! The contract's scheme against vectors computed elsewhere, and against headers that must not pass.

use postrider_signature::{VerifyError, kasko};
use proptest::prelude::*;

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    secret: String,
    body: String,
    x_kasko_signature: String,
    /// Set where only a library can be given the body; the service's own tests pass such vectors over.
    only: Option<String>,
}

#[test]
fn every_vector_is_signed_and_verified() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("data/signature-vectors.json")).unwrap();
    assert!(vectors.len() > 20, "the vectors are there");
    assert!(vectors.iter().any(|vector| vector.only.is_some()), "those for libraries only are tried too");
    for Vector { name, secret, body, x_kasko_signature, .. } in vectors {
        assert_eq!(kasko::sign(&secret, body.as_bytes()), x_kasko_signature, "{name} with {secret}");
        assert_eq!(kasko::verify(&secret, body.as_bytes(), &x_kasko_signature), Ok(()), "{name}");
    }
}

/// The cases of RFC 2202, section 3, whose keys are text.
#[test]
fn hmac_sha1_is_that_of_rfc_2202() {
    for (key, data, digest) in [
        (&*"\x0b".repeat(20), "Hi There".to_owned(), "b617318655057264e28bc0b6fb378c8ef146be00"),
        ("Jefe", "what do ya want for nothing?".to_owned(), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (&*"\x0c".repeat(20), "Test With Truncation".to_owned(), "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
    ] {
        assert_eq!(kasko::sign(key, data.as_bytes()), format!("sha1={digest}"));
    }
}

#[test]
fn a_header_that_is_not_a_signature_is_called_so() {
    let right = kasko::sign("secret", b"{}");
    for garbled in [
        "",
        "sha1=",
        "sha1",
        &right[5..],
        &right[..44],
        &format!("{right}0"),
        &format!(" {right}"),
        &format!("{right}\n"),
        &right.to_uppercase(),
        &right.replace("sha1=", "SHA1="),
        &right.replace("sha1=", "sha256="),
        &format!("sha1={}", "g".repeat(40)),
        &format!("sha1={}", "é".repeat(20)),
    ] {
        assert_eq!(
            kasko::verify("secret", b"{}", garbled),
            Err(VerifyError::MalformedSignature),
            "{garbled:?}"
        );
    }
}

#[test]
fn another_secret_or_another_body_does_not_match() {
    let header = kasko::sign("secret", b"{}");
    assert_eq!(kasko::verify("Secret", b"{}", &header), Err(VerifyError::Mismatch));
    assert_eq!(kasko::verify("secret", b"{ }", &header), Err(VerifyError::Mismatch));
    assert_eq!(
        kasko::verify("whsec_secret", b"{}", &header),
        Err(VerifyError::Mismatch),
        "no prefix is cut off"
    );
}

proptest! {
    #[test]
    fn what_is_signed_verifies(secret in ".*", body in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(kasko::verify(&secret, &body, &kasko::sign(&secret, &body)), Ok(()));
    }

    #[test]
    fn a_flipped_bit_never_verifies(
        secret in ".{1,80}",
        body in proptest::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let header = kasko::sign(&secret, &body);

        let mut changed_body = body.clone();
        changed_body[at.index(body.len())] ^= 1 << bit;
        prop_assert_eq!(kasko::verify(&secret, &changed_body, &header), Err(VerifyError::Mismatch));

        let mut changed_header = header.into_bytes();
        let place = at.index(changed_header.len());
        changed_header[place] ^= 1 << bit;
        if let Ok(changed_header) = String::from_utf8(changed_header) {
            prop_assert!(kasko::verify(&secret, &body, &changed_header).is_err());
        }
    }

    #[test]
    fn no_header_makes_verifying_panic(header in ".*") {
        prop_assert!(kasko::verify("secret", b"a body", &header).is_err());
    }
}
