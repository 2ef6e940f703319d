//! Ingest's configuration: what may be set, and what it becomes once it was checked.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use catalog::Address;
use config::{ByteSize, Problem, Problems, Span};
use runtime::listen;
use serde::{Deserialize, Serialize};

use crate::{
    jobs::worker::Patience,
    media::{child, codec::Codec},
    pipeline::Tools,
    upload::{Limits, quota::Quota},
};

/// The keys of `config/ingest.toml`; as environment variables, `MILLRACE_INGEST__<KEY>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port of the upload API. Port 0 takes a free one. Default `127.0.0.1:7050`.
    pub listen: String,
    /// Address and port of `/metrics` and `/healthz`. Default `127.0.0.1:7051`.
    pub internal: String,
    /// How the outside reaches the upload API, such as `https://upload.example`; it is the start of
    /// the addresses that initiate answers. Empty: `http://` and the address listened on.
    pub public_base: String,
    /// How clients reach the control plane; the address of a video's status begins with it, and its own page, the
    /// studio, may upload. Default `http://127.0.0.1:8080`.
    pub control_base: String,
    /// Address of the store that takes the films: `file:///absolute/path`, or
    /// `s3://bucket/prefix?credentials=/absolute/path`, after which more may stand (docs/operate.md). Default
    /// `file:///var/lib/millrace/store`.
    pub store: String,
    /// The catalogue: `sqlite:///absolute/path` for one machine, `postgres://user@host/database` for
    /// several. The control plane opens the same. Default `sqlite:///var/lib/millrace/catalog.db`.
    pub catalog: Address,
    /// Folder for films while they are encoded; as large as the largest film's renditions, and best
    /// on the store's file system, where finished files are moved instead of copied. Default
    /// `/var/lib/millrace/work`.
    pub work: String,
    /// File with the key that publishers show as `Authorization: Bearer`. Empty: everybody who
    /// reaches the port may upload, which is refused unless `listen` is a loopback address.
    pub operator_key: String,
    /// Where ingest reaches the control plane, such as `http://127.0.0.1:8080`, to ask who calls: then publishers
    /// upload to their channels with the credentials that they have there, and API keys with the scope `upload` for
    /// anybody. Its `trusted_hops` should have ingest. Empty: the operator key alone counts. Default empty.
    pub control: String,
    /// Origins whose pages may upload, such as `https://site.example`. Default none.
    pub allowed_origins: Vec<String>,
    /// The largest film, 1 MiB to 1 TiB. Default `64GiB`.
    pub max_film: ByteSize,
    /// The length of a chunk, 64 KiB to 64 MiB; films of more than 10 000 chunks get longer ones.
    /// Longer costs fewer requests, shorter loses less when a connection breaks. Default `8MiB`.
    pub chunk: ByteSize,
    /// How long an upload may take, 1 m to 30 d. Default `24h`.
    pub upload_ttl: Span,
    /// How long what was published of a film is kept in the store after a new generation took its place, 1 m to
    /// 30 d; longer where some edge may still serve it. Longer takes more room. Default `1h`.
    pub keep_replaced: Span,
    /// How many bytes of films a publisher may have, as they were sent, from when an upload begins until the film is
    /// taken away; up to 1 PiB, `0B` for any number. Operators give accounts quotas of their own
    /// (`PUT /v1/users/{id}/quota`). Default `0B`.
    pub publisher_bytes: ByteSize,
    /// How many uploads of a publisher may be under way at once, up to 1000000; 0 for any number. Each part of a film
    /// that comes in parts over tus is one. Default `0`.
    pub publisher_uploads: u32,
    /// How many films a publisher may have, with those that are being uploaded, up to 1000000; 0 for any number.
    /// Default `0`.
    pub publisher_films: u32,
    /// How many films are encoded at once, 0 to 64; 0 leaves the work to other processes. Each takes
    /// all cores it can get. Default `1`.
    pub workers: u32,
    /// The length of the stretches in which several workers share a film, 4 s to 1 h; a film of fewer than
    /// two is made in one piece, as is every film where there is one worker. Shorter shares sooner and
    /// loses less when a worker dies; each stretch costs some seconds of its own. Default `1m`.
    pub stretch: Span,
    /// How long a worker may be silent before its film is given to another, 3 s to 1 h. Shorter takes
    /// up a dead worker's film sooner, and writes to the catalogue more often. Default `60s`.
    pub lease: Span,
    /// How often an idle worker looks for work that another process queued, 10 ms to 1 m. Default `1s`.
    pub poll: Span,
    /// How often a step of a film may fail before the film is given up, 1 to 20. While the store, the
    /// catalogue or room on a disk is not there, it is tried 64 times, with the default delay for more
    /// than two days; a worker may be cut off at it ten times. Default `3`.
    pub attempts: u32,
    /// How long after a failure that is not the film's own it is tried again, up to 1 h; twice as long
    /// after each further one, and an hour at most. Default `10s`.
    pub retry_delay: Span,
    /// The program that encodes. Default `ffmpeg`, found on the system's path.
    pub ffmpeg: String,
    /// The program that looks into files. Default `ffprobe`.
    pub ffprobe: String,
    /// The codecs that films are made in: `h264`, which is always among them, `hevc` and `av1`. A film is
    /// ready with H.264; each further one has all rungs and is made behind that, after the H.264 of every
    /// film. It takes about twice the work of H.264 at half its size or more; both take as much more room.
    /// Default `["h264"]`.
    pub codecs: Vec<Codec>,
    /// Whether a film can be watched before its ladder is made, where its own picture and sound can be
    /// served as they are: H.264 and AAC-LC in MP4 or Matroska, with key pictures every two seconds. They
    /// then stay in the film, beside the ladder or in place of its largest rung. Default `true`.
    pub early: bool,
    /// The longest film, 1 s to 48 h. A longer one may take as much more time to encode and room to
    /// keep. Default `12h`.
    pub max_duration: Span,
    /// How long encoding one film may take, 1 s to 7 d; a short film has less. Default `12h`.
    pub encode_time: Span,
    /// How much address space encoding one film may take, 256 MiB to 1 TiB. Default `16GiB`.
    pub encode_memory: ByteSize,
    /// How long stopping waits for requests under way, up to 1 m. Default `5s`.
    pub drain: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7050".to_owned(),
            internal: "127.0.0.1:7051".to_owned(),
            public_base: String::new(),
            control_base: "http://127.0.0.1:8080".to_owned(),
            store: "file:///var/lib/millrace/store".to_owned(),
            catalog: "sqlite:///var/lib/millrace/catalog.db".into(),
            work: "/var/lib/millrace/work".to_owned(),
            operator_key: String::new(),
            control: String::new(),
            allowed_origins: Vec::new(),
            max_film: ByteSize::mib(64 << 10),
            chunk: ByteSize::mib(8),
            upload_ttl: Span::seconds(24 * 3600),
            keep_replaced: Span::seconds(3600),
            publisher_bytes: ByteSize(0),
            publisher_uploads: 0,
            publisher_films: 0,
            workers: 1,
            stretch: Span::seconds(60),
            lease: Span::seconds(60),
            poll: Span::seconds(1),
            attempts: 3,
            retry_delay: Span::seconds(10),
            ffmpeg: "ffmpeg".to_owned(),
            ffprobe: "ffprobe".to_owned(),
            codecs: vec![Codec::H264],
            early: true,
            max_duration: Span::seconds(12 * 3600),
            encode_time: Span::seconds(12 * 3600),
            encode_memory: ByteSize::mib(16 << 10),
            drain: Span::seconds(5),
        }
    }
}

/// A configuration without faults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    /// What the upload port bears with from publishers.
    pub(crate) port: listen::Limits,
    pub(crate) internal: SocketAddr,
    pub(crate) public_base: Option<String>,
    pub(crate) control_base: String,
    pub(crate) store: String,
    pub(crate) catalog: Address,
    pub(crate) work: PathBuf,
    pub(crate) operator_key: Option<PathBuf>,
    /// Where it is asked who calls.
    pub(crate) control: Option<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) upload_ttl: Duration,
    pub(crate) keep_replaced: Duration,
    /// What a publisher may take up.
    pub(crate) quota: Quota,
    pub(crate) workers: u32,
    pub(crate) patience: Patience,
    pub(crate) tools: Tools,
    pub(crate) drain: Duration,
}

impl Config {
    /// Checks every key.
    ///
    /// # Errors
    /// All faults at once, each with its key.
    pub fn check(self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Problems::default();
        let listen = problems.take("listen", self.listen.parse::<SocketAddr>());
        let internal = problems.take("internal", self.internal.parse::<SocketAddr>());
        problems.take("catalog", catalog::check_address(&self.catalog));
        problems.take("store", store::check_address(&self.store));
        self.check_addresses(&mut problems);
        self.check_bounds(&mut problems);
        // Where the control plane knows who calls, operators are among them.
        if let Some(listen) = listen
            && self.control.is_empty()
        {
            problems.need_secret("operator_key", self.operator_key.as_ref(), "listen", listen);
        }
        let (Some(listen), Some(internal)) = (listen, internal) else {
            return Err(problems.into_vec());
        };
        problems.apart(&[("listen", listen), ("internal", internal)]);
        let base = self.public_base.trim_end_matches('/').to_owned();
        let control = self.control.trim_end_matches('/').to_owned();
        problems.or(Settings {
            listen,
            port: PORT,
            internal,
            public_base: (!base.is_empty()).then_some(base),
            control_base: self.control_base.trim_end_matches('/').to_owned(),
            store: self.store,
            catalog: self.catalog,
            work: self.work.into(),
            operator_key: (!self.operator_key.is_empty()).then(|| self.operator_key.into()),
            control: (!control.is_empty()).then_some(control),
            allowed_origins: self.allowed_origins,
            limits: Limits {
                max_film_bytes: self.max_film.0,
                chunk_size_bytes: self.chunk.0,
            },
            upload_ttl: self.upload_ttl.0,
            keep_replaced: self.keep_replaced.0,
            quota: Quota {
                bytes: some(self.publisher_bytes.0),
                uploads: some(self.publisher_uploads.into()),
                films: some(self.publisher_films.into()),
            },
            workers: self.workers,
            patience: Patience {
                lease: self.lease.0,
                poll: self.poll.0,
                attempts: self.attempts,
                retry_delay: self.retry_delay.0,
            },
            tools: Tools {
                ffmpeg: self.ffmpeg.into(),
                ffprobe: self.ffprobe.into(),
                longest: self.max_duration.0,
                codecs: self.codecs,
                early: self.early,
                stretch: self.stretch.0,
                limits: child::Limits {
                    time: self.encode_time.0,
                    memory_bytes: self.encode_memory.0,
                    file_bytes: SMALL_FILE_BYTES,
                },
            },
            drain: self.drain.0,
        })
    }

    fn check_addresses(&self, problems: &mut Problems) {
        let http = |address: &str| {
            let rest = address
                .strip_prefix("https://")
                .or_else(|| address.strip_prefix("http://"));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic())
            })
        };
        if !self.public_base.is_empty() && !http(&self.public_base) {
            problems.add("public_base", "begins with https:// or http://");
        }
        if !self.control.is_empty() && !http(&self.control) {
            problems.add("control", "begins with https:// or http://");
        }
        if !http(&self.control_base) {
            problems.add("control_base", "begins with https:// or http://");
        }
        for origin in self.allowed_origins.iter().filter(|origin| !http(origin)) {
            problems.add(
                "allowed_origins",
                format!("{origin:?} is not like https://site.example"),
            );
        }
        if !self.work.starts_with('/') {
            problems.add("work", "is an absolute path");
        }
        for (key, program) in [("ffmpeg", &self.ffmpeg), ("ffprobe", &self.ffprobe)] {
            if program.is_empty() {
                problems.add(key, "is a program's name or path");
            }
        }
    }

    fn check_bounds(&self, problems: &mut Problems) {
        let mut size = |key: &str, value: ByteSize, low: u64, high: u64| {
            if !(low..=high).contains(&value.0) {
                let (low, high) = (ByteSize(low), ByteSize(high));
                problems.add(key, format!("{value} is not within {low} and {high}"));
            }
        };
        size("max_film", self.max_film, 1 << 20, 1 << 40);
        size("chunk", self.chunk, 64 << 10, 64 << 20);
        size("publisher_bytes", self.publisher_bytes, 0, 1 << 50);
        size("encode_memory", self.encode_memory, 256 << 20, 1 << 40);
        let mut span = |key: &str, value: Span, low: Duration, high: Duration| {
            if !(low..=high).contains(&value.0) {
                let (low, high) = (Span(low), Span(high));
                problems.add(key, format!("{value} is not within {low} and {high}"));
            }
        };
        span("upload_ttl", self.upload_ttl, MINUTE, DAY * 30);
        span("keep_replaced", self.keep_replaced, MINUTE, DAY * 30);
        span("lease", self.lease, Duration::from_secs(3), MINUTE * 60);
        let shortest = Duration::from_secs(4);
        span("stretch", self.stretch, shortest, MINUTE * 60);
        span("poll", self.poll, Duration::from_millis(10), MINUTE);
        span("retry_delay", self.retry_delay, Duration::ZERO, MINUTE * 60);
        let second = Duration::from_secs(1);
        span("max_duration", self.max_duration, second, DAY * 2);
        span(
            "encode_time",
            self.encode_time,
            Duration::from_secs(1),
            DAY * 7,
        );
        span("drain", self.drain, Duration::ZERO, MINUTE);
        let mut codecs = self.codecs.clone();
        codecs.sort();
        codecs.dedup();
        if codecs.first() != Some(&Codec::H264) || codecs.len() != self.codecs.len() {
            problems.add("codecs", "names h264, and each codec once");
        }
        for (key, count) in [
            ("publisher_uploads", self.publisher_uploads),
            ("publisher_films", self.publisher_films),
        ] {
            if count > 1_000_000 {
                problems.add(key, "is 0 to 1000000");
            }
        }
        if self.workers > 64 {
            problems.add("workers", "is 0 to 64");
        }
        if !(1..=20).contains(&self.attempts) {
            problems.add("attempts", "is 1 to 20");
        }
    }
}

/// A limit of 0 is none.
fn some(limit: u64) -> Option<u64> {
    (limit > 0).then_some(limit)
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const PORT: listen::Limits = listen::Limits {
    connections: 4096,
    each: 4096,
    first: Duration::from_secs(15),
    header: Duration::from_secs(15),
    write: Duration::from_secs(30),
};
/// For what is not a rendition: a still image at most.
const SMALL_FILE_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotated_file_equals_the_defaults() {
        let text = include_str!("../../config/ingest.toml");
        let file = Some((std::path::Path::new("ingest.toml"), text));
        let loaded: Config = config::load("ingest", file, []).unwrap();
        assert_eq!(loaded, Config::default());
        for line in toml_keys() {
            assert!(
                text.lines().any(|l| l.starts_with(&format!("{line} ="))),
                "{line} is not in the file"
            );
        }
        assert!(Config::default().check().is_ok());
    }

    fn toml_keys() -> Vec<String> {
        let json = serde_json::to_value(Config::default()).unwrap();
        json.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let faulty = Config {
            listen: "0.0.0.0:7050".to_owned(),
            internal: "nowhere".to_owned(),
            public_base: "upload.example".to_owned(),
            store: "s3://bucket".to_owned(),
            work: "work".to_owned(),
            chunk: ByteSize(1),
            keep_replaced: Span::seconds(59),
            lease: Span::seconds(1),
            max_duration: Span::seconds(48 * 3600 + 1),
            workers: 65,
            publisher_bytes: ByteSize((1 << 50) + 1),
            publisher_uploads: 1_000_001,
            attempts: 0,
            codecs: vec![Codec::Hevc],
            ..Config::default()
        };
        let keys: Vec<String> = faulty
            .check()
            .unwrap_err()
            .into_iter()
            .map(|p| p.key)
            .collect();
        for key in [
            "internal",
            "public_base",
            "store",
            "work",
            "chunk",
            "keep_replaced",
            "lease",
            "max_duration",
            "workers",
            "publisher_bytes",
            "publisher_uploads",
            "attempts",
            "codecs",
            "operator_key",
        ] {
            assert!(keys.iter().any(|found| found == key), "{key} in {keys:?}");
        }
    }
}
