//! A node that joins a house, and what it does as a member, against a scripted control plane.

use std::sync::Arc;
use std::time::Duration;

use contracts::fleet::{JoinSecret, JoinToken};
use edge::config::Config;
use edge::member::{Error, Folder, Member, join};
use runtime::clock::System;
use tempfile::TempDir;
use tier::Protocol;

use crate::client::Client;
use crate::control::Control;
use crate::origin::{Origin, Reply, field};

/// A node with the file that its operator wrote, and a folder.
struct Node {
    files: TempDir,
    folder: Folder,
    config: Config,
    root: rustls::pki_types::CertificateDer<'static>,
}

impl Node {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let mut config = Config::default();
        (config.tls.certificate, config.tls.key) =
            (files.path().join("chain.pem"), files.path().join("tls.pem"));
        std::fs::write(&config.tls.certificate, made.cert.pem()).unwrap();
        std::fs::write(&config.tls.key, made.signing_key.serialize_pem()).unwrap();
        config.listen.https = "127.0.0.1:0".to_owned();
        config.listen.internal = "127.0.0.1:0".to_owned();
        config.clients.drain = config::Span::millis(100);
        config.node.base = "https://edge.isp.example".to_owned();
        config.node.prefixes = vec!["192.0.2.0/24".to_owned()];
        let folder = Folder::open(&files.path().join("node")).unwrap();
        Self {
            files,
            folder,
            config,
            root: made.cert.der().clone(),
        }
    }

    async fn join(&self, token: Option<&JoinToken>) -> Result<String, Error> {
        let settings = self.config.clone().check().unwrap();
        let name = join(&self.folder, token, settings.announce.as_ref()).await?;
        Ok(name.to_string())
    }

    /// The configuration that counts, with what the house wishes.
    fn settings(&self) -> edge::config::Settings {
        let mut config = self.config.clone();
        self.folder.adapt(&mut config).unwrap();
        config.check().unwrap()
    }

    /// Serves, and takes what changes as the program does.
    async fn serve(&self) -> (edge::Running, Arc<Member>) {
        let settings = self.settings();
        let mut running = edge::start(settings.clone(), Arc::new(System))
            .await
            .unwrap();
        let member = Member::open(self.folder.clone(), settings.announce.clone()).unwrap();
        let member = Arc::new(member);
        member.look_after(&mut running, &settings);
        (running, member)
    }
}

/// Waits until something is so.
async fn until(is_so: impl AsyncFn() -> bool) {
    let asked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_makes_a_node_once_and_later_starts_need_none() {
    let control = Control::start(|_| {}).await;
    let node = Node::new();
    assert!(matches!(node.join(None).await, Err(Error::NoNode(_))));
    assert_eq!(node.join(Some(&control.token())).await.unwrap(), "isp-1");
    assert_eq!(
        node.join(Some(&control.token())).await.unwrap(),
        "isp-1",
        "it is not used again"
    );
    assert_eq!(*control.script.certificates.borrow(), 1);
    let second = Node::new().join(Some(&control.token())).await.unwrap_err();
    let said = second.to_string();
    assert!(
        said.contains("was used") && !said.contains(&control.token().secret.text()),
        "{said}"
    );
    control.stop();
    assert_eq!(
        node.join(None).await.unwrap(),
        "isp-1",
        "nor is the control plane"
    );
}

#[tokio::test]
async fn a_node_believes_the_authority_of_its_token_and_no_other() {
    let (control, other) = (Control::start(|_| {}).await, Control::start(|_| {}).await);
    let node = Node::new();
    let misled = JoinToken {
        url: other.origin.clone(),
        ..control.token()
    };
    let said = node.join(Some(&misled)).await.unwrap_err().to_string();
    let wanted = format!(
        "the control plane cannot be reached at {}: its certificate is of another authority than the one that the join \
         token names",
        other.origin
    );
    assert!(said.starts_with(&wanted), "{said}");
    other.stop();
    let said = node.join(Some(&misled)).await.unwrap_err().to_string();
    let at = format!("cannot be reached at {}: ", other.origin);
    assert!(said.contains(&at), "{said}");
    let guessed = JoinToken {
        secret: JoinSecret::from_random([6; 32]),
        ..control.token()
    };
    assert!(matches!(
        node.join(Some(&guessed)).await,
        Err(Error::Refused(_))
    ));
    assert_eq!(
        node.join(Some(&control.token())).await.unwrap(),
        "isp-1",
        "neither used it up"
    );
}

#[tokio::test]
async fn what_is_not_as_it_should_be_is_said_before_the_token_is_used_or_plainly_after() {
    let control = Control::start(|_| {}).await;
    let mut node = Node::new();
    node.config.node = edge::config::Node::default();
    assert!(matches!(
        node.join(Some(&control.token())).await,
        Err(Error::NoBase)
    ));
    let node = Node::new();
    *control.script.life.lock() = (Duration::from_secs(60), Duration::from_secs(3600));
    let said = node
        .join(Some(&control.token()))
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("is the clock right?"), "{said}");
    assert!(!node.folder.has_joined().unwrap());
}

#[tokio::test]
async fn a_member_serves_by_what_the_house_wishes_and_says_how_it_is() {
    let origin = Origin::start(|_| Reply::ok("a segment").field("millrace-access", "public")).await;
    let parent = contracts::fleet::Origin::parse(&origin.url()).unwrap();
    let control = Control::start(|settings| settings.parents = vec![parent]).await;
    let node = Node::new();
    node.join(Some(&control.token())).await.unwrap();
    let (running, member) = node.serve().await;
    let (first, _) = control.beat(|_| true).await;
    let announce = first.announce.unwrap();
    assert_eq!(announce.base.as_str(), "https://edge.isp.example");
    assert_eq!(announce.prefixes[0].to_string(), "192.0.2.0/24");
    let client = Client::new(running.https, Protocol::H1, &node.root);
    for _ in 0..2 {
        assert_eq!(client.get("/v/a/1", &[]).await.status, 200);
    }
    assert_eq!(
        field(&origin.heads()[0], "cdn-loop").map(|id| id.starts_with("isp-1-")),
        Some(true)
    );
    let served = control
        // Orders that come in between have what was fetched before them fetched again.
        .beat(|beat| beat.cache.hits + beat.cache.misses == 2 && beat.cache.misses > 0)
        .await
        .0;
    assert_eq!(served.announce, None, "it was heard");
    assert_eq!(served.cache.bytes_out, 18);
    assert!(served.cache.bytes_filled > 9 && served.fill.open && served.load.max_connections > 0);
    assert_eq!(served.stops_s, Some(24 * 3600 + 1));
    let asked = client.open("HEAD", "/", &[]).await.whole().await;
    let said = (asked.status, asked.field("cache-status"));
    assert_eq!(said, (400, "isp-1"), "a probe sees who is there");
    member.leave().await;
    let beats = control.script.beats.borrow().clone();
    assert!(beats.last().unwrap().0.draining);
    // Whoever is there already is served on.
    assert_eq!(client.get("/v/a/1", &[]).await.status, 200);
    running.stop().await;
    drop(node.files);
}

#[tokio::test]
async fn new_settings_and_a_new_certificate_are_taken_while_it_serves() {
    let control = Control::start(|_| {}).await;
    // A certificate of which more than half is over.
    *control.script.life.lock() = (Duration::from_secs(3600), Duration::from_secs(3000));
    let node = Node::new();
    node.join(Some(&control.token())).await.unwrap();
    *control.script.life.lock() = (Duration::from_secs(3600), Duration::ZERO);
    let (running, member) = node.serve().await;
    let changes = member.changes();
    let (_, old) = control.beat(|_| true).await;
    tokio::time::timeout(Duration::from_secs(20), changes.notified())
        .await
        .unwrap();
    running.renew(&node.settings()).unwrap();
    until(async || control.script.beats.borrow().last().unwrap().1 != old).await;
    assert_eq!(
        *control.script.certificates.borrow(),
        2,
        "one more, and no more than that"
    );

    let origin = Origin::start(|_| Reply::ok("a").field("millrace-access", "public")).await;
    let changed = contracts::fleet::Settings {
        parents: vec![contracts::fleet::Origin::parse(&origin.url()).unwrap()],
        ..control.script.settings.lock().clone()
    };
    let client = Client::new(running.https, Protocol::H2, &node.root);
    assert_ne!(
        client.get("/v/a/1", &[]).await.status,
        200,
        "nobody is there"
    );
    *control.script.settings.lock() = changed.sealed();
    tokio::time::timeout(Duration::from_secs(20), changes.notified())
        .await
        .unwrap();
    running.renew(&node.settings()).unwrap();
    assert_eq!(client.get("/v/a/2", &[]).await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn nobody_follows_the_control_plane_to_where_it_is_not() {
    let control = Control::start(|_| {}).await;
    let node = Node::new();
    node.join(Some(&control.token())).await.unwrap();
    let (running, member) = node.serve().await;
    control.beat(|_| true).await;
    let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("https://{}", held.local_addr().unwrap());
    drop(held);
    let right = control.script.settings.lock().clone();
    let wrong = contracts::fleet::Settings {
        control: contracts::fleet::Origin::parse(&nowhere).unwrap(),
        ..right.clone()
    };
    *control.script.settings.lock() = wrong.sealed();
    let health = running.serving.health.clone();
    let says = |what: &str| health.report().1.contains(what);
    until(async || {
        says(&format!(
            "degraded: settings: it is said to be at {nowhere}"
        ))
    })
    .await;
    // It is heard on, and takes what is right.
    let heard = control.script.beats.borrow().len();
    until(async || control.script.beats.borrow().len() > heard).await;
    let moved = contracts::fleet::Settings {
        zone: "moved".to_owned(),
        ..right
    };
    *control.script.settings.lock() = moved.sealed();
    let changes = member.changes();
    tokio::time::timeout(Duration::from_secs(20), changes.notified())
        .await
        .unwrap();
    assert_eq!(node.settings().zone, "moved");
    until(async || !says("settings")).await;
    running.stop().await;
}

#[tokio::test]
async fn refusals_and_wishes_are_told_in_the_nodes_health_and_it_serves_on() {
    let control = Control::start(|_| {}).await;
    let node = Node::new();
    node.join(Some(&control.token())).await.unwrap();
    *control.script.refusal.lock() =
        Some((400, "prefixes-refused", "192.0.2.0/24 is not of this join"));
    let (running, member) = node.serve().await;
    let health = running.serving.health.clone();
    let says = |what: &str| health.report().1.contains(what);
    until(async || says("degraded: announcement: 192.0.2.0/24 is not of this join")).await;
    control.beat(|beat| beat.announce.is_none()).await;
    *control.script.refusal.lock() = None;
    *control.script.drain.lock() = true;
    until(async || says("degraded: fleet: an operator has it drained")).await;
    let mut changed = node.config.clone();
    changed.node.prefixes.clear();
    member.announce(changed.check().unwrap().announce);
    control
        .beat(|beat| {
            beat.announce
                .as_ref()
                .is_some_and(|announce| announce.prefixes.is_empty())
        })
        .await;
    until(async || !says("announcement")).await;
    assert!(health.report().0, "so far it has work to do");
    // Whoever has forgotten all nodes, or stands between, does not take the fleet out of service.
    *control.script.refusal.lock() = Some((403, "node-unknown", "a backup knows nobody"));
    until(async || says("degraded: control plane: the control plane answers 403: a backup")).await;
    assert!(health.report().0, "it serves on");
    *control.script.refusal.lock() = Some((403, "node-refused", "dismissed"));
    until(async || says("degraded: control plane: it refuses isp-1")).await;
    let (well, said) = health.report();
    assert!(!well, "{said}");
    assert!(
        said.starts_with("membership: isp-1 is no node of the house any more"),
        "{said}"
    );
    *control.script.refusal.lock() = None;
    until(async || health.report().0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_node_says_why_nobody_is_sent_to_it() {
    let control = Control::start(|_| {}).await;
    let node = Node::new();
    node.join(Some(&control.token())).await.unwrap();
    let why = "https://edge.isp.example is not reached";
    *control.script.unreached.lock() = Some(why.to_owned());
    let (running, _member) = node.serve().await;
    let health = running.serving.health.clone();
    let says = |what: &str| health.report().1.contains(what);
    until(async || says(&format!("degraded: reach: {why}"))).await;
    assert!(health.report().0, "it does its work");
    *control.script.unreached.lock() = None;
    until(async || !says("reach")).await;
    running.stop().await;
}

#[tokio::test]
async fn without_the_control_plane_a_member_starts_with_what_it_has() {
    let origin = Origin::start(|_| Reply::ok("a").field("millrace-access", "public")).await;
    let parent = contracts::fleet::Origin::parse(&origin.url()).unwrap();
    let control = Control::start(|settings| settings.parents = vec![parent]).await;
    let node = Node::new();
    node.join(Some(&control.token())).await.unwrap();
    control.stop();
    let (running, member) = node.serve().await;
    let client = Client::new(running.https, Protocol::H3, &node.root);
    assert_eq!(client.get("/v/a/1", &[]).await.status, 200);
    let health = running.serving.health.clone();
    until(async || {
        health
            .report()
            .1
            .contains("degraded: control plane: the control plane cannot be reached")
    })
    .await;
    assert!(health.ailment().is_none(), "it does its work");
    let begun = std::time::Instant::now();
    member.leave().await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "nobody waits for ever"
    );
    running.stop().await;
}
