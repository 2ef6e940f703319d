//! How soon a film can be watched that comes as it should be served: its ladder is made while it plays.

use anyhow::Result;
use serde::Serialize;

use super::site::Site;
use super::{Bench, sending};
use crate::maths::Figure;

/// What was seen of it.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// Seconds from sending `complete` until it can be watched.
    pub(super) playable_s: Figure,
    /// The same until its ladder is there.
    pub(super) ready_s: Figure,
}

impl Bench<'_> {
    /// Uploads the film to an idle house, and asks the control plane.
    pub(super) async fn playable(&self) -> Result<Option<Line>> {
        let (mut playable, mut ready) = (Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            eprintln!("to the first picture, round {round} of {} …", self.rounds);
            let folder = self.folder.join("house");
            let site = Site::start(&folder, self.millrace, &[&self.cores], "")?;
            let (content, digests) = sending::of_file(&self.films.steady)?;
            let sent = sending::chunks(&site, &content, &digests, self.connections).await?;
            let began = std::time::Instant::now();
            sent.complete(&site).await?;
            let seen = site.until(&sent.video, |status| status.playable).await?;
            playable.push(seen.duration_since(began).as_secs_f64());
            let seen = site
                .until(&sent.video, |status| status.state == "ready")
                .await?;
            ready.push(seen.duration_since(began).as_secs_f64());
        }
        let line = Figure::of(playable).zip(Figure::of(ready));
        Ok(line.map(|(playable_s, ready_s)| Line {
            playable_s,
            ready_s,
        }))
    }
}
