//! Signed URLs: ours by `contracts`, nginx's by its secure_link; and what a check of ours costs by itself.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing, Request, verify};
use md5::{Digest as _, Md5};
use serde::Serialize;

use crate::maths::{Figure, count};

/// Makes signed URLs.
pub(super) struct Signer {
    ring: KeyRing,
    session: SessionId,
}

/// What one check costs.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    what: &'static str,
    us: Figure,
}

impl Line {
    /// Cells of a table.
    pub(super) fn cells(&self) -> (String, &Figure) {
        (self.what.to_owned(), &self.us)
    }
}

impl Signer {
    /// A signer with keys of its own.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            ring: KeyRing::from_json(KEYRING)?,
            session: SessionId::parse("0123456789abcdef0123456789abcdef")
                .context("no session's id")?,
        })
    }

    /// The keyring as a file.
    #[expect(clippy::unused_self, reason = "whoever has no signer needs no keyring")]
    pub(super) const fn keyring(&self) -> &'static str {
        KEYRING
    }

    /// A path behind an `m1` token for its directory, as playback gives it.
    pub(super) fn token(&self, path: &str) -> Result<String> {
        self.mint("m1", path)
    }

    fn mint(&self, key: &str, path: &str) -> Result<String> {
        let directory = path.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let mut claims = Claims::new(format!("{directory}/"), EXPIRES);
        claims.session = Some(self.session.clone());
        let key = self.ring.find(key).context("no such key")?;
        Ok(format!("/~{}{path}", key.mint(&claims)?))
    }

    /// A path as nginx's secure_link wants it.
    #[expect(clippy::unused_self, reason = "beside the other form")]
    pub(super) fn secure_link(&self, path: &str) -> String {
        let expires = EXPIRES;
        let text = format!("{expires}{path} {}", Self::SECURE_LINK);
        let digest = B64.encode(Md5::digest(text));
        format!("{path}?md5={digest}&expires={expires}")
    }

    /// What nginx's digests are made with.
    pub(super) const SECURE_LINK: &str = "a-bench-has-no-secrets";

    /// Measures the check of a token, on this thread.
    pub(super) fn measure(&self, path: &str, rounds: usize, round: Duration) -> Result<Vec<Line>> {
        let remembering = self.ring.clone().remembering(1024);
        let (m1, m2) = (self.token(path)?, self.mint("m2", path)?);
        let cases = [
            ("m1", &self.ring, &m1),
            ("m2, not seen before", &self.ring, &m2),
            ("m2, remembered", &remembering, &m2),
        ];
        let lines = cases.into_iter().map(|(what, ring, target)| {
            let request = Request::new(target, NOW);
            verify(ring, &request)
                .ok()
                .with_context(|| format!("{what}: the token is refused"))?;
            let each = (0..rounds).map(|_| {
                let (start, mut calls) = (Instant::now(), 0);
                while start.elapsed() < round {
                    for _ in 0..BATCH {
                        black_box(verify(ring, black_box(&request)).is_ok());
                    }
                    calls += BATCH;
                }
                start.elapsed().as_secs_f64() * 1e6 / count(calls)
            });
            let us = Figure::of(each.collect()).context("no round was measured")?;
            Ok(Line { what, us })
        });
        lines.collect()
    }
}

/// Far away: the bench's servers live for minutes.
const EXPIRES: UnixSeconds = UnixSeconds(4_000_000_000);
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const BATCH: usize = 64;

const KEYRING: &str = r#"{"keyring":[
{"kid":"m1","ver":"m1","key_hex":"0707070707070707070707070707070707070707070707070707070707070707","scope":["/v/"],"nbf":0,"exp":4102444800},
{"kid":"m2","ver":"m2","seed_hex":"0909090909090909090909090909090909090909090909090909090909090909","scope":["/v/"],"nbf":0,"exp":4102444800}
]}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_the_directory_and_admitted() {
        let signer = Signer::new().unwrap();
        let target = signer.token("/v/plain-4096/1080p/segment_1.m4s").unwrap();
        let accepted = verify(&signer.ring, &Request::new(&target, NOW)).unwrap();
        assert_eq!(accepted.path, "/v/plain-4096/1080p/segment_1.m4s");
        let other = target.replace("plain-4096", "plain-4097");
        assert!(verify(&signer.ring, &Request::new(&other, NOW)).is_err());
    }

    #[test]
    fn a_secure_link_is_what_nginxs_manual_computes() {
        let signer = Signer::new().unwrap();
        // printf '4000000000/v/a a-bench-has-no-secrets' | openssl md5 -binary | base64 | tr +/ -_ | tr -d =
        assert_eq!(
            signer.secure_link("/v/a"),
            "/v/a?md5=5EluCRRKCI70WUCEqdWT0A&expires=4000000000"
        );
    }
}
