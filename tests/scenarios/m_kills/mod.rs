//! A control plane is killed again and again, or the server of its catalogue: what it answered for is there afterwards.

mod client;
mod promise;

use std::sync::Arc;

use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use self::client::{Book, Client};
use self::promise::Promise;
use crate::role::Role;
use crate::site::{OPERATOR, Site, film};

/// How often it is killed. `KILLS` asks for more.
const KILLS: u64 = 6;
/// `KILLS_SEED` asks for other moments and other writes.
const SEED: u64 = 7;
/// Clients that write at once.
const CLIENTS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_answered_for_is_lost_however_often_the_control_plane_is_killed() {
    let site = Arc::new(Site::new());
    let mut book = Vec::new();
    for kill in 0..wish("KILLS", KILLS) {
        let mut control = site.control("");
        let mut writing = Writing::begin(&site, &control, kill).await;
        writing.some(kill).await;
        control.kill();
        book.extend(writing.end().await);
    }
    kept(&site, &site.control(""), &book).await;
    println!("{} writes were answered for, and are there", book.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_answered_for_is_lost_however_often_the_server_of_the_catalogue_dies() {
    let Some(server) = test_postgres::Server::start() else {
        return;
    };
    server.durable();
    let site = Arc::new(Site::on_server(server.database()));
    let control = site.control("");
    let mut book = Vec::new();
    for kill in 0..wish("KILLS", KILLS) {
        let mut writing = Writing::begin(&site, &control, kill).await;
        writing.some(kill).await;
        server.crash();
        book.extend(writing.end().await);
        answers(&site, &control).await;
    }
    kept(&site, &control, &book).await;
    println!("{} writes were answered for, and are there", book.len());
}

fn wish(name: &str, otherwise: u64) -> u64 {
    let wished = std::env::var(name).ok();
    wished.map_or(otherwise, |wished| wished.parse().unwrap())
}

/// Clients that write until they are not answered.
struct Writing {
    clients: JoinSet<()>,
    answered: tokio::sync::mpsc::UnboundedReceiver<()>,
    book: Book,
}

impl Writing {
    async fn begin(site: &Arc<Site>, control: &Role, kill: u64) -> Self {
        let (tell, answered) = tokio::sync::mpsc::unbounded_channel();
        let (mut clients, book) = (JoinSet::new(), Book::default());
        let catalog = site.catalog().await;
        for number in 0..CLIENTS {
            let name = format!("k{kill}c{number}");
            // What a client rules over, grants, encrypts and takes away.
            for kind in ["ruled", "granted", "gone"] {
                let id = format!("{kind}-{name}");
                film(&catalog, &id, Privacy::Private, false).await;
            }
            film(&catalog, &format!("locked-{name}"), Privacy::Public, true).await;
            let seed = wish("KILLS_SEED", SEED) * 1_000_003 + kill * 1009 + number;
            let client = Client::new(site, control, (name, seed), &book, tell.clone());
            clients.spawn(client.write());
        }
        Self {
            clients,
            answered,
            book,
        }
    }

    /// Waits until so many writes were answered, each time another number of them.
    async fn some(&mut self, kill: u64) {
        let mut random = client::Random::new(wish("KILLS_SEED", SEED) + kill);
        for _ in 0..=random.below(60) {
            self.answered.recv().await.unwrap();
        }
    }

    async fn end(self) -> Vec<Promise> {
        self.clients.join_all().await;
        std::mem::take(&mut *self.book.lock().unwrap())
    }
}

/// Holds the site to everything that it answered for.
async fn kept(site: &Site, control: &Role, promised: &[Promise]) {
    answers(site, control).await;
    for promise in promised {
        promise.kept(site, control).await;
    }
}

/// Waits until the catalogue answers again.
async fn answers(site: &Site, control: &Role) {
    let asked = async {
        loop {
            let to = (Method::GET, format!("{}/v1/status", control.at("http")));
            if let Some((200, _)) = site.ask(to, OPERATOR, &Value::Null).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let patience = std::time::Duration::from_secs(30);
    tokio::time::timeout(patience, asked).await.unwrap();
}
