//! Running ffmpeg and ffprobe as children that can neither stay for ever nor take all memory.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
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

/// How a child ended.
#[derive(Debug)]
pub enum End {
    /// It did what it was asked.
    Done,
    /// It gave up, saying why on standard error (the last 8 KiB of that).
    Failed(String),
    /// A signal ended it: not its own decision, nor the film's fault.
    Killed(i32),
    /// Its time was over, and it was killed.
    TimedOut,
}

/// Runs `program` in `folder`, and hands what it writes to standard output to `on_output`.
///
/// The child sees no environment but `PATH`, has no standard input, leaves no core file, and dies
/// with the thread that started it, so that a killed ingest leaves no encoder behind.
///
/// # Errors
/// When the program cannot be started or waited for.
///
/// # Cancel safety
/// Dropping the future kills the child.
pub async fn run(
    program: &Path,
    arguments: &[OsString],
    folder: &Path,
    limits: Limits,
    mut on_output: impl FnMut(&[u8]) + Send,
) -> io::Result<End> {
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "prlimit", "--core=0"])
        .arg(format!("--as={}", limits.memory_bytes))
        .arg(format!("--fsize={}", limits.file_bytes))
        .arg("--")
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut tail = Vec::new();
    let work = async {
        let (output, complaints, status) = tokio::join!(
            drain(stdout, &mut on_output),
            drain(stderr, |bytes| keep_tail(&mut tail, bytes)),
            child.wait()
        );
        output.and(complaints).and(status)
    };
    match tokio::time::timeout(limits.time, work).await {
        Ok(status) => Ok(end(status?, &tail)),
        Err(_) => {
            child.kill().await?;
            Ok(End::TimedOut)
        }
    }
}

fn end(status: ExitStatus, tail: &[u8]) -> End {
    // The wrapping programs replace themselves, so the status is the program's own; a shell in
    // between would report a signal as 128 and more.
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Done,
        (_, Some(signal)) => End::Killed(signal),
        (Some(code @ 129..=159), _) => End::Killed(code - 128),
        _ => End::Failed(String::from_utf8_lossy(tail).trim().to_owned()),
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
/// Where the system's own programs are; a role's own environment is not handed on.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limits: Limits) -> (End, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Vec::new();
        let arguments = [OsString::from("-c"), OsString::from(script)];
        let end = run(
            Path::new("/bin/sh"),
            &arguments,
            folder.path(),
            limits,
            |bytes| {
                output.extend_from_slice(bytes);
            },
        );
        (end.await.unwrap(), output)
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
        assert!(matches!(end, End::Done));
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
        assert!(matches!(end, End::Done), "a pipe is no file: {end:?}");
        assert_eq!(output.len(), 5000);
    }

    #[tokio::test]
    async fn a_signal_is_told_from_a_failure() {
        let (end, _) = shell("kill -9 $$", WIDE).await;
        assert!(matches!(end, End::Killed(9)), "{end:?}");
    }
}
