//! A control plane is killed again and again, alone or beside another, or the server of its catalogue: what was answered
//! for is there afterwards.

mod client;
mod promise;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::client::{Book, Client};
use self::promise::Promise;
use crate::role::Role;
use crate::site::{KEKS, OPERATOR, Site, film};

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
    let [first, next] = KEKS;
    for kill in 0..wish("KILLS", KILLS) {
        // What was sealed with the one key is to be sealed with the other.
        let keks = if kill % 2 == 0 { KEKS } else { [next, first] };
        let mut control = site.control_as("control", &keks);
        let mut writing = Writing::begin(&site, &control, &format!("k{kill}"), kill).await;
        writing.some(kill).await;
        control.kill();
        book.extend(writing.end().await);
    }
    let mut control = site.control_as("control", &[next, first]);
    resealed(&site, &control).await;
    control.kill();
    kept(&site, &site.control_as("control", &[next]), &book).await;
    println!("{} writes were answered for, and are there", book.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_answered_for_is_lost_and_one_control_plane_answers_while_another_is_killed()
 {
    let Some(server) = test_postgres::Server::start() else {
        return;
    };
    let site = Arc::new(Site::on_server(server.database()));
    let stays = site.control_as("stays", &KEKS[..1]);
    // Half as often: the other one is written to all the while.
    let kills = wish("KILLS", KILLS).div_ceil(2);
    let mut serving = Writing::begin(&site, &stays, "s", kills).await;
    let mut book = Vec::new();
    for kill in 0..kills {
        let mut control = site.control();
        let mut writing = Writing::begin(&site, &control, &format!("k{kill}"), kill).await;
        writing.some(kill).await;
        control.kill();
        book.extend(writing.end().await);
        serving.goes_on().await;
    }
    book.extend(serving.stop().await);
    // Events that were answered for are in the log of whoever was told of them.
    let _control = site.control();
    kept(&site, &stays, &book).await;
    println!("{} writes were answered for, and are there", book.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_answered_for_is_lost_however_often_the_server_of_the_catalogue_dies() {
    let Some(server) = test_postgres::Server::start() else {
        return;
    };
    server.durable();
    let site = Arc::new(Site::on_server(server.database()));
    let control = site.control();
    let mut book = Vec::new();
    for kill in 0..wish("KILLS", KILLS) {
        let mut writing = Writing::begin(&site, &control, &format!("k{kill}"), kill).await;
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

/// Clients that write until they are not answered, or it is over.
struct Writing {
    clients: JoinSet<bool>,
    over: Arc<AtomicBool>,
    answered: tokio::sync::mpsc::UnboundedReceiver<()>,
    book: Book,
}

impl Writing {
    /// Clients whose names begin so.
    async fn begin(site: &Arc<Site>, control: &Role, begins: &str, kill: u64) -> Self {
        let (tell, answered) = tokio::sync::mpsc::unbounded_channel();
        let (mut clients, book) = (JoinSet::new(), Book::default());
        let over = Arc::new(AtomicBool::new(false));
        let catalog = site.catalog().await;
        for number in 0..CLIENTS {
            let name = format!("{begins}c{number}");
            // What a client rules over, grants, encrypts and takes away.
            for kind in ["ruled", "granted", "gone"] {
                let id = format!("{kind}-{name}");
                film(&catalog, &id, Privacy::Private, false).await;
            }
            film(&catalog, &format!("locked-{name}"), Privacy::Public, true).await;
            let seed = wish("KILLS_SEED", SEED) * 1_000_003 + kill * 1009 + number;
            let client = Client::new(site, control, (name, seed), &book, tell.clone());
            clients.spawn(client.write(Arc::clone(&over)));
        }
        Self {
            clients,
            over,
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

    /// Waits until each client may have been answered once more.
    async fn goes_on(&mut self) {
        while self.answered.try_recv().is_ok() {}
        for _ in 0..2 * CLIENTS {
            let answered = self.answered.recv().await;
            assert!(answered.is_some(), "nobody is answered");
        }
    }

    /// Ends clients that must have been answered every time.
    async fn stop(mut self) -> Vec<Promise> {
        self.over.store(true, Ordering::Relaxed);
        while let Some(answered) = self.clients.join_next().await {
            assert!(answered.unwrap(), "a client was not answered");
        }
        self.end().await
    }

    async fn end(self) -> Vec<Promise> {
        self.clients.join_all().await;
        std::mem::take(&mut *self.book.lock().unwrap())
    }
}

/// Has all content keys sealed with the key that counts.
async fn resealed(site: &Site, control: &Role) {
    let mut wish = json!({});
    loop {
        let url = format!("{}/v1/vault/reseal", control.at("http"));
        let told = site.made(url, OPERATOR, &wish).await;
        assert_eq!(told["shut"], json!([]), "{told}");
        if told["next"].is_null() {
            return;
        }
        wish = json!({"after": told["next"]});
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
