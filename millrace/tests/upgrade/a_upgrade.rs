//! A process that is replaced under load: nobody notices.

use std::path::Path;

use bytes::BytesMut;

use crate::client::{Client, PROTOCOLS};
use crate::load::Load;
use crate::origin::{Origin, body};
use crate::process::Role;

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
drain = "20s"
[cache]
memory = "64MiB"
max_object = "8MiB"
[cache.disk]
directories = [{{ path = {disk:?}, size = "64MiB" }}]
segment = "16MiB"
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
    let mut load = Load::start(address, &root);
    load.answered(3).await;
    for round in 0..2 {
        // An answer of each protocol that begins before and ends after.
        let long = format!("/{}/5000000", 5_000 + round);
        let mut halves = Vec::new();
        for protocol in PROTOCOLS {
            let client = Client::new(address, protocol, &root);
            let connection = client.connect().await.unwrap();
            halves.push((protocol, connection));
        }
        let mut begun = Vec::new();
        for (protocol, connection) in &mut halves {
            let mut answer = connection.get(&long).await.unwrap();
            let first = answer.next().await.unwrap().unwrap();
            begun.push((*protocol, answer, BytesMut::from(&first[..])));
        }
        let t=std::time::Instant::now();
        let old = edge.upgrade().await;
        eprintln!("upgraded {:?}", t.elapsed());
        load.answered(3).await;
        eprintln!("answered {:?}", t.elapsed());
        for (protocol, answer, mut got) in begun {
            got.extend_from_slice(&answer.rest().await.unwrap());
            eprintln!("{protocol:?} {:?}", t.elapsed());
            assert!(got == body(&long), "{protocol:?} in round {round}");
        }
        edge.ended(old).await;
        eprintln!("ended {:?}", t.elapsed());
        load.answered(3).await;
    }
    assert!(load.end().await > 50);
}
