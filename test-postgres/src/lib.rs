//! A real PostgreSQL server for tests: one a test process, or one of a test's own that may be
//! configured and killed; on a socket of its own, gone with the process.
//!
//! Its programs are those of Debian's package `postgresql`. Where they are absent, a test prints
//! that it was skipped and ends; or fails, where nothing may be skipped (`NO_SKIPS`).
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a server that cannot be started ends the test, and a test says that it was skipped"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The address of a new, empty database; `None`, with a word on the standard output, where there
/// is no PostgreSQL. Blocks while a server starts, once in a process.
///
/// # Panics
/// When PostgreSQL is there and cannot be started.
#[must_use]
pub fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(Server::start).as_ref()?;
    Some(server.database())
}

/// A server that runs until it is dropped, or its process ends. It keeps nothing for a crash, unless it is
/// [`Server::durable`].
pub struct Server {
    programs: PathBuf,
    folder: String,
    databases: AtomicU32,
    guard: Mutex<Guard>,
}

/// What holds the server. Its standard input closes with this process, however that ends.
struct Guard {
    child: Child,
    wishes: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server of one's own; `None`, with a word on the standard output, where there is no PostgreSQL.
    ///
    /// # Panics
    /// When PostgreSQL is there and cannot be started, or is absent and nothing may be skipped.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: there is no PostgreSQL; Debian has it as `postgresql`");
            let may_skip = std::env::var_os("NO_SKIPS").is_none();
            assert!(may_skip, "nothing may be skipped");
            return None;
        };
        let mut command = unprivileged();
        let mut child = command
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
        let wishes = child.stdin.take().expect("the input is piped");
        let said = child.stdout.take().expect("the output is piped");
        let mut guard = Guard {
            said: BufReader::new(said),
            child,
            wishes,
        };
        Some(Self {
            programs,
            folder: guard.line(),
            databases: AtomicU32::new(0),
            guard: Mutex::new(guard),
        })
    }

    /// The address of a new, empty database of this server.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let made = Command::new(self.programs.join("createdb"))
            .args(["-h", &self.folder, "-U", "postgres", &name])
            .status();
        assert!(made.expect("createdb starts").success(), "no database");
        let folder = &self.folder;
        format!("postgres://postgres@localhost/{name}?host={folder}")
    }

    /// The folder of the server, which its user may read: what lies there goes with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        Path::new(&self.folder)
    }

    /// The process that all of its processes are children of.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn process(&self) -> u32 {
        let told = std::fs::read_to_string(self.folder().join("data/postmaster.pid"));
        let told = told.expect("the server runs");
        let first = told.lines().next().expect("it says its process");
        first.parse().expect("a process has a number")
    }

    /// Has the server keep what it has answered for, whatever happens, as servers outside tests do.
    pub fn durable(&self) {
        self.configure(&[
            "fsync = on",
            "full_page_writes = on",
            "synchronous_commit = on",
        ]);
    }

    /// Starts the server anew with these lines in its configuration.
    pub fn configure(&self, lines: &[&str]) {
        for line in lines {
            self.wish(&format!("set {line}"));
        }
        self.crash();
    }

    /// Puts a file that only the server may read into its [folder](Self::folder).
    pub fn put(&self, name: &str, text: &str) {
        self.wish(&format!("put {name} {}", text.replace('\n', "\\n")));
    }

    /// Ends the server at once, as if it had died, and starts it again.
    pub fn crash(&self) {
        self.wish("stop");
        self.wish("start");
    }

    fn wish(&self, line: &str) {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(guard.wishes, "{line}").expect("the guard listens");
        assert_eq!(guard.line(), "done");
    }
}

impl Guard {
    /// What it says next.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.said.read_line(&mut line);
        read.expect("the guard says how the server is");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            let mut why = String::new();
            let told = self.child.stderr.take().expect("the errors are piped");
            let read = BufReader::new(told).read_to_string(&mut why);
            read.expect("the guard says what is wrong");
            assert_eq!(why, "", "PostgreSQL did not start");
        }
        line
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
