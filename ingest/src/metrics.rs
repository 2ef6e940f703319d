//! What ingest counts.

use std::time::Duration;

use prometheus::{
    Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::{Error, jobs::Counts};

/// Every number that ingest shows.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Uploads by what became of them.
    uploads: IntCounterVec,
    /// Bytes of chunks stored.
    pub(crate) upload_bytes: IntCounter,
    /// Upload requests refused, by the problem's kind.
    refused: IntCounterVec,
    /// Jobs that are not done, by state.
    jobs: IntGaugeVec,
    /// Jobs that a worker of this process let go of, by how.
    ended: IntCounterVec,
    /// Videos that failed, by reason.
    failures: IntCounterVec,
    /// How long encoding a film, or one part of it, takes.
    pub(crate) transcode_seconds: Histogram,
    /// Seconds of film that this process has encoded.
    encoded_seconds: Counter,
    /// How long the oldest job waits that could be taken.
    oldest_seconds: IntGauge,
    /// Workers of the whole house.
    workers: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let uploads = counters(
            "millrace_ingest_uploads_total",
            "Uploads, by what became of them: started, completed, cancelled, expired, damaged.",
            "event",
        )?;
        let refused = counters(
            "millrace_ingest_refused_total",
            "Upload requests refused, by the problem's type.",
            "problem",
        )?;
        let ended = counters(
            "millrace_ingest_jobs_ended_total",
            "Jobs that a worker of this process let go of: done, cut, failed, retried, lost.",
            "how",
        )?;
        let failures = counters(
            "millrace_ingest_failures_total",
            "Videos that failed, by reason.",
            "reason",
        )?;
        let upload_bytes = IntCounter::new(
            "millrace_ingest_upload_bytes_total",
            "Bytes of chunks stored.",
        )?;
        registry.register(Box::new(upload_bytes.clone()))?;
        let jobs = IntGaugeVec::new(
            Opts::new("millrace_ingest_jobs", "Jobs that are not done, by state."),
            &["state"],
        )?;
        registry.register(Box::new(jobs.clone()))?;
        let buckets = vec![1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];
        let transcode_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "millrace_ingest_transcode_seconds",
                "Seconds that encoding one film, or one part of it, took.",
            )
            .buckets(buckets),
        )?;
        registry.register(Box::new(transcode_seconds.clone()))?;
        let encoded_seconds = Counter::new(
            "millrace_ingest_encoded_seconds_total",
            "Seconds of film whose pictures this process has encoded.",
        )?;
        registry.register(Box::new(encoded_seconds.clone()))?;
        let oldest_seconds = IntGauge::new(
            "millrace_ingest_oldest_job_seconds",
            "How long the job waits that waits longest and could be taken.",
        )?;
        registry.register(Box::new(oldest_seconds.clone()))?;
        let workers = IntGauge::new(
            "millrace_ingest_workers",
            "Workers of all processes that share the queue.",
        )?;
        registry.register(Box::new(workers.clone()))?;
        Ok(Self {
            uploads,
            upload_bytes,
            refused,
            jobs,
            ended,
            failures,
            transcode_seconds,
            encoded_seconds,
            oldest_seconds,
            workers,
        })
    }

    pub(crate) fn upload(&self, event: &'static str) {
        self.uploads.with_label_values(&[event]).inc();
    }

    pub(crate) fn refused(&self, problem: &str) {
        self.refused.with_label_values(&[problem]).inc();
    }

    pub(crate) fn ended(&self, how: &'static str) {
        self.ended.with_label_values(&[how]).inc();
    }

    pub(crate) fn failed(&self, reason: &'static str) {
        self.ended("failed");
        self.failures.with_label_values(&[reason]).inc();
    }

    pub(crate) fn encoded(&self, length: Duration) {
        self.encoded_seconds.inc_by(length.as_secs_f64());
    }

    pub(crate) fn workers(&self, count: u64) {
        self.workers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn queue(&self, counts: Counts) {
        let oldest = counts.oldest.map_or(0, |waited| waited.as_secs());
        self.oldest_seconds
            .set(i64::try_from(oldest).unwrap_or(i64::MAX));
        for (state, count) in [
            ("queued", counts.queued),
            ("running", counts.running),
            ("dead", counts.dead),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.jobs.with_label_values(&[state]).set(count);
        }
    }
}
