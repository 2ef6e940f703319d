//! What is really there, as `hooks.py` wants it: who only makes names up hears 404 and little else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::{Value, json};

use crate::newcomer::{NETWORK, Newcomer, invited};
use crate::role::Role;
use crate::site::{HOP, OPERATOR, ORIGIN, PASSWORD, SEALING, Site, TOKENS, film};

/// How many there are of what a request ends.
const SPARE: usize = 8;

/// Makes films, accounts, sessions and the like, and tells their names and what opens them.
pub(super) async fn made(site: &Site, control: &Role, ingest: &Role) -> Value {
    let catalog = site.catalog().await;
    film(&catalog, "public", Privacy::Public, false).await;
    film(&catalog, "hidden", Privacy::Private, false).await;
    film(&catalog, "locked", Privacy::Public, true).await;
    let spare: Vec<String> = (0..SPARE).map(|number| format!("spare{number}")).collect();
    for id in &spare {
        film(&catalog, id, Privacy::Unlisted, false).await;
    }
    let api = |path: &str| format!("{}{path}", control.at("http"));
    let make =
        async |path: &str, shown: &str, body: Value| site.made(api(path), shown, &body).await;
    let keys = api("/v1/keys/locked");
    let keys = site.http.get(keys).header("millrace-hop", ORIGIN).send();
    let keys: Value = keys.await.unwrap().json().await.unwrap();
    let sign_up = |name: &str| json!({"email": format!("{name}@example.com"), "name": name, "password": PASSWORD});
    let ann = make("/v1/users", OPERATOR, sign_up("ann")).await;
    let role = format!("/v1/users/{}/role", text(&ann["user_id"]));
    make(&role, OPERATOR, json!({"role": "operator"})).await;
    let login = json!({"email": "ann@example.com", "password": PASSWORD});
    let access = make("/v1/auth/login", OPERATOR, login.clone()).await;
    let access = text(&access["access_token"]);
    let channel = make("/v1/channels", access, json!({"name": "news"})).await;
    let purge = make("/v1/purge", OPERATOR, json!({"tag": "news"})).await;
    let upload = format!("{}/v1/videos/upload/initiate", ingest.at("http"));
    let file = json!({"file_name": "film.mp4", "size_bytes": 100_000});
    let upload = site.made(upload, OPERATOR, &file).await;
    let mut over_tus = Vec::new();
    for _ in 0..SPARE {
        over_tus.push(tus(site, ingest).await);
    }
    let (mut there, mut spares) = (Vec::new(), Vec::new());
    for number in 0..SPARE {
        let name = format!("somebody{number}");
        spares.push(json!({
            "session": make("/v1/playback/start", OPERATOR, json!({"video_id": "public"})).await["session_id"],
            "key": make("/v1/api-keys", OPERATOR, json!({"name": name, "scopes": ["status"]})).await["api_key_id"],
            "grant": make("/v1/grants", OPERATOR, json!({"viewer": name, "video_id": "hidden"})).await["grant_id"],
            "user": make("/v1/users", OPERATOR, sign_up(&name)).await["user_id"],
            "refresh": make("/v1/auth/login", OPERATOR, login.clone()).await["refresh_token"],
        }));
        let wish = json!({"video_id": "locked", "drm": "clearkey"});
        there.push(make("/v1/playback/start", OPERATOR, wish).await);
    }
    let each = |kind: &str| of_each(&spares, kind);
    let of = |member: &str| {
        there
            .iter()
            .map(|one| one.pointer(member).unwrap().clone())
            .collect::<Vec<_>>()
    };
    let (kids, sealed) = key_texts(&keys);
    let nodes = Nodes::made(site, control).await;
    json!({
        "sealed": sealed,
        "joins": nodes.secrets,
        "nodes": nodes.there,
        "show": {
            "operator": OPERATOR, "hop": HOP, "origin": ORIGIN, "access": access,
            "license": of("/drm/token"), "renewal": of("/drm/renewal/token"),
        },
        "there": {
            "film": ["public", "hidden", "locked"], "session": of("/session_id"), "user": [ann["user_id"], "me"],
            "kid": kids, "channel": [channel["channel_id"]], "purge": [purge["seq"].to_string()],
            "upload": [upload["upload_id"]], "tus": over_tus.split_off(SPARE / 2),
            "node": of_each(&nodes.there, "name"), "base": ["https://127.0.0.1:9"], "network": [NETWORK, "192.0.2.128/25"],
            "grant": [make("/v1/grants", OPERATOR, json!({"viewer": "eve", "site": true})).await["grant_id"]],
        },
        "spare": {
            "film": spare, "session": each("session"), "key": each("key"), "grant": each("grant"),
            "user": each("user"), "refresh": each("refresh"), "tus": over_tus,
            "node": nodes.spare, "join": of_each(&nodes.joins, "id"), "secret": nodes.unused,
        },
    })
}

/// Nodes that have enrolled, and joins with which others may.
#[derive(Default)]
struct Nodes {
    /// With what opens the door to them.
    there: Vec<Value>,
    /// Those that a request may dismiss, by their names.
    spare: Vec<String>,
    /// Joins that a request may take back.
    joins: Vec<Value>,
    /// The secrets of others.
    unused: Vec<String>,
    /// The secrets of all.
    secrets: Vec<String>,
}

impl Nodes {
    async fn made(site: &Site, control: &Role) -> Self {
        let mut nodes = Self::default();
        for number in 0..SPARE {
            let (node, _) = invited(site, control, &format!("isp-{number}")).await;
            let enrolled = node.enrol(site, control).await;
            nodes.there.push(shown(site, &node, &enrolled));
            let (spare, _) = invited(site, control, &format!("spare-{number}")).await;
            spare.enrol(site, control).await;
            nodes.spare.push(format!("spare-{number}"));
            let (withdrawn, join) = invited(site, control, &format!("join-{number}")).await;
            nodes.joins.push(join);
            let (unused, _) = invited(site, control, &format!("new-{number}")).await;
            nodes.unused.push(unused.secret.clone());
            let all = [node, spare, withdrawn, unused];
            nodes.secrets.extend(all.map(|newcomer| newcomer.secret));
        }
        // One of those that show a certificate shows that of a node that was dismissed.
        let gone = text(&nodes.there[0]["name"]);
        let gone = format!("{}/v1/fleet/nodes/{gone}", control.at("http"));
        let dismissed = site.ask((Method::DELETE, gone), OPERATOR, &Value::Null);
        assert_eq!(dismissed.await.unwrap_or_default().0, 200);
        nodes
    }
}

/// A node's name, its request for a certificate, and the files of its certificate and its key.
fn shown(site: &Site, node: &Newcomer, enrolled: &Value) -> Value {
    let name = text(&enrolled["name"]);
    let [certificate, key] = ["pem", "key"].map(|kind| site.path(&format!("{name}.{kind}")));
    std::fs::write(&certificate, text(&enrolled["certificate"])).unwrap();
    std::fs::write(&key, &node.key).unwrap();
    json!({"name": name, "csr": node.csr, "cert": [certificate, key]})
}

fn of_each(all: &[Value], member: &str) -> Vec<Value> {
    all.iter().map(|one| one[member].clone()).collect()
}

/// The names of the keys that origins are told, as players ask for them, and the keys in all ways that they are written.
fn key_texts(keys: &Value) -> (Vec<String>, Vec<Value>) {
    let keys = keys["periods"][0]["keys"].as_array().unwrap();
    let sealed = keys
        .iter()
        .flat_map(|key| [key["key"].clone(), json!(kid(&key["key"]))]);
    let kids = keys.iter().map(|key| kid(&key["kid"]));
    (kids.collect(), sealed.collect())
}

/// What must stand in no log: what opens anything, whole or the half of it that tells it from others.
pub(super) fn secrets(living: &Value) -> Vec<String> {
    let (show, there, spare) = (&living["show"], &living["there"], &living["spare"]);
    let own = [OPERATOR, HOP, ORIGIN, PASSWORD, TOKENS, SEALING].map(str::to_owned);
    let told = [
        &show["access"],
        &show["license"],
        &show["renewal"],
        &there["session"],
        &spare["session"],
        &spare["refresh"],
        &living["sealed"],
        &living["joins"],
    ];
    let told = told.into_iter().flat_map(|told| match told {
        Value::Array(several) => several.iter().map(text).collect::<Vec<_>>(),
        one => vec![text(one)],
    });
    let halves = told.flat_map(|told| [told, &told[told.len() / 2..]]);
    own.into_iter().chain(halves.map(str::to_owned)).collect()
}

/// Begins an upload over tus, and returns its id.
async fn tus(site: &Site, ingest: &Role) -> String {
    let url = format!("{}/v1/videos/upload/tus", ingest.at("http"));
    let begun = site.http.post(url).bearer_auth(OPERATOR);
    let begun = begun
        .header("tus-resumable", "1.0.0")
        .header("upload-length", "100000")
        .header("upload-metadata", "filename ZmlsbS5tcDQ=");
    let begun = begun.send().await.unwrap();
    let address = begun.headers()["location"].to_str().unwrap();
    address.rsplit('/').next().unwrap().to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The name of a key as players ask for it: base64url of what the origin is told in hexadecimal.
fn kid(hex: &Value) -> String {
    let digits = text(hex).as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}
