//! Keys for other packagers: CPIX documents, and the key server that fills them in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contracts::keys::{ContentKey, KeyId, System};
use control_plane::config::SignUp;
use packager::protect::Scheme;
use packager::protect::signalling::widevine;
use reqwest::{Method, Response};

use crate::drm::{HOP, keys, write};
use crate::house::{House, OPERATOR, problem};
use crate::people::somebody;

/// A house with a protected film whose keys other packagers may have.
async fn house(operator: bool) -> House {
    let house = House::with(|config, dir| {
        config.drm.key_encryption_key = vec![write(dir.path(), "kek", &"5a".repeat(32))];
        config.drm.keys_secret = write(dir.path(), "hop", HOP);
        config.drm.systems = vec![System::Identity, System::Widevine, System::FairPlay];
        if operator {
            config.operator_key = write(dir.path(), "operator", OPERATOR);
            config.accounts.token_keys = vec![write(dir.path(), "token", &"5a".repeat(32))];
            config.accounts.sign_up = SignUp::Anybody;
        }
    })
    .await;
    house.protected("film").await;
    house
}

async fn text(answer: Response) -> String {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

fn uuid(kid: KeyId) -> String {
    let digits = kid.to_string();
    [0..8, 8..12, 12..16, 16..20, 20..32]
        .map(|part| digits[part].to_owned())
        .join("-")
}

fn plain(key: &ContentKey) -> String {
    format!(
        "<pskc:PlainValue>{}</pskc:PlainValue>",
        STANDARD.encode(key.key.0)
    )
}

#[tokio::test]
async fn a_film_s_keys_are_exported_with_what_each_system_is_told() {
    let house = house(false).await;
    let film = keys(&house, "film").await.periods[0].keys.clone();
    for (query, scheme, name) in [
        ("", Scheme::Cbcs, "cbcs"),
        ("?scheme=cenc", Scheme::Cenc, "cenc"),
    ] {
        let request = house.request(Method::GET, &format!("/v1/videos/film/cpix{query}"));
        let answer = request.header("millrace-hop", HOP).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/cpix+xml");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let cpix = text(answer).await;
        assert!(cpix.contains(r#"contentId="film" version="2.3""#), "{cpix}");
        for key in &film {
            let kid = uuid(key.kid);
            let named = format!(r#"<ContentKey kid="{kid}" commonEncryptionScheme="{name}""#);
            let pssh = STANDARD.encode(widevine::pssh(key.kid, scheme));
            let wanted = [named, plain(key), format!("<PSSH>{pssh}</PSSH>")];
            assert!(wanted.iter().all(|part| cpix.contains(part)), "{cpix}");
        }
        assert_eq!(
            cpix.matches("<DRMSystem ").count(),
            if name == "cbcs" { 8 } else { 4 }
        );
        assert_eq!(cpix.matches("<ContentKeyUsageRule ").count(), 4);
        let mut reader = quick_xml::Reader::from_str(&cpix);
        while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
    }
}

#[tokio::test]
async fn who_may_export_keys_shows_it() {
    let open = house(false).await;
    let bare = open.get("/v1/videos/film/cpix").await;
    problem(bare, 403, "hop-refused").await;
    let guarded = house(true).await;
    let bare = guarded.get("/v1/videos/film/cpix").await;
    problem(bare, 401, "unauthorized").await;
    let operator = guarded.request(Method::GET, "/v1/videos/film/cpix");
    text(operator.bearer_auth(OPERATOR).send().await.unwrap()).await;
    for (role, status) in [("viewer", 403), ("publisher", 403), ("operator", 200)] {
        let account = somebody(&guarded, role, role).await;
        let export = guarded.request(Method::GET, "/v1/videos/film/cpix");
        let answer = export.bearer_auth(account).send().await.unwrap();
        assert_eq!(answer.status(), status, "{role}");
    }
    let odd = guarded.request(Method::GET, "/v1/videos/film/cpix?scheme=none");
    let odd = odd.bearer_auth(OPERATOR).send().await.unwrap();
    problem(odd, 400, "bad-request").await;
    let none = guarded.request(Method::GET, "/v1/videos/none/cpix");
    let none = none.bearer_auth(OPERATOR).send().await.unwrap();
    problem(none, 404, "video-not-found").await;
}

/// A document as an encryptor sends it.
fn wish(content: &str, kid: KeyId) -> String {
    let kid = uuid(kid);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><cpix:CPIX contentId="{content}" version="2.3" xmlns:cpix="urn:dashif:org:cpix" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc"><cpix:ContentKeyList><cpix:ContentKey kid="{kid}" commonEncryptionScheme="cbcs"></cpix:ContentKey></cpix:ContentKeyList><cpix:DRMSystemList><cpix:DRMSystem kid="{kid}" systemId="edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"><cpix:PSSH></cpix:PSSH><cpix:ContentProtectionData></cpix:ContentProtectionData></cpix:DRMSystem></cpix:DRMSystemList><cpix:ContentKeyUsageRuleList><cpix:ContentKeyUsageRule kid="{kid}" intendedTrackType="ALL"><cpix:VideoFilter/></cpix:ContentKeyUsageRule></cpix:ContentKeyUsageRuleList></cpix:CPIX>"#
    )
}

async fn exchange(house: &House, document: String) -> Response {
    let request = house.request(Method::POST, "/v1/speke");
    let request = request.header("x-speke-version", "2.0");
    let request = request.header("millrace-hop", HOP).body(document);
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_packager_s_document_goes_back_with_the_same_key_each_time() {
    let house = house(false).await;
    let kid = KeyId([7; 16]);
    let answer = exchange(&house, wish("elsewhere", kid)).await;
    assert_eq!(answer.headers()["x-speke-version"], "2.0");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let first = text(answer).await;
    let pssh = STANDARD.encode(widevine::pssh(kid, Scheme::Cbcs));
    assert!(
        first.contains(&format!("<cpix:PSSH>{pssh}</cpix:PSSH>")),
        "{first}"
    );
    assert_eq!(
        text(exchange(&house, wish("elsewhere", kid)).await).await,
        first
    );
    let value = |text: &str| text.split("PlainValue>").nth(1).unwrap().to_owned();
    assert_eq!(
        STANDARD
            .decode(value(&first).split('<').next().unwrap())
            .unwrap()
            .len(),
        16
    );
    let others = [wish("elsewhere2", kid), wish("elsewhere", KeyId([8; 16]))];
    for other in others {
        let other = text(exchange(&house, other).await).await;
        assert_ne!(value(&other), value(&first));
    }
}

#[tokio::test]
async fn the_keys_of_a_film_of_ours_are_its_own() {
    let house = house(false).await;
    let key = keys(&house, "film").await.periods[0].keys[2].clone();
    let filled = text(exchange(&house, wish("film", key.kid)).await).await;
    assert!(filled.contains(&plain(&key)), "{filled}");
    let iv = STANDARD.encode(key.iv.unwrap().0);
    assert!(filled.contains(&format!("explicitIV=\"{iv}\"")), "{filled}");
    let other = text(exchange(&house, wish("other", key.kid)).await).await;
    assert!(!other.contains(&plain(&key)));
}

#[tokio::test]
async fn the_key_server_answers_packagers_that_show_the_credential_in_its_version() {
    let house = house(true).await;
    let send = async |version: &str, user: Option<(&str, &str)>, body: String| {
        let request = house.request(Method::POST, "/v1/speke").body(body);
        let request = request.header("x-speke-version", version);
        let request = match user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request.bearer_auth(OPERATOR),
        };
        request.send().await.unwrap()
    };
    let good = || wish("film", KeyId([1; 16]));
    text(send("2.0", Some(("packager", HOP)), good()).await).await;
    problem(
        send("2.0", Some(("packager", "another")), good()).await,
        403,
        "hop-refused",
    )
    .await;
    problem(
        send("2.0", Some((HOP, "")), good()).await,
        403,
        "hop-refused",
    )
    .await;
    problem(send("2.0", None, good()).await, 403, "hop-refused").await;
    let user = Some(("", HOP));
    problem(send("1.0", user, good()).await, 400, "bad-request").await;
    problem(
        send("2.0", user, "<a/>".to_owned()).await,
        400,
        "bad-request",
    )
    .await;
    problem(
        send("2.0", user, " ".repeat(70_000)).await,
        413,
        "too-large",
    )
    .await;
}
