//! One play: manifest, playlists, inits, segments, and what is made of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Url;

use super::check::answer::{self, What};
use super::check::fmp4::{self, Init};
use super::check::sequence::{self, Fetched};
use super::check::together::{self, Played};
use super::check::ts;
use super::client::{Answer, Client};
use super::manifest::{Container, Rendition, UrlKind};
use super::report::{Exchange, Report, Row, shown};
use super::seal::{Keys, Seal};
use super::{Options, Protocol, dash, hls};

/// A play that has not begun.
pub(super) struct Session {
    client: Arc<Client>,
    wanted: Option<Protocol>,
    url: Url,
    started: Instant,
    report: Report,
}

/// What came of one address.
struct Got {
    exchange: Option<Exchange>,
    /// The answer, when its body is worth looking into.
    answer: Option<Answer>,
    faults: Vec<String>,
}

/// One segment to fetch.
struct Job {
    rendition: usize,
    number: usize,
    url: Url,
    container: Container,
    init: Option<Arc<Init>>,
    seal: Option<Seal>,
}

/// One segment fetched and looked into.
struct Done {
    rendition: usize,
    number: usize,
    exchange: Option<Exchange>,
    faults: Vec<String>,
    fetched: Fetched,
    at: Duration,
}

impl Session {
    /// Reads the options.
    ///
    /// # Errors
    /// A sentence about the option that cannot be followed.
    pub(super) fn open(options: &Options) -> Result<Self, String> {
        let url = Url::parse(&options.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("The address is no http or https address: give the whole address of a playlist or an MPD, as `millrace add` prints it.")?;
        Ok(Self {
            client: Arc::new(Client::new(options)?),
            wanted: options.protocol,
            url,
            started: Instant::now(),
            report: Report::default(),
        })
    }

    /// Plays.
    pub(super) async fn run(mut self) -> Report {
        let (mut renditions, seconds) = self.manifest().await;
        self.playlists(&mut renditions).await;
        let inits = self.inits(&renditions).await;
        let keys = self.keys(&renditions).await;
        let fetched = self.segments(&renditions, &inits, keys).await;
        self.judge(&renditions, &fetched, seconds);
        if let Some(client) = Arc::into_inner(self.client) {
            client.close().await;
        }
        self.report.took = self.started.elapsed();
        self.report
    }

    /// Fetches the address given: its renditions, and the length that it promises.
    async fn manifest(&mut self) -> (Vec<Rendition>, Option<f64>) {
        let url = self.url.clone();
        let got = fetch(&self.client, &url, self.wanted, |answer| {
            if dash::looks_like(&answer.body) {
                What::Mpd
            } else {
                What::Playlist
            }
        })
        .await;
        let is_mpd = got
            .answer
            .as_ref()
            .is_some_and(|answer| dash::looks_like(&answer.body));
        let noun = if is_mpd { What::Mpd } else { What::Playlist }.noun();
        let Some(answer) = self.note(None, noun, &url, got) else {
            return (Vec::new(), None);
        };
        let mut faults = Vec::new();
        let (kind, renditions, seconds) = read_manifest(&answer, is_mpd, &mut faults);
        self.report.url_kind = kind;
        self.report.fault_all(None, noun, &answer.url, faults);
        (renditions, seconds)
    }

    /// Fetches the media playlists that a multivariant playlist names.
    async fn playlists(&mut self, renditions: &mut [Rendition]) {
        if self.report.url_kind != Some(UrlKind::Multivariant) {
            return;
        }
        let jobs: Vec<(usize, Url)> = renditions
            .iter()
            .enumerate()
            .filter_map(|(index, one)| Some((index, one.playlist.clone()?)))
            .collect();
        for (index, url, got) in self.fetch_all(jobs, What::Playlist).await {
            let noun = What::Playlist.noun();
            let answer = self.note(Some(index), noun, &url, got);
            let (Some(answer), Some(rendition)) = (answer, renditions.get_mut(index)) else {
                continue;
            };
            let mut faults = Vec::new();
            hls::media(&answer.body, &answer.url, rendition, &mut faults);
            self.report
                .fault_all(Some(index), noun, &answer.url, faults);
        }
    }

    async fn inits(&mut self, renditions: &[Rendition]) -> Vec<Option<Arc<Init>>> {
        let jobs: Vec<(usize, Url)> = renditions
            .iter()
            .enumerate()
            .filter_map(|(index, one)| Some((index, one.init.clone()?)))
            .collect();
        let mut inits = vec![None; renditions.len()];
        for (index, url, got) in self.fetch_all(jobs, What::Init).await {
            let noun = What::Init.noun();
            let answer = self.note(Some(index), noun, &url, got);
            let (Some(answer), Some(rendition)) = (answer, renditions.get(index)) else {
                continue;
            };
            let mut faults = Vec::new();
            let init = fmp4::init(&answer.body, &mut faults);
            if let Some(init) = &init {
                faults.extend(sequence::check_init(rendition, init));
            }
            self.report.fault_all(Some(index), noun, &url, faults);
            if let Some(place) = inits.get_mut(index) {
                *place = init.map(Arc::new);
            }
        }
        inits
    }

    /// Fetches the keys of segments that are encrypted whole, each once.
    async fn keys(&mut self, renditions: &[Rendition]) -> Keys {
        let mut jobs: Vec<(usize, Url)> = Vec::new();
        let mut known = HashSet::new();
        for (index, rendition) in renditions.iter().enumerate() {
            let seals = rendition
                .segments
                .iter()
                .filter_map(|one| one.seal.as_ref());
            let new = seals.filter(|seal| known.insert(&seal.key));
            jobs.extend(new.map(|seal| (index, seal.key.clone())));
        }
        let mut keys = Keys::new();
        for (index, url, got) in self.fetch_all(jobs, What::Key).await {
            let noun = What::Key.noun();
            let Some(answer) = self.note(Some(index), noun, &url, got) else {
                continue;
            };
            match <[u8; 16]>::try_from(answer.body.as_ref()) {
                Ok(key) => drop(keys.insert(url, key)),
                Err(_) => {
                    let length = answer.body.len();
                    let fault = format!("has {length} bytes, where a key of AES-128 has 16");
                    self.report.fault_all(Some(index), noun, &url, vec![fault]);
                }
            }
        }
        keys
    }

    async fn segments(
        &mut self,
        renditions: &[Rendition],
        inits: &[Option<Arc<Init>>],
        keys: Keys,
    ) -> Vec<Vec<Fetched>> {
        let jobs = list_jobs(renditions, inits);
        let progress = progress(jobs.len());
        let (client, wanted, started) = (Arc::clone(&self.client), self.wanted, self.started);
        let with = (client, Arc::new(keys));
        let mut answers = stream::iter(jobs)
            .map(move |job| run_job(with.clone(), job, wanted, started))
            .buffer_unordered(AT_ONCE);
        let (mut done, mut failed_in_a_row) = (Vec::new(), 0);
        while let Some(one) = answers.next().await {
            progress.inc(1);
            failed_in_a_row = match one.exchange {
                Some(_) => 0,
                None => failed_in_a_row + 1,
            };
            done.push(one);
            if failed_in_a_row >= GIVE_UP_AFTER {
                self.report.problem(None, format!("The play was given up after {GIVE_UP_AFTER} addresses in a row gave no answer."));
                break;
            }
        }
        drop(answers);
        progress.finish_and_clear();
        done.sort_by_key(|one| (one.rendition, one.number));
        self.report.started = done
            .iter()
            .filter(|one| one.fetched.bytes > 0)
            .map(|one| one.at)
            .min();
        let mut fetched: Vec<Vec<Fetched>> = renditions
            .iter()
            .map(|one| vec![Fetched::default(); one.segments.len()])
            .collect();
        for one in done {
            self.take(one, renditions, &mut fetched);
        }
        fetched
    }

    fn take(&mut self, done: Done, renditions: &[Rendition], fetched: &mut [Vec<Fetched>]) {
        let index = done.rendition;
        let Some(rendition) = renditions.get(index) else {
            return;
        };
        if let Some(exchange) = done.exchange {
            self.report.exchange(Some(index), exchange);
        }
        let mut faults = done.faults;
        if let Some(facts) = &done.fetched.facts {
            faults.extend(sequence::check_codecs(rendition, facts));
        }
        if let Some(segment) = rendition.segments.get(done.number) {
            let noun = What::Fmp4.noun();
            self.report
                .fault_all(Some(index), noun, &segment.url, faults);
        }
        let place = fetched
            .get_mut(index)
            .and_then(|row| row.get_mut(done.number));
        if let Some(place) = place {
            *place = done.fetched;
        }
    }

    /// What can only be seen with everything at hand.
    fn judge(&mut self, renditions: &[Rendition], fetched: &[Vec<Fetched>], seconds: Option<f64>) {
        for (index, (rendition, row)) in renditions.iter().zip(fetched).enumerate() {
            for (number, fault) in sequence::check(&rendition.segments, row) {
                if let Some(segment) = rendition.segments.get(number) {
                    let noun = What::Fmp4.noun();
                    self.report
                        .fault_all(Some(index), noun, &segment.url, vec![fault]);
                }
            }
        }
        let played: Vec<Played<'_>> = renditions
            .iter()
            .zip(fetched)
            .map(|(rendition, fetched)| Played { rendition, fetched })
            .collect();
        for (index, sentence) in together::check(&played, seconds) {
            self.report.problem(Some(index), sentence);
        }
        let rows = played
            .iter()
            .map(|one| Row::new(one.rendition, sequence::peak(one.rendition, one.fetched)));
        self.report.rows = rows.collect();
    }

    async fn fetch_all(&self, jobs: Vec<(usize, Url)>, what: What) -> Vec<(usize, Url, Got)> {
        let (client, wanted) = (Arc::clone(&self.client), self.wanted);
        let mut all: Vec<(usize, Url, Got)> = stream::iter(jobs)
            .map(move |(index, url)| {
                let client = Arc::clone(&client);
                async move {
                    let got = fetch(&client, &url, wanted, |_| what).await;
                    (index, url, got)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        all.sort_by_key(|one| one.0);
        all
    }

    /// Records what came, and hands on the answer.
    fn note(
        &mut self,
        rendition: Option<usize>,
        noun: &str,
        url: &Url,
        got: Got,
    ) -> Option<Answer> {
        if let Some(exchange) = got.exchange {
            self.report.exchange(rendition, exchange);
        }
        self.report.fault_all(rendition, noun, url, got.faults);
        got.answer
    }
}

fn read_manifest(
    answer: &Answer,
    is_mpd: bool,
    faults: &mut Vec<String>,
) -> (Option<UrlKind>, Vec<Rendition>, Option<f64>) {
    if is_mpd {
        let promises = dash::parse(&answer.body, &answer.url, faults);
        return match promises {
            Some(promises) => (Some(UrlKind::Dash), promises.renditions, promises.seconds),
            None => (Some(UrlKind::Dash), Vec::new(), None),
        };
    }
    if !hls::looks_like(&answer.body) {
        faults.push("is neither an HLS playlist nor a DASH MPD: give the address of a master.m3u8, a playlist.m3u8 or a manifest.mpd".to_owned());
        return (None, Vec::new(), None);
    }
    match hls::parse(&answer.body, &answer.url, faults) {
        Some(hls::Parsed::Multivariant(renditions)) => {
            (Some(UrlKind::Multivariant), renditions, None)
        }
        Some(hls::Parsed::Media(rendition)) => (Some(UrlKind::Media), vec![*rendition], None),
        None => (None, Vec::new(), None),
    }
}

/// Every segment, rendition after rendition, as a player that never switches would ask.
fn list_jobs(renditions: &[Rendition], inits: &[Option<Arc<Init>>]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (index, (rendition, init)) in renditions.iter().zip(inits).enumerate() {
        for (number, segment) in rendition.segments.iter().enumerate() {
            jobs.push(Job {
                rendition: index,
                number,
                url: segment.url.clone(),
                container: rendition.container,
                init: init.clone(),
                seal: segment.seal.clone(),
            });
        }
    }
    jobs
}

async fn run_job(
    (client, keys): (Arc<Client>, Arc<Keys>),
    job: Job,
    wanted: Option<Protocol>,
    started: Instant,
) -> Done {
    let what = match job.container {
        Container::Fmp4 => What::Fmp4,
        Container::Ts => What::Ts,
        Container::Text => What::Text,
    };
    let got = fetch(&client, &job.url, wanted, |_| what).await;
    let at = started.elapsed();
    let mut faults = got.faults;
    let mut fetched = Fetched::default();
    if let Some(answer) = got.answer {
        fetched.bytes = answer.body.len() as u64;
        let body = match &job.seal {
            Some(seal) => seal.open(&keys, &answer.body, &mut faults),
            None => Some(answer.body),
        };
        fetched.facts = body.and_then(|body| match (job.container, &job.init) {
            (Container::Fmp4, Some(init)) => fmp4::segment(&body, init, &mut faults),
            (Container::Ts, _) => ts::segment(&body, &mut faults),
            (Container::Fmp4, None) | (Container::Text, _) => None,
        });
    }
    Done {
        rendition: job.rendition,
        number: job.number,
        exchange: got.exchange,
        faults,
        fetched,
        at,
    }
}

async fn fetch(
    client: &Client,
    url: &Url,
    wanted: Option<Protocol>,
    what: impl FnOnce(&Answer) -> What,
) -> Got {
    match client.get(url).await {
        Ok(answer) => {
            let mut faults = Vec::new();
            let usable = answer::check(&answer, what(&answer), wanted, &mut faults);
            Got {
                exchange: Some(Exchange {
                    path: shown(url),
                    status: answer.status.as_u16(),
                    protocol: answer.protocol,
                    hit: answer::cache(&answer.headers),
                    bytes: answer.body.len() as u64,
                    took: answer.took,
                }),
                answer: usable.then_some(answer),
                faults,
            }
        }
        Err(failure) => Got {
            exchange: None,
            answer: None,
            faults: vec![failure.to_string()],
        },
    }
}

/// A bar on stderr, which shows nothing when that is no terminal.
fn progress(total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} segments, {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// How many requests are under way at once.
const AT_ONCE: usize = 4;
/// A server that is gone is not asked for every segment.
const GIVE_UP_AFTER: usize = 20;
