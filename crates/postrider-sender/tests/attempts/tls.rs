//! TLS: whom a sender trusts, and what each way of not being trusted is called.

use std::sync::Arc;

use postrider_core::attempt::FailureCode;
use postrider_sender::{
    AttemptReport, AttemptRequest, CertificateDer, Resolve, ResolveError, Resolved, Sender, SenderConfig,
    Tenant, Transport as _, TrustStore,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::proxies::tunnelling;
use crate::receiver::{OK, Peer, Receiver};
use crate::setup::{BODY, SHORT, answered, config, failed_with, request};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names")
}

/// A server's identity: the certificate that `params` asks for, signed by `authority` or by itself.
fn server(params: &CertificateParams, authority: Option<&Authority>) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority),
        None => params.self_signed(&key),
    };
    let chain = vec![certificate.expect("a certificate").der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("an identity");
    Arc::new(config)
}

/// A receiver that answers every request over TLS.
async fn secure_receiver(server: Arc<ServerConfig>) -> Receiver {
    let acceptor = TlsAcceptor::from(server);
    Receiver::start(move |peer: Peer| {
        let acceptor = acceptor.clone();
        async move {
            let (stream, with_stream) = peer.into_parts();
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let name = stream.get_ref().1.server_name().map(ToOwned::to_owned);
            assert!(name.is_none_or(|name| name == "secure.example"), "the name asked for is the host's");
            assert_eq!(stream.get_ref().1.alpn_protocol(), None, "this server has no preference");
            let mut peer = with_stream(stream);
            while peer.request().await.is_some() {
                peer.say(OK).await;
            }
        }
    })
    .await
}

struct Loopback;

#[async_trait::async_trait]
impl Resolve for Loopback {
    async fn resolve(&self, _host: &str, _: Tenant, _: Instant) -> Result<Resolved, ResolveError> {
        Ok(vec!["127.0.0.1".parse().expect("an address")].into())
    }
}

fn trusting(authorities: Vec<CertificateDer<'static>>) -> TrustStore {
    let mut trust = TrustStore::built_in();
    for authority in authorities {
        trust.add(authority).expect("an authority");
    }
    trust
}

fn sender_trusting(authorities: Vec<CertificateDer<'static>>) -> Sender {
    let config = SenderConfig { trust: trusting(authorities), resolver: Arc::new(Loopback), ..config() };
    Sender::new(config).expect("a sender")
}

fn url(host: &str, receiver: &Receiver) -> String {
    format!("https://{host}:{}/hook", receiver.address.port())
}

/// One attempt at a server with this identity, by a sender that trusts `authority`.
async fn attempt_at(server: Arc<ServerConfig>, authority: &Authority) -> AttemptReport {
    let receiver = secure_receiver(server).await;
    sender_trusting(vec![authority.der().clone()]).attempt(request(&url("secure.example", &receiver))).await
}

#[tokio::test]
async fn a_certificate_of_an_extra_root_is_trusted_and_the_connection_reused() {
    let authority = authority("a trusted authority");
    let receiver = secure_receiver(server(&params(&["secure.example"]), Some(&authority))).await;
    let sender = sender_trusting(vec![authority.der().clone()]);
    let first = sender.attempt(request(&url("secure.example", &receiver))).await;
    answered(&first, 200);
    assert!(first.timings.tls_us.is_some() && first.timings.connect_us.is_some());
    let second = sender.attempt(request(&url("secure.example", &receiver))).await;
    answered(&second, 200);
    assert_eq!(second.timings.tls_us, None);
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 2));
    assert!(receiver.requests()[1].ends_with(BODY));
}

#[tokio::test]
async fn a_certificate_may_name_an_address() {
    let authority = authority("a trusted authority");
    let receiver = secure_receiver(server(&params(&["127.0.0.1"]), Some(&authority))).await;
    let report =
        sender_trusting(vec![authority.der().clone()]).attempt(request(&url("127.0.0.1", &receiver))).await;
    answered(&report, 200);
}

#[tokio::test]
async fn an_expired_certificate_is_called_so_with_its_date() {
    let authority = authority("a trusted authority");
    let mut params = params(&["secure.example"]);
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 3);
    let report = attempt_at(server(&params, Some(&authority)), &authority).await;
    let detail = failed_with(&report, FailureCode::TlsCertificateExpired);
    assert!(detail.contains("secure.example (127.0.0.1:"), "{detail}");
    assert!(detail.ends_with("expired on 2020-02-03T00:00:00.000Z"), "{detail}");
}

#[tokio::test]
async fn a_certificate_from_the_future_is_called_so_with_its_date() {
    let authority = authority("a trusted authority");
    let mut params = params(&["secure.example"]);
    params.not_before = date_time_ymd(3000, 1, 1);
    params.not_after = date_time_ymd(3001, 1, 1);
    let report = attempt_at(server(&params, Some(&authority)), &authority).await;
    let detail = failed_with(&report, FailureCode::TlsCertificateNotYetValid);
    assert!(detail.contains("3000-01-01"), "{detail}");
}

#[tokio::test]
async fn a_certificate_of_another_host_is_called_so_with_its_names() {
    let authority = authority("a trusted authority");
    let names = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"];
    let report = attempt_at(server(&params(&names), Some(&authority)), &authority).await;
    let detail = failed_with(&report, FailureCode::TlsWrongHost);
    assert!(detail.contains("a.example") && detail.ends_with(", …"), "{detail}");
}

#[tokio::test]
async fn issuers_that_nobody_vouches_for_are_called_so() {
    let trusted = authority("a trusted authority");
    let private = authority("a private authority");
    let self_signed = params(&["secure.example"]);
    let mut self_signed_authority = params(&["secure.example"]);
    self_signed_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for identity in [
        server(&params(&["secure.example"]), Some(&private)),
        server(&self_signed, None),
        server(&self_signed_authority, None),
    ] {
        let report = attempt_at(identity, &trusted).await;
        failed_with(&report, FailureCode::TlsUnknownIssuer);
    }
}

#[tokio::test]
async fn a_certificate_made_for_another_purpose_is_invalid() {
    let authority = authority("a trusted authority");
    let mut params = params(&["secure.example"]);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    let report = attempt_at(server(&params, Some(&authority)), &authority).await;
    failed_with(&report, FailureCode::TlsCertificateInvalid);
}

#[tokio::test]
async fn a_receiver_that_does_not_speak_tls_is_a_failed_handshake() {
    for greeting in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example.com ESMTP\r\n"] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.say(greeting).await;
            peer.hang().await;
        })
        .await;
        let report = sender_trusting(vec![]).attempt(request(&url("secure.example", &receiver))).await;
        let detail = failed_with(&report, FailureCode::TlsHandshakeFailed);
        assert!(detail.contains("not TLS"), "{detail}");
        assert!(report.timings.tls_us.is_some());
    }
}

#[tokio::test]
async fn a_receiver_with_nothing_in_common_is_a_failed_handshake() {
    let authority = authority("a trusted authority");
    let mut identity = Arc::unwrap_or_clone(server(&params(&["secure.example"]), Some(&authority)));
    identity.alpn_protocols = vec![b"h2".to_vec()];
    let report = attempt_at(Arc::new(identity), &authority).await;
    let detail = failed_with(&report, FailureCode::TlsHandshakeFailed);
    assert!(detail.contains("refused"), "{detail}");
}

#[tokio::test]
async fn a_receiver_of_tls_1_1_is_a_failed_handshake() {
    let alert = [0x15, 3, 2, 0, 2, 2, 70].to_vec();
    // A server hello: its version, 32 bytes of chance, no session, a cipher of the time, no compression.
    let mut hello = [vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2], vec![7; 32]].concat();
    hello.extend([0, 0, 0x2f, 0]);
    for (said, wanted) in [(alert, "refused"), (hello, "TLS")] {
        let receiver = Receiver::start(move |mut peer| {
            let said = said.clone();
            async move {
                peer.first_bytes().await;
                peer.say(said).await;
                peer.hang().await;
            }
        })
        .await;
        let report = sender_trusting(vec![]).attempt(request(&url("secure.example", &receiver))).await;
        let detail = failed_with(&report, FailureCode::TlsHandshakeFailed);
        assert!(detail.contains(wanted), "{detail}");
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_closes_or_resets_has_its_code() {
    for (ending, code) in [
        ("hang", FailureCode::Timeout),
        ("close", FailureCode::ConnectionClosed),
        ("reset", FailureCode::ConnectionReset),
    ] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.first_bytes().await;
            match ending {
                "hang" => peer.hang().await,
                "close" => peer.close_and_ring(),
                _ => peer.reset(),
            }
        })
        .await;
        let attempt = AttemptRequest { timeout: SHORT, ..request(&url("secure.example", &receiver)) };
        let report = sender_trusting(vec![]).attempt(attempt).await;
        let detail = failed_with(&report, code);
        assert!(detail.contains("TLS"), "{detail}");
    }
}

#[tokio::test]
async fn an_authority_that_is_no_certificate_is_refused() {
    assert!(TrustStore::built_in().add(CertificateDer::from(vec![1, 2, 3])).is_err());
}

#[tokio::test]
async fn tls_is_agreed_on_with_the_receiver_itself_through_a_proxy() {
    let (authority, other) = (authority("a trusted authority"), authority("another one"));
    let receiver = secure_receiver(server(&params(&["secure.example"]), Some(&authority))).await;
    let proxy = tunnelling().await;
    let sender = |root: &Authority| {
        let proxy = format!("http://{}", proxy.address).parse().expect("a proxy's URL");
        let trust = trusting(vec![root.der().clone()]);
        let config = SenderConfig { trust, resolver: Arc::new(Loopback), proxy: Some(proxy), ..config() };
        Sender::new(config).expect("a sender")
    };
    let report = sender(&authority).attempt(request(&url("secure.example", &receiver))).await;
    answered(&report, 200);
    assert!(report.timings.tls_us.is_some());
    let asked = String::from_utf8(proxy.requests()[0].clone()).unwrap();
    assert!(asked.starts_with(&format!("CONNECT {} ", receiver.address)), "{asked}");
    let refused = sender(&other).attempt(request(&url("secure.example", &receiver))).await;
    failed_with(&refused, FailureCode::TlsUnknownIssuer);
}
