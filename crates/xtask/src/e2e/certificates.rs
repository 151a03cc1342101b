//! A certificate authority of this run, which no machine trusts, and what it signs for a receiver on the loopback.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The file with the authority's certificate, in the run's folder.
pub(super) fn authority_file(folder: &Path) -> PathBuf {
    folder.join("authority.pem")
}

/// A receiver's certificate and its key.
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Makes the authority and a receiver's identity for 127.0.0.1, and writes them into the run's folder.
pub(super) fn make(folder: &Path) -> Result<Identity> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "The authority of the end-to-end run");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    let identity = identity(folder);
    for (path, text) in [
        (authority_file(folder), authority.pem()),
        (identity.certificate.clone(), certificate.pem()),
        (identity.key.clone(), key.serialize_pem()),
    ] {
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(identity)
}

/// What [`make`] has written.
pub(super) fn identity(folder: &Path) -> Identity {
    Identity { certificate: folder.join("receiver.pem"), key: folder.join("receiver.key") }
}
