//! A role as a process that another one may replace: SIGUSR2 starts the program anew, and when the new process serves,
//! this one ends what it has begun. SIGHUP has it read its configuration again.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use runtime::notify::{State, Supervisor};
use runtime::upgrade::{Elder, Failed, Heir, MARK, Program};
use tier::serving::Serving;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::{cli, roles};

/// The process that runs a role.
pub(crate) struct Process {
    /// The one that it replaces.
    elder: Option<Elder>,
    supervisor: Supervisor,
    reload: Signal,
    upgrade: Signal,
    leash: bool,
}

/// How a role's time in this process ends.
pub(crate) enum End {
    Stop(Supervisor),
    Replaced {
        supervisor: Supervisor,
        heir: Box<Heir>,
        id: Option<u32>,
        /// A signal to stop may come yet.
        stop: Stop,
    },
}

impl End {
    /// Ends what runs.
    pub(crate) async fn of(self, serving: Serving) {
        match self {
            Self::Stop(supervisor) => {
                supervisor.tell(State::Stopping);
                serving.stop().await;
            }
            Self::Replaced {
                supervisor,
                heir,
                id,
                stop,
            } => {
                tracing::info!("another process serves; ending what was begun");
                if let Some(id) = id {
                    supervisor.tell(State::Replaced(id));
                }
                let at_once = async {
                    // Without signals, nobody can tell it to stop.
                    if stop.await.is_err() {
                        std::future::pending().await
                    }
                };
                serving.hand_over(at_once).await;
                // It hears now that this process has ended.
                drop(heir);
            }
        }
    }
}

impl Process {
    /// Before the role is started: signals that come meanwhile wait.
    pub(crate) fn new(options: &cli::Role, supervisor: Supervisor) -> anyhow::Result<Self> {
        let mark = std::env::var_os(MARK);
        let elder = Elder::find(mark.as_deref());
        Ok(Self {
            elder: elder.context("cannot take over from the process before")?,
            supervisor,
            reload: signal(SignalKind::hangup()).context("cannot wait for signals")?,
            upgrade: signal(SignalKind::user_defined2()).context("cannot wait for signals")?,
            leash: options.leash,
        })
    }

    pub(crate) const fn elder(&mut self) -> Option<&mut Elder> {
        self.elder.as_mut()
    }

    /// Runs what was started until it is asked to stop, or another process serves in its place. It is reloaded as well
    /// when something else has changed what its configuration is made of.
    pub(crate) async fn keep(
        mut self,
        serving: &Serving,
        mut reload: impl FnMut(),
        changed: &Notify,
    ) -> anyhow::Result<End> {
        let gone: Gone = match self.elder.take() {
            Some(mut elder) => {
                elder.serving().await;
                tracing::info!("took over from the process before");
                // What was asked of that one meanwhile, it can do for itself alone.
                reload();
                Some(Box::pin(elder.gone()))
            }
            None => {
                self.supervisor.tell(State::Ready);
                None
            }
        };
        self.until_end(serving, reload, changed, gone).await
    }

    async fn until_end(
        mut self,
        serving: &Serving,
        mut reload: impl FnMut(),
        changed: &Notify,
        mut gone: Gone,
    ) -> anyhow::Result<End> {
        let leash = self.leash;
        let mut stop: Stop = Box::pin(roles::wait(leash));
        let mut wanted = false;
        loop {
            let next = async {
                if wanted && gone.is_none() {
                    return Some(renew(serving).await);
                }
                tokio::select! {
                    _ = self.upgrade.recv() => wanted = true,
                    _ = self.reload.recv() => {
                        self.supervisor.tell(State::Reloading);
                        reload();
                        self.supervisor.tell(State::Ready);
                    }
                    () = changed.notified() => reload(),
                    () = ended(&mut gone) => gone = None,
                }
                None
            };
            let outcome = tokio::select! {
                stopped = &mut stop => return stopped.map(|()| End::Stop(self.supervisor)),
                outcome = next => outcome,
            };
            match outcome {
                None if wanted && leash => {
                    wanted = false;
                    refused(
                        serving,
                        "whoever holds the leash would lose the new process",
                    );
                }
                None if wanted && std::process::id() == 1 => {
                    wanted = false;
                    refused(serving, "a container ends with its first process");
                }
                None if wanted && gone.is_some() => {
                    tracing::info!("the upgrade begins when the process before this one has ended");
                }
                None => {}
                Some(Ok((heir, id))) => {
                    return Ok(End::Replaced {
                        supervisor: self.supervisor,
                        heir: Box::new(heir),
                        id,
                        stop,
                    });
                }
                Some(Err(failed)) => {
                    wanted = false;
                    refused(serving, &failed.to_string());
                }
            }
        }
    }
}

fn refused(serving: &Serving, why: &str) {
    tracing::error!("no upgrade, and this process serves on: {why}");
    let said = format!("the last one failed, and the process before it serves on: {why}");
    serving.health.degrade("upgrade", Some(said));
}

/// Starts the program anew and hands over to it.
async fn renew(serving: &Serving) -> Result<(Heir, Option<u32>), Failed> {
    let mut words = std::env::args_os();
    let program = Program {
        // The name by which this one was called: it leads to the file that stands there now.
        file: words.next().unwrap_or_else(|| "millrace".into()),
        arguments: words.collect(),
    };
    tracing::info!("starting {} anew", program.file.display());
    let estate = serving.estate().map_err(Failed::Start)?;
    let mut heir = Heir::start(&program, &estate)?;
    drop(estate);
    if let Err(failed) = heir.ready(READY_WITHIN).await {
        heir.end().await;
        return Err(failed);
    }
    match give(serving, &mut heir).await {
        Ok(id) => Ok((heir, id)),
        Err(failed) => {
            heir.end().await;
            serving.reclaim();
            Err(failed)
        }
    }
}

async fn give(serving: &Serving, heir: &mut Heir) -> Result<Option<u32>, Failed> {
    let facts = serving.lend().await.map_err(Failed::Kept)?;
    heir.give(&facts).await?;
    heir.serving(SERVING_WITHIN).await
}

/// The wish that this process stop.
type Stop = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// The end of the process before, where there is one.
type Gone = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

async fn ended(gone: &mut Gone) {
    match gone {
        Some(gone) => gone.await,
        None => std::future::pending().await,
    }
}

/// How long a new process may take to read its configuration.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to read what is on the disks.
const SERVING_WITHIN: Duration = Duration::from_secs(600);
