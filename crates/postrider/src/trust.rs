//! The certificate authorities that https is checked against, for `serve` and for the commands alike: the system's, or the
//! built-in ones where the machine has none, and those of `--ca-file` beside either.

use std::path::Path;

use anyhow::Context as _;
use postrider_sender::{TrustStore, TrustStoreError};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// What deliveries trust.
///
/// # Errors
/// A store or a file that is named has no certificate that can be read.
pub(crate) fn of_service(ca_file: Option<&Path>) -> Result<TrustStore, TrustStoreError> {
    let mut trust = TrustStore::system()?;
    if let Some(file) = ca_file {
        trust.add_file(file)?;
    }
    Ok(trust)
}

/// The same for a command that talks to `url`. Nothing is read where no file is named and the URL is not https.
pub(crate) fn of_client(ca_file: Option<&Path>, url: &str) -> anyhow::Result<TlsConfig> {
    let is_https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    if ca_file.is_none() && !is_https {
        return Ok(TlsConfig::default());
    }
    let trust = of_service(ca_file).context("the certificate authorities to trust (--ca-file)")?;
    let certificates: Vec<Certificate<'static>> =
        trust.certificates().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
}
