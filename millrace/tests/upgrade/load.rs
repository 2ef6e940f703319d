//! A constant load: clients that keep their connections, and clients that make new ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;

use crate::client::{Client, PROTOCOLS, Wrong};
use crate::origin::body;

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<[AtomicU64; 6]>,
    clients: JoinSet<Result<(), String>>,
}

impl Load {
    /// Two clients of each protocol and each kind, who ask for `path` of one number after another.
    pub(crate) fn start(
        address: SocketAddr,
        root: &CertificateDer<'static>,
        path: fn(usize) -> String,
    ) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            done: Arc::default(),
            clients: JoinSet::new(),
        };
        let seed = Arc::new(AtomicUsize::new(0));
        for (kind, protocol) in PROTOCOLS.into_iter().chain(PROTOCOLS).enumerate() {
            for _ in 0..2 {
                let client = Client::new(address, protocol, root);
                let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
                let seed = Arc::clone(&seed);
                load.clients.spawn(async move {
                    let once = kind >= PROTOCOLS.len();
                    // Some are there already and some are not.
                    let next = || path(seed.fetch_add(1, Ordering::Relaxed) % 997);
                    let work = work(&client, once, &stop, &done[kind], next).await;
                    work.map_err(|why| format!("{protocol:?}, new connections: {once}: {why}"))
                });
            }
        }
        load
    }

    /// Returns when each kind of client has been answered so many times more.
    pub(crate) async fn answered(&mut self, more: u64) {
        let now = |done: &[AtomicU64; 6]| done.each_ref().map(|done| done.load(Ordering::Relaxed));
        let before = now(&self.done);
        let until = tokio::time::Instant::now() + crate::process::SOON;
        while now(&self.done)
            .iter()
            .zip(before)
            .any(|(now, before)| *now < before + more)
        {
            if let Some(ended) = self.clients.try_join_next() {
                panic!("{:?}", ended.unwrap());
            }
            assert!(tokio::time::Instant::now() < until, "{:?}", now(&self.done));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it; gives how many requests were answered, of which not one may have been lost.
    pub(crate) async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut lost = Vec::new();
        while let Some(ended) = self.clients.join_next().await {
            lost.extend(ended.unwrap().err());
        }
        assert!(lost.is_empty(), "{lost:#?}");
        self.done
            .iter()
            .map(|done| done.load(Ordering::Relaxed))
            .sum()
    }
}

async fn work(
    client: &Client,
    once: bool,
    stop: &AtomicBool,
    done: &AtomicU64,
    next: impl Fn() -> String,
) -> Result<(), String> {
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let path = next();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => client.connect().await.map_err(said)?,
        };
        let got = async { connection.get(&path).await?.rest().await }.await;
        match got {
            Ok(got) if got == body(&path) => {
                done.fetch_add(1, Ordering::Relaxed);
                kept = (!once).then_some(connection);
            }
            Ok(got) => return Err(format!("{path} has {} wrong bytes", got.len())),
            Err(Wrong::Left) => {}
            Err(lost) => return Err(said(lost)),
        }
    }
    Ok(())
}

fn said(wrong: Wrong) -> String {
    match wrong {
        Wrong::Left => "the server was left".to_owned(),
        Wrong::Lost(why) => why,
    }
}
