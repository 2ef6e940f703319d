//! Which edge a film plays from: by the client's network, and by what is known of edges.

use contracts::asset::Privacy;
use control_plane::config::{Config, Edge};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::house::{House, json, problem, split};

/// Keys of our own nodes and of partners'.
pub(crate) const BOTH: &str = r#"{"keyring":[{"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/","/t/"],"nbf":0,"exp":4102444800},{"kid":"p1","ver":"m2","seed_hex":"101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f","scope":["/v/"],"nbf":0,"exp":4102444800}]}"#;

fn edge(name: &str) -> Edge {
    Edge {
        name: name.into(),
        base: format!("https://{name}.example"),
        ..Edge::default()
    }
}

/// A house with these edges, this file of prefixes, and a proxy before it that says where clients are.
async fn house(edges: Vec<Edge>, prefixes: &str) -> House {
    let house = House::with(|config, dir| {
        config.edges = edges;
        config.trusted_hops = vec!["127.0.0.0/8".into()];
        config.prefixes = file(dir, prefixes);
    })
    .await;
    house.film("film1", Privacy::Public).await;
    house
}

fn file(dir: &TempDir, prefixes: &str) -> String {
    let path = dir.path().join("prefixes");
    std::fs::write(&path, prefixes).unwrap();
    path.display().to_string()
}

async fn start(house: &House, from: &str) -> Value {
    let wish = json!({"video_id": "film1"});
    let asked = house.post("/v1/playback/start", &wish);
    let asked = asked.header("millrace-client-ip", from);
    json(asked.send().await.unwrap(), 201).await
}

fn base(playback: &Value) -> String {
    split(playback["manifest_url"].as_str().unwrap()).0
}

#[tokio::test]
async fn a_client_is_sent_to_the_site_of_the_longest_prefix_that_holds_its_address() {
    let at = |name: &str| Edge {
        site: name.into(),
        ..edge(name)
    };
    let prefixes =
        "# who is where\n192.0.2.0/24 north\n192.0.2.128/25 south\n2001:db8::/32 south\n";
    let house = house(vec![at("north"), at("south")], prefixes).await;
    for (from, site) in [
        ("192.0.2.1", "north"),
        ("192.0.2.129", "south"),
        ("::ffff:192.0.2.129", "south"),
        ("2001:db8::7", "south"),
    ] {
        let playback = start(&house, from).await;
        assert_eq!(base(&playback), format!("https://{site}.example"), "{from}");
        assert_eq!(playback["alternatives"].as_array().unwrap().len(), 1);
        let logical = house.request(reqwest::Method::GET, "/v/film1/master.m3u8");
        let logical = logical
            .header("millrace-client-ip", from)
            .send()
            .await
            .unwrap();
        let to = logical.headers()["location"].to_str().unwrap();
        assert!(to.starts_with(&format!("https://{site}.example/~")), "{to}");
    }
}

#[tokio::test]
async fn an_edge_of_smaller_priority_comes_first_and_others_are_alternatives() {
    let later = Edge {
        priority: 10,
        plain: "http://cdn.example".into(),
        ..edge("cdn")
    };
    let house = house(vec![later, edge("ours")], "").await;
    let playback = start(&house, "192.0.2.1").await;
    assert_eq!(base(&playback), "https://ours.example");
    let others: Vec<_> = playback["alternatives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|other| split(other["manifests"]["hls"].as_str().unwrap()).0)
        .collect();
    assert_eq!(others, ["https://cdn.example", "http://cdn.example"]);
}

#[tokio::test]
async fn a_partner_gets_a_token_that_it_can_check_and_could_not_make() {
    let partner = Edge {
        partner: true,
        site: "isp".into(),
        ..edge("isp")
    };
    let house = house(vec![partner, edge("ours")], "192.0.2.0/24 isp\n").await;
    // Without a key of that kind nobody is sent there.
    assert_eq!(
        base(&start(&house, "192.0.2.1").await),
        "https://ours.example"
    );
    let keys = house.dir.path().join("keys.json");
    std::fs::write(&keys, BOTH).unwrap();
    // A file that was written within the same tick of its clock is told from the old one by another time.
    let file = std::fs::File::open(&keys).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    let later = written + std::time::Duration::from_secs(2);
    file.set_modified(later).unwrap();
    house.clock.advance(1);
    let playback = start(&house, "192.0.2.1").await;
    let url = playback["manifest_url"].as_str().unwrap();
    assert!(url.starts_with("https://isp.example/~m2."), "{url}");
    let other = playback["alternatives"][0]["manifests"]["hls"]
        .as_str()
        .unwrap();
    assert!(other.starts_with("https://ours.example/~"), "{other}");
    // Its key is for films alone, not for pictures.
    let poster = playback["thumbnails"]["poster"].as_str().unwrap();
    assert!(poster.starts_with("https://ours.example/t/"), "{poster}");
    // Viewers elsewhere are not a partner's.
    assert_eq!(
        base(&start(&house, "198.51.100.1").await),
        "https://ours.example"
    );
}

#[tokio::test]
async fn a_film_that_no_edge_may_carry_is_told_so() {
    let clear = Edge {
        protected: false,
        ..edge("clear-only")
    };
    let house = house(vec![clear], "").await;
    assert_eq!(
        base(&start(&house, "192.0.2.1").await),
        "https://clear-only.example"
    );
    house.protected_film("film2").await;
    let refused = house.get("/v/film2/master.m3u8").await;
    problem(refused, 503, "unavailable").await;
}

#[tokio::test]
async fn a_file_of_prefixes_with_a_bad_line_stops_the_start_and_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        prefixes: file(&dir, "192.0.2.0/24 north\nnowhere south\n"),
        catalog: format!("sqlite://{}", dir.path().join("catalog.db").display()).into(),
        ..Config::default()
    };
    let settings = config.check().unwrap();
    let told = control_plane::inspect(&settings).unwrap_err();
    let told: Vec<String> = told
        .iter()
        .map(|p| format!("{}: {}", p.key, p.message))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("prefixes: ") && told[0].contains("line 2: "),
        "{told:?}"
    );
}
