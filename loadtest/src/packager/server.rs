//! The servers that are measured: each a process of its own, on a core of its own.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::machine::{self, Cores};
use crate::packager::publish::Published;
use crate::process;

/// A running server; dropped, it is killed.
pub(crate) struct Server {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    child: Child,
}

/// What `millrace origin` says once it listens.
#[derive(Deserialize)]
struct Ready {
    listen: Listen,
}

#[derive(Deserialize)]
struct Listen {
    http: SocketAddr,
}

impl Server {
    /// Starts an origin with its defaults over a store, with one worker thread.
    pub(crate) fn origin(
        program: &Path,
        published: &Published,
        folder: &Path,
        cores: Cores,
    ) -> Result<Self> {
        let config = folder.join("origin.toml");
        let Published { store, keys } = published;
        let text = format!(
            "listen = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"\nstore = \"{store}\"\nkeys = \"{keys}\"\n"
        );
        fs::write(&config, text).context("cannot write the origin's configuration")?;
        let (child, ready) = process::role::<Ready>(program, "origin", &config, cores)?;
        Ok(Self {
            address: ready.listen.http,
            child,
        })
    }

    /// Starts an nginx of one process that serves the files of a folder.
    pub(crate) fn nginx(program: &Path, root: &Path, sendfile: &str, cores: Cores) -> Result<Self> {
        let (root, address) = (std::path::absolute(root)?, process::free_address()?);
        let work = root.join("nginx");
        fs::create_dir_all(&work).context("cannot make a folder for nginx")?;
        let config = work.join("nginx.conf");
        let text = NGINX
            .replace("WORK", &work.display().to_string())
            .replace("ROOT", &root.display().to_string())
            .replace("ADDRESS", &address.to_string())
            .replace("SENDFILE", sendfile);
        fs::write(&config, text).context("cannot write nginx's configuration")?;
        let child = process::nginx(program, &work, &config, cores)?;
        let mut server = Self { address, child };
        server.wait_for_port()?;
        Ok(server)
    }

    /// nginx does not tell when it listens.
    fn wait_for_port(&mut self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("nginx did not start ({status})");
            }
            if start.elapsed() > PATIENCE {
                bail!("nginx does not listen");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Processor time that it has used, in steps of the kernel's ticks.
    pub(crate) fn time(&self) -> Result<Duration> {
        machine::process_time(self.child.id())
    }

    /// Its memory.
    pub(crate) fn resident(&self) -> Result<machine::Resident> {
        machine::resident(self.child.id())
    }

    /// Lets the peak of its memory begin anew.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        machine::forget_peak(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

const NGINX: &str = "\
daemon off;
master_process off;
pid WORK/pid;
error_log stderr crit;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path WORK/body;
    proxy_temp_path WORK/proxy;
    fastcgi_temp_path WORK/fastcgi;
    uwsgi_temp_path WORK/uwsgi;
    scgi_temp_path WORK/scgi;
    sendfile SENDFILE;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100 inactive=1h;
    output_buffers 2 256k;
    server { listen ADDRESS; root ROOT; }
}
";
