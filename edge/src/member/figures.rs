//! How a node is, in numbers, from what it counts anyway.

use std::time::Duration;

use contracts::fleet::{CacheUse, FillUse, Load};
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use tier::intake;
use tokio::time::Instant;

/// What a node counts, and what it had counted at the last look.
pub(super) struct Figures {
    registry: Registry,
    memory_size: u64,
    max_connections: u64,
    last: Option<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    sent: u64,
    requests: u64,
    fetched: u64,
    processors: Option<Processors>,
}

/// Time of all processors since the start of the machine, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Processors {
    idle: u64,
    all: u64,
}

impl Figures {
    pub(super) const fn new(registry: Registry, memory_size: u64, max_connections: u64) -> Self {
        Self {
            registry,
            memory_size,
            max_connections,
            last: None,
        }
    }

    /// Looks at all of them; rates are since the last look.
    pub(super) fn look(&mut self, intake: intake::State) -> (Load, CacheUse, FillUse) {
        let counted = Counted(self.registry.gather());
        let sent = counted.sum("millrace_tier_sent_bytes_total", &[]);
        let by_use = |uses| counted.sum("millrace_tier_requests_total", uses);
        let look = Look {
            at: Instant::now(),
            sent,
            requests: by_use(&[]),
            fetched: intake.bytes,
            processors: processors(),
        };
        let last = self.last.replace(look).unwrap_or(look);
        let since = look.at.duration_since(last.at);
        let connections = ["millrace_tier_connections", "h3_connections_open"];
        let load = Load {
            egress_bps: rate(look.sent, last.sent, since).saturating_mul(8),
            requests_s: rate(look.requests, last.requests, since),
            connections: connections.iter().map(|name| counted.sum(name, &[])).sum(),
            max_connections: self.max_connections,
            cpu_percent: look
                .processors
                .zip(last.processors)
                .map_or(0, |(now, then)| now.busy_since(then)),
        };
        let cache = CacheUse {
            memory_used: counted.sum("millrace_tier_cache_bytes", &[]),
            memory_size: self.memory_size,
            disk_used: counted.sum("millrace_tier_disk_bytes", &[]),
            disk_size: counted.sum("millrace_tier_disk_size_bytes", &[]),
            hits: by_use(&["hit", "joined", "stale", "revalidated"]),
            misses: by_use(&["miss", "pass"]),
            bytes_out: sent,
            bytes_filled: intake.bytes,
        };
        let fill = FillUse {
            open: intake.open,
            rate_bytes_s: intake.cap,
            used_bytes_s: rate(look.fetched, last.fetched, since),
        };
        (load, cache, fill)
    }
}

struct Counted(Vec<MetricFamily>);

impl Counted {
    /// The sum of a figure; of several `cache` uses, if any are named.
    fn sum(&self, name: &str, uses: &[&str]) -> u64 {
        let family = self.0.iter().find(|family| family.name() == name);
        let metrics = family.map_or(&[][..], MetricFamily::get_metric).iter();
        let meant = metrics.filter(|metric| {
            let labels = metric.get_label().iter();
            let mut used = labels.filter(|label| label.name() == "cache");
            uses.is_empty() || used.any(|label| uses.contains(&label.value()))
        });
        let values =
            meant.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value());
        whole(values.sum())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer stops at its bounds"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}

fn rate(now: u64, then: u64, since: Duration) -> u64 {
    let seconds = since.as_secs_f64();
    if seconds <= 0.0 {
        return 0;
    }
    whole(now.saturating_sub(then) as f64 / seconds)
}

impl Processors {
    /// Percent of the time since then for which they had something to do.
    fn busy_since(self, then: Self) -> u64 {
        let all = self.all.saturating_sub(then.all);
        let idle = self.idle.saturating_sub(then.idle).min(all);
        (100 * (all - idle)).checked_div(all).unwrap_or(0)
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait and others.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks = line.split_ascii_whitespace().map(str::parse);
        let ticks: Vec<u64> = ticks.collect::<Result<_, _>>().ok()?;
        Some(Self {
            idle: ticks.get(3)? + ticks.get(4)?,
            // Those of guests are among user's and nice's.
            all: ticks.iter().take(8).sum(),
        })
    }
}

/// `None` where the system does not tell.
fn processors() -> Option<Processors> {
    Processors::parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_as_busy_as_they_were_since_the_last_look() {
        let read = |line: &str| Processors::parse(line).unwrap();
        let then = read("cpu  100 0 100 700 100 0 0 0 9 9\ncpu0 1");
        let now = read("cpu  130 0 120 740 110 0 0 0 9 9\n");
        assert_eq!(now.busy_since(then), 50);
        assert_eq!(now.busy_since(now), 0);
        assert_eq!(then.busy_since(now), 0, "a clock that goes back");
        assert_eq!(Processors::parse("cpu0 1 2"), None);
        assert_eq!(Processors::parse(""), None);
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_since_the_last_look_and_sums_over_labels() {
        let registry = Registry::new();
        let options = prometheus::Opts::new("millrace_tier_requests_total", "-");
        let requests = prometheus::IntCounterVec::new(options, &["status", "cache"]).unwrap();
        let sent = prometheus::IntCounter::new("millrace_tier_sent_bytes_total", "-").unwrap();
        let open = prometheus::IntGauge::new("millrace_tier_connections", "-").unwrap();
        registry.register(Box::new(requests.clone())).unwrap();
        registry.register(Box::new(sent.clone())).unwrap();
        registry.register(Box::new(open.clone())).unwrap();
        let mut figures = Figures::new(registry, 1 << 20, 10);
        let intake = |bytes| intake::State {
            open: true,
            cap: 7,
            bytes,
        };
        let (load, ..) = figures.look(intake(0));
        assert_eq!((load.egress_bps, load.requests_s), (0, 0));
        tokio::time::advance(Duration::from_secs(2)).await;
        sent.inc_by(1000);
        open.set(3);
        for (status, cache, count) in [
            ("200", "hit", 4),
            ("206", "joined", 2),
            ("200", "miss", 3),
            ("404", "none", 1),
        ] {
            requests.with_label_values(&[status, cache]).inc_by(count);
        }
        let (load, cache, fill) = figures.look(intake(5000));
        assert_eq!(
            (load.egress_bps, load.requests_s, load.connections),
            (4000, 5, 3)
        );
        assert_eq!((cache.hits, cache.misses, cache.bytes_out), (6, 3, 1000));
        assert_eq!((fill.used_bytes_s, fill.rate_bytes_s), (2500, 7));
    }
}
