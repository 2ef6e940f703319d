//! What `/healthz` says of ingest: whether what it stands on is there, each asked by itself, so that one that is silent
//! hides nothing of the others.

use std::{sync::Arc, time::Duration};

use catalog::Catalog;
use runtime::{internal::Health, shutdown::Shutdown};
use store::{Store, with_causes};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::jobs::Queue;

/// Who is asked.
pub(crate) struct Vitals {
    pub(crate) catalog: Catalog,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) health: Health,
}

impl Vitals {
    /// Asks until shutdown.
    pub(crate) async fn watch(self, mut shutdown: Shutdown) {
        let store = store::watch(Arc::clone(&self.store), |why| {
            self.health.degrade("store", why);
        });
        tokio::select! {
            () = store => {}
            () = self.follow_catalog() => {}
            () = shutdown.requested() => {}
        }
    }

    /// Without the catalogue nothing goes on here.
    async fn follow_catalog(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.catalog_ails().await {
                Some(why) => self.health.ail(why),
                None => {
                    self.health.recover();
                    self.tell_of_jobs().await;
                }
            }
        }
    }

    async fn catalog_ails(&self) -> Option<String> {
        match timeout(PATIENCE, self.catalog.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!(
                "the catalogue does not answer: {}",
                with_causes(&error)
            )),
            Err(_) => Some("the catalogue does not answer".to_owned()),
        }
    }

    /// What cannot be made for want of room, say, waits for days, and nobody else tells of it.
    async fn tell_of_jobs(&self) {
        if let Ok(Ok(held)) = timeout(PATIENCE, self.queue.held_up()).await {
            let why = held.map(|held| format!("{} wait: {}", held.jobs, held.reason));
            self.health.degrade("jobs", why);
        }
    }
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use contracts::time::UnixSeconds;
    use runtime::{clock::Fixed, shutdown::Trigger};

    use super::*;
    use crate::{jobs, schema::Migrations};

    #[tokio::test]
    async fn health_says_within_seconds_that_the_store_or_the_catalogue_went_away() {
        let folder = tempfile::tempdir().unwrap();
        let (root, away) = (folder.path().join("store"), folder.path().join("away"));
        let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
        let clock = Arc::new(Fixed::at(UnixSeconds(5)));
        let catalog = catalog::open(&address, clock).await.unwrap();
        catalog.migrate::<Migrations>().await.unwrap();
        let health = Health::new();
        let vitals = Vitals {
            catalog: catalog.clone(),
            store: store::open(&format!("file://{}", root.display())).unwrap(),
            queue: Arc::new(jobs::sql::Sql::new(catalog.connection().clone())),
            health: health.clone(),
        };
        let (trigger, shutdown) = Trigger::new();
        let watch = tokio::spawn(vitals.watch(shutdown));

        std::fs::rename(&root, &away).unwrap();
        said(&health, (true, "degraded: store: there is no store at")).await;
        std::fs::rename(&away, &root).unwrap();
        said(&health, (true, "ok\n")).await;
        catalog.connection().close_by_ref().await.unwrap();
        said(&health, (false, "the catalogue does not answer")).await;
        trigger.fire();
        watch.await.unwrap();
    }

    /// Waits until health says this; the time limit is the test runner's.
    async fn said(health: &Health, (well, wanted): (bool, &str)) {
        let mut looks = interval(Duration::from_millis(20));
        loop {
            let (is_well, told) = health.report();
            let says = match wanted {
                "ok\n" => told == wanted,
                _ => told.contains(wanted),
            };
            if is_well == well && says {
                return;
            }
            looks.tick().await;
        }
    }
}
