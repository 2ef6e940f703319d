//! The servers that are measured: edges of ours and nginx, each of one worker on the server's core.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::files::Files;
use super::gate::Signer;
use crate::machine::{self, Cores};
use crate::process;
use crate::wire::Protocol;

/// A running server; dropped, it is stopped.
pub(super) struct Server {
    /// As tables have it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    addresses: Addresses,
    /// Where an edge tells its metrics.
    pub(super) internal: Option<SocketAddr>,
    child: Child,
    /// An edge stops when this closes, also should the bench be killed.
    leash: Option<ChildStdin>,
}

/// Whose a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    Nginx,
}

/// How a server is to work; ours has one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A cache behind a signature.
    Signed,
    /// A cache, open to all, one fill at a time for an object.
    Cache,
    /// No cache at all.
    Proxy,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    plain: SocketAddr,
    tls: SocketAddr,
    quic: Option<SocketAddr>,
}

/// What `millrace edge` says once it listens.
#[derive(Deserialize)]
struct Ready {
    listen: Listen,
}

#[derive(Deserialize)]
struct Listen {
    http: SocketAddr,
    https: SocketAddr,
    internal: SocketAddr,
}

impl Server {
    /// Starts an edge with a cache as told, and one worker thread.
    pub(super) fn edge(
        program: &Path,
        files: &Files,
        (name, cache): (&'static str, &str),
        origin: SocketAddr,
        cores: Cores,
    ) -> Result<Self> {
        let config = files
            .folder
            .join(format!("{}.toml", name.replace(' ', "-")));
        fs::write(&config, edge_config(files, cache, origin))
            .context("cannot write an edge's configuration")?;
        let (mut child, Ready { listen }) =
            process::role::<Ready>(program, "edge", &config, cores)?;
        Ok(Self {
            name,
            kind: Kind::Ours,
            addresses: Addresses {
                plain: listen.http,
                tls: listen.https,
                quic: Some(listen.https),
            },
            internal: Some(listen.internal),
            leash: child.stdin.take(),
            child,
        })
    }

    /// Starts an nginx of one worker, in a folder of its own.
    pub(super) fn nginx(
        program: &Path,
        files: &Files,
        (name, folder): (&'static str, &str),
        origin: SocketAddr,
        cores: Cores,
    ) -> Result<Self> {
        let quic = speaks_quic(program);
        let (plain, tls) = (process::free_address()?, process::free_address()?);
        let addresses = Addresses {
            plain,
            tls,
            quic: quic.then_some(tls),
        };
        let work = files.folder.join(folder);
        // What an earlier run cached is not this run's.
        if work.exists() {
            fs::remove_dir_all(&work).context("cannot empty nginx's folder")?;
        }
        fs::create_dir_all(&work).context("cannot make a folder for nginx")?;
        let config = work.join("nginx.conf");
        fs::write(&config, nginx_config(files, &work, addresses, origin))
            .context("cannot write nginx's configuration")?;
        let child = process::nginx(program, &work, &config, cores)?;
        let mut server = Self {
            name,
            kind: Kind::Nginx,
            addresses,
            internal: None,
            leash: None,
            child,
        };
        server.wait_for_port()?;
        Ok(server)
    }

    /// nginx does not tell when it listens; its worker answers.
    fn wait_for_port(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let works = machine::family(self.child.id()).len() > 1;
            if works && TcpStream::connect(self.addresses.plain).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("nginx did not start ({status})");
            }
            if start.elapsed() > PATIENCE {
                bail!("nginx does not listen");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it speaks a protocol, if it does.
    pub(super) const fn address(&self, protocol: Protocol) -> Option<SocketAddr> {
        match protocol {
            Protocol::Plain => Some(self.addresses.plain),
            Protocol::Tls | Protocol::H2 => Some(self.addresses.tls),
            Protocol::H3 => self.addresses.quic,
        }
    }

    /// What is asked for to get a path of the origin. Ours always wants a token.
    pub(super) fn target(&self, signer: &Signer, mode: Mode, path: &str) -> Result<String> {
        Ok(match (self.kind, mode) {
            (Kind::Ours, _) => signer.token(path)?,
            (Kind::Nginx, Mode::Signed) => signer.secure_link(path),
            (Kind::Nginx, Mode::Cache) => format!("/cache{path}"),
            (Kind::Nginx, Mode::Proxy) => format!("/proxy{path}"),
        })
    }

    /// Processor time that its processes have used.
    pub(super) fn time(&self) -> Result<Duration> {
        machine::family_time(self.child.id())
    }

    /// Resident memory of its processes; what they share is counted for each.
    pub(super) fn resident(&self) -> Result<u64> {
        let processes = machine::family(self.child.id()).into_iter();
        let memory = processes.map(|pid| Ok(machine::resident(pid)?.now));
        memory.sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.leash.take().is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            // A master that is killed would leave its workers behind.
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        }
        let start = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether an nginx was built with HTTP/3.
pub(super) fn speaks_quic(program: &Path) -> bool {
    let output = Command::new(program)
        .arg("-V")
        .stdin(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        memchr::memmem::find(&output.stderr, b"--with-http_v3_module").is_some()
    })
}

fn edge_config(files: &Files, cache: &str, origin: SocketAddr) -> String {
    EDGE.replace("ORIGIN", &origin.to_string())
        .replace("KEYRING", &shown(&files.keyring))
        .replace("CHAIN", &shown(&files.chain))
        .replace("PRIVATE", &shown(&files.key))
        .replace("CACHE", cache)
}

fn nginx_config(files: &Files, work: &Path, addresses: Addresses, origin: SocketAddr) -> String {
    // Whoever knows the one way knows the other too, and warns of the old one.
    let secure = match addresses.quic {
        None => "listen SECURE ssl http2;".to_owned(),
        Some(address) => format!(
            "listen SECURE ssl;\n        http2 on;\n        listen {address} quic reuseport;\n        quic_gso on;"
        ),
    };
    NGINX
        .replace("WORK", &shown(work))
        .replace("ORIGIN", &origin.to_string())
        .replace("PLAIN", &addresses.plain.to_string())
        .replace("LISTEN_TLS", &secure)
        .replace("SECURE", &addresses.tls.to_string())
        .replace("CHAIN", &shown(&files.chain))
        .replace("PRIVATE", &shown(&files.key))
        .replace("SECRET", Signer::SECURE_LINK)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

const PATIENCE: Duration = Duration::from_secs(10);

const EDGE: &str = r#"parents = ["http://ORIGIN"]
keyring_file = "KEYRING"
[listen]
https = "127.0.0.1:0"
plain = "127.0.0.1:0"
internal = "127.0.0.1:0"
[tls]
certificate = "CHAIN"
key = "PRIVATE"
[clients]
drain = "0s"
[cache]
CACHE
"#;

const NGINX: &str = "\
daemon off;
user root;
worker_processes 1;
pid WORK/pid;
error_log stderr crit;
worker_rlimit_nofile 20000;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path WORK/body;
    proxy_temp_path WORK/temp;
    fastcgi_temp_path WORK/fastcgi;
    uwsgi_temp_path WORK/uwsgi;
    scgi_temp_path WORK/scgi;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max=10000 inactive=1h;
    output_buffers 2 256k;
    ssl_certificate CHAIN;
    ssl_certificate_key PRIVATE;
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    ssl_session_cache off;
    upstream origin {
        server ORIGIN;
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_buffer_size 16k;
    proxy_buffers 16 64k;
    proxy_busy_buffers_size 128k;
    proxy_max_temp_file_size 0;
    proxy_cache_path WORK/cache levels=1:2 keys_zone=bench:64m max_size=2g inactive=1h use_temp_path=off;
    proxy_cache_key $uri;
    proxy_cache_lock on;
    server {
        listen PLAIN;
        LISTEN_TLS
        location /v/ {
            secure_link $arg_md5,$arg_expires;
            secure_link_md5 \"$secure_link_expires$uri SECRET\";
            if ($secure_link = \"\") { return 403; }
            if ($secure_link = \"0\") { return 410; }
            proxy_cache bench;
            proxy_pass http://origin;
        }
        location /cache/ {
            proxy_cache bench;
            proxy_pass http://origin/;
        }
        location /proxy/ {
            proxy_buffering on;
            proxy_pass http://origin/;
        }
    }
}
";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use std::net::Ipv4Addr;

    use super::*;

    fn files() -> Files {
        Files {
            folder: PathBuf::from("/f"),
            chain: PathBuf::from("/f/chain.pem"),
            key: PathBuf::from("/f/key.pem"),
            keyring: PathBuf::from("/f/keyring.json"),
        }
    }

    #[test]
    fn an_edge_is_told_its_parent_its_files_and_its_cache() {
        let origin = "127.0.0.1:7".parse().unwrap();
        let text = edge_config(&files(), "memory = \"8MiB\"", origin);
        for line in [
            "parents = [\"http://127.0.0.1:7\"]",
            "keyring_file = \"/f/keyring.json\"",
            "certificate = \"/f/chain.pem\"",
            "key = \"/f/key.pem\"",
            "memory = \"8MiB\"",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }

    #[test]
    fn an_nginx_is_given_quic_only_where_it_knows_it() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut addresses = Addresses {
            plain: address(1),
            tls: address(2),
            quic: None,
        };
        let config = |addresses| nginx_config(&files(), Path::new("/w"), addresses, address(3));
        let without = config(addresses);
        assert!(without.contains("listen 127.0.0.1:2 ssl http2;") && !without.contains("quic"));
        addresses.quic = Some(addresses.tls);
        let with = config(addresses);
        for line in [
            "listen 127.0.0.1:2 ssl;",
            "listen 127.0.0.1:2 quic reuseport;",
            "quic_gso on;",
        ] {
            assert!(with.contains(line), "{line}");
        }
        for word in [
            "WORK", "ORIGIN", "PLAIN", "SECURE", "LISTEN", "CHAIN", "PRIVATE", "SECRET",
        ] {
            assert!(!without.contains(word), "{word}");
        }
    }
}
