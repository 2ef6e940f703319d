//! Somebody who writes, and keeps book of what was answered for.

use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::promise::Promise;
use crate::role::Role;
use crate::site::{OPERATOR, ORIGIN, PASSWORD, Site};

/// What clients were answered for. While a write is under way, what it changes is not in it.
pub(super) type Book = Arc<Mutex<Vec<Promise>>>;

pub(super) struct Client {
    site: Arc<Site>,
    api: String,
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
            name,
            random: Random::new(seed),
            book: Arc::clone(book),
            tell,
            count: 0,
        }
    }

    /// Writes one thing after the other until one is not answered.
    pub(super) async fn write(mut self) {
        while self.something().await.is_some() {}
    }

    async fn something(&mut self) -> Option<()> {
        match self.random.below(10) {
            0 => self.account().await,
            1 => self.api_key().await,
            2 => self.channel().await,
            3 => self.rules().await,
            4 | 5 => self.grant().await,
            6 => self.keys().await,
            7 => self.purge().await,
            8 => self.removal().await,
            _ => self.playback().await,
        }
    }

    /// An account, its role, its logins, their renewal and their end.
    async fn account(&mut self) -> Option<()> {
        let name = self.fresh("account");
        let email = format!("{name}@example.com");
        let wish = json!({"email": email, "name": name, "password": PASSWORD});
        let account = self.post("/v1/users", wish, 201).await?;
        let id = text(&account, "user_id");
        let streams = format!("/v1/users/{id}/streams");
        self.note(Promise::get(&streams, OPERATOR, 200));
        let role = format!("/v1/users/{id}/role");
        self.post(&role, json!({"role": "publisher"}), 200).await?;
        let login = json!({"email": email, "password": PASSWORD});
        let login = self.post("/v1/auth/login", login, 200).await?;
        let me = |login: &Value| Promise::get("/v1/users/me", &text(login, "access_token"), 200);
        let publisher = ("/role", json!("publisher"));
        self.note(me(&login).with(publisher.0, publisher.1));
        self.put(&streams, json!({"limit": 7})).await?;
        self.note(Promise::get(&streams, OPERATOR, 200).with("/own_limit", json!(7)));
        let refresh = |login: &Value| json!({"refresh_token": login["refresh_token"]});
        let next = self.post("/v1/auth/refresh", refresh(&login), 200).await?;
        self.note(me(&next));
        if self.random.below(2) == 0 {
            let over = [text(&login, "access_token"), text(&next, "access_token")];
            self.forget(|promise| over.contains(&promise.shown));
            self.post("/v1/auth/logout", refresh(&next), 204).await?;
            self.note(Promise::get("/v1/users/me", &over[1], 401));
            let again = Promise::post("/v1/auth/refresh", refresh(&next), 401);
            self.note(again);
        }
        Some(())
    }

    async fn api_key(&mut self) -> Option<()> {
        let wish = json!({"name": self.name, "scopes": ["status"]});
        let key = self.post("/v1/api-keys", wish, 201).await?;
        let secret = text(&key, "secret");
        self.note(Promise::get("/v1/status", &secret, 200));
        if self.random.below(2) == 0 {
            self.forget(|promise| promise.shown == secret);
            let path = format!("/v1/api-keys/{}", text(&key, "api_key_id"));
            self.delete(&path, 204).await?;
            self.note(Promise::get("/v1/status", &secret, 401));
        }
        Some(())
    }

    /// A channel of a publisher's, and a film in it.
    async fn channel(&mut self) -> Option<()> {
        let name = self.fresh("publisher");
        let email = format!("{name}@example.com");
        let wish = json!({"email": email, "name": name, "password": PASSWORD});
        let account = self.post("/v1/users", wish, 201).await?;
        let role = format!("/v1/users/{}/role", text(&account, "user_id"));
        self.post(&role, json!({"role": "publisher"}), 200).await?;
        let login = json!({"email": email, "password": PASSWORD});
        let login = self.post("/v1/auth/login", login, 200).await?;
        let shown = text(&login, "access_token");
        let film = format!("/v1/videos/granted-{}", self.name);
        let to = (Method::POST, "/v1/channels".to_owned());
        let channel = self.done(to, &shown, json!({"name": name}), 201).await?;
        let id = text(&channel, "channel_id");
        let there = Promise::get(format!("/v1/channels/{id}"), OPERATOR, 200);
        self.note(there.with("/name", json!(name)));
        // Whoever has the channel sees the private films in it; the film was another's before.
        self.forget(|promise| promise.path == film && promise.shown != OPERATOR);
        let place = (Method::PUT, format!("{film}/channel"));
        let wish = json!({"channel_id": id});
        self.done(place, OPERATOR, wish, 204).await?;
        self.note(Promise::get(&film, &shown, 200));
        Some(())
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
