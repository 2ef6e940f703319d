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
/// When the program cannot be started or waited for.
///
/// # Cancel safety
/// Dropping the future kills the child and what it started.
pub async fn run(
    task: Task<'_>,
    limits: Limits,
    mut on_output: impl FnMut(&[u8]) + Send,
) -> io::Result<End> {
    let mut started = start(task, limits).await?;
    let child = &mut started.child;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut tail = Vec::new();
    let work = async {
        let (output, complaints, status) = tokio::join!(
            drain(stdout, &mut on_output),
            drain(stderr, |bytes| keep_tail(&mut tail, bytes)),
            async {
                let status = child.wait().await;
                // What it started besides itself may hold its output open.
                started.stay = None;
                status
            }
        );
        output.and(complaints).and(status)
    };
    let worked = tokio::time::timeout(limits.time, work).await;
    let end = match worked {
        Ok(status) => end(status?, &tail),
        Err(_) => {
            started.child.kill().await?;
            End::TimedOut
        }
    };
    started.stay = None;
    // Nobody writes any more into what it leaves.
    let _ = started.ended.await;
    Ok(end)
}

/// Tells how well children are confined here, by confining one.
///
/// # Errors
/// When the program cannot be started.
pub async fn strength(task: Task<'_>, limits: Limits) -> io::Result<Strength> {
    let mut started = start(task, limits).await?;
    started.child.kill().await?;
    Ok(started.strength)
}

/// A child that runs.
struct Started {
    child: Child,
    strength: Strength,
    /// Keeps the thread that the child dies with, and its group.
    stay: Option<mpsc::Sender<()>>,
    /// Told when the group has been killed.
    ended: oneshot::Receiver<()>,
}

/// Starts a child from a thread of its own: a confinement holds for a thread and what it starts.
async fn start(task: Task<'_>, limits: Limits) -> io::Result<Started> {
    let mut command = command(task, limits);
    let (program, folder) = (task.program.to_owned(), task.folder.to_owned());
    let reads: Vec<PathBuf> = task.reads.iter().map(|path| (*path).to_owned()).collect();
    let (told, started) = oneshot::channel();
    let (stay, gone) = mpsc::channel::<()>();
    let (killed, ended) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("encoder".to_owned());
    thread.spawn(move || {
        let _context = runtime.enter();
        let reads: Vec<&Path> = reads.iter().map(PathBuf::as_path).collect();
        // Confinement does not hold for what is open: not for what whoever started this process left open either.
        close_fds::set_fds_cloexec_threadsafe(FIRST_OF_OTHERS, &[]);
        let mut group = None;
        let begun = Group::new().and_then(|begun| {
            let id = group.insert(begun).id();
            let room = Room {
                program: &program,
                folder: &folder,
                reads: &reads,
                group: id,
            };
            let strength = confine::enter(room)?;
            command.process_group(i32::try_from(id).map_err(io::Error::other)?);
            Ok((command.spawn()?, strength))
        });
        let _ = told.send(begun);
        // Until the other end is dropped; the child is not to outlive whoever waits for it.
        let _ = gone.recv();
        drop(group);
        let _ = killed.send(());
    })?;
    let (child, strength) = started
        .await
        .map_err(|_| io::Error::other("the thread of a child ended"))??;
    Ok(Started {
        child,
        strength,
        stay: Some(stay),
        ended,
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

/// `SIGXFSZ`: the child wrote more to a file than [`Limits::file_bytes`].
pub const TOO_LARGE: i32 = 25;
const TAIL: usize = 8192;
/// Below are a child's standard input, output and error.
const FIRST_OF_OTHERS: i32 = 3;
/// Where the system's own programs are; a role's own environment is not handed on.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limits: Limits) -> (End, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Vec::new();
        let arguments = [OsString::from("-c"), OsString::from(script)];
        let task = Task {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            folder: folder.path(),
            reads: &[],
        };
        let end = run(task, limits, |bytes| output.extend_from_slice(bytes));
        (end.await.unwrap(), output)
    }

    #[tokio::test]
    async fn a_hostile_child_reaches_neither_the_network_nor_files_that_are_not_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "secret").unwrap();
        let beside = secret.path().display();
        for (script, told) in [
            ("cat /etc/passwd", "Permission denied"),
            (&*format!("cat {beside}"), "Permission denied"),
            (&format!("echo x > {beside}"), "Permission denied"),
            (&format!("echo x > {beside}.new"), "Permission denied"),
            ("ls /", "Permission denied"),
            ("cat /proc/1/environ", "Permission denied"),
            ("cp /bin/true own && ./own", "Permission denied"),
            (&format!("kill -9 {}", std::process::id()), "not permitted"),
            (
                &format!("bash -c 'echo x > /dev/tcp/127.0.0.1/{port}'"),
                "not permitted",
            ),
            (
                &format!("bash -c 'echo x > /dev/udp/127.0.0.1/{port}'"),
                "not permitted",
            ),
            ("perl -e 'socket(S,1,1,0) or die $!'", "not permitted"),
            ("unshare -rn true", "not permitted"),
            (&format!("chmod 000 {beside}"), "not permitted"),
            (
                &format!("perl -e 'utime(1, 1, \"{beside}\") or die $!'"),
                "not permitted",
            ),
            (
                &format!("perl -e 'truncate(\"{beside}\", 0) or die $!'"),
                "not permitted",
            ),
            (
                &format!("prlimit --pid {} --nofile=3", std::process::id()),
                "not permitted",
            ),
            (
                &format!("taskset -p 1 {}", std::process::id()),
                "not permitted",
            ),
            (
                "perl -MPOSIX=setsid -e 'setsid() > 0 or die $!'",
                "not permitted",
            ),
            ("perl -e 'setpgrp(0, 0) or die $!'", "not permitted"),
        ] {
            let (end, output) = shell(script, WIDE).await;
            let End::Failed(why) = end else {
                panic!("{script}: {end:?} {output:?}")
            };
            assert!(why.contains(told), "{script}: {why}");
        }
        assert_eq!(std::fs::read_to_string(secret.path()).unwrap(), "secret");
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody came");
    }

    #[tokio::test]
    async fn a_child_reads_what_it_is_shown_and_changes_what_lies_in_its_own_folder_only() {
        let (shown, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = shown.path().join("source");
        std::fs::write(&source, "film").unwrap();
        // As a store gives it: the same file by another name.
        let script = format!(
            "cat {0}; cp {0} copy; mv copy made; echo >> {0}; cat {0}.other",
            source.display()
        );
        std::fs::write(shown.path().join("source.other"), "other").unwrap();
        let arguments = [OsString::from("-c"), OsString::from(script)];
        let task = Task {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            folder: folder.path(),
            reads: &[&source],
        };
        let mut output = Vec::new();
        let end = run(task, WIDE, |bytes| output.extend_from_slice(bytes)).await;
        assert!(matches!(end.unwrap(), End::Failed(_)));
        assert_eq!(output, b"film");
        assert_eq!(std::fs::read(&source).unwrap(), b"film");
        assert_eq!(std::fs::read(folder.path().join("made")).unwrap(), b"film");
        let strength = strength(task, WIDE).await.unwrap();
        assert_ne!(strength, Strength::Network, "{:?}", strength.lack());
    }

    const WIDE: Limits = Limits {
        time: Duration::from_secs(60),
        memory_bytes: 1 << 30,
        file_bytes: 1 << 20,
    };

    #[tokio::test]
    async fn output_and_complaints_are_kept_apart() {
        let (end, output) = shell("echo out; echo why >&2; exit 3", WIDE).await;
        assert!(matches!(end, End::Failed(why) if why == "why"));
        assert_eq!(output, b"out\n");
    }

    #[tokio::test]
    async fn a_child_beyond_its_time_is_killed() {
        let limits = Limits {
            time: Duration::from_millis(50),
            ..WIDE
        };
        let (end, _) = shell("exec cat /dev/zero", limits).await;
        assert!(matches!(end, End::TimedOut));
    }

    #[tokio::test]
    async fn a_child_has_the_memory_it_is_given_and_none_of_our_environment() {
        let (end, output) = shell("ulimit -v; ulimit -c; env | cut -d= -f1 | sort", WIDE).await;
        assert!(matches!(end, End::Done(_)));
        let output = String::from_utf8(output).unwrap();
        assert!(output.starts_with("1048576\n0\n"), "{output}");
        assert!(
            !output.contains("CARGO") && !output.contains("HOME"),
            "{output}"
        );
    }

    #[tokio::test]
    async fn a_child_that_writes_more_than_it_may_is_ended() {
        let limits = Limits {
            file_bytes: 1000,
            ..WIDE
        };
        let (end, _) = shell("exec head -c 5000 /dev/zero > file", limits).await;
        assert!(matches!(end, End::Killed(TOO_LARGE)), "{end:?}");
        let (end, output) = shell("head -c 5000 /dev/zero", limits).await;
        assert!(matches!(end, End::Done(_)), "a pipe is no file: {end:?}");
        assert_eq!(output.len(), 5000);
    }

    /// Whether a process is there and has not ended.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // Its state follows its name.
        stat.is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
    }

    async fn gone(pid: &str) {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while lives(pid) {
            looks.tick().await;
        }
    }

    #[tokio::test]
    async fn what_a_child_started_ends_with_it() {
        let (end, output) = shell("sleep 1000 & sleep 1000 & echo $!", WIDE).await;
        assert!(matches!(end, End::Done(_)), "nobody waits for them");
        let pid = String::from_utf8(output).unwrap();
        assert!(pid.trim().parse::<u32>().is_ok(), "{pid}");
        gone(pid.trim()).await;
        let limits = Limits {
            time: Duration::from_millis(300),
            ..WIDE
        };
        let (end, output) = shell("sleep 1000 & echo $!; wait", limits).await;
        assert!(matches!(end, End::TimedOut), "{end:?}");
        gone(String::from_utf8(output).unwrap().trim()).await;
    }

    #[tokio::test]
    async fn what_a_child_started_ends_when_nobody_waits_for_it_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-c".into(), "sleep 1000 & echo $!; wait".into()];
        let task = Task {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            folder: folder.path(),
            reads: &[],
        };
        let (told, mut pid) = tokio::sync::mpsc::unbounded_channel();
        let running = run(task, WIDE, |bytes| {
            told.send(String::from_utf8(bytes.to_vec()).unwrap())
                .unwrap();
        });
        let pid = tokio::select! {
            end = running => panic!("{end:?}"),
            pid = pid.recv() => pid.unwrap(),
        };
        assert!(pid.trim().parse::<u32>().is_ok(), "{pid}");
        gone(pid.trim()).await;
    }

    #[tokio::test]
    async fn a_child_has_nothing_open_but_its_own() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "secret").unwrap();
        // As whoever starts ingest may have left it open.
        let left = std::fs::File::open(secret.path()).unwrap();
        rustix::io::fcntl_setfd(&left, rustix::io::FdFlags::empty()).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&left);
        let (end, output) = shell(&format!("bash -c 'cat <&{number}'"), WIDE).await;
        let End::Failed(why) = end else {
            panic!("{end:?} {output:?}")
        };
        assert!(why.contains("Bad file descriptor"), "{why}");
    }

    #[tokio::test]
    async fn a_signal_is_told_from_a_failure() {
        let (end, _) = shell("kill -9 $$", WIDE).await;
        assert!(matches!(end, End::Killed(9)), "{end:?}");
    }
}
