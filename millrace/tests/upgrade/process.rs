//! A role as a process, and its supervisor.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::{Child, ChildStdout, Command};

/// Everything that must come to pass does so within this time, on a machine that has other work.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A role that runs, through all the processes that it is in its life.
pub(crate) struct Role {
    _files: TempDir,
    pub(crate) config: PathBuf,
    pub(crate) root: CertificateDer<'static>,
    pub(crate) listen: Value,
    first: Child,
    said: Lines<BufReader<ChildStdout>>,
    supervisor: UnixDatagram,
    /// The process that serves.
    pub(crate) main: u32,
}

impl Role {
    /// Starts a role with what stands in `config`, to which the certificate is added where it listens over TLS.
    pub(crate) async fn start(role: &str, config: impl FnOnce(&Path) -> String) -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let at = |name: &str| files.path().join(name);
        std::fs::write(at("chain.pem"), made.cert.pem()).unwrap();
        std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut toml = config(files.path());
        if toml.contains("https = ") {
            let (chain, key) = (at("chain.pem"), at("key.pem"));
            toml.push_str(&format!(
                "\n[tls]\ncertificate = {chain:?}\nkey = {key:?}\n"
            ));
        }
        let config = at("role.toml");
        std::fs::write(&config, toml).unwrap();
        let supervisor = UnixDatagram::bind(at("notify")).unwrap();
        let mut first = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .arg(role)
            .arg("--config")
            .arg(&config)
            .env("NOTIFY_SOCKET", at("notify"))
            .env("MILLRACE_LOG", "info,access=off")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(first.stdout.take().unwrap()).lines();
        let listen = listens(&mut said).await;
        let mut role = Self {
            main: first.id().unwrap(),
            root: made.cert.der().clone(),
            _files: files,
            config,
            listen,
            first,
            said,
            supervisor,
        };
        assert_eq!(role.told().await, "READY=1");
        role
    }

    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.listen[listener].as_str().unwrap().parse().unwrap()
    }

    /// What the supervisor is told next.
    pub(crate) async fn told(&mut self) -> String {
        let mut bytes = [0; 256];
        let told = tokio::time::timeout(SOON, self.supervisor.recv(&mut bytes)).await;
        let length = told.expect("the supervisor is told in time").unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, self.main);
    }

    /// Has the role replaced; returns when the new process serves, with the id of the old one.
    pub(crate) async fn upgrade(&mut self) -> u32 {
        self.signal("USR2");
        let listen = listens(&mut self.said).await;
        assert_eq!(listen, self.listen, "every port is kept");
        let told = self.told().await;
        let id = told.strip_prefix("MAINPID=").unwrap();
        let id = id.strip_suffix("\nREADY=1").unwrap().parse().unwrap();
        std::mem::replace(&mut self.main, id)
    }

    /// Waits until a process has ended.
    pub(crate) async fn ended(&mut self, id: u32) {
        let end = async {
            if self.first.id() == Some(id) {
                assert!(self.first.wait().await.unwrap().success());
            }
            while Path::new(&format!("/proc/{id}")).exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, end).await.expect("it ends");
    }

    /// A page of the internal port.
    pub(crate) async fn page(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\n"), "").await
    }

    /// Orders a purge by hand.
    pub(crate) async fn purge(&self, order: &str) {
        let head = "POST /purge HTTP/1.1\r\ncontent-type: application/json\r\n";
        let answer = self.ask(head, order).await;
        assert!(answer.contains("\"seq\""), "{answer}");
    }

    async fn ask(&self, head: &str, body: &str) -> String {
        let answer = self.exchange("internal", head, body).await;
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The status of the answer to a request without a body at a listener.
    pub(crate) async fn status(&self, listener: &str, head: &str) -> u16 {
        let answer = self.exchange(listener, head, "").await;
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn exchange(&self, listener: &str, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address(listener)).await.unwrap();
        let length = body.len();
        let fields = format!("host: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        let request = [head, &fields, body].concat();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A figure of the metrics, whatever its labels; zero when it is not there.
    pub(crate) async fn figure(&self, name: &str) -> u64 {
        let page = self.page("/metrics").await;
        let mut lines = page.lines().filter(|line| line.starts_with(name));
        let value = lines.next().and_then(|line| line.rsplit(' ').next());
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a figure is as large.
    pub(crate) async fn counts(&self, name: &str, value: u64) {
        let until = tokio::time::Instant::now() + SOON;
        while self.figure(name).await < value {
            assert!(
                tokio::time::Instant::now() < until,
                "{name} stays below {value}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a page says something.
    pub(crate) async fn says(&self, path: &str, text: &str) -> String {
        let until = tokio::time::Instant::now() + SOON;
        loop {
            let page = self.page(path).await;
            if page.contains(text) {
                return page;
            }
            assert!(tokio::time::Instant::now() < until, "{text:?} in {page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if self.first.id() != Some(self.main) {
            kill("KILL", self.main);
        }
    }
}

/// The next line that says where a role listens.
async fn listens(said: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(SOON, said.next_line()).await;
    let line = line.expect("it listens in time").unwrap();
    let line: Value = serde_json::from_str(&line.expect("it serves")).unwrap();
    line["listen"].clone()
}

pub(crate) fn kill(signal: &str, id: u32) {
    let id = id.to_string();
    // One that has ended is as good as killed.
    let _ = std::process::Command::new("kill")
        .args(["-s", signal, &id])
        .status();
}
