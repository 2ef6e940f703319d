//! `DELETE /v1/videos/{id}`: a film is taken away, from every edge first.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use catalog::nodes::standing::Standing;
use catalog::videos::{Event, Video};
use contracts::feed::{Mode, Order, Purge};
use contracts::id::VideoId;
use contracts::revocation::{Revocation, Revoked, Subtree};
use runtime::problem::{Named, Problem};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::purges::{self, Shown};
use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::problem::catalogue;

/// How long the answer waits for edges.
const SETTLE: Duration = Duration::from_secs(5);
/// How often it looks at what they have said.
const LOOK: Duration = Duration::from_millis(50);

/// A film that was taken away.
#[derive(Serialize, ToSchema)]
pub(crate) struct Removed {
    video_id: String,
    /// How far its purge has come; `pending` names the nodes that have not applied it.
    purge: Shown,
    /// Where to ask further.
    state_url: String,
}

/// Takes a film away for good: its sessions end, edges are ordered to refuse its addresses and to forget what they hold
/// of it, and ingest removes its media. Answers when every connected edge and shield has done so, or after five
/// seconds. Again, it orders the same again. For operators, publishers for films of their channels, and API keys with
/// the scope `remove`.
#[utoipa::path(delete, path = "/videos/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Removed), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<Json<Removed>, Problem> {
    let video = VideoId::parse(&id).map_err(|_| Problem::no_video())?;
    if !caller.may(Scope::Remove) && !app.owns_to_publish(&caller, &video).await? {
        // Of whose films one cannot see one does not learn.
        app.visible(&id, &caller).await?;
        return Err(caller.refused());
    }
    let film = match app.catalog.videos.advance(&video, Event::Deleted).await {
        Err(catalog::Error::NoVideo(_)) => return Err(Problem::no_video()),
        film => film.map_err(catalogue)?,
    };
    let ended = app.catalog.sessions.end_all(&video, app.clock.now()).await;
    ended.map_err(catalogue)?;
    let orders = orders(&app, &film)?;
    let seq = app.orders.give(&orders).await.map_err(catalogue)?;
    tracing::info!(video.id = %video, seq, "video {video} is taken away");
    let standing = app.settled(seq).await?;
    Ok(Json(Removed {
        video_id: video.to_string(),
        purge: Shown::of(seq, standing),
        state_url: format!("{}/v1/purge/{seq}", app.public_base),
    }))
}

/// Its addresses are refused until every token for them has ended, so that nothing matters that a cache refills while
/// its media are still there. The purge comes last: its number says that all was done.
fn orders(app: &App, film: &Video) -> Result<Vec<Order>, Problem> {
    let until = app.last_token(film, app.clock.now());
    let mut orders = Vec::new();
    for root in ["v", "t", "s"] {
        let path = Subtree::parse(&format!("/{root}/{}/", film.id));
        let what = Revoked::Path(path.map_err(|_| Problem::internal())?);
        orders.push(Order::Revoke(Revocation { what, until }));
    }
    orders.push(Order::Purge(Purge {
        scope: purges::tag(&film.id)?,
        mode: Mode::Hard,
        tenant: None,
    }));
    Ok(orders)
}

impl App {
    /// How far an order has come once every connected node has applied it, or after a while.
    async fn settled(&self, seq: u64) -> Result<Standing, Problem> {
        let until = Instant::now() + SETTLE;
        loop {
            let standing = self.standing(seq).await?;
            if standing.is_settled(self.clock.now()) || Instant::now() >= until {
                return Ok(standing);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
