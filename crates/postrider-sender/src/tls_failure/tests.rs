//! TLS failures in plain words: no text of a library in any of them.

use std::sync::Arc;

use rustls::{OtherError, PeerMisbehaved};
use url::Url;

use super::*;
use crate::target::Target;

fn told(error: &Error) -> (FailureCode, String) {
    let url: Url = "https://secure.example/".parse().unwrap();
    let failure = failure(Target::of(&url).unwrap().at("192.0.2.1:443".parse().unwrap()), error);
    (failure.code, failure.detail)
}

fn of_webpki(error: webpki::Error) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Words of libraries: names of variants run together, `Debug` punctuation.
fn has_library_words(detail: &str) -> bool {
    let words = detail.split(|c: char| !c.is_alphanumeric());
    let is_variant = |word: &str| {
        word.chars().zip(word.chars().skip(1)).any(|(one, next)| one.is_lowercase() && next.is_uppercase())
    };
    let known =
        ["secure.example (192.0.2.1:443)", "a common name alone does not count", "(RFC 5280)", "(RFC 7627)"];
    let rest = known.iter().fold(detail.to_owned(), |rest, known| rest.replace(known, ""));
    words.into_iter().any(is_variant) || rest.contains(['{', '}', '(', '[', '"'])
}

#[test]
fn every_failure_has_plain_words() {
    use AlertDescription as A;
    use CertificateError as C;
    let alerts = [
        A::HandshakeFailure,
        A::ProtocolVersion,
        A::UnrecognisedName,
        A::NoApplicationProtocol,
        A::CertificateRequired,
        A::AccessDenied,
        A::InternalError,
        A::UserCanceled,
        A::DecodeError,
        A::BadCertificate,
        A::Unknown(231),
    ];
    let certificates = [
        C::BadEncoding,
        C::Revoked,
        C::UnhandledCriticalExtension,
        C::UnknownIssuer,
        C::UnknownRevocationStatus,
        C::ExpiredRevocationList,
        C::BadSignature,
        C::NotValidForName,
        C::InvalidPurpose,
        C::Expired,
        C::NotValidYet,
        C::ApplicationVerificationFailure,
        C::InvalidOcspResponse,
    ];
    let webpki = [
        webpki::Error::UnsupportedCertVersion,
        webpki::Error::BadDer,
        webpki::Error::CaUsedAsEndEntity,
        webpki::Error::EmptyEkuExtension,
        webpki::Error::EndEntityUsedAsCa,
        webpki::Error::ExtensionValueInvalid,
        webpki::Error::InvalidCertValidity,
        webpki::Error::InvalidSerialNumber,
        webpki::Error::MalformedDnsIdentifier,
        webpki::Error::MaximumPathDepthExceeded,
        webpki::Error::NameConstraintViolation,
        webpki::Error::UnsupportedCriticalExtension,
        webpki::Error::UnsupportedNameType,
        webpki::Error::SignatureAlgorithmMismatch,
        webpki::Error::InvalidNetworkMaskConstraint,
    ];
    let others = [
        Error::NoCertificatesPresented,
        Error::DecryptError,
        Error::NoApplicationProtocol,
        Error::PeerSentOversizedRecord,
        Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
        Error::General("InternalDetail".to_owned()),
        Error::FailedToGetRandomBytes,
        Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        Error::PeerIncompatible(PeerIncompatible::KeyShareExtensionRequired),
        Error::InvalidCertificate(C::Other(OtherError(Arc::new(std::io::Error::other("InternalDetail"))))),
    ];
    let all = alerts
        .into_iter()
        .map(Error::AlertReceived)
        .chain(certificates.into_iter().map(Error::InvalidCertificate))
        .chain(webpki.into_iter().map(of_webpki))
        .chain(others);
    for error in all {
        let (_, detail) = told(&error);
        assert!(detail.contains("secure.example (192.0.2.1:443)"), "{detail}");
        assert!(!has_library_words(&detail), "{error:?}: {detail}");
    }
}

#[test]
fn an_old_x509_version_is_called_so() {
    let (code, detail) = told(&of_webpki(webpki::Error::UnsupportedCertVersion));
    assert_eq!(code, FailureCode::TlsCertificateInvalid);
    assert!(detail.ends_with("it is of X.509 version 1 or 2; TLS needs version 3"), "{detail}");
}

#[test]
fn the_hosts_of_a_wrong_certificate_are_listed_as_they_are() {
    let listed = |names: &[&str]| listed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(listed(&["DnsName(\"a.example\")", "IpAddress(192.0.2.7)"]), "a.example, 192.0.2.7");
    assert_eq!(listed(&["DirectoryName", "Unsupported(0x82)", "DnsName(\"b\")"]), "b");
    assert_eq!(listed(&["DnsName(\"a\r\nb\u{202e}\")"]), "a\u{fffd}\u{fffd}b\u{fffd}");
    assert_eq!(listed(&["DnsName(\"a\")"; 7]), "a, a, a, a, a, …");
    assert_eq!(listed(&[]), "");
}
