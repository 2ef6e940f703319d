//! A process that is replaced under load: nobody notices.

use std::path::Path;

use bytes::BytesMut;

use crate::client::{Client, PROTOCOLS, Protocol, Wrong};
use crate::load::Load;
use crate::origin::{Origin, body};
use crate::process::{Role, kill};

/// An edge in front of a site, over a disk of four segments, with time to drain.
async fn edge(origin: &Origin) -> Role {
    let config = |files: &Path| {
        let disk = files.join("disk");
        std::fs::create_dir(&disk).unwrap();
        format!(
            r#"
serve = "site"
parents = ["http://{}"]
[listen]
https = "127.0.0.1:0"
plain = "127.0.0.1:0"
internal = "127.0.0.1:0"
[clients]
drain = "50s"
[cache]
memory = "64MiB"
max_object = "2MiB"
[cache.disk]
directories = [{{ path = {disk:?}, size = "16MiB" }}]
segment = "4MiB"
queue = "16MiB"
[feed]
state_file = {:?}
"#,
            origin.address,
            files.join("orders")
        )
    };
    Role::start("edge", config).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_is_replaced_twice_under_load_and_no_request_is_lost() {
    let origin = Origin::start().await;
    let mut edge = edge(&origin).await;
    let (address, root) = (edge.address("https"), edge.root.clone());
    let mut load = Load::start(address, &root, |seed| format!("/{seed}/20000"));
    load.answered(3).await;
    for round in 0..2 {
        // An answer of each protocol that begins before and ends after.
        let long = format!("/{}/3000000", 5_000 + round);
        let mut connections = Vec::new();
        for protocol in PROTOCOLS {
            let client = Client::new(address, protocol, &root);
            connections.push((protocol, client.connect().await.unwrap()));
        }
        let mut begun = Vec::new();
        for (protocol, connection) in &mut connections {
            let mut answer = connection.get(&long).await.unwrap();
            let first = answer.next().await.unwrap().unwrap();
            begun.push((*protocol, answer, BytesMut::from(&first[..])));
        }
        let old = edge.upgrade().await;
        load.answered(3).await;
        for (protocol, answer, mut got) in begun {
            got.extend_from_slice(&answer.rest().await.unwrap());
            assert!(got == body(&long), "{protocol:?} in round {round}");
        }
        // Who keeps a connection of HTTP/1.1 may ask once more, and is told that it was the last time.
        let (_, kept) = &mut connections[0];
        kept.get("/1/10").await.unwrap().rest().await.unwrap();
        let left = kept.get("/1/10").await.err();
        assert!(matches!(left, Some(Wrong::Left)), "{left:?}");
        drop(connections);
        edge.ended(old).await;
        load.answered(3).await;
    }
    assert!(load.end().await > 50);
    edge.signal("TERM");
    assert_eq!(edge.told().await, "STOPPING=1");
    edge.ended(edge.main).await;
}

#[tokio::test]
async fn the_new_process_has_the_old_ones_disk_and_the_old_one_ends_what_it_reads_there() {
    let origin = Origin::start().await;
    let mut edge = edge(&origin).await;
    let (address, root) = (edge.address("https"), edge.root.clone());
    let client = |protocol| Client::new(address, protocol, &root);
    let paths = ["/1/2000000", "/2/2000000", "/3/30000", "/4/30000"];
    for path in paths {
        assert!(client(Protocol::H1).get(path).await.unwrap() == body(path));
    }
    edge.counts("millrace_tier_disk_written_objects_total", 4)
        .await;
    edge.purge(r#"{"purge": "url", "value": "//localhost/4/30000", "mode": "hard"}"#)
        .await;
    let old = edge.upgrade().await;
    edge.ended(old).await;
    // Answers from the disk that stand still while their process is replaced, and the disk is written anew.
    let mut held = Vec::new();
    for (protocol, path) in [(Protocol::H2, paths[0]), (Protocol::H3, paths[1])] {
        held.push((path, client(protocol).connect().await.unwrap()));
    }
    let mut begun = Vec::new();
    for (path, connection) in &mut held {
        let mut answer = connection.get(path).await.unwrap();
        let first = answer.next().await.unwrap().unwrap();
        begun.push((*path, answer, BytesMut::from(&first[..])));
    }
    assert!(client(Protocol::H3).get(paths[2]).await.unwrap() == body(paths[2]));
    assert_eq!(origin.asked(), 4, "the second process is warm");
    assert!(client(Protocol::H3).get(paths[3]).await.unwrap() == body(paths[3]));
    assert_eq!(origin.asked(), 5, "what was purged is not found any more");
    let old = edge.upgrade().await;
    let mut seed = 10;
    while edge
        .figure("millrace_tier_disk_evicted_objects_total")
        .await
        < 4
    {
        assert!(seed < 100, "nothing is given up");
        let path = format!("/{seed}/2000000");
        client(Protocol::H1).get(&path).await.unwrap();
        seed += 1;
    }
    for (path, answer, mut got) in begun {
        got.extend_from_slice(&answer.rest().await.unwrap());
        assert!(got == body(path), "{path}");
    }
    drop(held);
    edge.ended(old).await;
}

#[tokio::test]
async fn where_the_new_process_cannot_start_the_old_one_serves_on() {
    let origin = Origin::start().await;
    let mut edge = edge(&origin).await;
    let client = Client::new(edge.address("https"), Protocol::H3, &edge.root);
    client.get("/1/1000").await.unwrap();
    edge.counts("millrace_tier_disk_written_objects_total", 1)
        .await;
    let good = std::fs::read_to_string(&edge.config).unwrap();
    // The first is refused before anything is handed over, the second after.
    let no_secret = good.clone() + "[upstream]\nhop_secret_file = \"/nowhere\"\n";
    let misspelt = format!("nmae = \"x\"\n{good}");
    for (round, bad, status) in [(1, misspelt, 64), (2, no_secret, 1)] {
        std::fs::write(&edge.config, bad).unwrap();
        edge.signal("USR2");
        let said = format!(
            "degraded: upgrade: the last one failed, and the process before it serves on: the new process ended: exit status: {status}\n"
        );
        edge.says("/healthz", &said).await;
        edge.counts("millrace_tier_disk_state", 2).await;
        let path = format!("/{}/1000", 10 + round);
        client.get(&path).await.unwrap();
        edge.counts("millrace_tier_disk_written_objects_total", round + 1)
            .await;
        edge.purge(r#"{"purge": "tag", "value": "a:b", "mode": "hard"}"#)
            .await;
    }
    std::fs::write(&edge.config, good).unwrap();
    let old = edge.upgrade().await;
    edge.ended(old).await;
    assert_eq!(edge.page("/healthz").await, "ok\n");
    client.get("/12/1000").await.unwrap();
    assert_eq!(origin.asked(), 3, "all is on the disk");
}

#[tokio::test]
async fn a_process_that_was_replaced_and_is_told_to_stop_does_not_wait_for_its_last_answer() {
    let origin = Origin::start().await;
    let mut edge = Role::start("edge", |_| {
        format!(
            "serve = \"site\"\nparents = [\"http://{}\"]\n[clients]\ndrain = \"10m\"\n[listen]\nhttps = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"",
            origin.address
        )
    })
    .await;
    let mut connections = Vec::new();
    let mut begun = Vec::new();
    for protocol in PROTOCOLS {
        let client = Client::new(edge.address("https"), protocol, &edge.root);
        connections.push(client.connect().await.unwrap());
    }
    for connection in &mut connections {
        let mut answer = connection.get("/1/30000000").await.unwrap();
        answer.next().await.unwrap().unwrap();
        begun.push(answer);
    }
    let old = edge.upgrade().await;
    kill("TERM", old);
    edge.ended(old).await;
    let after = Client::new(edge.address("https"), Protocol::H3, &edge.root);
    assert!(after.get("/2/1000").await.unwrap() == body("/2/1000"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shield_is_replaced_under_the_load_of_an_edge_and_no_request_is_lost() {
    let origin = Origin::start().await;
    let listen = "plain = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"";
    let mut shield = Role::start("shield", |_| {
        let parent = origin.address;
        format!("parents = [\"http://{parent}\"]\n[clients]\ndrain = \"20s\"\n[listen]\n{listen}")
    })
    .await;
    let parent = shield.address("http");
    let edge = Role::start("edge", |_| {
        format!(
            "parents = [\"http://{parent}\"]\npublic_without_token = true\n[cache]\nmemory = \"1MiB\"\nmax_object = \"1B\"\n[listen]\nhttps = \"127.0.0.1:0\"\n{listen}"
        )
    })
    .await;
    let path = |seed| format!("/v/{seed}/720p/segment_20000.m4s");
    let mut load = Load::start(edge.address("https"), &edge.root, path);
    load.answered(5).await;
    for _ in 0..2 {
        let old = shield.upgrade().await;
        load.answered(5).await;
        // What the edge keeps for its next request is asked once more, or is idle for too long.
        shield.ended(old).await;
    }
    load.end().await;
}
