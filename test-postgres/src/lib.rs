//! A real PostgreSQL server for tests: one a test process, on a socket of its own, gone with the
//! process.
//!
//! Its programs are those of Debian's package `postgresql`. Where they are absent, a test prints
//! that it was skipped and ends.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a server that cannot be started ends the test, and a test says that it was skipped"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The address of a new, empty database; `None`, with a word on the standard output, where there
/// is no PostgreSQL. Blocks while a server starts, once in a process.
///
/// # Panics
/// When PostgreSQL is there and cannot be started.
#[must_use]
pub fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let Some(server) = SERVER.get_or_init(Server::start) else {
        println!("skipped: there is no PostgreSQL; Debian has it as `postgresql`");
        return None;
    };
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let made = Command::new(server.programs.join("createdb"))
        .args(["-h", &server.folder, "-U", "postgres", &name])
        .status();
    assert!(made.expect("createdb starts").success(), "no database");
    let folder = &server.folder;
    Some(format!(
        "postgres://postgres@localhost/{name}?host={folder}"
    ))
}

/// A server that runs until its guard's standard input ends.
struct Server {
    programs: PathBuf,
    folder: String,
    /// Holds the other end of that input. It closes with the process, however that ends.
    _guard: Child,
}

impl Server {
    fn start() -> Option<Self> {
        let programs = programs()?;
        let mut command = unprivileged();
        let mut guard = command
            .args(["sh", "-c", include_str!("serve.sh"), "serve"])
            .arg(&programs)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What ends the tests by a signal to their group must not end the guard before its work.
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let mut folder = String::new();
        let said = guard.stdout.take().expect("the output is piped");
        BufReader::new(said)
            .read_line(&mut folder)
            .expect("the guard says where the server is");
        let folder = folder.trim_end().to_owned();
        if folder.is_empty() {
            let mut why = String::new();
            let told = guard.stderr.take().expect("the errors are piped");
            let read = BufReader::new(told).read_to_string(&mut why);
            read.expect("the guard says what is wrong");
            assert_eq!(why, "", "PostgreSQL did not start");
        }
        Some(Self {
            programs,
            folder,
            _guard: guard,
        })
    }
}

/// The folder of the newest PostgreSQL's programs, by Debian's way to lay them out.
fn programs() -> Option<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().ok()?;
    let number = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    versions
        .flatten()
        .map(|version| version.path())
        .filter(|version| version.join("bin/initdb").exists())
        .max_by_key(|version| number(version))
        .map(|version| version.join("bin"))
}

/// What runs a program with nobody's rights: PostgreSQL refuses to be run by root.
fn unprivileged() -> Command {
    let process = std::fs::metadata("/proc/self");
    if process.is_ok_and(|process| process.uid() == 0) {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        command
    } else {
        Command::new("env")
    }
}
