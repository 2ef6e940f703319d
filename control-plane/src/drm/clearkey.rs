//! W3C Clear Key (Encrypted Media Extensions §9.1): the keys themselves, for players whose token names them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use contracts::keys::{ContentKey, KeyId, System};
use runtime::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::admission::{self, Asked, Shown};
use super::token::Licence;
use crate::app::App;
use crate::keys::sets::Sets;
use crate::problem;

/// What a content decryption module asks for.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Request {
    /// The names of the keys, in base64url without padding; 1 to 64.
    kids: Vec<String>,
    /// `temporary`, or `persistent-license` where the policy allows to keep licences.
    #[serde(default)]
    r#type: Kind,
}

/// How long a licence is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Temporary,
    PersistentLicense,
}

/// A JSON Web Key Set (RFC 7517), as a content decryption module takes it.
#[derive(Serialize, ToSchema)]
#[schema(as = ClearKeyLicense)]
struct Answer {
    keys: Vec<Jwk>,
    r#type: Kind,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClearKey)]
struct Jwk {
    /// `oct`.
    kty: &'static str,
    /// The key's name.
    kid: String,
    /// The key.
    k: String,
}

/// Gives a player the keys that its content decryption module asks for. Those of the film that its token does not
/// name are left out; nothing is given when there are others, or none is left.
#[utoipa::path(post, path = "/drm/clearkey/license", params(Shown, ("Authorization" = Option<String>, Header, description = "`Bearer` and the licence token")),
    request_body(content = Request, description = "as the content decryption module says it; the content type does not count"),
    responses((status = 200, body = Answer, description = "never to be stored: `Cache-Control: no-store`"), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`license-refused`; `reason` is `expired`, `invalid`, `system`, `session-over`, `keys`, `persistence` or `used-up`"),
        (status = 404, body = Problem), (status = 413, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn license(
    State(app): State<Arc<App>>,
    query: Asked,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    let (licence, sets) = admission::admit(&app, keys, System::ClearKey, &headers, query).await?;
    let body = body.map_err(problem::too_large)?;
    let (wanted, kind) = parse(&body).map_err(Problem::bad_request)?;
    if kind == Kind::PersistentLicense && !licence.policy.persist {
        return Err(problem::license_refused("persistence"));
    }
    let given = allowed(&sets, &licence, &wanted)?;
    let kids: Vec<KeyId> = given.iter().map(|key| key.kid).collect();
    admission::take(&app, keys, &licence, Some(&kids))?;
    admission::given(&app, &licence);
    let answer = Answer {
        keys: given.into_iter().map(Jwk::of).collect(),
        r#type: kind,
    };
    let secret = [(header::CACHE_CONTROL, "no-store")];
    Ok((secret, Json(answer)).into_response())
}

/// The names of the keys that are asked for, each once, and how long they are to be kept.
fn parse(body: &[u8]) -> Result<(Vec<KeyId>, Kind), &'static str> {
    let request: Request = serde_json::from_slice(body)
        .map_err(|_| "send {\"kids\": [base64url], \"type\": \"temporary\"}")?;
    if !(1..=MOST_KIDS).contains(&request.kids.len()) {
        return Err("kids must name 1 to 64 keys");
    }
    let kid = |text: &String| {
        let bytes = B64.decode(text).ok()?;
        Some(KeyId(bytes.try_into().ok()?))
    };
    let kids: Option<Vec<KeyId>> = request.kids.iter().map(kid).collect();
    let mut kids = kids.ok_or("a name of a key is 16 bytes in base64url without padding")?;
    kids.sort_unstable();
    kids.dedup();
    Ok((kids, request.r#type))
}

/// The keys among those that are wanted which the token names. hls.js asks for every key of the film at once.
fn allowed<'a>(
    sets: &'a Sets,
    licence: &Licence,
    wanted: &[KeyId],
) -> Result<Vec<&'a ContentKey>, Problem> {
    let film = |kid: &KeyId| {
        let mut all = sets.each().flatten().flat_map(|period| &period.keys);
        all.find(|key| key.kid == *kid)
    };
    let found: Option<Vec<&ContentKey>> = wanted.iter().map(film).collect();
    let mut found = found.ok_or_else(|| problem::license_refused("keys"))?;
    found.retain(|key| licence.kids.contains(&key.kid));
    if found.is_empty() {
        return Err(problem::license_refused("keys"));
    }
    Ok(found)
}

impl Jwk {
    fn of(key: &ContentKey) -> Self {
        Self {
            kty: "oct",
            kid: B64.encode(key.kid.0),
            k: B64.encode(key.key.0),
        }
    }
}

/// The most keys that one request asks for.
const MOST_KIDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const KID: &str = "q7onHovPVSu9LoakNKml2Q";

    #[test]
    fn the_request_of_three_players_is_read() {
        let request = format!(r#"{{"kids":["{KID}"],"type":"temporary"}}"#);
        let kid = hex::decode("abba271e8bcf552bbd2e86a434a9a5d9").unwrap();
        let kid = KeyId(kid.try_into().unwrap());
        assert_eq!(parse(request.as_bytes()), Ok((vec![kid], Kind::Temporary)));
        let twice = format!(r#"{{"kids":["{KID}","{KID}"],"type":"persistent-license"}}"#);
        let read = parse(twice.as_bytes());
        assert_eq!(read, Ok((vec![kid], Kind::PersistentLicense)));
        let initdata = format!(r#"{{"kids":["{KID}"]}}"#);
        assert_eq!(parse(initdata.as_bytes()), Ok((vec![kid], Kind::Temporary)));
    }

    #[test]
    fn a_request_that_is_none_is_refused() {
        let many = vec![format!("\"{KID}\""); 65].join(",");
        for kids in [
            "",
            &format!("\"{KID}==\""),
            "\"+//7//v/+//7//v/+//7/w==\"",
            "\"q7onHovPVSu9LoakNKml\"",
            "\"q7onHovPVSu9LoakNKml2R\"",
            "7",
            "null",
            &many,
        ] {
            let request = format!(r#"{{"kids":[{kids}],"type":"temporary"}}"#);
            assert!(parse(request.as_bytes()).is_err(), "{request}");
        }
        for request in ["", "[]", "{}", r#"{"kids":"a"}"#, "\u{0}"] {
            assert!(parse(request.as_bytes()).is_err(), "{request}");
        }
        let other = format!(r#"{{"kids":["{KID}"],"type":"for-ever"}}"#);
        assert!(parse(other.as_bytes()).is_err());
    }

    #[test]
    fn a_key_is_written_as_content_decryption_modules_read_it() {
        let bytes = |text: &str| hex::decode(text).unwrap().try_into().unwrap();
        let key = ContentKey {
            kid: KeyId(bytes("abba271e8bcf552bbd2e86a434a9a5d9")),
            key: contracts::keys::KeyValue(bytes("69eaa802a6763af979e8d1940fb88392")),
            iv: None,
            tracks: Vec::new(),
        };
        let answer = Answer {
            keys: vec![Jwk::of(&key)],
            r#type: Kind::Temporary,
        };
        let written = serde_json::to_string(&answer).unwrap();
        let wanted = r#"{"keys":[{"kty":"oct","kid":"q7onHovPVSu9LoakNKml2Q","k":"aeqoAqZ2Ovl56NGUD7iDkg"}],"type":"temporary"}"#;
        assert_eq!(written, wanted);
    }
}
