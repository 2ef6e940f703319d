//! Running one role as a process: configuration, start, the line that tells where it listens, stop.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use config::Problem;
use runtime::clock::{Clock, System};
use runtime::notify::{State, Supervisor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::reload::Held;
use crate::succession::Process;
use crate::{USAGE, cli};

/// The roles that are processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Shield,
    Origin,
    Control,
    Ingest,
}

/// What a role says on its standard output once it listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Address by listener name: `http`, `https`, `internal`.
    pub(crate) listen: BTreeMap<String, SocketAddr>,
}

pub(crate) type Listen = BTreeMap<String, SocketAddr>;

pub(crate) fn listen<const N: usize>(pairs: [(&str, Option<SocketAddr>); N]) -> Listen {
    pairs
        .into_iter()
        .filter_map(|(name, address)| Some((name.to_owned(), address?)))
        .collect()
}

/// Loads a role's configuration, or says everything that is wrong with it.
macro_rules! started {
    ($options:expr, $role:literal, $config:ty, $inspect:path) => {{
        let source = Source {
            options: $options,
            role: $role,
            adapt: &|_| Ok(()),
            check: <$config>::check,
            inspect: $inspect,
        };
        match source.start() {
            Ok((config, settings)) => (source, config, settings),
            Err(code) => return Ok(code),
        }
    }};
}

/// Tells that a role listens, waits for the wish to stop, and stops it.
macro_rules! serve {
    ($options:expr, $running:expr, $listen:expr) => {{
        let supervisor = supervisor();
        announce($listen)?;
        supervisor.tell(State::Ready);
        wait($options.leash).await?;
        supervisor.tell(State::Stopping);
        $running.stop().await;
    }};
}

/// Runs a role of the tier until it stops or another process serves in its place, and reloads it meanwhile.
macro_rules! keep {
    ($process:expr, $running:expr, $held:expr, $renew:path) => {{
        let (source, config, reloaded) = $held;
        let mut held = Held::new(source, config, reloaded, &$running);
        let health = &$running.serving.health;
        let reload = || held.reload($renew, health);
        let end = $process
            .keep(&$running.serving, reload, &Notify::new())
            .await?;
        end.of($running.serving).await;
    }};
}

/// Begins to log as the options and the environment wish.
pub(crate) fn begin_log(options: &cli::Role) {
    let format = if options.log_json {
        runtime::log::Format::Json
    } else {
        runtime::log::Format::Text
    };
    let filter = std::env::var("MILLRACE_LOG").unwrap_or_else(|_| "info".to_owned());
    runtime::log::start(format, &filter);
}

/// Runs a role until it is asked to stop.
pub(crate) async fn run(role: Role, options: &cli::Role) -> anyhow::Result<ExitCode> {
    begin_log(options);
    let clock: Arc<dyn Clock> = Arc::new(System);
    match role {
        Role::Shield => {
            let (source, config, settings) = started!(
                options,
                "shield",
                origin_shield::config::Config,
                origin_shield::inspect
            );
            let mut process = Process::new(options, supervisor())?;
            let running = origin_shield::start_after(settings.clone(), process.elder()).await;
            let running = source.named(&settings, running)?;
            let at = listen([
                ("http", Some(running.plain)),
                ("https", running.https),
                ("internal", Some(running.internal)),
            ]);
            announce(at)?;
            let held = (source, config, origin_shield::config::reloaded());
            keep!(process, running, held, origin_shield::Running::renew);
        }
        Role::Origin => {
            let (source, _, settings) =
                started!(options, "origin", origin::config::Config, origin::inspect);
            let running = source.named(&settings, origin::start(settings.clone()).await)?;
            let at = listen([
                ("http", Some(running.listen)),
                ("internal", Some(running.internal)),
            ]);
            serve!(options, running, at);
        }
        Role::Control => {
            let (source, _, settings) = started!(
                options,
                "control",
                control_plane::config::Config,
                control_plane::inspect
            );
            let running = control_plane::start(settings.clone(), clock).await;
            let running = source.named(&settings, running)?;
            let at = listen([
                ("http", Some(running.listen)),
                ("internal", Some(running.internal)),
                ("nodes", running.nodes),
            ]);
            if let Some(invitation) = &running.first_operator {
                tell_first_operator(invitation)?;
            }
            serve!(options, running, at);
        }
        Role::Ingest => {
            let (source, _, settings) =
                started!(options, "ingest", ingest::Config, ingest::inspect);
            let running = source.named(&settings, ingest::start(settings.clone(), clock).await)?;
            let at = listen([
                ("http", Some(running.listen)),
                ("internal", Some(running.internal)),
            ]);
            serve!(options, running, at);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts something into a configuration.
pub(crate) type Adapt<'a, C> = &'a (dyn Fn(&mut C) -> Result<(), Vec<Problem>> + 'a);

/// A role's configuration: how it is read, and judged.
pub(crate) struct Source<'a, C, S> {
    pub(crate) options: &'a cli::Role,
    pub(crate) role: &'static str,
    /// What is put into it beside the file and the environment.
    pub(crate) adapt: Adapt<'a, C>,
    pub(crate) check: fn(C) -> Result<S, Vec<Problem>>,
    pub(crate) inspect: fn(&S) -> Result<(), Vec<Problem>>,
}

impl<C: DeserializeOwned + Serialize + Default, S> Source<'_, C, S> {
    /// Reads the file and the environment.
    pub(crate) fn read(&self) -> Result<C, Vec<Problem>> {
        let path = self.options.config.as_deref();
        let file = path.map(read).transpose();
        let file = file.map_err(|error| vec![Problem::new("", crate::told(&error))])?;
        let mut config = config::load::<C>(self.role, path.zip(file.as_deref()), environment())?;
        (self.adapt)(&mut config)?;
        Ok(config)
    }

    /// What it was made of and the settings, or the code to exit with: 64 when they are unusable, 0 when only a check
    /// was asked for, which judges the files that they name as well.
    pub(crate) fn start(&self) -> Result<(C, S), ExitCode>
    where
        C: Clone,
    {
        let role = self.role;
        let unusable = |problems: Vec<Problem>| {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            let count = count(problems.len());
            eprintln!("{count} in the configuration of {role}; nothing was started");
            ExitCode::from(USAGE)
        };
        let config = self.read().map_err(unusable)?;
        let settings = (self.check)(config.clone()).map_err(unusable)?;
        if self.options.check {
            (self.inspect)(&settings).map_err(unusable)?;
            eprintln!("the configuration of {role} is right");
            return Err(ExitCode::SUCCESS);
        }
        Ok((config, settings))
    }
}

impl<C, S> Source<'_, C, S> {
    /// What a start came to. Where it failed for a file that the configuration names, the key is told as well.
    pub(crate) fn named<T, E>(&self, settings: &S, started: Result<T, E>) -> anyhow::Result<T>
    where
        E: Into<anyhow::Error>,
    {
        started.map_err(|error| {
            let error = error.into();
            let said = crate::told(&error);
            let found = (self.inspect)(settings).err().unwrap_or_default();
            let mut found = found.into_iter();
            match found.find(|problem| said.contains(&problem.message)) {
                Some(problem) => error.context(problem.key),
                None => error,
            }
        })
    }
}

/// The variables that are text; others are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn count(problems: usize) -> String {
    if problems == 1 {
        "1 fault".to_owned()
    } else {
        format!("{problems} faults")
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
pub(crate) fn announce(listen: Listen) -> anyhow::Result<()> {
    for (listener, address) in &listen {
        tracing::info!(listener, %address, "listens for {listener} on {address}");
    }
    say!("{}", serde_json::to_string(&Ready { listen })?);
    Ok(())
}

/// Tells how to become the first operator, on standard error and in no log.
fn tell_first_operator(invitation: &str) -> anyhow::Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(
        out,
        "There is no operator yet. Within a day, make the first account with this invitation, which is good once:\n\n    {invitation}\n\n    POST /v1/users {{\"email\", \"name\", \"password\", \"invitation\"}}"
    )
    .context("cannot tell how to become the first operator")
}

pub(crate) fn supervisor() -> Supervisor {
    Supervisor::new(std::env::var_os("NOTIFY_SOCKET"))
}

/// Resolves at SIGINT or SIGTERM, or when the leash (standard input) is let go.
pub(crate) async fn wait(leash: bool) -> anyhow::Result<()> {
    tokio::select! {
        signal = runtime::shutdown::signal() => signal.context("cannot wait for signals"),
        () = let_go(), if leash => Ok(()),
    }
}

/// A thread of its own reads the leash: it may wait for ever, and must not keep the process alive.
async fn let_go() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whatever is written there is of no meaning; only its end counts.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    // An error says that the thread is gone, which ends the leash as well.
    let _ = end.await;
}

#[cfg(test)]
mod tests;
