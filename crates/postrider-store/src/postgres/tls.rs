//! TLS for connections to the database, with rustls and ring. `sslmode` in the connection string decides how strictly
//! the server's certificate is verified, as in libpq: `verify-full` checks the certificate and its name, `require` and
//! `prefer` only encrypt. `sslmode` is ignored for Unix sockets, as in libpq.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: it is encrypted, and that is all.
    Nothing,
    /// That somebody we trust has signed it.
    Authority,
    /// That, and that it is for the host we connect to.
    Full,
}

/// What the connection string says of TLS, and the string without it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) url: String,
    pub(super) check: Check,
    /// A file of certificates to trust instead of the public ones.
    pub(super) roots: Option<PathBuf>,
}

/// Takes out of a connection string what the client library does not know.
pub(super) fn wanted(url: &str) -> Result<Wanted, String> {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut kept, mut check, mut roots, mut mode) = (Vec::new(), Check::Nothing, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", "verify-full")) => check = Check::Full,
            Some(("sslmode", "verify-ca")) => check = Check::Authority,
            Some(("sslmode", "disable" | "prefer" | "require")) => mode = Some(pair),
            Some(("sslmode", other)) => {
                return Err(format!(
                    "sslmode={other} is none of disable, prefer, require, verify-ca and verify-full"
                ));
            }
            Some(("sslrootcert", path)) => roots = Some(PathBuf::from(path.replace("%2F", "/"))),
            _ => kept.push(pair),
        }
    }
    let join = |pairs: &[&str]| match pairs {
        [] => rest.to_owned(),
        pairs => format!("{rest}?{}", pairs.join("&")),
    };
    if names_only_sockets(&join(&kept)) {
        kept.push("sslmode=disable");
        return Ok(Wanted { url: join(&kept), check: Check::Nothing, roots: None });
    }
    if check != Check::Nothing {
        mode = Some("sslmode=require");
    }
    kept.extend(mode);
    Ok(Wanted { url: join(&kept), check, roots })
}

/// Whether a connection string names Unix sockets and no other host. One that can't be parsed is refused elsewhere.
fn names_only_sockets(url: &str) -> bool {
    let Ok(config) = url.parse::<Config>() else { return false };
    let hosts = config.get_hosts();
    !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_)))
}

/// Makes TLS connections to the database.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    pub(super) fn new(wanted: &Wanted) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match wanted.check {
            Check::Full => builder.with_root_certificates(roots(wanted)?),
            Check::Nothing | Check::Authority => {
                let inner = match wanted.check {
                    Check::Authority => {
                        let roots = Arc::new(roots(wanted)?);
                        let built = rustls::client::WebPkiServerVerifier::builder_with_provider(
                            roots,
                            Arc::clone(&provider),
                        );
                        Some(built.build().map_err(|error| error.to_string())?)
                    }
                    Check::Nothing | Check::Full => None,
                };
                let lenient = Lenient { inner, provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(lenient))
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config.with_no_client_auth()))))
    }
}

fn roots(wanted: &Wanted) -> Result<RootCertStore, String> {
    let Some(path) = &wanted.roots else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let unreadable = |reason: String| format!("sslrootcert {} can't be read ({reason})", path.display());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        store.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(unreadable("there is no certificate in it".to_owned()));
    }
    Ok(store)
}

/// Checks less than everything, as `sslmode` asks for.
#[derive(Debug)]
struct Lenient {
    /// Checks the authority; none where nothing is checked.
    inner: Option<Arc<rustls::client::WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Connect> {
        Ok(Connect { connector: self.0.clone(), host: host.to_owned() })
    }
}

/// A TLS connection about to be made.
pub(super) struct Connect {
    connector: TlsConnector,
    /// The host as the connection string names it. A Unix socket has none, so it becomes a server name only when the
    /// handshake begins.
    host: String,
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Stream<S>>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host);
            let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            Ok(Stream(self.connector.connect(name, stream).await?))
        })
    }
}

/// A TLS connection as the client library wants it.
pub(super) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_string_says_of_tls_is_taken_out_and_nothing_else() {
        let of = |query: &str| {
            let wanted = wanted(&format!("postgres://a:b@one:5432,two:5433/db{query}")).unwrap();
            let query = wanted.url.strip_prefix("postgres://a:b@one:5432,two:5433/db").unwrap().to_owned();
            (query, wanted.check, wanted.roots)
        };
        assert_eq!(of(""), (String::new(), Check::Nothing, None));
        assert_eq!(of("?sslmode=disable"), ("?sslmode=disable".to_owned(), Check::Nothing, None));
        assert_eq!(
            of("?sslmode=verify-full&target_session_attrs=read-write"),
            ("?target_session_attrs=read-write&sslmode=require".to_owned(), Check::Full, None)
        );
        assert_eq!(
            of("?sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem"),
            ("?sslmode=require".to_owned(), Check::Authority, Some("/etc/ca.pem".into()))
        );
        assert!(wanted("postgres://host/db?sslmode=verify").is_err());
    }

    #[test]
    fn sslmode_is_ignored_for_unix_sockets_alone() {
        for (url, expected) in [
            ("postgres:///d?host=/run/postgresql", "postgres:///d?host=/run/postgresql&sslmode=disable"),
            (
                "postgres://u@%2Frun%2Fpostgresql/d?sslmode=require",
                "postgres://u@%2Frun%2Fpostgresql/d?sslmode=disable",
            ),
            (
                "postgres:///d?sslmode=verify-full&sslrootcert=/gone.pem&host=/run/postgresql",
                "postgres:///d?host=/run/postgresql&sslmode=disable",
            ),
            ("postgres://h/d?sslmode=require", "postgres://h/d?sslmode=require"),
            (
                "postgres://%2Frun%2Fpostgresql,h/d?sslmode=require",
                "postgres://%2Frun%2Fpostgresql,h/d?sslmode=require",
            ),
        ] {
            let wanted = wanted(url).unwrap();
            assert_eq!((wanted.url.as_str(), wanted.check, wanted.roots), (expected, Check::Nothing, None));
        }
        let full = wanted("postgres://h/d?sslmode=verify-full").unwrap();
        assert_eq!((full.url.as_str(), full.check), ("postgres://h/d?sslmode=require", Check::Full));
    }
}
