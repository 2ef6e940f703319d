//! What Millrace costs, and how it fares under load: benches of its parts, and players.
//!
//! `cargo xtask bench` builds what is needed and calls this program. It never judges a figure: it fails only when
//! something is broken.

mod edge;
mod ingest;
mod machine;
mod maths;
mod packager;
mod play;
mod process;
mod starts;
mod table;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures what Millrace costs, and plays under load")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure packager and origin
    Packager(packager::Arguments),
    /// Measure an edge beside nginx
    Edge(edge::Arguments),
    /// Measure ingest: uploads, encoding beside ffmpeg, the time until a film can be watched
    Ingest(ingest::Arguments),
    /// Measure what playback sessions cost a control plane
    Starts(starts::Arguments),
    /// Let players watch films, and tell how they fared
    Play(play::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Packager(arguments) => packager::run(&arguments),
        Command::Edge(arguments) => edge::run(&arguments),
        Command::Ingest(arguments) => ingest::run(&arguments),
        Command::Starts(arguments) => starts::run(&arguments),
        Command::Play(arguments) => play::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
