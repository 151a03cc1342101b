//! Deliveries to https receivers whose certificate is signed by an authority of one's own: trusted from `--ca-file`,
//! `POSTRIDER_CA_FILE` or the system's store, and refused in plain words without.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;

use crate::service::{Service, event, postrider, run, serve};

const PATIENCE: Duration = Duration::from_secs(20);

/// An https receiver that answers each request with 200, and the certificate of the authority that signed its own, in PEM.
fn receiver() -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            std::thread::spawn(move || {
                let mut connection = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::Stream::new(&mut connection, &mut socket);
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                // A test event is small, and its body ends with a brace.
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    request.extend_from_slice(&piece[..read]);
                    if request.ends_with(b"}") {
                        request.clear();
                        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
                    }
                }
            });
        }
    });
    (url, authority.pem())
}

/// Sends one event to `url` with a service started like this, and gives the delivery after its first attempt.
fn delivery(mut command: Command, url: &str) -> Value {
    command.args(["--log-level", "warn", "--allow-nets", "127.0.0.0/8", "--retry-schedule", "1h"]);
    let service = Service::wait_for(command);
    let account = service.account();
    service.endpoint(&account, url);
    let (status, taken) = service.post("/v1/events", &event(&account)).unwrap();
    assert_eq!(status, 202, "{taken}");
    let path = format!("/v1/deliveries/{}", taken["deliveries"][0]["id"].as_str().unwrap());
    let began = Instant::now();
    loop {
        let delivery = service.get(&path);
        if delivery["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty()) {
            assert!(service.terminate().success());
            return delivery;
        }
        assert!(began.elapsed() < PATIENCE, "{delivery}");
    }
}

fn command(folder: &Path) -> Command {
    let mut command = serve(folder);
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command
}

#[test]
fn a_receiver_with_a_private_authority_is_trusted_where_the_operator_says_so() {
    let (url, pem) = receiver();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &pem).unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("company.pem"), &pem).unwrap();
    let (file, directory) = (file.path().to_str().unwrap(), directory.path().to_str().unwrap());
    for (source, flags, variable) in [
        ("flag", &["--ca-file", file][..], None),
        ("variable", &[], Some(("POSTRIDER_CA_FILE", file))),
        ("the system's file", &[], Some(("SSL_CERT_FILE", file))),
        ("the system's folder", &[], Some(("SSL_CERT_DIR", directory))),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(folder.path());
        command.args(flags).envs(variable);
        let delivery = delivery(command, &url);
        assert_eq!(delivery["status"], "delivered", "{source}: {delivery}");
    }
}

#[test]
fn a_receiver_with_a_private_authority_is_refused_in_plain_words_otherwise() {
    let (url, _pem) = receiver();
    let folder = tempfile::tempdir().unwrap();
    let delivery = delivery(command(folder.path()), &url);
    assert_eq!(delivery["status"], "pending", "{delivery}");
    let attempt = delivery["attempts"][0].to_string();
    assert!(
        attempt.contains("tls_unknown_issuer") && attempt.contains("signed by nobody who is trusted"),
        "{attempt}"
    );
}

#[test]
fn a_store_of_authorities_that_can_not_be_read_keeps_the_service_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    for (variable, flag, wanted) in [
        (None, Some("missing.pem"), "missing.pem can't be read"),
        (None, Some("empty.pem"), "empty.pem holds no certificate in PEM"),
        (
            Some(("SSL_CERT_FILE", "missing.pem")),
            None,
            "no certificate can be read where SSL_CERT_FILE points",
        ),
        (Some(("SSL_CERT_DIR", "missing")), None, "no certificate can be read where SSL_CERT_DIR points"),
    ] {
        let mut command = command(folder.path());
        let mut doctor = postrider(folder.path());
        doctor.args(["doctor", "--listen", "127.0.0.1:0", "--resolve", "localhost"]);
        for command in [&mut command, &mut doctor] {
            command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").envs(variable);
            if let Some(file) = flag {
                command.args(["--ca-file", file]);
            }
        }
        let (code, _, err) = run(command);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(wanted), "{err}");
        let (code, out, _) = run(doctor);
        assert_eq!(code, Some(1), "{out}");
        assert!(out.contains(wanted), "{out}");
    }
}
