//! What whoever was handed an upload's token may do, and what not.

use std::sync::{Arc, atomic::Ordering};

use reqwest::{Method, Response};
use runtime::clock::{Clock as _, Fixed};
use serde_json::{Value, json};
use store::Digest;
use test_s3::Server;

use super::{House, UnixSeconds, house, house_at, house_with, initiate, kind};

const FILM: &[u8] = b"some film!";

/// Begins an upload as ann does, for somebody else to send.
async fn begin(house: &House) -> Value {
    let begun = initiate(house, "ann", Some("of-ann")).await;
    assert_eq!(begun.status(), 201);
    assert_eq!(begun.headers()["cache-control"], "no-store");
    begun.json().await.unwrap()
}

/// Whoever has the token of an upload, and nothing else.
struct Holder<'a> {
    house: &'a House,
    token: String,
}

impl<'a> Holder<'a> {
    fn of(house: &'a House, begun: &Value) -> Self {
        let token = begun["upload_token"].as_str().unwrap().to_owned();
        assert!(token.starts_with("mup_"), "{token}");
        Self { house, token }
    }

    async fn ask(&self, method: Method, url: &str, fields: &[(&str, &str)]) -> Response {
        let mut request = self.house.client.request(method, url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.bearer_auth(&self.token).send().await.unwrap()
    }

    async fn status(&self, upload: &Value) -> (u16, Value) {
        let answer = self.ask(Method::GET, text(upload, "status_url"), &[]).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn put(&self, upload: &Value) -> Response {
        let url = format!("{}?index=0", text(upload, "chunk_url"));
        let request = self.house.client.put(url).bearer_auth(&self.token);
        let request = request.header("x-chunk-sha256", Digest::of(FILM).to_string());
        request.body(FILM).send().await.unwrap()
    }

    async fn complete(&self, upload: &Value) -> Response {
        let request = self.house.client.post(text(upload, "complete_url"));
        let whole = json!({"sha256": Digest::of(FILM).to_string()});
        let request = request.bearer_auth(&self.token).json(&whole);
        request.send().await.unwrap()
    }

    async fn cancel(&self, upload: &Value) -> Response {
        let url = text(upload, "status_url");
        self.ask(Method::DELETE, url, &[]).await
    }
}

fn text<'a>(upload: &'a Value, name: &str) -> &'a str {
    upload[name].as_str().unwrap()
}

fn refused(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

#[tokio::test]
async fn whoever_was_handed_an_upload_sends_it() {
    let (house, asked) = house().await;
    let upload = begin(&house).await;
    let before = asked.load(Ordering::SeqCst);
    let holder = Holder::of(&house, &upload);
    assert_eq!(holder.status(&upload).await.1["received"], json!([]));
    assert_eq!(holder.put(&upload).await.status(), 200);
    assert_eq!(holder.status(&upload).await.1["received"], json!([0]));
    assert_eq!(holder.complete(&upload).await.status(), 202);
    // An answer may have been lost.
    assert_eq!(holder.complete(&upload).await.status(), 202);
    assert_eq!(holder.status(&upload).await.1["state"], "complete");
    let over = refused(409, "upload-complete");
    assert_eq!(kind(holder.put(&upload).await).await, over);
    assert_eq!(kind(holder.cancel(&upload).await).await, over);
    assert_eq!(asked.load(Ordering::SeqCst), before, "nobody else is asked");
}

#[tokio::test]
async fn whoever_was_handed_an_upload_does_nothing_else() {
    let (house, _) = house().await;
    let (upload, other) = (begin(&house).await, begin(&house).await);
    let holder = Holder::of(&house, &upload);
    assert_ne!(holder.token, text(&other, "upload_token"));
    let film = house.url(&format!("/v1/videos/{}", text(&upload, "video_id")));
    let chunk = format!("{}?index=0", text(&other, "chunk_url"));
    for (method, url) in [
        (Method::GET, text(&other, "status_url").to_owned()),
        (Method::PUT, chunk),
        (Method::POST, text(&other, "complete_url").to_owned()),
        (Method::DELETE, text(&other, "status_url").to_owned()),
        (Method::GET, house.url("/v1/videos/upload/absent")),
        (Method::POST, house.url("/v1/videos/upload/initiate")),
        (Method::POST, house.url("/v1/videos/upload/tus")),
        (Method::GET, format!("{film}/subtitles")),
        (Method::PUT, format!("{film}/subtitles/en")),
        (Method::DELETE, format!("{film}/subtitles/en")),
        (Method::POST, format!("{film}/retry")),
        (Method::GET, house.url("/v1/users/me/quota")),
    ] {
        let answer = holder.ask(method.clone(), &url, &[("tus-resumable", "1.0.0")]);
        let answer = kind(answer.await).await;
        assert_eq!(answer, refused(401, "unauthorized"), "{method} {url}");
    }
    // What begins like a token is none.
    let guess = Holder {
        house: &house,
        token: format!("mup_{}", "0".repeat(64)),
    };
    for token in [&guess.token, "mup_", &holder.token[..60]] {
        let token = token.to_owned();
        let guess = Holder { token, ..guess };
        let answer = kind(guess.cancel(&upload).await).await;
        assert_eq!(answer, refused(401, "unauthorized"));
    }
}

#[tokio::test]
async fn a_token_ends_with_its_upload() {
    let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
    let (house, _) = house_at(Arc::<Fixed>::clone(&clock), |_| ()).await;
    let cancelled = begin(&house).await;
    let holder = Holder::of(&house, &cancelled);
    assert_eq!(holder.cancel(&cancelled).await.status(), 204);
    let none = refused(401, "unauthorized");
    assert_eq!(kind(holder.put(&cancelled).await).await, none);

    let (late, done) = (begin(&house).await, begin(&house).await);
    let of_done = Holder::of(&house, &done);
    assert_eq!(of_done.put(&done).await.status(), 200);
    assert_eq!(of_done.complete(&done).await.status(), 202);
    let expires = late["expires_unix_s"].as_u64().unwrap();
    clock.advance(expires - clock.now().0);
    // Why nothing is taken any more.
    let holder = Holder::of(&house, &late);
    let expired = refused(410, "upload-expired");
    assert_eq!(kind(holder.put(&late).await).await, expired);
    assert_eq!(kind(holder.complete(&late).await).await, expired);
    assert_eq!(holder.status(&late).await.1["state"], "expired");
    // Of what is complete one may still ask, for a while.
    assert_eq!(of_done.status(&done).await.0, 200);
    assert_eq!(of_done.complete(&done).await.status(), 202);
    clock.advance(3600);
    assert_eq!(of_done.status(&done).await.0, 401);
}

#[tokio::test]
async fn parts_may_go_to_the_store_by_a_token() {
    let server = Server::start();
    let (house, _) = house_with(|config| config.store = server.store()).await;
    let wish = json!({"file_name": "a.mp4", "size_bytes": FILM.len(), "direct": true});
    let url = house.url("/v1/videos/upload/initiate");
    let begun = house.client.post(url).bearer_auth("key").json(&wish).send();
    let upload: Value = begun.await.unwrap().json().await.unwrap();
    let holder = Holder::of(&house, &upload);
    let (_, told) = holder.status(&upload).await;
    let part = told["parts"][0]["url"].as_str().unwrap();
    let sent = house.client.put(part).body(FILM).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    assert_eq!(holder.complete(&upload).await.status(), 202);
}

#[tokio::test]
async fn over_tus_the_token_of_an_upload_adds_to_it_and_begins_nothing() {
    let (house, _) = house().await;
    let url = house.url("/v1/videos/upload/tus");
    // filename a.mp4, channel_id of-ann
    let told = "filename YS5tcDQ=,channel_id b2YtYW5u";
    let length = ("upload-length", "10");
    let tus = ("tus-resumable", "1.0.0");
    for wish in [("upload-metadata", told), ("upload-concat", "partial")] {
        let ann = house.client.post(&url).bearer_auth("ann");
        let begun = [wish, length, tus]
            .into_iter()
            .fold(ann, |ann, (name, value)| ann.header(name, value));
        let begun = begun.send().await.unwrap();
        let field = |name: &str| begun.headers()[name].to_str().unwrap().to_owned();
        let (own, token) = (field("location"), field("upload-token"));
        let house = &house;
        let holder = Holder { house, token };
        assert_eq!(holder.ask(Method::HEAD, &own, &[tus]).await.status(), 200);
        let bytes = ("content-type", "application/offset+octet-stream");
        let nothing = [tus, ("upload-offset", "0"), bytes];
        let added = holder.ask(Method::PATCH, &own, &nothing).await;
        assert_eq!(added.status(), 204);
        let joined = format!("final;{own}");
        let wishes = [
            &[tus, length, ("upload-metadata", told)][..],
            &[tus, ("upload-concat", &joined), ("upload-metadata", told)],
        ];
        for wish in wishes {
            let answer = kind(holder.ask(Method::POST, &url, wish).await).await;
            assert_eq!(answer, refused(401, "unauthorized"), "{wish:?}");
        }
        // The other API has no such upload.
        let chunks = own.replace("/tus/", "/");
        let answer = kind(holder.ask(Method::GET, &chunks, &[]).await).await;
        assert_eq!(answer, refused(404, "upload-not-found"));
        let gone = holder.ask(Method::DELETE, &own, &[tus]).await;
        assert_eq!(gone.status(), 204);
        assert_eq!(holder.ask(Method::HEAD, &own, &[tus]).await.status(), 401);
    }
}

#[tokio::test]
async fn a_token_counts_from_whichever_page_it_comes_and_no_page_is_let_read_for_it() {
    let house = House::new().await;
    let begun = initiate(&house, "", None).await;
    let upload: Value = begun.json().await.unwrap();
    let holder = Holder::of(&house, &upload);
    let page = ("origin", "https://evil.example");
    let status = text(&upload, "status_url");
    let shown = holder.ask(Method::GET, status, &[page]).await;
    assert_eq!(shown.status(), 200);
    let leave = shown.headers().get("access-control-allow-origin");
    assert_eq!(leave, None, "no browser shows it that page");
    let bare = house.client.get(status).header(page.0, page.1);
    let bare = kind(bare.send().await.unwrap()).await;
    assert_eq!(bare, refused(401, "unauthorized"));
}
