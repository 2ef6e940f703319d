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
mod play;
mod purge;
mod reload;
mod remove;
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
        Command::Edge(options) => roles::run(roles::Role::Edge, &options).await,
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
        Command::Status(options) => status::run(&options).await,
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
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
