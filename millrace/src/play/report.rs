//! What a play found: a table for people, one JSON object for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::Protocol;
use super::check::sequence::as_f64;
use super::manifest::{Bandwidth, Rendition, UrlKind};

/// What a play found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Why nothing could be played at all: a fault of the command line.
    unusable: Option<String>,
    pub(super) url_kind: Option<UrlKind>,
    pub(super) rows: Vec<Row>,
    exchanges: Vec<(Option<usize>, Exchange)>,
    problems: Vec<Problem>,
    /// Until the first segment had arrived.
    pub(super) started: Option<Duration>,
    pub(super) took: Duration,
}

/// One answer.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Without its token.
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) protocol: Protocol,
    /// Whether the edge says that it had it.
    pub(super) hit: Option<bool>,
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// One rendition, as promised and measured.
#[derive(Debug)]
pub(super) struct Row {
    id: String,
    kind: &'static str,
    codecs: Option<String>,
    size: Option<(u64, u64)>,
    bandwidth: Option<u64>,
    segments: usize,
    seconds: f64,
    peak: f64,
}

impl Row {
    pub(super) fn new(rendition: &Rendition, peak: f64) -> Self {
        Self {
            id: printable(&rendition.id),
            kind: rendition.kind.name(),
            codecs: rendition.codecs.as_deref().map(printable),
            size: rendition.size,
            bandwidth: rendition.bandwidth.map(|bandwidth| match bandwidth {
                Bandwidth::Peak(bits_per_s) | Bandwidth::Buffered { bits_per_s, .. } => bits_per_s,
            }),
            segments: rendition.segments.len(),
            seconds: rendition.seconds(),
            peak,
        }
    }
}

#[derive(Debug)]
struct Problem {
    rendition: Option<usize>,
    sentence: String,
}

/// Sums over answers.
#[derive(Default)]
struct Sums {
    requests: usize,
    bytes: u64,
    hits: usize,
    misses: usize,
    protocols: BTreeSet<Protocol>,
}

impl Report {
    /// A report on a command line that cannot be followed.
    pub(super) fn unusable(sentence: String) -> Self {
        Self {
            unusable: Some(sentence),
            ..Self::default()
        }
    }

    /// Whether everything is as promised.
    pub(crate) fn ok(&self) -> bool {
        self.unusable.is_none() && self.problems.is_empty()
    }

    /// 0 when everything is right, 1 when a check failed, 64 when the options cannot be followed.
    pub(crate) fn exit_code(&self) -> u8 {
        match (&self.unusable, self.ok()) {
            (Some(_), _) => 64,
            (None, true) => 0,
            (None, false) => 1,
        }
    }

    /// Every problem, a full sentence each; none bears a token.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &str> {
        let first = self.unusable.as_deref().into_iter();
        first.chain(self.problems.iter().map(|one| one.sentence.as_str()))
    }

    /// The report as one JSON object.
    pub(crate) fn to_json(&self) -> Value {
        let sums = self.sums(|_| true);
        let rows = self.rows.iter().enumerate();
        let renditions: Vec<Value> = rows.map(|(index, row)| self.row_json(index, row)).collect();
        json!({
            "ok": self.ok(),
            "url_kind": self.url_kind.map(UrlKind::name),
            "protocol": sums.protocol(),
            "renditions": renditions,
            "requests": sums.requests,
            "bytes": sums.bytes,
            "hits": sums.hits,
            "misses": sums.misses,
            "problems": self.problems().collect::<Vec<_>>(),
            "started_ms": self.started.map(milliseconds),
            "took_ms": milliseconds(self.took),
            "responses": self.exchanges.iter().map(|(_, one)| one.to_json()).collect::<Vec<_>>(),
        })
    }

    /// The report for people: a row a rendition, the problems, and one closing
    /// line, without a line break at its end.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        if !self.rows.is_empty() {
            out.push_str(&self.grid());
            out.push('\n');
        }
        let count = self.problems().count();
        for sentence in self.problems().take(SHOWN_PROBLEMS) {
            let _ = writeln!(out, "- {sentence}");
        }
        if count > SHOWN_PROBLEMS {
            let _ = writeln!(
                out,
                "- … and {} more (--json gives all).",
                count - SHOWN_PROBLEMS
            );
        }
        if count > 0 {
            out.push('\n');
        }
        out.push_str(&self.closing(count));
        out
    }

    /// Takes an answer in.
    pub(super) fn exchange(&mut self, rendition: Option<usize>, exchange: Exchange) {
        self.exchanges.push((rendition, exchange));
    }

    /// Takes a sentence in.
    pub(super) fn problem(&mut self, rendition: Option<usize>, sentence: String) {
        self.problems.push(Problem {
            rendition,
            sentence: printable(&sentence),
        });
    }

    /// Makes sentences of predicates about what `noun` and `url` name. An address with a great many
    /// faults of one play is cut short.
    pub(super) fn fault_all(
        &mut self,
        rendition: Option<usize>,
        noun: &str,
        url: &Url,
        faults: Vec<String>,
    ) {
        let (path, count) = (shown(url), faults.len());
        for fault in faults.into_iter().take(FAULTS_AN_ADDRESS) {
            self.problem(rendition, format!("{noun} {path} {fault}."));
        }
        if count > FAULTS_AN_ADDRESS {
            let more = count - FAULTS_AN_ADDRESS;
            self.problem(
                rendition,
                format!("{noun} {path} has {more} more faults of the kind."),
            );
        }
    }

    fn sums(&self, of: impl Fn(Option<usize>) -> bool) -> Sums {
        let mut sums = Sums::default();
        for (_, one) in self.exchanges.iter().filter(|(index, _)| of(*index)) {
            sums.requests += 1;
            sums.bytes += one.bytes;
            sums.hits += usize::from(one.hit == Some(true));
            sums.misses += usize::from(one.hit == Some(false));
            sums.protocols.insert(one.protocol);
        }
        sums
    }

    fn faults_of(&self, index: usize) -> usize {
        let mine = |one: &&Problem| one.rendition == Some(index);
        self.problems.iter().filter(mine).count()
    }

    fn row_json(&self, index: usize, row: &Row) -> Value {
        let sums = self.sums(|of| of == Some(index));
        json!({
            "id": row.id,
            "kind": row.kind,
            "codecs": row.codecs,
            "width": row.size.map(|size| size.0),
            "height": row.size.map(|size| size.1),
            "bandwidth_bits_per_s": row.bandwidth,
            "peak_bits_per_s": row.peak.round(),
            "segments": row.segments,
            "seconds": row.seconds,
            "bytes": sums.bytes,
            "protocol": sums.protocol(),
            "hits": sums.hits,
            "misses": sums.misses,
            "ok": self.faults_of(index) == 0,
        })
    }

    fn grid(&self) -> String {
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        for (index, row) in self.rows.iter().enumerate() {
            let sums = self.sums(|of| of == Some(index));
            let dash = || "-".to_owned();
            let verdict = match self.faults_of(index) {
                0 => "ok".to_owned(),
                1 => "1 problem".to_owned(),
                more => format!("{more} problems"),
            };
            lines.push([
                row.id.clone(),
                row.kind.to_owned(),
                row.codecs.clone().unwrap_or_else(dash),
                row.size
                    .map_or_else(dash, |(width, height)| format!("{width}x{height}")),
                row.segments.to_string(),
                format!("{:.3}", row.seconds),
                sums.bytes.to_string(),
                format!("{:.0}", row.peak / 1000.0),
                sums.protocol().unwrap_or_else(dash),
                format!("{}/{}", sums.hits, sums.misses),
                verdict,
            ]);
        }
        let mut widths = [0; HEADINGS.len()];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for line in &lines {
            let mut text = String::new();
            for (index, (cell, width)) in line.iter().zip(widths).enumerate() {
                let _ = match NUMBERS.contains(&index) {
                    true => write!(text, "{cell:>width$}  "),
                    false => write!(text, "{cell:<width$}  "),
                };
            }
            let _ = writeln!(out, "{}", text.trim_end());
        }
        out
    }

    fn closing(&self, problems: usize) -> String {
        if self.unusable.is_some() {
            return "Nothing was played.".to_owned();
        }
        let sums = self.sums(|_| true);
        let verdict = match problems {
            0 => "Everything is as the manifest promises".to_owned(),
            1 => "1 problem".to_owned(),
            more => format!("{more} problems"),
        };
        let kind = self.url_kind.map_or("no manifest", UrlKind::name);
        let over = sums.protocol().unwrap_or_else(|| "no protocol".to_owned());
        let first = self.started.map_or_else(String::new, |started| {
            format!(", the first segment after {:.0} ms", milliseconds(started))
        });
        format!(
            "{verdict}: {kind} over {over}, {} requests, {:.1} MB in {:.2} s{first}, {} hits and {} misses at the edge.",
            sums.requests,
            as_f64(sums.bytes) / 1e6,
            self.took.as_secs_f64(),
            sums.hits,
            sums.misses,
        )
    }
}

impl Exchange {
    fn to_json(&self) -> Value {
        json!({
            "path": self.path,
            "status": self.status,
            "protocol": self.protocol.to_string(),
            "cache": self.hit.map(|hit| if hit { "hit" } else { "miss" }),
            "bytes": self.bytes,
            "ms": milliseconds(self.took),
        })
    }
}

impl Sums {
    /// `h2`, or `h1+h2` when both were used.
    fn protocol(&self) -> Option<String> {
        let names: Vec<String> = self.protocols.iter().map(Protocol::to_string).collect();
        (!names.is_empty()).then(|| names.join("+"))
    }
}

/// An address without host, token and query: what may be shown to anybody.
pub(super) fn shown(url: &Url) -> String {
    let path = match url.path().strip_prefix("/~") {
        Some(rest) => match rest.split_once('/') {
            Some((_, rest)) => format!("/~…/{rest}"),
            None => "/~…".to_owned(),
        },
        None => url.path().to_owned(),
    };
    match url.query() {
        Some(_) => format!("{path}?…"),
        None => path,
    }
}

/// What a server sent must not steer a terminal.
fn printable(text: &str) -> String {
    let safe = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    text.chars().map(safe).collect()
}

/// Milliseconds with three decimals.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

const HEADINGS: [&str; 11] = [
    "rendition",
    "kind",
    "codecs",
    "size",
    "segments",
    "seconds",
    "bytes",
    "peak kbit/s",
    "protocol",
    "hits/misses",
    "verdict",
];
/// The columns that are set to the right.
const NUMBERS: [usize; 5] = [4, 5, 6, 7, 9];
/// How many problems the table lists.
const SHOWN_PROBLEMS: usize = 50;
/// How many faults of one address are listed.
const FAULTS_AN_ADDRESS: usize = 10;
