//! A configuration that is read again while its role serves.

use std::path::Path;

use crate::client::{Client, Protocol, Wrong};
use crate::load::Load;
use crate::origin::{Origin, body};
use crate::process::Role;

const FILM: &str = "/v/1/720p/segment_1000.m4s";

/// An edge for films, whose configuration is written by `more`, in sections of their own.
async fn edge(origin: &Origin) -> Role {
    let config = |_: &Path| {
        let parent = origin.address;
        format!(
            "parents = [\"http://{parent}\"]\npublic_without_token = true\n[cache]\nmemory = \"1MiB\"\nmax_object = \"1B\"\n[listen]\nhttps = \"127.0.0.1:0\"\nplain = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\""
        )
    };
    Role::start("edge", config).await
}

impl Role {
    /// Has the role read its configuration again.
    async fn reload(&mut self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
        self.signal("HUP");
        assert_eq!(self.told().await, "RELOADING=1");
        assert_eq!(self.told().await, "READY=1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reloaded_counts_from_then_on_and_no_request_is_lost() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let mut edge = edge(&first).await;
    let (address, root) = (edge.address("https"), edge.root.clone());
    let path = |seed| format!("/v/{seed}/720p/segment_20000.m4s");
    let mut load = Load::start(address, &root, path);
    load.answered(3).await;
    let good = std::fs::read_to_string(&edge.config).unwrap();
    let moved = good.replace(&first.address.to_string(), &second.address.to_string());
    edge.reload(&moved).await;
    assert_eq!(edge.page("/healthz").await, "ok\n");
    load.answered(3).await;
    let asked = first.asked();
    load.answered(3).await;
    assert!(second.asked() > 0);
    assert_eq!(
        first.asked(),
        asked,
        "who is no parent any more is not asked"
    );
    assert!(
        !edge
            .page("/metrics")
            .await
            .contains(&first.address.to_string())
    );
    load.end().await;

    // The gate, for those who are connected too.
    let client = |protocol| Client::new(address, protocol, &root);
    let mut kept = client(Protocol::H1).connect().await.unwrap();
    assert!(kept.get(FILM).await.unwrap().rest().await.unwrap() == body(FILM));
    let closed = moved.replace(
        "public_without_token = true",
        "public_without_token = false",
    );
    edge.reload(&closed).await;
    let refused = |got: Option<Wrong>| matches!(got, Some(Wrong::Lost(why)) if why.contains("403"));
    assert!(refused(kept.get(FILM).await.err()));
    assert!(refused(client(Protocol::H3).get(FILM).await.err()));

    // The certificate.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (
        edge.config.with_file_name("c"),
        edge.config.with_file_name("k"),
    );
    std::fs::write(&chain, other.cert.pem()).unwrap();
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    let (tls, _) = moved.split_once("[tls]").unwrap();
    edge.reload(&format!(
        "{tls}[tls]\ncertificate = {chain:?}\nkey = {key:?}\n"
    ))
    .await;
    for protocol in [Protocol::H2, Protocol::H3] {
        let trusting = Client::new(address, protocol, other.cert.der());
        assert!(trusting.get(FILM).await.unwrap() == body(FILM));
        assert!(client(protocol).get(FILM).await.is_err());
    }
}

#[tokio::test]
async fn a_reload_that_cannot_be_taken_whole_changes_nothing_and_says_why() {
    let origin = Origin::start().await;
    let mut edge = edge(&origin).await;
    let client = Client::new(edge.address("https"), Protocol::H2, &edge.root);
    let good = std::fs::read_to_string(&edge.config).unwrap();
    // With each fault the gate would be closed.
    let closed = good.replace(
        "public_without_token = true",
        "public_without_token = false",
    );
    let chain = edge.config.with_file_name("chain.pem");
    let (_, rest) = closed.split_once("key = ").unwrap();
    for (bad, said) in [
        (format!("nmae = \"x\"\n{closed}"), "nmae"),
        (
            format!("{closed}[clients]\ndrain = \"11m\"\n"),
            "clients.drain",
        ),
        (
            format!("keyring_file = \"/nowhere\"\n{closed}"),
            "keyring_file",
        ),
        (closed.replace(rest, &format!("{chain:?}\n")), "tls.key: "),
        (
            format!("{closed}[upstream]\ncertificate = \"/nowhere\"\nkey = \"/nowhere\"\n"),
            "/nowhere",
        ),
    ] {
        edge.reload(&bad).await;
        let health = edge.page("/healthz").await;
        let part = "ok\ndegraded: configuration: as it was, for a reload failed: ";
        assert!(
            health.starts_with(part) && health.contains(said),
            "{said}: {health}"
        );
        client.get(FILM).await.unwrap();
    }
    // What cannot change waits, and is named; what can does.
    let waiting = closed.replace("memory = \"1MiB\"", "memory = \"2MiB\"");
    edge.reload(&waiting).await;
    let health = edge.page("/healthz").await;
    assert!(
        health.contains("waiting for an upgrade or a restart: cache.memory\n"),
        "{health}"
    );
    assert!(client.get(FILM).await.is_err());
    let old = edge.upgrade().await;
    edge.ended(old).await;
    assert_eq!(edge.page("/healthz").await, "ok\n");
    edge.reload(&good).await;
    client.get(FILM).await.unwrap();
}

#[tokio::test]
async fn a_shield_takes_another_credential_and_never_goes_without_one_by_mistake() {
    let origin = Origin::start().await;
    let config = |files: &Path| {
        let secret = files.join("hop");
        std::fs::write(&secret, "0123456789abcdef").unwrap();
        let parent = origin.address;
        format!(
            "parents = [\"http://{parent}\"]\nhop_secret_file = {secret:?}\n[listen]\nplain = \"0.0.0.0:0\"\ninternal = \"127.0.0.1:0\""
        )
    };
    let mut shield = Role::start("shield", config).await;
    let ask = async |shield: &Role, credential: &str| {
        let head = format!("GET {FILM} HTTP/1.1\r\nmillrace-hop: {credential}\r\n");
        shield.status("http", &head).await
    };
    assert_eq!(ask(&shield, "0123456789abcdef").await, 200);
    let good = std::fs::read_to_string(&shield.config).unwrap();
    std::fs::write(shield.config.with_file_name("hop"), "fedcba9876543210").unwrap();
    shield.reload(&good).await;
    assert_eq!(ask(&shield, "0123456789abcdef").await, 403);
    assert_eq!(ask(&shield, "fedcba9876543210").await, 200);
    // Right for a shield that listens elsewhere, which this one does not do before it is replaced.
    let (_, rest) = good.split_once("hop_secret_file").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let open = format!("parents = [\"http://{}\"]\n{rest}", origin.address);
    let open = open.replace("0.0.0.0:0", "127.0.0.1:0");
    shield.reload(&open).await;
    let health = shield.page("/healthz").await;
    assert!(health.contains("hop_secret_file"), "{health}");
    assert_eq!(ask(&shield, "").await, 403);
}
