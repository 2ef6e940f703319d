//! The bench of an edge beside nginx, in the same run: what hits, fills, connections and tokens cost, and how many
//! requests reach the origin.
//!
//! 1. [`origin`] answers by what a path says; [`server`] starts edges and nginx on a core of their own.
//! 2. [`side`] puts load on them in turn and takes processor time and latency ([`round`]).
//! 3. [`hits`], [`fills`], [`collapse`], [`connections`] and [`gate`] are the parts; [`report`] prints.

mod collapse;
mod connections;
mod files;
mod fills;
mod gate;
mod hits;
mod origin;
mod report;
mod round;
mod server;
mod side;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use self::files::Files;
use self::gate::Signer;
use self::origin::Origin;
use self::report::Report;
use self::server::Server;
use crate::machine::{self, Cores};
use crate::wire::{Client, Protocol, Trust};

/// What the bench takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where configurations, caches and the outcome lie
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// The binary whose edge is measured
    #[arg(long)]
    millrace: PathBuf,
    /// An nginx, for comparison
    #[arg(long)]
    nginx: Option<PathBuf>,
    /// An nginx that speaks HTTP/3, for what is compared over that
    #[arg(long)]
    nginx_h3: Option<PathBuf>,
    /// Short rounds: figures to see that everything works
    #[arg(long)]
    quick: bool,
    /// Rounds of each server instead of five, or two with --quick
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these parts
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Only over these protocols
    #[arg(long, value_delimiter = ',')]
    over: Vec<Protocol>,
    /// Only bodies of so many KiB: 4, 256, 1024, 4096
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Hits from memory
    Hits,
    /// Hits from a disk whose files are in the page cache
    Disk,
    /// Every request a new object
    Fills,
    /// Many clients on one cold object
    Collapse,
    /// New connections, one request each
    Connections,
    /// Memory of idle connections
    Idle,
    /// The check of a token by itself
    Token,
}

/// What the parts work with.
struct Bench<'a> {
    arguments: &'a Arguments,
    files: Files,
    signer: Rc<Signer>,
    client: Rc<Client>,
    origin: Origin,
    cores: Cores,
    effort: Effort,
}

/// Whom an edge is measured beside; one of the two may be the other as well, or not there.
struct Peers {
    usual: Option<Server>,
    /// Speaks HTTP/3.
    quic: Option<Server>,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    round: Duration,
    /// New connections a round, a multiple of eight.
    fresh: usize,
    /// Idle connections.
    idle: usize,
    /// Clients at once on one object.
    crowd: usize,
}

/// Measures, prints and writes down.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    machine::open_many_files();
    let cores = Cores::choose()?;
    cores.stay()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(arguments, cores))?;
    report.print()?;
    let file = std::path::absolute(&arguments.folder)?.join("edge.json");
    report
        .write(&file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("the same figures: {}", file.display());
    Ok(())
}

async fn measure(arguments: &Arguments, cores: Cores) -> Result<Report> {
    let folder = std::path::absolute(&arguments.folder)?.join("edge");
    let signer = Rc::new(Signer::new()?);
    let files = Files::make(&folder, &signer)?;
    let bench = Bench {
        client: Rc::new(Client::new(&Trust::file(&files.chain)?)?),
        origin: Origin::start()?,
        effort: Effort::of(arguments),
        arguments,
        files,
        signer,
        cores,
    };
    let mut report = Report::new(report::environment(arguments));
    bench.parts(&mut report).await?;
    Ok(report)
}

impl Bench<'_> {
    async fn parts(&self, report: &mut Report) -> Result<()> {
        if self.does(Part::Token) {
            report.token = self.gate()?;
        }
        let nginx = self.nginx("")?;
        if self.does(Part::Disk) {
            let edge = self.edge(("edge, disk", &hits::on_disk(&self.files)?))?;
            report.lines.extend(self.hits(&edge, &nginx).await?);
        }
        let edge = self.edge(("edge", "memory = \"512MiB\""))?;
        if self.does(Part::Hits) {
            report.lines.extend(self.hits(&edge, &nginx).await?);
        }
        if self.does(Part::Fills) {
            let usual = nginx.over(Protocol::Plain);
            report.lines.extend(self.fills(&edge, usual).await?);
        }
        if self.does(Part::Collapse) {
            report.crowds = self.collapse(&edge, &nginx).await?;
        }
        if self.does(Part::Connections) {
            report.fresh = self.fresh(&edge, &nginx).await?;
        }
        if self.does(Part::Idle) {
            report.idle = self.idle().await?;
        }
        Ok(())
    }

    fn gate(&self) -> Result<Vec<gate::Line>> {
        eprintln!("tokens");
        let path = origin::Way::Plain.path(4096, 1);
        let round = self.effort.round / 10;
        self.signer.measure(&path, self.effort.rounds, round)
    }

    fn edge(&self, cache: (&'static str, &str)) -> Result<Server> {
        let program = &self.arguments.millrace;
        Server::edge(program, &self.files, cache, self.origin.address, self.cores)
    }

    /// Starts each nginx, in folders whose names end so.
    fn nginx(&self, end: &str) -> Result<Peers> {
        let start = |program: Option<&PathBuf>, name: &'static str| {
            let names = (name, &*format!("{}{end}", name.replace(' ', "-")));
            let (files, origin) = (&self.files, self.origin.address);
            program
                .map(|program| Server::nginx(program, files, names, origin, self.cores))
                .transpose()
        };
        Ok(Peers {
            usual: start(self.arguments.nginx.as_ref(), "nginx")?,
            quic: start(self.arguments.nginx_h3.as_ref(), "nginx h3")?,
        })
    }

    fn does(&self, part: Part) -> bool {
        let only = &self.arguments.only;
        only.is_empty() || only.contains(&part)
    }

    /// Whether a protocol is left out where the bench is to be quick.
    fn skips(&self, protocol: Protocol) -> bool {
        self.arguments.quick && matches!(protocol, Protocol::H2 | Protocol::H3)
    }

    /// The protocols that are wanted.
    fn protocols(&self) -> impl Iterator<Item = Protocol> {
        let over = self.arguments.over.clone();
        let wanted = move |one: &Protocol| over.is_empty() || over.contains(one);
        Protocol::ALL.into_iter().filter(wanted)
    }

    /// The sizes of bodies that are wanted.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        let wanted = &self.arguments.sizes;
        let only = move |size: &usize| wanted.is_empty() || wanted.contains(&(size >> 10));
        SIZES.into_iter().filter(only)
    }
}

impl Peers {
    /// The one to be beside us over a protocol.
    const fn over(&self, protocol: Protocol) -> Option<&Server> {
        let (first, second) = match protocol {
            Protocol::H3 => (&self.quic, &self.usual),
            _ => (&self.usual, &self.quic),
        };
        match first {
            Some(server) => Some(server),
            None => second.as_ref(),
        }
    }
}

impl Effort {
    fn of(arguments: &Arguments) -> Self {
        let mut effort = Self {
            rounds: 5,
            round: Duration::from_millis(1500),
            fresh: 1000,
            idle: 2000,
            crowd: 100,
        };
        if arguments.quick {
            effort.rounds = 2;
            effort.round = Duration::from_millis(300);
            effort.fresh = 96;
            effort.idle = 200;
        }
        effort.rounds = arguments.rounds.unwrap_or(effort.rounds).max(1);
        effort
    }
}

const SIZES: [usize; 4] = [4 << 10, 256 << 10, 1 << 20, 4 << 20];
