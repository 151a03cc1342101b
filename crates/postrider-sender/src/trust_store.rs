//! The certificate authorities that TLS servers are checked against: the system's, or those built in where the machine
//! has none, and the operator's own beside either.
//!
//! Certificates are read here; verification is rustls' and is never weakened.

use std::fmt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The variables that name another store than the system's, as OpenSSL, curl and Go read them.
const STORE_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Authorities to trust. Reads files only when it is made.
#[derive(Clone)]
pub struct TrustStore {
    source: TrustSource,
    /// The public authorities of the source. One that can't be read is passed over.
    public: Vec<CertificateDer<'static>>,
    /// The operator's own; each was checked to be an authority's certificate.
    own: Vec<CertificateDer<'static>>,
}

/// Where the public authorities are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustSource {
    /// The copy of Mozilla's list in this program.
    BuiltIn,
    /// The system's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    System,
}

/// Why a trust store can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    /// A variable names a store in which no certificate can be read.
    #[error("no certificate can be read where {variable} points{reason}")]
    NamedStore {
        /// The variable.
        variable: &'static str,
        /// What was met, with a colon before it; may be empty.
        reason: String,
    },
    /// A file can't be read or is no PEM.
    #[error("{path} can't be read as certificates in PEM: {reason}")]
    File {
        /// The file.
        path: String,
        /// What was met.
        reason: String,
    },
    /// A file has no certificate.
    #[error("{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// The file.
        path: String,
    },
    /// A certificate can't be an authority's.
    #[error(
        "certificate {number} of {path} can't be used as an authority: it is damaged or no X.509 certificate"
    )]
    NotAnAuthority {
        /// The file.
        path: String,
        /// Its place in the file, from 1.
        number: usize,
    },
}

impl TrustStore {
    /// The authorities that are built in.
    #[must_use]
    pub fn built_in() -> Self {
        let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
        Self { source: TrustSource::BuiltIn, public, own: Vec::new() }
    }

    /// The system's store; the authorities that are built in where the machine has none. `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name another store, as for curl and Go.
    ///
    /// # Errors
    /// One of these variables is set, and no certificate can be read there.
    pub fn system() -> Result<Self, TrustStoreError> {
        let found = rustls_native_certs::load_native_certs();
        if !found.certs.is_empty() {
            return Ok(Self { source: TrustSource::System, public: found.certs, own: Vec::new() });
        }
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match STORE_VARIABLES.into_iter().find(is_set) {
            Some(variable) => {
                let reason = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
                Err(TrustStoreError::NamedStore { variable, reason })
            }
            None => Ok(Self::built_in()),
        }
    }

    /// Adds the authorities of a PEM file.
    ///
    /// # Errors
    /// The file can't be read, has no certificate, or has one that can't be an authority's.
    pub fn add_file(&mut self, path: &Path) -> Result<(), TrustStoreError> {
        let shown = || path.display().to_string();
        let damaged =
            |error: &dyn fmt::Display| TrustStoreError::File { path: shown(), reason: error.to_string() };
        let pem = std::fs::read(path).map_err(|error| damaged(&error))?;
        let before = self.own.len();
        for (certificate, number) in CertificateDer::pem_slice_iter(&pem).zip(1..) {
            let certificate = certificate.map_err(|error| damaged(&error))?;
            let not_one = |_| TrustStoreError::NotAnAuthority { path: shown(), number };
            self.add(certificate).map_err(not_one)?;
        }
        if self.own.len() == before {
            return Err(TrustStoreError::NoCertificate { path: shown() });
        }
        Ok(())
    }

    /// Adds an authority.
    ///
    /// # Errors
    /// The certificate can't be an authority's.
    pub fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), rustls::Error> {
        RootCertStore::empty().add(certificate.clone())?;
        self.own.push(certificate);
        Ok(())
    }

    /// Where the public authorities are from.
    #[must_use]
    pub fn source(&self) -> TrustSource {
        self.source
    }

    /// Every certificate, the operator's own last.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.public.iter().chain(&self.own)
    }

    /// The same for rustls.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.certificates().cloned());
        roots
    }
}

impl fmt::Display for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            TrustSource::BuiltIn => "built-in",
            TrustSource::System => "of the system's store",
        };
        match self.source {
            TrustSource::BuiltIn => write!(f, "{} {source} authorities", self.public.len())?,
            TrustSource::System => write!(f, "{} authorities {source}", self.public.len())?,
        }
        match self.own.len() {
            0 => Ok(()),
            own => write!(f, ", and {own} of the CA file"),
        }
    }
}

impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustStore({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_adds_to_the_public_authorities() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let authority = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert;
        std::fs::write(&file, format!("comment\n{}{}", authority.pem(), authority.pem())).unwrap();
        let mut trust = TrustStore::built_in();
        let public = trust.certificates().count();
        assert!(public > 50);
        trust.add_file(&file).unwrap();
        assert_eq!(trust.certificates().count(), public + 2);
        assert_eq!(trust.certificates().last(), Some(authority.der()));
        assert_eq!(trust.to_string(), format!("{public} built-in authorities, and 2 of the CA file"));
        assert_eq!(trust.roots().len(), public + 2, "each is an authority that rustls can use");
    }

    #[test]
    fn a_file_that_adds_nothing_is_refused_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let refused = |text: &str| {
            std::fs::write(&file, text).unwrap();
            TrustStore::built_in().add_file(&file).unwrap_err().to_string()
        };
        assert!(refused("").ends_with("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
        assert!(refused("not PEM").contains("holds no certificate"));
        let damaged = refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(damaged.starts_with("certificate 1 of ") && damaged.contains("damaged"), "{damaged}");
        std::fs::remove_file(&file).unwrap();
        let missing = TrustStore::built_in().add_file(&file).unwrap_err().to_string();
        assert!(missing.contains("ca.pem can't be read"), "{missing}");
    }
}
