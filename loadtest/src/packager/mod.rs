//! The bench of packager and origin: how much processor time, memory and waiting each kind of answer costs.
//!
//! `cargo xtask bench packager` builds what is needed and calls this program. It never judges a figure: it fails
//! only when something is broken.

mod client;
mod http;
mod load;
mod media;
mod packing;
mod peers;
mod publish;
mod report;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use self::client::Client;
pub(crate) use self::media::bake;
use self::packing::Effort;
use self::report::Report;
use crate::machine::Cores;

/// What the bench takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where films, the store and the outcome lie
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// The binary whose origin is measured; without it, packing alone is
    #[arg(long)]
    millrace: Option<PathBuf>,
    /// An nginx that serves files, for comparison
    #[arg(long)]
    nginx: Option<PathBuf>,
    /// A shaka-packager, for comparison
    #[arg(long)]
    shaka: Option<PathBuf>,
    /// Short rounds: figures to see that everything works
    #[arg(long)]
    quick: bool,
}

/// Measures, prints and writes down.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = &std::path::absolute(&arguments.folder)?;
    let films = media::make(&folder.join("media"))?;
    let environment = report::environment(arguments.millrace.as_deref(), arguments);
    let shelf = publish::index(&films)?;
    let cores = Cores::choose()?;
    cores.stay()?;

    let mut report = Report::new(environment, &films);
    report.packing = packing::run(&shelf, effort(arguments.quick, Duration::from_millis(150)))?;
    if let Some(program) = &arguments.millrace {
        let published = publish::publish(&shelf, &folder.join("published"))?;
        let bench = http::Bench {
            program,
            published: &published,
            folder,
            cores,
            effort: effort(arguments.quick, Duration::from_secs(2)),
        };
        report.http = bench.run(&shelf, arguments.nginx.as_deref())?;
    }
    report.peers = peers::run(&shelf.short, folder, arguments.shaka.as_deref(), cores);
    report.compare();
    report.print()?;
    let file = folder.join("packager.json");
    report
        .write(&file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("the same figures, and more: {}", file.display());
    Ok(())
}

fn effort(quick: bool, round: Duration) -> Effort {
    if quick {
        let round = round / 10;
        return Effort { rounds: 2, round };
    }
    Effort { rounds: 5, round }
}
