//! TLS towards receivers: rustls with ring, HTTP/1.1 only.
//!
//! Verification is never weakened here; a receiver with a private CA needs that CA in the trust store.

use std::sync::Arc;

use postrider_core::attempt::FailureCode;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use crate::failure::Failure;
use crate::target::{Place, Target};
use crate::trust_store::TrustStore;

/// A connector that trusts these authorities.
pub(crate) fn connector(trust: &TrustStore) -> Result<TlsConnector, rustls::Error> {
    // The provider is named, so that no process-wide default has to be installed.
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trust.roots())
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
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_not_a_dns_name| {
            Failure::new(FailureCode::TlsHandshakeFailed, format!("no certificate can name {name}"))
        }),
    }
}
