//! Common Media Client Data that players report by themselves (CTA-5004-B, event mode).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use contracts::id::SessionId;
use runtime::problem::Problem;
use telemetry::cmcd::Line;
use telemetry::event::Fault;
use telemetry::{Rejected, Source, Taken};

use super::MOST;
use super::events::Outcome;
use crate::app::App;
use crate::client::Client;

/// Takes what players report as Common Media Client Data, version 2: a dictionary a line, at most 100 lines. `sid` is
/// the session of `playback/start`, `sn` the number of the report; both, `ts` and `e` must be there. The body is
/// taken for such lines, whatever its `Content-Type` says.
#[utoipa::path(post, path = "/playback/cmcd", request_body(content = Option<String>, content_type = "application/cmcd"),
    responses((status = 202, body = Outcome), (status = 400, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    client: Client,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Outcome>), Problem> {
    let now = app.clock.now();
    let (collector, body) = app.telemetry.hear(client, body, now)?;
    let (sessions, rejected) = sorted(&String::from_utf8_lossy(&body))?;
    let mut outcome = Outcome::default();
    outcome.add(Taken {
        rejected,
        ..Taken::default()
    });
    for (id, lines) in sessions {
        app.telemetry.count_of(&id, now)?;
        let Some(session) = app.session(&id).await? else {
            collector.refuse(lines.len());
            let unknown = |(index, _)| Rejected {
                index,
                fault: Fault::NoSession,
            };
            outcome.add(Taken {
                rejected: lines.into_iter().map(unknown).collect(),
                ..Taken::default()
            });
            continue;
        };
        let began = session.started;
        let events = lines.into_iter();
        let events = events.map(|(index, line)| (index, line.event(began)));
        let told = events.collect();
        let taken = app
            .telemetry
            .take(session, client.address, Source::Cmcd, told, now);
        outcome.add(taken.await?);
    }
    Ok((StatusCode::ACCEPTED, Json(outcome)))
}

/// The lines of each session, and those that cannot be read.
#[expect(clippy::type_complexity, reason = "lines by session, and the others")]
fn sorted(body: &str) -> Result<(BTreeMap<SessionId, Vec<(usize, Line)>>, Vec<Rejected>), Problem> {
    let mut sessions: BTreeMap<SessionId, Vec<(usize, Line)>> = BTreeMap::new();
    let mut rejected = Vec::new();
    for (index, line) in body.lines().filter(|line| !line.is_empty()).enumerate() {
        if index == MOST {
            return Err(Problem::bad_request(format!(
                "at most {MOST} lines at once"
            )));
        }
        match Line::read(line) {
            Ok(line) => sessions
                .entry(line.session.clone())
                .or_default()
                .push((index, line)),
            Err(fault) => rejected.push(Rejected { index, fault }),
        }
    }
    Ok((sessions, rejected))
}
