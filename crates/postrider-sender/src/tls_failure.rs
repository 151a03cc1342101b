//! From a TLS error to a stable code and plain words. No text of a library reaches a customer: what is not known here by
//! its kind is told in general words.

use postrider_core::attempt::FailureCode;
use postrider_core::time::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::failure::Failure;
use crate::target::Place;

/// How many names of a wrong certificate a failure lists.
const MAX_NAMES_SHOWN: usize = 5;
/// How long a name of a certificate is shown at most, in characters: a DNS name is no longer.
const MAX_NAME_CHARS: usize = 253;

/// Why TLS was not agreed on, or broke.
pub(crate) fn failure(place: Place<'_>, error: &Error) -> Failure {
    let detail = match error {
        Error::InvalidCertificate(error) => return certificate_failure(place, error),
        Error::NoCertificatesPresented => format!("{place} shows no certificate"),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => {
            format!("what {place} speaks is not TLS, or breaks its rules")
        }
        Error::AlertReceived(alert) => format!("{place} refused the TLS connection: {}", refusal(*alert)),
        Error::PeerIncompatible(reason) => format!("no TLS with {place}: {}", incompatibility(reason)),
        Error::NoApplicationProtocol => format!("no TLS with {place}: it does not offer HTTP/1.1"),
        Error::DecryptError => format!("no TLS with {place}: a message could not be decrypted"),
        Error::PeerMisbehaved(_) => format!("no TLS with {place}: it breaks the rules of TLS"),
        _ => format!("no TLS with {place}"),
    };
    Failure::new(FailureCode::TlsHandshakeFailed, detail)
}

/// An alert in plain words (RFC 8446, section 6.2).
fn refusal(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::HandshakeFailure | A::InsufficientSecurity => {
            "it shares no cipher or key exchange with this service, or wants a client certificate"
        }
        A::ProtocolVersion => "it speaks neither TLS 1.2 nor TLS 1.3",
        A::UnrecognisedName => "it does not know the host name",
        A::NoApplicationProtocol => "it does not offer HTTP/1.1",
        A::CertificateRequired | A::NoCertificate | A::AccessDenied => "it wants a client certificate",
        A::InternalError => "it had an internal error",
        A::UserCanceled | A::CloseNotify => "it ended the handshake",
        _ => "it gave no reason that tells more",
    }
}

fn incompatibility(reason: &PeerIncompatible) -> &'static str {
    use PeerIncompatible as P;
    match reason {
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired => "it speaks neither TLS 1.2 nor TLS 1.3",
        P::NoCipherSuitesInCommon
        | P::NoKxGroupsInCommon
        | P::NoEcPointFormatsInCommon
        | P::NoSignatureSchemesInCommon
        | P::NoCertificateRequestSignatureSchemesInCommon => {
            "it shares no cipher, key exchange or signature with this service"
        }
        P::ExtendedMasterSecretExtensionRequired => "its TLS 1.2 lacks the extended master secret (RFC 7627)",
        _ => "it lacks something that TLS 1.2 and TLS 1.3 need",
    }
}

fn certificate_failure(place: Place<'_>, error: &CertificateError) -> Failure {
    use CertificateError as C;
    let (code, detail) = match error {
        C::Expired => (FailureCode::TlsCertificateExpired, format!("the certificate of {place} has expired")),
        C::ExpiredContext { not_after, .. } => (
            FailureCode::TlsCertificateExpired,
            format!("the certificate of {place} expired on {}", shown(*not_after)),
        ),
        C::NotValidYet => {
            (FailureCode::TlsCertificateNotYetValid, format!("the certificate of {place} is not valid yet"))
        }
        C::NotValidYetContext { not_before, .. } => (
            FailureCode::TlsCertificateNotYetValid,
            format!("the certificate of {place} is valid only from {}", shown(*not_before)),
        ),
        C::UnknownIssuer => (
            FailureCode::TlsUnknownIssuer,
            format!(
                "the certificate of {place} is signed by nobody who is trusted, or its chain is incomplete"
            ),
        ),
        C::Other(other) if matches!(webpki_error(other), Some(webpki::Error::CaUsedAsEndEntity)) => (
            // What `openssl req -x509` makes unless told otherwise: such a certificate is its own issuer, and that
            // issuer isn't trusted.
            FailureCode::TlsUnknownIssuer,
            format!("{place} shows an authority's own, self-signed certificate"),
        ),
        C::NotValidForName => {
            (FailureCode::TlsWrongHost, format!("the certificate of {place} is for another host"))
        }
        C::NotValidForNameContext { presented, .. } => (
            FailureCode::TlsWrongHost,
            match listed(presented).as_str() {
                "" => {
                    format!("the certificate of {place} names no host (a common name alone does not count)")
                }
                names => format!("the certificate of {place} is for another host: {names}"),
            },
        ),
        other => (
            FailureCode::TlsCertificateInvalid,
            format!("the certificate of {place} is not acceptable: {}", fault(other)),
        ),
    };
    Failure::new(code, detail)
}

/// What is wrong with a certificate.
fn fault(error: &CertificateError) -> &'static str {
    use CertificateError as C;
    match error {
        C::BadEncoding => "it is damaged or badly encoded",
        C::Revoked => "it is revoked",
        C::UnhandledCriticalExtension => "it has a critical extension that is not understood",
        C::UnknownRevocationStatus
        | C::ExpiredRevocationList
        | C::ExpiredRevocationListContext { .. }
        | C::InvalidOcspResponse => "whether it is revoked can't be told",
        C::BadSignature => "a signature in its chain does not fit",
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => UNSUPPORTED_SIGNATURE,
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "it is not made for servers",
        C::ApplicationVerificationFailure => "it was refused",
        C::Other(other) => webpki_error(other).map_or(UNKNOWN_FAULT, fault_of_webpki),
        _ => UNKNOWN_FAULT,
    }
}

const UNKNOWN_FAULT: &str = "it breaks the rules for certificates (RFC 5280)";
const UNSUPPORTED_SIGNATURE: &str = "it is signed in a way that is out of use, such as SHA-1";

fn fault_of_webpki(error: &webpki::Error) -> &'static str {
    use webpki::Error as W;
    match error {
        W::UnsupportedCertVersion => "it is of X.509 version 1 or 2; TLS needs version 3",
        W::BadDer | W::BadDerTime | W::TrailingData(_) => "it is damaged or badly encoded",
        W::CertDistrusted => "it is no longer trusted",
        W::CertRevoked => "it is revoked",
        W::EmptyEkuExtension | W::RequiredEkuNotFoundContext(_) => "it is not made for servers",
        W::EndEntityUsedAsCa => "it is signed by a certificate that is no authority's",
        W::ExtensionValueInvalid | W::MalformedExtensions => "one of its extensions is malformed",
        W::InvalidCertValidity => "its times of validity contradict each other",
        W::InvalidSerialNumber => "its serial number is not valid",
        W::InvalidSignatureForPublicKey => "a signature in its chain does not fit",
        W::MalformedDnsIdentifier => "a host name in it is malformed",
        W::MaximumPathDepthExceeded
        | W::MaximumPathBuildCallsExceeded
        | W::MaximumSignatureChecksExceeded => "its chain is too long",
        W::NameConstraintViolation | W::PathLenConstraintViolated => {
            "an authority in its chain may not sign it"
        }
        W::UnsupportedCriticalExtension => "it has a critical extension that is not understood",
        W::UnsupportedSignatureAlgorithmContext(_)
        | W::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => UNSUPPORTED_SIGNATURE,
        _ => UNKNOWN_FAULT,
    }
}

fn webpki_error(error: &rustls::OtherError) -> Option<&webpki::Error> {
    error.0.downcast_ref()
}

fn shown(time: UnixTime) -> Timestamp {
    Timestamp::from_ms(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// The hosts that a certificate names, few enough for a log line. They are the receiver's text, so that of each only
/// visible characters are shown.
fn listed(names: &[String]) -> String {
    let mut hosts = names.iter().filter_map(|name| host_of(name));
    let mut text = String::new();
    for host in hosts.by_ref().take(MAX_NAMES_SHOWN) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let visible = |c: char| if c.is_ascii_graphic() { c } else { char::REPLACEMENT_CHARACTER };
        text.extend(host.chars().take(MAX_NAME_CHARS).map(visible));
    }
    if hosts.next().is_some() {
        text.push_str(", …");
    }
    text
}

/// A host name or address without the library's words for its kind: `DnsName("a.example")` is `a.example`. `None` for other
/// kinds, which no URL can have.
fn host_of(name: &str) -> Option<&str> {
    let (kind, name) = name.strip_suffix(')')?.split_once('(')?;
    matches!(kind, "DnsName" | "IpAddress").then(|| name.trim_matches('"'))
}

#[cfg(test)]
mod tests;
