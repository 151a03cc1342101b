//! TLS towards receivers: rustls with ring, the public roots and the operator's own, HTTP/1.1 only.
//!
//! Verification is never weakened here; a receiver with a private CA needs that CA among the extra roots.

use std::sync::Arc;

use postrider_core::attempt::FailureCode;
use postrider_core::time::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use crate::failure::Failure;
use crate::target::{Place, Target};

/// How many names of a wrong certificate a failure lists.
const MAX_NAMES_SHOWN: usize = 5;

/// A connector that trusts the public roots and `extra_roots`.
pub(crate) fn connector(extra_roots: &[CertificateDer<'static>]) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(root.clone())?;
    }
    // The provider is named, so that no process-wide default has to be installed.
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Agrees on TLS with the receiver behind `tcp`. The caller sets the deadline.
pub(crate) async fn handshake(
    connector: &TlsConnector,
    target: &Target<'_>,
    place: Place<'_>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = server_name(target)?;
    match connector.connect(name, tcp).await {
        Ok(stream) => Ok(stream),
        Err(error) => Err(Failure::of_stream(place, "during the TLS handshake", &error)),
    }
}

fn server_name(target: &Target<'_>) -> Result<ServerName<'static>, Failure> {
    match target.host {
        Host::Ipv4(address) => Ok(ServerName::IpAddress(address.into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(address.into())),
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|error| {
            Failure::new(FailureCode::TlsHandshakeFailed, format!("no certificate can name {name}: {error}"))
        }),
    }
}

/// Why TLS was not agreed on.
pub(crate) fn failure(place: Place<'_>, error: &rustls::Error) -> Failure {
    if let rustls::Error::InvalidCertificate(error) = error {
        return certificate_failure(place, error);
    }
    let detail = match error {
        rustls::Error::InvalidMessage(_) => format!("what {place} speaks is not TLS: {error}"),
        rustls::Error::AlertReceived(_) => format!("{place} refused the TLS connection: {error}"),
        _ => format!("no TLS with {place}: {error}"),
    };
    Failure::new(FailureCode::TlsHandshakeFailed, detail)
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
        C::Other(other) if is_authority_itself(other) => (
            FailureCode::TlsUnknownIssuer,
            format!("{place} shows a certificate authority's own (a self-signed) certificate"),
        ),
        C::NotValidForName => {
            (FailureCode::TlsWrongHost, format!("the certificate of {place} is for another host"))
        }
        C::NotValidForNameContext { presented, .. } => (
            FailureCode::TlsWrongHost,
            format!("the certificate of {place} is for another host: {}", listed(presented)),
        ),
        other => (
            FailureCode::TlsCertificateInvalid,
            format!("the certificate of {place} is not acceptable: {other}"),
        ),
    };
    Failure::new(code, detail)
}

/// Whether the server's own certificate is a CA's: what `openssl req -x509` makes unless told otherwise. Such a
/// certificate is its own issuer, and that issuer isn't trusted.
fn is_authority_itself(error: &rustls::OtherError) -> bool {
    matches!(error.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}

fn shown(time: UnixTime) -> Timestamp {
    Timestamp::from_ms(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// The names in a certificate, few enough for a log line. They are the receiver's text.
fn listed(names: &[String]) -> String {
    let more = if names.len() > MAX_NAMES_SHOWN { ", …" } else { "" };
    names[..names.len().min(MAX_NAMES_SHOWN)].join(", ") + more
}
