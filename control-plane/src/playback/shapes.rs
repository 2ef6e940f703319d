//! What is said and answered over HTTP when somebody watches.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::drm::offer::Offer;

/// A wish to watch.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = PlaybackWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    pub(super) video_id: String,
    /// What the player runs on; members that are not known are not looked at.
    #[serde(default)]
    #[schema(value_type = Option<super::player::Described>)]
    pub(super) device: Option<serde_json::Value>,
    /// The DRM system whose licences are wished: `clearkey`, `widevine`, `playready`, `fairplay`; `identity` for
    /// none. It does not count for films that are not protected.
    #[serde(default)]
    pub(super) drm: Option<String>,
    /// Where the player begins, in seconds.
    #[serde(default)]
    pub(super) position_s: Option<f64>,
    /// For backends: for whom it asks, by a name of its own of 1 to 255 bytes. Limits count for each viewer.
    #[serde(default)]
    pub(super) viewer: Option<String>,
    /// For backends: where the viewer is, an IP address.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) viewer_ip: Option<IpAddr>,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct Playback {
    pub(super) session_id: String,
    pub(super) asset_id: String,
    /// The manifest that most players take: HLS.
    pub(super) manifest_url: String,
    pub(super) manifests: Manifests,
    /// Where licences of a protected film are asked for; `null` where none are needed, or none were wished.
    pub(super) drm: Option<Offer>,
    pub(super) thumbnails: Thumbnails,
    pub(super) subtitles: Vec<Subtitles>,
    /// Where a player asks, while it plays, which edge to take; `null` where fewer than two can play the film. The
    /// manifests of `steered` name it.
    pub(super) steering_url: Option<String>,
    /// The film's manifests with a pathway for each edge, for players that can be steered; `null` as `steering_url`.
    pub(super) steered: Option<Manifests>,
    pub(super) heartbeat: Heartbeat,
    /// Where a player tells how it goes; `null` where nobody takes that.
    pub(super) telemetry: Option<Telling>,
    /// When the token ends, in Unix seconds.
    pub(super) expires_at: u64,
    /// Where else the film plays, the best first; those without TLS last.
    pub(super) alternatives: Vec<Alternative>,
}

/// The film's manifests at one edge.
#[derive(Serialize, ToSchema)]
pub(crate) struct Manifests {
    /// HLS with fMP4 segments.
    pub(super) hls: String,
    /// HLS with TS segments; absent where a protected film does not come so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hls_ts: Option<String>,
    /// DASH.
    pub(super) dash: String,
}

/// The film's images.
#[derive(Serialize, ToSchema)]
pub(crate) struct Thumbnails {
    pub(super) poster: Option<String>,
    /// Small pictures along the time line, as WebVTT that names them with `#xywh`; absent where there are none, or
    /// none are known of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sprite_vtt: Option<String>,
}

/// A text of the film's, which its manifests name too.
#[derive(Serialize, ToSchema)]
pub(crate) struct Subtitles {
    /// BCP 47.
    pub(super) language: String,
    /// What viewers choose it by, where the language does not say enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<String>,
    /// WebVTT, whole.
    pub(super) url: String,
}

/// Where and how often a player says that it lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Heartbeat {
    pub(super) url: String,
    pub(super) every_s: u64,
    /// How long the session is believed to be watched after the last one. A session that counts against a limit
    /// of streams ends then.
    pub(super) lease_s: u64,
}

/// Where a player tells how a session goes.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackTelemetry)]
pub(crate) struct Telling {
    /// For events.
    pub(super) events_url: String,
    /// For reports of Common Media Client Data (CTA-5004-B, event mode).
    pub(super) cmcd_url: String,
}

/// The same film at another edge.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alternative {
    pub(super) name: String,
    pub(super) manifests: Manifests,
}

/// What a player says of itself.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Beat {
    /// Where it is, in seconds from the start.
    pub(super) position_s: Option<f64>,
    /// `playing`, `paused`, `buffering` or `ended`.
    pub(super) state: Option<String>,
    /// Which of its heartbeats this is, rising: what an older one says does not count.
    pub(super) seq: Option<u64>,
}

/// What the player shall do.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer {
    /// `continue`, or `stop` where the session was ended here. One that its player stopped, or whose token is over,
    /// is answered 410.
    pub(super) action: &'static str,
    /// Why the player shall stop: `lease_lost`, `not_entitled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// When the token ends, in Unix seconds.
    pub(super) expires_at: u64,
    /// Where the film plays from now on, when the token that the player has is about to end; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifest_url: Option<String>,
    /// All its manifests there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifests: Option<Manifests>,
}
