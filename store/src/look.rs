//! Whether the store is there: asked when a role starts, and every few seconds while it runs.

use std::{io, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{Error, Store, with_causes};

/// Asks whether a store is there, and waits for some seconds only.
///
/// # Errors
/// [`Error::Absent`] where there is none, which waiting does not mend; [`Error::Io`] when it does not answer.
pub async fn look(store: &dyn Store) -> Result<(), Error> {
    let asked = timeout(PATIENCE, store.ping()).await;
    asked.unwrap_or_else(|_| Err(silent()))
}

/// Looks every few seconds, and says what ails the store, or that nothing does; never ends.
pub async fn watch(store: Arc<dyn Store>, tell: impl Fn(Option<String>)) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ails = false;
    let mut say = |answer: Result<(), Error>| {
        match &answer {
            Err(fault) if !ails => tracing::error!(
                error = fault as &dyn std::error::Error,
                "the store ails: {fault}"
            ),
            Ok(()) if ails => tracing::info!("the store is well again"),
            _ => {}
        }
        ails = answer.is_err();
        tell(answer.err().map(|fault| with_causes(&fault)));
    };
    loop {
        ticks.tick().await;
        let mut asked = store.ping();
        match timeout(PATIENCE, &mut asked).await {
            Ok(answer) => say(answer),
            Err(_) => {
                say(Err(silent()));
                // It is asked no second time meanwhile: each question may hold a thread.
                say(asked.await);
            }
        }
    }
}

fn silent() -> Error {
    Error::Io {
        subject: "the store".to_owned(),
        action: "asking whether it is there",
        source: io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
    }
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(3);
