//! What ended before its tokens is told to the edges, which then refuse them.

use catalog::sessions::MOST_TOLD;
use runtime::problem::Problem;

use crate::app::App;
use crate::problem::catalogue;

impl App {
    /// Has edges refuse the tokens of every session that ended early and of which they were not told. The catalogue
    /// remembers which those are: what one process ended and did not come to tell, any other tells.
    ///
    /// Sessions that nobody in particular began are let be unless an operator ends them: who begins one of those anew
    /// gets the same again.
    pub(crate) async fn tell_of_ended(&self) -> Result<(), Problem> {
        let _alone = self.telling.lock().await;
        loop {
            let sessions = &self.catalog.sessions;
            let untold = sessions.untold(self.clock.now(), MOST_TOLD).await;
            let untold = untold.map_err(catalogue)?;
            if untold.is_empty() {
                return Ok(());
            }
            let ended = untold
                .iter()
                .map(|session| (session.id.clone(), session.expires));
            let ended: Vec<_> = ended.collect();
            let ordered = self.orders.revoke_all(ended).await;
            ordered.map_err(catalogue)?;
            let ids: Vec<_> = untold.into_iter().map(|session| session.id).collect();
            sessions.told(&ids).await.map_err(catalogue)?;
        }
    }
}
