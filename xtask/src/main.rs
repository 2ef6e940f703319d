//! `cargo xtask`: set up, run, test, check and measure the house with one command each.

mod bench;
mod check;
mod run;
mod setup;
mod test;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Set up, run, test, check and measure Millrace"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing, build everything, start the whole house and publish a film
    #[command(disable_help_flag = true)]
    Up {
        /// What `millrace up` takes: --media FILE, --check, --json, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Run every test, and print one closing line
    Test {
        /// Only tests whose names hold this text
        filter: Option<String>,
    },
    /// Run what must hold before a change lands: format, lints, docs, licences and advisories
    Check,
    /// Measure what things cost, and print a table
    #[command(disable_help_flag = true)]
    Bench {
        /// What is measured
        subject: bench::Subject,
        /// What the bench itself takes: --quick, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Only install what is missing, and build the web page
    Setup,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Up { rest } => return up::run(&rest),
        Command::Bench { subject, rest } => bench::run(subject, &rest),
        Command::Test { filter } => test::run(filter.as_deref()),
        Command::Check => check::run(),
        Command::Setup => setup::everything(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
