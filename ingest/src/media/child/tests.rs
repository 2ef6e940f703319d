//! What children may and may not do, tried by shells.

use rustix::process::{Pid, Signal, kill_process};

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
        // Enough to begin, on any machine.
        time: Duration::from_secs(3),
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
async fn a_child_ends_with_all_it_started_though_what_guards_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    // As a child does it itself where the kernel does not confine signals: its group has the number of its guard.
    let script =
        "sleep 1000 & perl -e 'print getpgrp, \" $ARGV[0]\\n\"' $!; until [ -e on ]; do :; done";
    let arguments = ["-c".into(), script.into()];
    let task = Task {
        program: Path::new("/bin/sh"),
        arguments: &arguments,
        folder: folder.path(),
        reads: &[],
    };
    let mut started = String::new();
    let end = run(task, WIDE, |bytes| {
        let told = std::str::from_utf8(bytes).unwrap().trim();
        let (guard, pid) = told.split_once(' ').unwrap();
        let guard = Pid::from_raw(guard.parse().unwrap()).unwrap();
        kill_process(guard, Signal::STOP).unwrap();
        pid.clone_into(&mut started);
        std::fs::write(folder.path().join("on"), "").unwrap();
    });
    assert!(matches!(end.await.unwrap(), End::Done(_)));
    gone(&started).await;
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
