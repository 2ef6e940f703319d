//! The one binary: a role or an operator's verb is a subcommand.

/// Prints a line of a verb's answer. A reader that has gone away (`… | head`) is no fault of ours.
macro_rules! say {
    () => { say!("") };
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($what)*);
    }};
}

mod add;
mod api;
mod check;
mod cli;
mod feed;
mod files;
mod fleet;
mod keys;
mod member;
mod play;
mod purge;
mod reload;
mod remove;
mod retry;
mod roles;
mod sign;
mod status;
mod succession;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::cli::{Arguments, Command};

/// How long what cannot be broken off may still take.
const ENDING: Duration = Duration::from_secs(5);
/// The arguments or a configuration file are unusable (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;

/// A fill takes and gives back its size in memory, and the system's allocator gives pages back and takes them anew:
/// fills cost half as much with this one (`docs/decisions/0020-what-a-hit-costs.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything that might open a TLS connection; see `runtime::tls`.
    runtime::tls::install_provider();
    let arguments = Arguments::parse();
    let worked = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match worked {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let code = runtime
        .block_on(run(arguments.command))
        .unwrap_or_else(|error| failed(&error));
    // A read that a dying disk never ends keeps its thread, and not the process.
    runtime.shutdown_timeout(ENDING);
    code
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(options) => up::run(options).await,
        Command::Edge(options) => member::run(&options).await,
        Command::Shield(options) => roles::run(roles::Role::Shield, &options).await,
        Command::Origin(options) => roles::run(roles::Role::Origin, &options).await,
        Command::Control(options) => roles::run(roles::Role::Control, &options).await,
        Command::Ingest(options) => roles::run(roles::Role::Ingest, &options).await,
        Command::Add(options) => add::run(&options).await,
        Command::Play(options) => play_verb(&options).await,
        Command::Sign(options) => sign::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Purge(options) => purge::run(&options).await,
        Command::Remove(options) => remove::run(&options).await,
        Command::Retry(options) => retry::run(&options).await,
        Command::Keys(verb) => keys::run(&verb).await,
        Command::Feed(cli::Feed::Renew(api)) => feed::renew(&api).await,
        Command::Status(options) => status::run(&options).await,
        Command::Invite(options) => fleet::invite(&options).await,
        Command::Nodes(options) => fleet::nodes(&options).await,
        Command::Drain(options) => fleet::drain(&options).await,
        Command::Dismiss(options) => fleet::dismiss(&options).await,
    }
}
async fn play_verb(options: &cli::Play) -> anyhow::Result<ExitCode> {
    if options.insecure {
        eprintln!("note: --insecure: no certificate is checked");
    }
    let report = play::play(&options.to_options()).await;
    if options.json {
        say!("{}", report.to_json());
    } else {
        say!("{}", report.table());
    }
    Ok(ExitCode::from(report.exit_code()))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", told(error));
    ExitCode::FAILURE
}

/// An error and its causes, but for causes that an error above them has told already.
pub(crate) fn told(error: &anyhow::Error) -> String {
    store::with_causes(error.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells its cause by itself, as errors do that are shown alone too.
    #[derive(Debug, thiserror::Error)]
    #[error("cannot listen on port 80: {source}")]
    struct Telling {
        source: std::io::Error,
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = || std::io::Error::other("it is taken");
        let telling = anyhow::Error::from(Telling { source: source() });
        let telling = telling.context("the edge does not start");
        let once = "the edge does not start: cannot listen on port 80: it is taken";
        assert_eq!(told(&telling), once);
        let silent = anyhow::Error::from(source()).context("it does not start");
        assert_eq!(told(&silent), "it does not start: it is taken");
    }
}
