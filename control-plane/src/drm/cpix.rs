//! A film's keys for other packagers, as a CPIX document (DASH-IF CPIX 2.3).

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contracts::id::VideoId;
use contracts::keys::{ContentKey, KeyId, KeyPeriod, System, TrackType};
use packager::protect::Scheme;
use packager::protect::signalling::Signals;
use runtime::problem::{Named, Problem};
use serde::Deserialize;

use super::systems::{PLAYLISTS, SYSTEMS};
use crate::app::App;
use crate::caller::Caller;
use crate::keys;
use crate::problem;

/// How the other packager encrypts.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `cbcs` or `cenc`; `cbcs` without it.
    scheme: Option<String>,
}

/// The keys of a protected film in the clear, for operators and packagers: whoever shows an operator's credentials, or
/// the credential of `drm.keys_secret`.
#[utoipa::path(get, path = "/videos/{id}/cpix", params(("id" = String, Path), Wanted, ("millrace-hop" = Option<String>, Header, description = "the credential of `drm.keys_secret`")),
    responses((status = 200, description = "CPIX 2.3, never to be stored: `Cache-Control: no-store`", content_type = "application/cpix+xml"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 500, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    if !keys.admits(&headers) {
        // Where everybody is the operator, nobody has shown that they are.
        if caller == Caller::Operator && app.settings.operator_key.is_none() {
            return Err(problem::no_keys_credential());
        }
        caller.operator()?;
    }
    let Query(wanted) = query?;
    let scheme = match wanted.scheme.as_deref() {
        None | Some("cbcs") => Scheme::Cbcs,
        Some("cenc") => Scheme::Cenc,
        Some(_) => return Err(Problem::bad_request("scheme must be cbcs or cenc")),
    };
    let video = VideoId::parse(&id).map_err(|_| Problem::no_video())?;
    let sets = keys::of(&app, keys, &video).await?;
    let systems = keys.licensing.systems();
    let document = document(&video, sets.periods(), systems, scheme);
    let document = document.map_err(|error| keys::internal(&error))?;
    let fields = [
        (header::CONTENT_TYPE, "application/cpix+xml"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((fields, document).into_response())
}

/// Writes the document. Every text in it is of letters that XML does not escape.
fn document(
    video: &VideoId,
    periods: &[KeyPeriod],
    systems: &[System],
    scheme: Scheme,
) -> Result<String, packager::Error> {
    let (mut keys, mut drm, mut rules) = (String::new(), String::new(), String::new());
    let several = periods.len() > 1;
    for (at, period) in periods.iter().enumerate() {
        for key in &period.keys {
            content_key(&mut keys, key, scheme);
            for (system, id) in SYSTEMS {
                // FairPlay knows `cbcs` alone.
                let fits = system != System::FairPlay || scheme == Scheme::Cbcs;
                if fits && systems.contains(&system) {
                    let signals = Signals::of(video, key, system, scheme)?;
                    drm_system(&mut drm, &signals, key.kid, id);
                }
            }
            for class in &key.tracks {
                usage_rule(&mut rules, key.kid, *class, several.then_some(at));
            }
        }
    }
    let mut list = String::new();
    if several {
        list.push_str("  <ContentKeyPeriodList>\n");
        for at in 0..periods.len() {
            let _ = writeln!(
                list,
                "    <ContentKeyPeriod id=\"period-{at}\" index=\"{at}\"/>"
            );
        }
        list.push_str("  </ContentKeyPeriodList>\n");
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <CPIX xmlns=\"urn:dashif:org:cpix\" xmlns:pskc=\"urn:ietf:params:xml:ns:keyprov:pskc\" contentId=\"{video}\" version=\"2.3\">\n\
         {}{}{list}{}</CPIX>\n",
        listed("ContentKeyList", &keys),
        listed("DRMSystemList", &drm),
        listed("ContentKeyUsageRuleList", &rules),
    ))
}

/// A list, which is left out when it has nothing.
fn listed(name: &str, inside: &str) -> String {
    if inside.is_empty() {
        return String::new();
    }
    format!("  <{name}>\n{inside}  </{name}>\n")
}

fn content_key(out: &mut String, key: &ContentKey, scheme: Scheme) {
    let name = String::from_utf8_lossy(scheme.fourcc());
    let iv = key.iv.filter(|_| scheme == Scheme::Cbcs);
    let iv = iv.map(|iv| format!(" explicitIV=\"{}\"", STANDARD.encode(iv.0)));
    let _ = writeln!(
        out,
        "    <ContentKey kid=\"{}\" commonEncryptionScheme=\"{name}\"{}>\
         <Data><pskc:Secret><pskc:PlainValue>{}</pskc:PlainValue></pskc:Secret></Data></ContentKey>",
        uuid(key.kid),
        iv.unwrap_or_default(),
        STANDARD.encode(key.key.0),
    );
}

fn drm_system(out: &mut String, signals: &Signals, kid: KeyId, system: &str) {
    let _ = write!(
        out,
        "    <DRMSystem kid=\"{}\" systemId=\"{system}\">",
        uuid(kid)
    );
    if let Some(pssh) = &signals.pssh {
        let _ = write!(out, "<PSSH>{}</PSSH>", STANDARD.encode(pssh));
    }
    let inside = signals.content_protection.as_ref();
    if let Some(inside) = inside.filter(|inside| !inside.is_empty()) {
        let inside = STANDARD.encode(inside);
        let _ = write!(
            out,
            "<ContentProtectionData>{inside}</ContentProtectionData>"
        );
    }
    for (playlist, tag) in PLAYLISTS {
        let _ = write!(
            out,
            "<HLSSignalingData playlist=\"{playlist}\">{}</HLSSignalingData>",
            STANDARD.encode(format!("{tag}:{}", signals.hls)),
        );
    }
    out.push_str("</DRMSystem>\n");
}

fn usage_rule(out: &mut String, kid: KeyId, class: TrackType, period: Option<usize>) {
    let (kind, filter) = match class {
        TrackType::Audio => ("AUDIO", "<AudioFilter/>"),
        TrackType::Sd => ("SD", "<VideoFilter maxPixels=\"589824\"/>"),
        TrackType::Hd => (
            "HD",
            "<VideoFilter minPixels=\"589825\" maxPixels=\"2073600\"/>",
        ),
        TrackType::Uhd => ("UHD", "<VideoFilter minPixels=\"2073601\"/>"),
    };
    let period = period.map(|at| format!("<KeyPeriodFilter periodId=\"period-{at}\"/>"));
    let _ = writeln!(
        out,
        "    <ContentKeyUsageRule kid=\"{}\" intendedTrackType=\"{kind}\">{}{filter}</ContentKeyUsageRule>",
        uuid(kid),
        period.unwrap_or_default(),
    );
}

/// The text form of RFC 9562 §4.
pub(super) fn uuid(kid: KeyId) -> String {
    let digits = kid.to_string();
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    groups
        .map(|group| digits.get(group).unwrap_or_default())
        .join("-")
}
