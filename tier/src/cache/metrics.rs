//! What is counted of the disks: each figure once, with its name, unit and help.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts};

use super::disk::{self, Volume};
use super::store::Cache;

/// The figures of the disks, read when the metrics are.
pub(crate) struct DiskFigures {
    cache: &'static Cache,
    gauges: [(IntGaugeVec, Level); 5],
    counters: [(IntCounterVec, Count); 7],
    /// With a second label and what it says here; those of one name stand side by side.
    split: [(IntCounterVec, &'static str, Count); 5],
}

impl DiskFigures {
    /// Declares them.
    ///
    /// # Errors
    /// When a name is not one.
    pub(crate) fn new(cache: &'static Cache) -> Result<Self, prometheus::Error> {
        Ok(Self {
            cache,
            gauges: gauges()?,
            counters: counters()?,
            split: split()?,
        })
    }

    fn collectors(&self) -> impl Iterator<Item = &dyn Collector> {
        let gauges = self.gauges.iter().map(|(vec, _)| vec as &dyn Collector);
        let counters = self.counters.iter().map(|(vec, _)| vec as &dyn Collector);
        let [(skipped, ..), _, _, (errors, ..), _] = &self.split;
        let split = [skipped, errors].map(|vec| vec as &dyn Collector);
        gauges.chain(counters).chain(split)
    }
}

impl Collector for DiskFigures {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let catch_up = |counter: &IntCounter, value: &AtomicU64| {
            let value = value.load(Ordering::Relaxed);
            counter.inc_by(value.saturating_sub(counter.get()));
        };
        for volume in self.cache.volumes() {
            let (name, figures) = (volume.name.as_str(), volume.figures());
            for (gauge, value) in &self.gauges {
                let value = i64::try_from(value(volume)).unwrap_or(i64::MAX);
                gauge.with_label_values(&[name]).set(value);
            }
            for (counter, value) in &self.counters {
                catch_up(&counter.with_label_values(&[name]), value(figures));
            }
            for (counter, label, value) in &self.split {
                catch_up(&counter.with_label_values(&[name, label]), value(figures));
            }
        }
        self.collectors().flat_map(Collector::collect).collect()
    }
}

fn gauges() -> Result<[(IntGaugeVec, Level); 5], prometheus::Error> {
    let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &["disk"]);
    Ok([
        (
            gauge(
                "millrace_tier_disk_state",
                "How the disk is: 0 not in use, 1 only read, 2 serving",
            )?,
            |volume| match volume.state() {
                disk::State::Serving(_) => 2,
                disk::State::ReadOnly(_) | disk::State::Lent => 1,
                _ => 0,
            },
        ),
        (
            gauge(
                "millrace_tier_disk_size_bytes",
                "Bytes that the disk may take",
            )?,
            Volume::capacity,
        ),
        (
            gauge("millrace_tier_disk_bytes", "Bytes of objects on the disk")?,
            Volume::bytes,
        ),
        (
            gauge("millrace_tier_disk_objects", "Objects on the disk")?,
            |volume| volume.objects() as u64,
        ),
        (
            gauge(
                "millrace_tier_disk_queue_bytes",
                "Bytes of objects that wait to be written",
            )?,
            |volume| volume.queued() as u64,
        ),
    ])
}

fn counters() -> Result<[(IntCounterVec, Count); 7], prometheus::Error> {
    let counter = |name, help| IntCounterVec::new(Opts::new(name, help), &["disk"]);
    Ok([
        (
            counter("millrace_tier_disk_hits_total", "Objects found on the disk")?,
            |figures| &figures.hits,
        ),
        (
            counter(
                "millrace_tier_disk_read_bytes_total",
                "Bytes read from the disk for clients",
            )?,
            |figures| &figures.read_bytes,
        ),
        (
            counter(
                "millrace_tier_disk_written_bytes_total",
                "Bytes written to the disk, copies included",
            )?,
            |figures| &figures.written_bytes,
        ),
        (
            counter(
                "millrace_tier_disk_written_objects_total",
                "Objects written to the disk",
            )?,
            |figures| &figures.written,
        ),
        (
            counter(
                "millrace_tier_disk_evicted_objects_total",
                "Objects given up with the oldest segment",
            )?,
            |figures| &figures.evicted,
        ),
        (
            counter(
                "millrace_tier_disk_readmitted_objects_total",
                "Objects of the oldest segment that were in use and written again",
            )?,
            |figures| &figures.readmitted,
        ),
        (
            counter(
                "millrace_tier_disk_damaged_objects_total",
                "Objects whose bytes on disk did not have the checksum they were written with",
            )?,
            |figures| &figures.damaged,
        ),
    ])
}

fn split() -> Result<[(IntCounterVec, &'static str, Count); 5], prometheus::Error> {
    let split = |name, help, label| IntCounterVec::new(Opts::new(name, help), &["disk", label]);
    let skipped = split(
        "millrace_tier_disk_skipped_objects_total",
        "Objects that were not written: more waited than may, the disk was not written to, \
         or they are larger than a segment takes",
        "reason",
    )?;
    let errors = split(
        "millrace_tier_disk_errors_total",
        "Reads and writes that the disk refused",
        "operation",
    )?;
    Ok([
        (skipped.clone(), "queue", |figures| &figures.skipped_full),
        (skipped.clone(), "disk", |figures| &figures.skipped_aside),
        (skipped, "size", |figures| &figures.skipped_large),
        (errors.clone(), "read", |figures| &figures.read_errors),
        (errors, "write", |figures| &figures.write_errors),
    ])
}

type Level = fn(&Volume) -> u64;
type Count = fn(&disk::Figures) -> &AtomicU64;
