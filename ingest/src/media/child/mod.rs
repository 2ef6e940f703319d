//! Running ffmpeg and ffprobe as children that can neither stay for ever, nor take all memory, nor
//! reach what is not theirs.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

use super::{
    confine::{self, Room, Strength},
    group::Group,
};

/// What a child may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may run.
    pub time: Duration,
    /// How many bytes of address space it may have.
    pub memory_bytes: u64,
    /// How large any file may grow that it writes; a signal, `SIGXFSZ`, ends it beyond.
    pub file_bytes: u64,
}

impl Limits {
    /// What is left of them for one of several children that have the time together, since then.
    #[must_use]
    pub fn left(self, since: Instant) -> Self {
        Self {
            time: self.time.saturating_sub(since.elapsed()),
            ..self
        }
    }
}

/// How a child ended.
#[derive(Debug)]
pub enum End {
    /// It did what it was asked, and said this on standard error (the last 8 KiB).
    Done(String),
    /// It gave up, saying why on standard error (the last 8 KiB of that).
    Failed(String),
    /// A signal ended it: not its own decision, nor the film's fault.
    Killed(i32),
    /// Its time was over, and it was killed.
    TimedOut,
}

/// What a child is to do, and where.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The program.
    pub program: &'a Path,
    /// What it is told.
    pub arguments: &'a [OsString],
    /// The folder in which it works, and the only one in which it may write.
    pub folder: &'a Path,
    /// What it may read besides; the system's programs and libraries it may always.
    pub reads: &'a [&'a Path],
}

/// Runs a program, and hands what it writes to standard output to `on_output`.
///
/// The child sees no environment but `PATH`, has no standard input, leaves no core file, has no
/// network, no file that this process has open, reads and writes what its [`Task`] says, and dies with the
/// process that started it, so that a killed ingest leaves no encoder behind. So does what it started itself,
/// which does not outlive it either.
///
/// # Errors
/// When the program cannot be started or waited for, or does not end though it was killed.
///
/// # Cancel safety
/// Dropping the future kills the child and what it started.
pub async fn run(
    task: Task<'_>,
    limits: Limits,
    mut on_output: impl FnMut(&[u8]) + Send,
) -> io::Result<End> {
    let mut started = start(task, limits).await?;
    let Started { child, group, .. } = &mut started;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut tail = Vec::new();
    let work = async {
        let (output, complaints, status) = tokio::join!(
            drain(stdout, &mut on_output),
            drain(stderr, |bytes| keep_tail(&mut tail, bytes)),
            async {
                let status = child.wait().await;
                // What it started besides itself may hold its output open.
                group.kill();
                status
            }
        );
        output.and(complaints).and(status)
    };
    let worked = tokio::time::timeout(limits.time, work).await;
    let end = match worked {
        Ok(status) => end(status?, &tail),
        Err(_) => End::TimedOut,
    };
    // Nobody writes any more into what it leaves.
    started.end().await?;
    Ok(end)
}

/// Tells how well children are confined here, by confining one.
///
/// # Errors
/// When the program cannot be started.
pub async fn strength(task: Task<'_>, limits: Limits) -> io::Result<Strength> {
    let started = start(task, limits).await?;
    let strength = started.strength;
    started.end().await?;
    Ok(strength)
}

/// A child that runs.
struct Started {
    child: Child,
    strength: Strength,
    /// What it started is in it, too.
    group: Group,
    /// Keeps the thread that the child dies with.
    _stay: mpsc::Sender<()>,
}

impl Started {
    /// Kills the child and all that it started.
    async fn end(mut self) -> io::Result<()> {
        self.group.kill();
        let ended = async { tokio::try_join!(self.child.wait(), self.group.ended()) };
        match tokio::time::timeout(DYING, ended).await {
            Ok(ended) => ended.map(drop),
            // It waits in the kernel for what does not answer, such as a file system whose server is away.
            Err(_) => {
                let told = "what was killed does not end";
                Err(io::Error::new(io::ErrorKind::TimedOut, told))
            }
        }
    }
}

/// Starts a child from a thread of its own: a confinement holds for a thread and what it starts.
async fn start(task: Task<'_>, limits: Limits) -> io::Result<Started> {
    let mut command = command(task, limits);
    let (program, folder) = (task.program.to_owned(), task.folder.to_owned());
    let reads: Vec<PathBuf> = task.reads.iter().map(|path| (*path).to_owned()).collect();
    let (told, started) = oneshot::channel();
    let (stay, gone) = mpsc::channel::<()>();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("encoder".to_owned());
    thread.spawn(move || {
        let _context = runtime.enter();
        let reads: Vec<&Path> = reads.iter().map(PathBuf::as_path).collect();
        // Confinement does not hold for what is open: not for what whoever started this process left open either.
        close_fds::set_fds_cloexec_threadsafe(FIRST_OF_OTHERS, &[]);
        let begun = Group::new().and_then(|group| {
            let room = Room {
                program: &program,
                folder: &folder,
                reads: &reads,
                group: group.id(),
            };
            let strength = confine::enter(room)?;
            command.process_group(group.id().as_raw_pid());
            Ok((command.spawn()?, strength, group))
        });
        let _ = told.send(begun);
        // Until the other end is dropped; the child is not to outlive whoever waits for it.
        let _ = gone.recv();
    })?;
    let (child, strength, group) = started
        .await
        .map_err(|_| io::Error::other("the thread of a child ended"))??;
    Ok(Started {
        child,
        strength,
        group,
        _stay: stay,
    })
}

fn command(task: Task<'_>, limits: Limits) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "prlimit", "--core=0"])
        .arg(format!("--as={}", limits.memory_bytes))
        .arg(format!("--fsize={}", limits.file_bytes))
        .arg("--")
        .arg(task.program)
        .args(task.arguments)
        .current_dir(task.folder)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn end(status: ExitStatus, tail: &[u8]) -> End {
    // The wrapping programs replace themselves, so the status is the program's own; a shell in
    // between would report a signal as 128 and more.
    let said = || String::from_utf8_lossy(tail).trim().to_owned();
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Done(said()),
        (_, Some(signal)) => End::Killed(signal),
        (Some(code @ 129..=159), _) => End::Killed(code - 128),
        _ => End::Failed(said()),
    }
}

async fn drain(
    pipe: Option<impl AsyncRead + Unpin>,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 8192];
    loop {
        let count = pipe.read(&mut buffer).await?;
        match buffer.get(..count) {
            Some(bytes) if !bytes.is_empty() => take(bytes),
            _ => return Ok(()),
        }
    }
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(bytes);
    let surplus = tail.len().saturating_sub(TAIL);
    tail.drain(..surplus);
}

/// What is told of a program that ended with an error and said nothing.
pub const SILENT: &str = "ended with an error, and said nothing";
/// `SIGXFSZ`: the child wrote more to a file than [`Limits::file_bytes`].
pub const TOO_LARGE: i32 = 25;
const TAIL: usize = 8192;
/// How long what was killed may take to end; what it had in memory has to be given back.
const DYING: Duration = Duration::from_secs(60);
/// Below are a child's standard input, output and error.
const FIRST_OF_OTHERS: i32 = 3;
/// Where the system's own programs are; a role's own environment is not handed on.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests;
