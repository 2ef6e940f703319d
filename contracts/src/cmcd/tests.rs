//! What players say is understood, and what nobody should is not.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::id::SessionId;

fn read(data: &str) -> (Json, usize) {
    let mut report = Report::default();
    report.read(data);
    (written(&report), report.dropped())
}

fn written(report: &Report<'_>) -> Json {
    let mut out = Vec::new();
    report.write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn what_players_and_the_standards_library_say_is_understood() {
    let cases: Json = serde_json::from_str(include_str!("../../tests/data/cmcd.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 40);
    for case in cases {
        let query = case["query"].as_str();
        let query = query.map(|query| of_query(&format!("/v/a/b?x=1&{query}&y")).unwrap());
        let mut report = Report::default();
        match &query {
            Some(data) => report.read(data),
            None => {
                let fields = case["fields"].as_object().unwrap();
                let fields = fields.values().map(|value| value.as_str().unwrap());
                fields.for_each(|data| report.read(data));
            }
        }
        assert_eq!(
            alike(written(&report)),
            alike(case["says"].clone()),
            "{}",
            case["from"]
        );
        assert_eq!(report.dropped(), 0, "{}", case["from"]);
    }
}

/// 1 and 1.0 are one number.
fn alike(json: Json) -> Json {
    match json {
        Json::Number(number) => json!(number.as_f64().unwrap()),
        Json::Array(all) => all.into_iter().map(alike).collect(),
        Json::Object(all) => all
            .into_iter()
            .map(|(key, value)| (key, alike(value)))
            .collect(),
        other => other,
    }
}

#[test]
fn of_a_session_that_may_be_ours_its_mark_is_written() {
    let id = SessionId::from_random([7; 16]);
    let (says, dropped) = read(&format!("sid=\"{id}\",su"));
    assert_eq!(dropped, 0);
    assert_eq!(says, json!({"sid": id.mark().as_str(), "su": true}));
    // The collector is told the id itself.
    let said = format!("sid=\"{id}\"");
    let mut report = Report::default();
    report.read(&said);
    assert_eq!(report.text("sid").as_deref(), Some(id.as_str()));
}

#[test]
fn a_wrong_pair_is_dropped_and_the_others_stay() {
    for (data, says, dropped) in [
        ("", json!({}), 0),
        (",", json!({}), 0),
        ("ot=v,,su", json!({"ot": "v", "su": true}), 0),
        ("br=(3200", json!({}), 1),
        ("br=3200,br", json!({"br": [{"value": 3200}]}), 1),
        ("br=3200,br=1", json!({"br": [{"value": 1}]}), 0),
        ("su,sid=\"abc", json!({"su": true}), 1),
        ("SU,su", json!({"su": true}), 1),
        ("br=1000000000000000,d=1", json!({"d": 1}), 1),
        (
            "d=007,dl=-0,pr=00.5,pt=0",
            json!({"d": 7, "dl": -0.0, "pr": 0.5, "pt": 0}),
            0,
        ),
        ("d=1.,pr=.5,pt=-,sn=1-2", json!({}), 4),
        (
            "su=?2,bs=?0,bg=?1,nr=true",
            json!({"bs": false, "bg": true, "nr": true}),
            1,
        ),
        (
            "cid=\"\u{e9}\\\"\u{1f600}\"",
            json!({"cid": "\u{e9}\"\u{1f600}"}),
            0,
        ),
        ("cid=\"a\u{7}b\",sid=\"\\x\"", json!({}), 2),
        (
            "zz=1,com.a-b=(1 \"x\" y ?1)",
            json!({"com.a-b": [{"value": 1}, {"value": "x"}, {"value": "y"}, {"value": true}]}),
            1,
        ),
        ("br=(1;v\"x\"),bl=(1 x),mtp=((1)),nor=(1)", json!({}), 4),
        (
            "ot=\"v\",sf=toolongaword,st=l;x=1 ",
            json!({"ot": "v", "st": "l"}),
            1,
        ),
        (" bl = 1,\tmtp=2 ", json!({"mtp": [{"value": 2}]}), 1),
    ] {
        assert_eq!(read(data), (says, dropped), "{data}");
    }
}

#[test]
fn what_could_bear_a_token_is_dropped() {
    for data in [
        "nor=\"/~m1.k1.abc.def/v/a/b\"",
        "nor=(\"a\" \"..%2F%7Em1.k1.abc.def\")",
        "nor=\"b.m4s?exp=1&kid=k1&sig=abc\"",
        "nor=\"b.m4s%3fsig=abc\"",
        "nor=\"%257Em1\"",
        "url=\"https://a/v/a/b#x\"",
        "com.example-path=~m1/abc",
        "sid=\"~m1\"",
    ] {
        assert_eq!(read(data), (json!({}), 1), "{data}");
    }
    // And the shortest native token is longer than what players may say in their own words.
    let token = format!(
        "com.example-t=\"m1.a.{}.{}\"",
        "c".repeat(16),
        "t".repeat(43)
    );
    assert_eq!(read(&token), (json!({}), 1));
}

#[test]
fn nothing_grows_beyond_its_bound() {
    let list = |members: usize| format!("br=({})", vec!["1"; members].join(" "));
    assert_eq!(read(&list(16)).1, 0);
    assert_eq!(read(&list(17)), (json!({}), 1));
    let own: Vec<String> = (0..80).map(|n| format!("a-{n}=1")).collect();
    let (says, dropped) = read(&own.join(","));
    assert_eq!((says.as_object().unwrap().len(), dropped), (64, 16));
    let long = format!("cid=\"{}\"", "a".repeat(129));
    assert_eq!(read(&long), (json!({}), 1));
    let (says, dropped) = read(&format!("{}su", ",".repeat(4096)));
    assert_eq!((says, dropped), (json!({}), 1), "beyond what is read");
}

#[test]
fn of_one_who_says_much_that_is_wrong_little_is_looked_through() {
    let wrong = |count| format!("{}su", "-=(,".repeat(count));
    assert_eq!(read(&wrong(15)), (json!({"su": true}), 15));
    assert_eq!(read(&wrong(1000)), (json!({}), 16));
}

#[test]
fn a_player_says_what_it_will_ask_for_next() {
    let next = |data: &str| next_object(data);
    for (data, expected) in [
        (
            "bl=21300,nor=\"segment_8.m4s\",sid=\"a\"",
            Some("segment_8.m4s"),
        ),
        (
            "nor=\"..%2F300kbps%2Fsegment35.m4v\"",
            Some("../300kbps/segment35.m4v"),
        ),
        ("cid=\"x,nor=\",nor=\"b\"", Some("b")),
        ("nor=(\"a\" \"b\"),v=2", Some("a")),
        ("nor=(\"a\";r=\"0-99\"),v=2", Some("a")),
        ("nrr=\"1-2\"", None),
        ("nor=a", None),
        ("nor=\"a", None),
        ("nor=()", None),
        ("nor=\"%ff\"", None),
    ] {
        assert_eq!(next(data).as_deref(), expected, "{data}");
    }
}

#[test]
fn a_query_is_decoded_as_a_form_is() {
    for (target, data) in [
        ("/v/a/b", None),
        ("/v/a/b?cmcd=su", None),
        ("/v/a/b?a=b&CMCD=su&CMCD=bs", Some("su")),
        (
            "/v/a/b?CMCD=br%3D%281+2%29%2Ccid%3D%22a%2Bb%22",
            Some("br=(1 2),cid=\"a+b\""),
        ),
        ("/v/a/b?CMCD=%zz%4", Some("%zz%4")),
        ("/v/a/b?CMCD=%ff", Some("\u{fffd}")),
    ] {
        assert_eq!(of_query(target).as_deref(), data, "{target}");
    }
}

#[test]
fn figures_are_taken_from_either_version() {
    let mut report = Report::default();
    report.read("bl=(21300;v),bs,mtp=48100,su=?0");
    assert_eq!(report.number("bl"), Some(21300.0));
    assert_eq!(report.number("mtp"), Some(48100.0));
    assert_eq!((report.number("br"), report.number("bs")), (None, None));
    assert!(report.flag("bs") && !report.flag("su"));
    report.read("sid=\"a\\\"b\",sta=p,ec=(\"1\" \"2\")");
    let text = |key| report.text(key);
    assert_eq!(text("sid").as_deref(), Some("a\"b"));
    assert_eq!(
        (text("sta").as_deref(), text("ec").as_deref()),
        (Some("p"), Some("1"))
    );
    assert_eq!((text("bl"), text("e")), (None, None));
}

proptest! {
    #[test]
    fn whatever_is_said_makes_an_object(target: String, pieces in proptest::collection::vec(PIECES, 0..12)) {
        let _ = of_query(&target);
        let data = pieces.concat();
        let _ = next_object(&data);
        let (says, _) = read(&data);
        prop_assert!(says.is_object());
    }
}

const PIECES: &str = "(br|nor|sid|su|ot|a-b|=|,|;|\\(|\\)|\"|\\\\| |\\?|~|%7e|1|-2.5|v|r=|é|\\PC)";
