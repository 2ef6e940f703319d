//! Reading a role's configuration again while it runs, at SIGHUP.

use std::fmt::Display;

use config::{Problem, Reload};
use runtime::internal::Health;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::Files;
use crate::roles::Source;

/// A role that runs, with the configuration that it goes by.
pub(crate) struct Held<'a, C, S, R> {
    source: Source<'a, C, S>,
    started: C,
    current: C,
    /// What stood in the files that it names, at the start and when it was last taken.
    files: (Files, Files),
    reloaded: Vec<&'static str>,
    running: &'a R,
}

impl<'a, C, S, R> Held<'a, C, S, R>
where
    C: Clone + Default + Serialize + DeserializeOwned,
{
    pub(crate) fn new(
        source: Source<'a, C, S>,
        started: C,
        reloaded: Vec<&'static str>,
        running: &'a R,
    ) -> Self {
        let files = Files::of(&started);
        Self {
            files: (files.clone(), files),
            source,
            current: started.clone(),
            started,
            reloaded,
            running,
        }
    }

    /// Takes what has changed, all of it or nothing, and says so.
    pub(crate) fn reload<E: Display>(
        &mut self,
        renew: impl Fn(&R, &S) -> Result<(), E>,
        health: &Health,
    ) {
        match self.try_reload(renew) {
            Ok((taken, waiting)) => {
                tracing::info!(
                    taken,
                    waiting,
                    "took the configuration again; changed: {}",
                    or_nothing(&taken)
                );
                if !waiting.is_empty() {
                    tracing::warn!("changed, and waiting for an upgrade or a restart: {waiting}");
                }
                let waits =
                    || format!("changed and waiting for an upgrade or a restart: {waiting}");
                health.degrade(PART, (!waiting.is_empty()).then(waits));
            }
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let problems = problems.join("; ");
                tracing::error!("keeping the configuration as it was: {problems}");
                health.degrade(
                    PART,
                    Some(format!("as it was, for a reload failed: {problems}")),
                );
            }
        }
    }

    /// The keys that were taken, and those that wait.
    fn try_reload<E: Display>(
        &mut self,
        renew: impl Fn(&R, &S) -> Result<(), E>,
    ) -> Result<(String, String), Vec<Problem>> {
        let read = self.source.read()?;
        // As a whole, for that is what the next start will meet.
        (self.source.check)(read.clone())?;
        let plan = Reload::plan(&self.started, &self.current, &read, &self.reloaded)?;
        // And with what cannot change, for that is what will hold.
        let settings = (self.source.check)(plan.config.clone())?;
        (self.source.inspect)(&settings)?;
        let failed = |error: E| vec![Problem::new("", error.to_string())];
        let files = Files::of(&plan.config);
        renew(self.running, &settings).map_err(failed)?;
        let (started, before) = &self.files;
        let taken = [plan.taken, files.taken(before)].concat();
        let waiting = [plan.waiting, files.waiting(started)].concat();
        self.current = plan.config;
        self.files.1 = files;
        Ok((taken.join(", "), waiting.join(", ")))
    }
}

fn or_nothing(keys: &str) -> &str {
    if keys.is_empty() { "nothing" } else { keys }
}

/// The part of the node's health that tells of it.
const PART: &str = "configuration";
