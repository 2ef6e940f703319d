//! Somebody who writes, and keeps book of what was answered for.

mod nodes;
mod people;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::promise::Promise;
use crate::role::Role;
use crate::site::{OPERATOR, ORIGIN, Site};

/// What clients were answered for. While a write is under way, what it changes is not in it.
pub(super) type Book = Arc<Mutex<Vec<Promise>>>;

pub(super) struct Client {
    site: Arc<Site>,
    api: String,
    /// Where nodes are met.
    door: String,
    name: String,
    random: Random,
    book: Book,
    /// Told of each write that was answered.
    tell: UnboundedSender<()>,
    /// How many there were.
    count: u64,
}

impl Client {
    pub(super) fn new(
        site: &Arc<Site>,
        control: &Role,
        (name, seed): (String, u64),
        book: &Book,
        tell: UnboundedSender<()>,
    ) -> Self {
        Self {
            site: Arc::clone(site),
            api: control.at("http"),
            door: control.door(),
            name,
            random: Random::new(seed),
            book: Arc::clone(book),
            tell,
            count: 0,
        }
    }

    /// Writes one thing after the other until it is over; or until one is not answered, and says so.
    pub(super) async fn write(mut self, over: Arc<AtomicBool>) -> bool {
        while !over.load(Ordering::Relaxed) {
            if self.something().await.is_none() {
                return false;
            }
        }
        true
    }

    async fn something(&mut self) -> Option<()> {
        match self.random.below(15) {
            0 => self.account().await,
            1 => self.invited().await,
            2 => self.api_key().await,
            3 => self.channel().await,
            4 => self.rules().await,
            5 | 6 => self.grant().await,
            7 => self.keys().await,
            8 => self.rotation().await,
            9 => self.reseal().await,
            10 | 11 => self.node().await,
            12 => self.purge().await,
            13 => self.removal().await,
            _ => self.playback().await,
        }
    }

    async fn rules(&mut self) -> Option<()> {
        let path = format!("/v1/videos/ruled-{}/rules", self.name);
        let country = ["AT", "DE", "FR", "IT"][usize::try_from(self.random.below(4)).ok()?];
        self.forget(|promise| promise.path == path);
        let wish = json!({"audience": "granted", "countries": {"only": [country]}});
        self.put(&path, wish).await?;
        self.note(Promise::get(&path, OPERATOR, 200).with("/countries/only/0", json!(country)));
        Some(())
    }

    async fn grant(&mut self) -> Option<()> {
        let (viewer, film) = (self.fresh("viewer"), format!("granted-{}", self.name));
        let wish = json!({"viewer": viewer, "video_id": film});
        let grant = self.post("/v1/grants", wish, 201).await?;
        let path = format!("/v1/grants/{}", text(&grant, "grant_id"));
        self.note(Promise::get(&path, OPERATOR, 200));
        if self.random.below(2) == 0 {
            self.forget(|promise| promise.path == path);
            self.delete(&path, 204).await?;
            self.note(Promise::get(&path, OPERATOR, 404));
        }
        Some(())
    }

    /// The keys of a film, which are drawn when they are first asked for.
    async fn keys(&mut self) -> Option<()> {
        let path = format!("/v1/keys/locked-{}", self.name);
        let asked = self.site.http.get(format!("{}{path}", self.api));
        let answer = asked.header("millrace-hop", ORIGIN).send().await.ok()?;
        let status = answer.status().as_u16();
        let keys = answer.json::<Value>().await.ok()?;
        self.answered(status, 200, &keys)?;
        let first = "/periods/0/keys/0/key";
        let key = keys.pointer(first).unwrap().clone();
        self.forget(|promise| promise.path == path);
        self.note(Promise::get(path, ORIGIN, 200).with(first, key));
        Some(())
    }

    /// Other keys for the film.
    async fn rotation(&mut self) -> Option<()> {
        let film = format!("locked-{}", self.name);
        let path = format!("/v1/keys/{film}");
        self.forget(|promise| promise.path == path);
        let rotate = format!("/v1/videos/{film}/keys/rotate");
        let rotated = self.post(&rotate, json!({"grace_s": 600}), 200).await?;
        let first = ("/periods/0/keys/0/kid", rotated["key_ids"][0].clone());
        self.note(Promise::get(path, ORIGIN, 200).with(first.0, first.1));
        let purge = format!("/v1/purge/{}", rotated["purge"]);
        self.note(Promise::get(purge, OPERATOR, 200));
        Some(())
    }

    /// All keys under the key-encryption key that counts now. What is promised of them stays.
    async fn reseal(&mut self) -> Option<()> {
        let all = self.post("/v1/vault/reseal", json!({}), 200).await?;
        assert_eq!(all["shut"], json!([]), "{all}");
        Some(())
    }

    async fn purge(&mut self) -> Option<()> {
        let tag = json!({"tag": self.fresh("tag")});
        let purge = self.post("/v1/purge", tag, 202).await?;
        self.note(Promise::get(
            format!("/v1/purge/{}", purge["seq"]),
            OPERATOR,
            200,
        ));
        Some(())
    }

    async fn removal(&mut self) -> Option<()> {
        let path = format!("/v1/videos/gone-{}", self.name);
        self.delete(&path, 200).await?;
        self.forget(|promise| promise.path == path);
        self.note(Promise::get(path, OPERATOR, 404));
        Some(())
    }

    /// A session: begun once for one key, told of, prolonged, stopped.
    async fn playback(&mut self) -> Option<()> {
        let viewer = self.fresh("watcher");
        let wish = json!({"video_id": format!("locked-{}", self.name), "viewer": viewer});
        let playback = self.post("/v1/playback/start", wish, 201).await?;
        let id = text(&playback, "session_id");
        let beat = format!("/v1/playback/{id}/heartbeat");
        let goes_on = Promise::post(&beat, json!({}), 200).with("/action", json!("continue"));
        self.note(goes_on);
        self.post(&beat, json!({"position_s": 3.0, "seq": 1}), 200)
            .await?;
        let start = json!({"seq": 0, "t_ms": 0, "type": "start", "startup_ms": 500});
        let end = json!({"seq": 1, "t_ms": 900, "type": "end", "completed": true});
        let told = json!({"session_id": id, "events": [start, end]});
        let views = self.views();
        let told = self.post("/v1/playback/events", told, 202).await?;
        assert_eq!(told["accepted"], 2, "{told}");
        let stats = Promise::get(self.stats(), OPERATOR, 200);
        self.note(stats.with("/views_total", json!(views + 1)));
        if self.random.below(2) == 0 {
            self.forget(|promise| promise.path == beat);
            self.post(&format!("/v1/playback/{id}/stop"), json!({}), 204)
                .await?;
            self.note(Promise::post(&beat, json!({}), 410));
        }
        Some(())
    }

    /// How often the film was watched; while another view is told of, that is not promised.
    fn views(&self) -> u64 {
        let (path, mut book) = (self.stats(), self.book.lock().unwrap());
        let before = book.iter().position(|promise| promise.path == path);
        let views = before.and_then(|at| book.remove(at).says);
        views.map_or(0, |(_, views)| views.as_u64().unwrap())
    }

    fn stats(&self) -> String {
        format!("/v1/videos/locked-{}/stats", self.name)
    }

    async fn post(&mut self, path: &str, body: Value, status: u16) -> Option<Value> {
        let to = (Method::POST, path.to_owned());
        self.done(to, OPERATOR, body, status).await
    }

    async fn put(&mut self, path: &str, body: Value) -> Option<Value> {
        let to = (Method::PUT, path.to_owned());
        self.done(to, OPERATOR, body, 200).await
    }

    async fn delete(&mut self, path: &str, status: u16) -> Option<Value> {
        let to = (Method::DELETE, path.to_owned());
        self.done(to, OPERATOR, Value::Null, status).await
    }

    /// What is answered; none when it is not, or when nothing can be written now.
    async fn done(
        &mut self,
        (method, path): (Method, String),
        shown: &str,
        body: Value,
        status: u16,
    ) -> Option<Value> {
        let to = (method, format!("{}{path}", self.api));
        let (have, told) = self.site.ask(to, shown, &body).await?;
        self.answered(have, status, &told)?;
        Some(told)
    }

    fn answered(&self, have: u16, wanted: u16, told: &Value) -> Option<()> {
        if have == 503 {
            return None;
        }
        assert_eq!(have, wanted, "{told}");
        let _ = self.tell.send(());
        Some(())
    }

    fn note(&self, promise: Promise) {
        self.book.lock().unwrap().push(promise);
    }

    /// What is about to change is promised no longer.
    fn forget(&self, changes: impl Fn(&Promise) -> bool) {
        let mut book = self.book.lock().unwrap();
        book.retain(|promise| !changes(promise));
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}-{}-{}", self.name, self.count)
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap().to_owned()
}

/// Numbers that are the same each time (Marsaglia's xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
