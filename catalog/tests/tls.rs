//! The way to a server is kept secret, and the server is the right one, where the address asks for that.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something else than it wants must fail"
)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use contracts::time::UnixSeconds;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use runtime::clock::Fixed;
use test_postgres::Server;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that is `localhost` by an authority, and its port.
fn server(authority: &Authority) -> Option<(Server, u16)> {
    let server = Server::start()?;
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    server.put("server.pem", &certificate.pem());
    server.put("server.key", &key.serialize_pem());
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let folder = server.folder().display();
    server.configure(&[
        "ssl = on",
        &format!("ssl_cert_file = '{folder}/server.pem'"),
        &format!("ssl_key_file = '{folder}/server.key'"),
        "listen_addresses = '127.0.0.1'",
        &format!("port = {port}"),
    ]);
    Some((server, port))
}

async fn opened(host: &str, port: u16, authority: &Path) -> Result<(), String> {
    let authority = authority.display();
    let address = format!(
        "postgres://postgres:s3cret@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={authority}"
    );
    let clock = Arc::new(Fixed::at(UnixSeconds(1_800_000_000)));
    let opened = catalog::open(address, clock).await;
    let catalog = opened.map_err(|error| whole(&error))?;
    catalog.ping().await.map_err(|error| whole(&error))
}

/// An error with all that is behind it, as the roles print it.
fn whole(error: &dyn std::error::Error) -> String {
    let behind = error.source().map(|source| format!(": {}", whole(source)));
    format!("{error}{}", behind.unwrap_or_default())
}

#[tokio::test]
async fn a_server_is_believed_by_its_authority_and_its_name_and_no_other_is() {
    let (ours, other) = (authority(), authority());
    let Some((_server, port)) = server(&ours) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, authority: &Authority| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path
    };
    let (ours, other) = (file("ours.pem", &ours), file("other.pem", &other));
    assert_eq!(opened("localhost", port, &ours).await, Ok(()));
    for (host, authority, fault) in [
        ("localhost", &other, "invalid peer certificate"),
        ("127.0.0.1", &ours, "not valid for name"),
    ] {
        let told = opened(host, port, authority).await.unwrap_err();
        assert!(told.contains(fault), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    let absent = folder.path().join("absent.pem");
    let told = opened("localhost", port, &absent).await.unwrap_err();
    assert!(
        told.contains("absent.pem") || told.contains("No such file"),
        "{told}"
    );
}
