//! Where a session's film plays: the signed addresses of its manifests, texts and pictures.

use std::net::IpAddr;

use catalog::encodings::Contents;
use catalog::sessions::Session;
use catalog::videos::Video;
use contracts::asset::Kind;
use contracts::id::VideoId;
use contracts::keys::System;
use contracts::token::Claims;
use runtime::problem::Problem;

use super::shapes::{Alternative, Heartbeat, Manifests, Playback, Subtitles, Telling, Thumbnails};
use super::terms::Terms;
use crate::app::App;
use crate::problem::catalogue;
use crate::routing::{Place, Watcher};
use crate::videos::no_edge;

impl App {
    /// What the player of a session is told.
    pub(super) async fn playback(
        &self,
        session: &Session,
        video: &Video,
        (places, at): (&[Place], IpAddr),
        terms: &Terms,
    ) -> Result<Playback, Problem> {
        let contents = self.catalog.encodings.of(&video.id).await;
        let contents = contents.map_err(catalogue)?;
        let mut bases = self.bases(session, places, terms)?.into_iter();
        let (name, base) = bases.next().ok_or_else(no_edge)?;
        let mark = session.id.mark();
        tracing::debug!(session.mark = %mark, edge = name, "session {mark} plays at {name}");
        let way = self.way(video, terms.system);
        let manifests = Manifests::at(&base, &video.id, way);
        let steering = self.can_steer(session, video, at);
        let steering = steering.then(|| self.steering_url(&session.id));
        let sprite = || format!("{base}/v/{}/thumbs/sprite.vtt", video.id);
        Ok(Playback {
            session_id: session.id.to_string(),
            asset_id: video.id.to_string(),
            manifest_url: manifests.hls.clone(),
            manifests,
            drm: None,
            thumbnails: Thumbnails {
                poster: self.poster_at(video, places),
                sprite_vtt: contents.thumbs.then(sprite),
            },
            subtitles: subtitles(&contents, &base, &video.id),
            steered: steering
                .as_deref()
                .map(|room| Manifests::in_room(room, way)),
            steering_url: steering,
            heartbeat: Heartbeat {
                url: format!("{}/v1/playback/{}/heartbeat", self.public_base, session.id),
                every_s: self.settings.heartbeat.as_secs(),
                lease_s: self.settings.playback.lease.as_secs(),
            },
            telemetry: self.telemetry.takes_events().then(|| Telling {
                events_url: format!("{}/v1/playback/events", self.public_base),
                cmcd_url: format!("{}/v1/playback/cmcd", self.public_base),
            }),
            expires_at: session.expires.0,
            alternatives: bases
                .map(|(name, base)| Alternative {
                    name,
                    manifests: Manifests::at(&base, &video.id, way),
                })
                .collect(),
        })
    }

    /// Where the film plays, with a token that ends with the session.
    pub(super) fn manifests(
        &self,
        session: &Session,
        video: &Video,
        at: IpAddr,
        terms: &Terms,
    ) -> Result<Manifests, Problem> {
        let places = self.places(video, Watcher::at(at));
        let bases = self.bases(session, &places, terms)?;
        let (_, base) = bases.into_iter().next().ok_or_else(no_edge)?;
        Ok(Manifests::at(
            &base,
            &video.id,
            self.way(video, terms.system),
        ))
    }

    /// The places by their names, each with a token that its edge takes. One for which no key signs is left out,
    /// unless there is no other.
    pub(crate) fn bases(
        &self,
        session: &Session,
        places: &[Place],
        terms: &Terms,
    ) -> Result<Vec<(String, String)>, Problem> {
        let now = self.clock.now();
        let claims = Claims::new(format!("/v/{}/", session.video), session.expires);
        let claims = terms.claims(claims, &session.id);
        let mut bases = Vec::new();
        let mut refused = None;
        for place in places {
            match self.signer.token(&claims, place, now) {
                Ok(token) => {
                    let base = format!("{}/~{token}", place.base);
                    bases.push((place.name.clone(), base));
                }
                Err(problem) => refused = Some(problem),
            }
        }
        match refused {
            Some(problem) if bases.is_empty() => Err(problem),
            _ => Ok(bases),
        }
    }

    /// Without a view, HLS names DRM systems before keys as they are, and those before Clear Key. Transport streams of
    /// a protected film are opened by keys as they are alone.
    fn way(&self, video: &Video, system: Option<System>) -> Way {
        let systems = &self.settings.drm.systems;
        Way {
            hls: match system {
                Some(System::ClearKey) => "@clearkey/master.m3u8",
                _ => "master.m3u8",
            },
            ts: !video.protected || systems.contains(&System::Identity),
        }
    }
}

/// In which ways a film comes.
#[derive(Clone, Copy)]
struct Way {
    /// The manifest of HLS with fMP4 that names the keys as the system wants it.
    hls: &'static str,
    /// Whether it comes in transport streams.
    ts: bool,
}

impl Manifests {
    /// Those of a film below a base with its token.
    fn at(base: &str, video: &VideoId, way: Way) -> Self {
        Self::in_room(&format!("{base}/v/{video}"), way)
    }

    /// Those that lie beside one another.
    fn in_room(room: &str, way: Way) -> Self {
        let at = |file: &str| format!("{room}/{file}");
        Self {
            hls: at(way.hls),
            hls_ts: way.ts.then(|| at("master_ts.m3u8")),
            dash: at("manifest.mpd"),
        }
    }
}

/// The texts of a film, as the origin has their addresses.
fn subtitles(contents: &Contents, base: &str, video: &VideoId) -> Vec<Subtitles> {
    let texts = contents
        .renditions
        .iter()
        .filter(|one| one.kind == Kind::Text);
    let named = texts.filter_map(|text| {
        Some(Subtitles {
            language: text.language.clone()?,
            label: text.label.clone(),
            url: format!("{base}/v/{video}/{}/subtitles.vtt", text.id),
        })
    });
    named.collect()
}
