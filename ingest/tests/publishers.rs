//! Who may upload, and to which channels, where the control plane knows who calls.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{Json, Router, http::HeaderMap, http::StatusCode, response::IntoResponse, routing::get};
use catalog::channels::Channel;
use contracts::id::{ChannelId, UserId, VideoId};
use contracts::time::UnixSeconds;
use reqwest::{Method, RequestBuilder, Response};
use runtime::clock::Fixed;
use serde_json::{Value, json};

mod held;
mod house;

use house::House;

/// A control plane that knows some credentials, and how often it was asked.
async fn control() -> (String, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let answer = async move |headers: HeaderMap| {
        count.fetch_add(1, Ordering::SeqCst);
        assert_eq!(headers["millrace-client-ip"], "127.0.0.1");
        let shown = headers.get("authorization");
        let shown = shown.map(|shown| shown.to_str().unwrap().to_owned());
        let user = |id: &str, role: &str| json!({"kind": "user", "user_id": id, "role": role});
        let known = match shown.as_deref() {
            Some("Bearer ann") => user("ann", "publisher"),
            Some("Bearer bob") => user("bob", "publisher"),
            Some("Bearer op") => user("op", "operator"),
            Some("Bearer eve") => user("eve", "viewer"),
            Some("Bearer key") => {
                json!({"kind": "backend", "api_key_id": "k", "scopes": ["upload"]})
            }
            Some("Bearer other") => {
                json!({"kind": "backend", "api_key_id": "o", "scopes": ["status"]})
            }
            // Everybody on its machine is the operator, but no page of elsewhere.
            Some("Bearer here") if !headers.contains_key("origin") => json!({"kind": "operator"}),
            Some("Bearer broken") => return StatusCode::BAD_GATEWAY.into_response(),
            Some("Bearer often") => return StatusCode::TOO_MANY_REQUESTS.into_response(),
            _ => return StatusCode::UNAUTHORIZED.into_response(),
        };
        Json(known).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/callers/me", get(answer));
    tokio::spawn(axum::serve(listener, router).into_future());
    (base, asked)
}

async fn house() -> (House, Arc<AtomicU32>) {
    house_with(|_| ()).await
}

async fn house_with(change: impl FnOnce(&mut ingest::Config)) -> (House, Arc<AtomicU32>) {
    // In which what is believed does not end.
    house_at(Arc::new(Fixed::at(UnixSeconds(1000))), change).await
}

async fn house_at(
    clock: Arc<Fixed>,
    change: impl FnOnce(&mut ingest::Config),
) -> (House, Arc<AtomicU32>) {
    let (base, asked) = control().await;
    let configure = |config: &mut ingest::Config| {
        config.control = base;
        config.workers = 0;
        change(config);
    };
    let house = House::at(configure, clock).await;
    for owner in ["ann", "bob"] {
        let channel = Channel {
            id: ChannelId::parse(&format!("of-{owner}")).unwrap(),
            owner: UserId::parse(owner).unwrap(),
            name: owner.to_owned(),
            created: UnixSeconds(1),
        };
        house.catalog.channels.create(&channel).await.unwrap();
    }
    (house, asked)
}

fn as_(request: RequestBuilder, who: &str) -> RequestBuilder {
    match who {
        "" => request,
        who => request.bearer_auth(who),
    }
}

async fn initiate(house: &House, who: &str, channel: Option<&str>) -> Response {
    let url = house.url("/v1/videos/upload/initiate");
    let wish = json!({"file_name": "a.mp4", "size_bytes": 10, "channel_id": channel});
    as_(house.client.post(url).json(&wish), who)
        .send()
        .await
        .unwrap()
}

async fn kind(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    let kind = body["type"].as_str().unwrap_or_default();
    (status, kind.trim_start_matches("urn:millrace:").to_owned())
}

#[tokio::test]
async fn publishers_upload_to_channels_of_their_own_and_others_do_not() {
    let (house, _) = house().await;
    for (who, channel, status, refused) in [
        ("ann", Some("of-ann"), 201, ""),
        ("ann", None, 400, "channel-needed"),
        ("ann", Some("of-bob"), 404, "channel-not-found"),
        ("ann", Some("none"), 404, "channel-not-found"),
        ("key", None, 201, ""),
        ("key", Some("of-bob"), 201, ""),
        ("key", Some("none"), 404, "channel-not-found"),
        ("eve", Some("of-ann"), 403, "forbidden"),
        ("other", None, 403, "forbidden"),
        ("nobody", None, 401, "unauthorized"),
        ("", None, 401, "unauthorized"),
        ("often", None, 429, "too-many-requests"),
        ("broken", None, 503, "unavailable"),
    ] {
        let answer = kind(initiate(&house, who, channel).await).await;
        assert_eq!(answer, (status, refused.to_owned()), "{who} {channel:?}");
    }
}

#[tokio::test]
async fn no_page_of_elsewhere_uploads_for_whoever_is_on_this_machine() {
    let (asking, _) = house().await;
    let alone = House::new().await;
    for house in [&asking, &alone] {
        let wish = json!({"file_name": "a.mp4", "size_bytes": 10});
        let url = house.url("/v1/videos/upload/initiate");
        let ask = || house.client.post(&url).json(&wish).bearer_auth("here");
        let page = |origin: &str| ask().header("origin", origin).send();
        assert_eq!(ask().send().await.unwrap().status(), 201);
        let here = page("http://localhost:5173").await.unwrap();
        assert_eq!(here.status(), 201);
        let led = ask().header("host", "evil.example").send().await.unwrap();
        for refused in [page("https://evil.example").await.unwrap(), led] {
            assert!([401, 403].contains(&refused.status().as_u16()));
        }
    }
}

#[tokio::test]
async fn an_upload_is_its_channel_s_owner_s_and_of_others_one_does_not_learn() {
    let (house, _) = house().await;
    let begun: Value = initiate(&house, "ann", Some("of-ann"))
        .await
        .json()
        .await
        .unwrap();
    let video = VideoId::parse(begun["video_id"].as_str().unwrap()).unwrap();
    let channel = house.catalog.channels.of(&video).await.unwrap().unwrap();
    assert_eq!(channel.owner.as_str(), "ann");
    let url = |name: &str| begun[name].as_str().unwrap().to_owned();
    let subtitles = house.url(&format!("/v1/videos/{video}/subtitles"));
    let chunk = format!("{}?index=0", url("chunk_url"));
    for (method, url, kind_of, own) in [
        (Method::GET, url("status_url"), "upload-not-found", 200),
        (Method::PUT, chunk, "upload-not-found", 400),
        (Method::POST, url("complete_url"), "upload-not-found", 400),
        (Method::GET, subtitles.clone(), "video-not-found", 200),
        (
            Method::PUT,
            format!("{subtitles}/en"),
            "video-not-found",
            400,
        ),
        (
            Method::DELETE,
            format!("{subtitles}/en"),
            "video-not-found",
            404,
        ),
        (Method::DELETE, url("status_url"), "upload-not-found", 204),
    ] {
        let ask = async |who: &str| {
            let request = house.client.request(method.clone(), &url);
            as_(request, who).send().await.unwrap()
        };
        let foreign = kind(ask("bob").await).await;
        assert_eq!(foreign, (404, kind_of.to_owned()), "{method} {url}");
        assert_eq!(ask("ann").await.status(), own, "{method} {url}");
    }
}

#[tokio::test]
async fn a_credential_that_counts_is_asked_about_once_in_a_while() {
    let (house, asked) = house().await;
    for _ in 0..5 {
        let answer = initiate(&house, "ann", Some("of-ann")).await;
        assert_eq!(answer.status(), 201);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    for _ in 0..3 {
        assert_eq!(initiate(&house, "nobody", None).await.status(), 401);
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        4,
        "what does not count is not believed"
    );
}

#[tokio::test]
async fn an_upload_over_tus_is_its_channel_s_owner_s_and_a_part_is_whose_who_began_it() {
    let (house, _) = house().await;
    let url = house.url("/v1/videos/upload/tus");
    let ask = async |method: Method, url: &str, who: &str, fields: &[(&str, &str)]| {
        let mut request = as_(house.client.request(method, url), who);
        request = request.header("tus-resumable", "1.0.0");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    // filename a.mp4, channel_id of-ann
    let told = "filename YS5tcDQ=,channel_id b2YtYW5u";
    let film = [("upload-length", "9"), ("upload-metadata", told)];
    let bare = [
        ("upload-length", "9"),
        ("upload-metadata", "filename YS5tcDQ="),
    ];
    let part = [("upload-length", "9"), ("upload-concat", "partial")];
    let refused = kind(ask(Method::POST, &url, "ann", &bare).await).await;
    assert_eq!(refused, (400, "channel-needed".to_owned()));
    let refused = kind(ask(Method::POST, &url, "bob", &film).await).await;
    assert_eq!(refused, (404, "channel-not-found".to_owned()));
    let refused = kind(ask(Method::POST, &url, "eve", &part).await).await;
    assert_eq!(refused, (403, "forbidden".to_owned()));
    for wish in [film, part] {
        let begun = ask(Method::POST, &url, "ann", &wish).await;
        assert_eq!(begun.status(), 201);
        let own = begun.headers()["location"].to_str().unwrap();
        let of = |who| ask(Method::HEAD, own, who, &[]);
        assert_eq!(of("bob").await.status(), 404);
        assert_eq!(of("key").await.status(), 200);
        assert_eq!(of("ann").await.status(), 200);
        let stolen = format!("final;{own}");
        let channel = "filename YS5tcDQ=,channel_id b2YtYm9i";
        let wish = [
            ("upload-concat", stolen.as_str()),
            ("upload-metadata", channel),
        ];
        let refused = kind(ask(Method::POST, &url, "bob", &wish).await).await;
        assert_eq!(refused, (404, "upload-not-found".to_owned()));
        let refused = kind(ask(Method::DELETE, own, "bob", &[]).await).await;
        assert_eq!(refused, (404, "upload-not-found".to_owned()));
        assert_eq!(ask(Method::DELETE, own, "ann", &[]).await.status(), 204);
    }
}

#[tokio::test]
async fn a_publisher_has_as_much_as_the_site_allows_and_an_operator_gives_more() {
    let (house, _) = house_with(|config| {
        config.publisher_bytes = config::ByteSize(45);
        config.publisher_uploads = 2;
    })
    .await;
    let url = |id: &str| house.url(&format!("/v1/users/{id}/quota"));
    let show =
        async |id: &str, who: &str| as_(house.client.get(url(id)), who).send().await.unwrap();
    let set = async |id: &str, who: &str, wish: Value| {
        let put = as_(house.client.put(url(id)), who).json(&wish);
        put.send().await.unwrap()
    };
    let begin = async || initiate(&house, "ann", Some("of-ann")).await;
    let mut begun = Vec::new();
    for _ in 0..2 {
        let begins: Value = begin().await.json().await.unwrap();
        begun.push(begins["status_url"].as_str().unwrap().to_owned());
    }
    let refused = house::problem(begin().await, 429, "too-many-uploads").await;
    let told = (&refused["quota"], &refused["limit"], &refused["used"]);
    assert_eq!(told, (&json!("uploads"), &json!(2), &json!(2)));
    let answer = initiate(&house, "bob", Some("of-bob")).await;
    assert_eq!(answer.status(), 201, "another one has a quota of his own");
    let given_back = as_(house.client.delete(&begun[0]), "ann").send().await;
    assert_eq!(given_back.unwrap().status(), 204);
    assert_eq!(begin().await.status(), 201);

    // An operator lets her do more at a time; then the bytes come to their end.
    let wish = json!({"uploads": 0, "bytes": null, "films": 9});
    let told: Value = set("ann", "op", wish).await.json().await.unwrap();
    let quota = json!({
        "user_id": "ann",
        "bytes": {"limit": 45, "own_limit": null, "used": 20},
        "uploads": {"limit": null, "own_limit": 0, "used": 2},
        "films": {"limit": 9, "own_limit": 9, "used": 2},
    });
    assert_eq!(told, quota);
    for (id, who) in [("me", "ann"), ("ann", "ann"), ("ann", "op")] {
        let told: Value = show(id, who).await.json().await.unwrap();
        assert_eq!(told, quota, "{id} {who}");
    }
    for _ in 0..2 {
        assert_eq!(begin().await.status(), 201);
    }
    let refused = house::problem(begin().await, 403, "quota-exceeded").await;
    assert_eq!(
        (&refused["quota"], &refused["used"]),
        (&json!("bytes"), &json!(40))
    );
    // filename a.mp4, channel_id of-ann
    let over_tus = as_(house.client.post(house.url("/v1/videos/upload/tus")), "ann")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", "6")
        .header("upload-metadata", "filename YS5tcDQ=,channel_id b2YtYW5u");
    let refused = kind(over_tus.send().await.unwrap()).await;
    assert_eq!(refused, (403, "quota-exceeded".to_owned()));
    let films = house.catalog.videos.count().await.unwrap();
    assert_eq!(
        films.iter().map(|(_, count)| count).sum::<u64>(),
        6,
        "none was made"
    );
}

#[tokio::test]
async fn a_quota_is_an_operator_s_to_set_and_its_account_s_to_see() {
    let (house, _) = house().await;
    let url = |id: &str| house.url(&format!("/v1/users/{id}/quota"));
    let show =
        async |id: &str, who: &str| as_(house.client.get(url(id)), who).send().await.unwrap();
    let set = async |id: &str, who: &str, wish: Value| {
        let put = as_(house.client.put(url(id)), who).json(&wish);
        put.send().await.unwrap()
    };
    for (answer, status, refused) in [
        (show("ann", "bob").await, 403, "forbidden"),
        (show("ann", "key").await, 403, "forbidden"),
        (show("me", "op").await, 404, "user-not-found"),
        (show("ann", "nobody").await, 401, "unauthorized"),
        (set("ann", "ann", json!({})).await, 403, "forbidden"),
        (set("ann", "key", json!({})).await, 403, "forbidden"),
        (
            set("ann", "op", json!({"bytes": -1})).await,
            400,
            "bad-request",
        ),
        (
            set("ann", "op", json!({"bytes": u64::MAX})).await,
            400,
            "bad-request",
        ),
        (
            set("ann", "op", json!({"pieces": 1})).await,
            400,
            "bad-request",
        ),
    ] {
        assert_eq!(kind(answer).await, (status, refused.to_owned()));
    }
}
