//! What the bench asks of the machine: processor time, memory, cores, and which machine it is.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};

/// Who runs where: what is measured on one core, what drives it on another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// For the server that is measured.
    pub(crate) server: usize,
    /// For the bench itself.
    pub(crate) loader: usize,
}

impl Cores {
    /// The first and the last core that the bench may use; they are one where there is only one.
    pub(crate) fn choose() -> Result<Self> {
        let cores = cores()?;
        let server = *cores.first().context("there is no core to run on")?;
        let loader = cores.last().copied().unwrap_or(server);
        Ok(Self { server, loader })
    }

    /// Keeps this thread, and those that it starts, on the bench's core.
    pub(crate) fn stay(self) -> Result<()> {
        run_on(&[self.loader])
    }

    /// Starts a program on the server's core.
    pub(crate) fn start(self, command: &mut Command) -> Result<Child> {
        start_on(&[self.server], command)
    }
}

/// The cores that this thread may use.
pub(crate) fn cores() -> Result<Vec<usize>> {
    let allowed = rustix::thread::sched_getaffinity(None).context("cannot ask for cores")?;
    let cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    Ok(cores.collect())
}

/// Starts a program on these cores: a child inherits those of the thread that starts it.
pub(crate) fn start_on(cores: &[usize], command: &mut Command) -> Result<Child> {
    let own = self::cores()?;
    run_on(cores)?;
    let child = command.spawn();
    run_on(&own)?;
    child.with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Keeps this thread, and those that it starts, on these cores.
pub(crate) fn run_on(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("cannot run on cores {cores:?}"))
}

/// Processor time that this thread has used.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Pages that this thread has touched for the first time.
pub(crate) fn thread_faults() -> Result<u64> {
    stat_field(Path::new("/proc/thread-self/stat"), 10)
}

/// User and system time of a process, in the kernel's ticks (mostly 10 ms).
pub(crate) fn process_time(pid: u32) -> Result<Duration> {
    let stat = format!("/proc/{pid}/stat");
    let stat = Path::new(&stat);
    Ok(ticks(stat_field(stat, 14)? + stat_field(stat, 15)?))
}

/// User and system time of a process and its children, those that have ended included.
pub(crate) fn family_time(pid: u32) -> Result<Duration> {
    let stat = format!("/proc/{pid}/stat");
    let stat = Path::new(&stat);
    let ended = ticks(stat_field(stat, 16)? + stat_field(stat, 17)?);
    let running = family(pid).into_iter();
    // One that ends just now is counted the next time.
    Ok(running
        .filter_map(|pid| process_time(pid).ok())
        .fold(ended, |sum, time| sum + time))
}

/// User and system time of all children of this process that have ended.
pub(crate) fn children_time() -> Result<Duration> {
    let stat = Path::new("/proc/self/stat");
    Ok(ticks(stat_field(stat, 16)? + stat_field(stat, 17)?))
}

fn ticks(number: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(number.saturating_mul(1_000_000_000 / per_second))
}

/// A field of a `stat` file, counted from 1 as proc(5) does; the second is a name that may hold spaces.
fn stat_field(file: &Path, field: usize) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("no {}", file.display()))?;
    field_of(&text, field).with_context(|| format!("{} has no field {field}", file.display()))
}

fn field_of(stat: &str, field: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let at = field.checked_sub(3)?;
    rest.split_whitespace().nth(at)?.parse().ok()
}

/// Memory of a process in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    /// The most since the last [`forget_peak`].
    pub(crate) peak: u64,
}

/// Asks for a process's resident memory.
pub(crate) fn resident(pid: u32) -> Result<Resident> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("no /proc/status")?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Ok(Resident {
        now: kib("VmRSS:").context("no VmRSS")? << 10,
        peak: kib("VmHWM:").context("no VmHWM")? << 10,
    })
}

/// Lets the peak of a process's memory begin anew (proc(5), `clear_refs`).
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), b"5").context("cannot reset the peak of memory")
}

/// A process and those that it has started and that still run.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

/// Lets this process, and those that it starts, open as many files as they may.
pub(crate) fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // With fewer, a bench that needs more says what it could not open.
    let _ = setrlimit(Resource::Nofile, most);
}

/// What makes figures taken over this network not comparable; none in a private namespace with TCP reno.
pub(crate) fn noisy_network() -> Option<String> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let congestion = read("/proc/sys/net/ipv4/tcp_congestion_control");
    let devices = read("/proc/net/dev");
    let others = devices.lines().filter_map(|line| line.split_once(':'));
    let shared = others.map(|(name, _)| name.trim()).any(|name| name != "lo");
    let mut faults = Vec::new();
    if shared {
        faults.push("the network is shared with others".to_owned());
    }
    if congestion.trim() != "reno" {
        faults.push(format!("tcp {} costs other than reno", congestion.trim()));
    }
    (!faults.is_empty()).then(|| faults.join(", "))
}

/// The machine in one line.
pub(crate) fn describe() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let congestion = read("/proc/sys/net/ipv4/tcp_congestion_control");
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?");
    format!(
        "{model}, {cores} cores seen, kernel {}, tcp {}, load average at the start {load}",
        kernel.trim(),
        congestion.trim(),
    )
}

/// The first line that a program says about its version; none when it is not there.
pub(crate) fn version(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Some(said.lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_with_spaces_and_brackets() {
        let stat = "12 (a b) c) S 4 5 6 7 8 9 10 11 12 13 14 15 16";
        assert_eq!(field_of(stat, 4), Some(4));
        assert_eq!(field_of(stat, 15), Some(15));
        assert_eq!(field_of(stat, 40), None);
        assert_eq!(field_of("nothing", 4), None);
    }

    #[test]
    fn work_costs_this_thread_time() {
        let before = thread_time();
        let mut sum = 0_u64;
        while thread_time() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(thread_time() > before);
    }
}
