//! Licence services of vendors: where they are, and how each wants to be told what a player may have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contracts::keys::System;
use contracts::time::UnixSeconds;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runtime::secret::{Secret, Unusable};
use serde_json::{Value, json};

use super::config::{Adapter, Vendor};
use super::cpix::uuid;
use super::policy::Policy;
use super::token::Licence;

/// A vendor's licence service, with what is shown to it.
pub(crate) struct Service {
    pub(crate) vendor: Vendor,
    secret: Option<Secret>,
}

/// What goes to the vendor beside the player's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dressed {
    pub(crate) url: String,
    pub(crate) header: Option<(String, String)>,
}

impl Service {
    /// Reads the vendor's secret.
    pub(crate) fn load(vendor: &Vendor) -> Result<Self, Unusable> {
        let secret = vendor.secret_file.as_deref().map(|path| {
            let secret = Secret::read(path, 1)?;
            let usable = vendor.adapter != Adapter::Axinom || communication_key(&secret).is_some();
            usable
                .then_some(secret)
                .ok_or_else(|| Unusable::new(path, "a communication key is 32 bytes in base64"))
        });
        Ok(Self {
            vendor: vendor.clone(),
            secret: secret.transpose()?,
        })
    }

    /// How this token's licence is asked for; none when that cannot be said, and the log tells why.
    pub(crate) fn dress(&self, licence: &Licence, now: UnixSeconds) -> Option<Dressed> {
        let Vendor { url, name, .. } = &self.vendor;
        let secret = || {
            self.secret
                .as_ref()
                .map(|secret| secret.as_str().to_owned())
        };
        let header = match self.vendor.adapter {
            Adapter::None => None,
            Adapter::Header => Some((name.clone(), secret()?)),
            Adapter::CustomData => Some((name.clone(), self.custom_data(licence))),
            Adapter::Axinom => Some((name.clone(), self.entitlement(licence, now)?)),
            Adapter::Query => {
                let joint = if url.contains('?') { '&' } else { '?' };
                let value = escaped(&secret()?);
                return Some(Dressed {
                    url: format!("{url}{joint}{name}={value}"),
                    header: None,
                });
            }
        };
        Some(Dressed {
            url: url.clone(),
            header,
        })
    }

    /// A message that the vendor's back end asks about: base64 of JSON, as DRMtoday has it.
    fn custom_data(&self, licence: &Licence) -> String {
        let said = json!({
            "merchant": self.vendor.key_id,
            "userId": licence.sid,
            "sessionId": licence.jti,
            "assetId": licence.asset,
        });
        STANDARD.encode(said.to_string())
    }

    /// An entitlement as Axinom's service takes it: a JWT under the communication key.
    fn entitlement(&self, licence: &Licence, now: UnixSeconds) -> Option<String> {
        let secret = self.secret.as_ref().and_then(communication_key)?;
        let message = entitlement(&self.vendor.key_id, licence, now);
        let key = EncodingKey::from_secret(&secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &message, &key).ok()
    }
}

/// What an entitlement says: these keys, each on the terms of the token's policy.
fn entitlement(key_id: &str, licence: &Licence, now: UnixSeconds) -> Value {
    let Policy {
        hdcp,
        robustness,
        persist,
        rental_s,
        playback_s,
    } = &licence.policy;
    let keys: Vec<Value> = licence
        .kids
        .iter()
        .map(|kid| json!({"id": uuid(*kid), "usage_policy": POLICY}))
        .collect();
    let widevine = members([
        ("hdcp", hdcp.map(|hdcp| json!(hdcp.to_string()))),
        (
            "device_security_level",
            robustness.as_ref().map(|word| json!(word)),
        ),
    ]);
    let policy = members([
        ("name", Some(json!(POLICY))),
        ("widevine", Some(widevine).filter(|said| *said != json!({}))),
    ]);
    let section = match licence.system {
        System::PlayReady => "playready",
        System::FairPlay => "fairplay",
        _ => "widevine",
    };
    let terms = members([
        ("allow_persistence", Some(json!(persist))),
        ("duration", rental_s.map(|seconds| json!(seconds))),
        (
            section,
            playback_s.map(|seconds| json!({"playback_duration": seconds})),
        ),
    ]);
    json!({
        "version": 1,
        "com_key_id": key_id,
        "begin_date": rfc3339(now.0),
        "expiration_date": rfc3339(licence.exp),
        "message": {
            "type": "entitlement_message",
            "version": 2,
            "license": terms,
            "content_keys_source": {"inline": keys},
            "content_key_usage_policies": [policy],
            "session": {"id": licence.sid},
        },
    })
}

/// An object of the members that there are.
fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter();
    let there = there.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

fn communication_key(secret: &Secret) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.as_bytes()).ok()?;
    Some(key).filter(|key| key.len() == 32)
}

/// All but unreserved characters as escapes (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// An instant as RFC 3339 writes it, in UTC.
fn rfc3339(unix_s: u64) -> String {
    let (days, of_day) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day since 1970, counted in eras of 400 years that begin in March.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

const POLICY: &str = "millrace";

#[cfg(test)]
mod tests {
    use contracts::id::{SessionId, VideoId};
    use contracts::keys::{KeyId, TrackType};

    use super::super::policy::Rules;
    use super::super::token::Grant;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn licence() -> Licence {
        let rules = Rules {
            rental_s: Some(60),
            playback_s: Some(30),
            robustness: Some("SW_SECURE_CRYPTO".to_owned()),
            hdcp_sd: "1.4".parse().ok(),
            ..Rules::default()
        };
        let grant = Grant {
            session: SessionId::from_random([1; 16]),
            video: VideoId::parse("film").unwrap(),
            system: System::Widevine,
            policy: rules.policy(&[TrackType::Sd]),
            tracks: vec![TrackType::Sd],
        };
        grant.licence(vec![KeyId([0x2a; 16])], [3; 16], NOW, 300)
    }

    fn service(adapter: Adapter, secret: &str) -> Result<Service, Unusable> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, secret).unwrap();
        Service::load(&Vendor {
            url: "https://vendor.example/wv?pX=1".to_owned(),
            adapter,
            name: "X-Vendor".to_owned(),
            key_id: "me".to_owned(),
            secret_file: Some(path),
            certificate_url: None,
        })
    }

    fn dressed(adapter: Adapter, secret: &str) -> Dressed {
        let service = service(adapter, secret).unwrap();
        service.dress(&licence(), NOW).unwrap()
    }

    #[test]
    fn a_secret_goes_in_a_header_or_escaped_in_the_query() {
        let header = dressed(Adapter::Header, "a b/c&d");
        let shown = ("X-Vendor".to_owned(), "a b/c&d".to_owned());
        assert_eq!(header.header, Some(shown));
        assert_eq!(header.url, "https://vendor.example/wv?pX=1");
        let query = dressed(Adapter::Query, "a b/c&d");
        let url = "https://vendor.example/wv?pX=1&X-Vendor=a%20b%2Fc%26d";
        assert_eq!((query.url.as_str(), query.header), (url, None));
        assert_eq!(dressed(Adapter::None, "x").header, None);
    }

    #[test]
    fn custom_data_names_the_session_and_the_film() {
        let (name, value) = dressed(Adapter::CustomData, "x").header.unwrap();
        let said: Value = serde_json::from_slice(&STANDARD.decode(value).unwrap()).unwrap();
        let wanted = json!({"merchant": "me", "userId": licence().sid, "sessionId": "03".repeat(16), "assetId": "film"});
        assert_eq!((name.as_str(), said), ("X-Vendor", wanted));
    }

    #[test]
    fn an_entitlement_is_signed_with_the_communication_key_and_ends_with_the_token() {
        let key = STANDARD.encode([9; 32]);
        let (_, jwt) = dressed(Adapter::Axinom, &key).header.unwrap();
        let mut rules = jsonwebtoken::Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let verifies = jsonwebtoken::DecodingKey::from_secret(&[9; 32]);
        let read = jsonwebtoken::decode::<Value>(&jwt, &verifies, &rules).unwrap();
        let wanted = json!({
            "version": 1, "com_key_id": "me",
            "begin_date": "2027-01-15T08:00:00Z", "expiration_date": "2027-01-15T08:05:00Z",
            "message": {
                "type": "entitlement_message", "version": 2,
                "license": {"allow_persistence": false, "duration": 60, "widevine": {"playback_duration": 30}},
                "content_keys_source": {"inline": [{"id": "2a2a2a2a-2a2a-2a2a-2a2a-2a2a2a2a2a2a", "usage_policy": "millrace"}]},
                "content_key_usage_policies": [{"name": "millrace", "widevine": {"hdcp": "1.4", "device_security_level": "SW_SECURE_CRYPTO"}}],
                "session": {"id": licence().sid},
            },
        });
        assert_eq!(read.claims, wanted);
        for short in ["AAAA", "not base64!"] {
            let refused = service(Adapter::Axinom, short).err().unwrap().to_string();
            assert!(!refused.contains(short), "{refused}");
        }
    }

    #[test]
    fn instants_are_written_as_calendars_have_them() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(unix_s), text);
        }
    }
}
