//! What ingest stands beside: an nginx that takes files, and one ffmpeg that makes the same ladder.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::machine::{self, Cores};
use crate::process;

/// A running nginx; dropped, it is killed.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    child: Child,
}

impl Nginx {
    /// Starts one that keeps in a folder what is PUT.
    pub(super) fn start(program: &Path, folder: &Path, cores: Cores) -> Result<Self> {
        let address = process::free_address()?;
        for inner in ["body", "files"] {
            fs::create_dir_all(folder.join(inner)).context("cannot make a folder for nginx")?;
        }
        let config = folder.join("nginx.conf");
        let text = NGINX
            .replace("WORK", &folder.display().to_string())
            .replace("ADDRESS", &address.to_string());
        fs::write(&config, text).context("cannot write nginx's configuration")?;
        let child = process::nginx(program, folder, &config, cores)?;
        let mut nginx = Self { address, child };
        // It does not tell when it listens.
        for _ in 0..2000 {
            if TcpStream::connect(address).is_ok() {
                return Ok(nginx);
            }
            if let Some(status) = nginx.child.try_wait()? {
                bail!("nginx did not start ({status})");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("nginx does not listen")
    }

    /// Processor time that it has used.
    pub(super) fn time(&self) -> Result<Duration> {
        machine::process_time(self.child.id())
    }

    /// Its memory.
    pub(super) fn resident(&self) -> Result<machine::Resident> {
        machine::resident(self.child.id())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What plain ffmpeg took.
pub(super) struct Encoded {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// The lengths of the files that it made, from the shortest.
    pub(super) lengths: Vec<u64>,
}

/// Has one ffmpeg decode a film once and make all of its ladder, on these cores.
pub(super) fn ffmpeg(film: &Path, folder: &Path, cores: &[usize]) -> Result<Encoded> {
    super::site::clear(folder)?;
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-y", "-v", "error", "-i"])
        .arg(film)
        .args(ladder())
        .current_dir(folder)
        .stdin(Stdio::null());
    let (began, before) = (Instant::now(), machine::children_time()?);
    let mut child = machine::start_on(cores, &mut command)?;
    let status = child.wait()?;
    let (wall, after) = (began.elapsed(), machine::children_time()?);
    ensure!(status.success(), "ffmpeg failed ({status})");
    let mut lengths = Vec::new();
    for entry in fs::read_dir(folder)? {
        lengths.push(entry?.metadata()?.len());
    }
    lengths.sort_unstable();
    fs::remove_dir_all(folder)?;
    Ok(Encoded {
        wall,
        cpu: after.saturating_sub(before),
        lengths,
    })
}

/// The ladder of a film of 720p at 25 with one sound, by the settings that ingest has: one graph, one
/// decoder, as many threads as ffmpeg takes by itself.
fn ladder() -> Vec<String> {
    let mut graph = format!("[0:v]fps=25,split={}", RUNGS.len());
    for at in 0..RUNGS.len() {
        graph += &format!("[s{at}]");
    }
    let mut outputs = Vec::new();
    for (at, (name, size, peak)) in RUNGS.iter().enumerate() {
        graph += &format!(";[s{at}]scale={size}:flags=bicubic,setsar=1,format=yuv420p[v{at}]");
        let encoder = format!(
            "-map [v{at}] -c:v libx264 -preset veryfast -profile:v high -crf 23 -bf 2 -maxrate {peak} \
             -bufsize {} -g 50 -keyint_min 50 -sc_threshold 0 -flags +cgop -fps_mode passthrough \
             -video_track_timescale 25000 -use_editlist 1 \
             -movflags +cmaf+delay_moov+global_sidx+frag_keyframe -f mp4 {name}.mp4",
            peak * 2
        );
        outputs.extend(encoder.split_whitespace().map(str::to_owned));
    }
    let sound = "-map 0:a -c:a aac -b:a 128k -use_editlist 1 \
                 -movflags +cmaf+delay_moov+global_sidx -frag_duration 2000000 -f mp4 audio.mp4";
    outputs.extend(sound.split_whitespace().map(str::to_owned));
    [vec!["-filter_complex".to_owned(), graph], outputs].concat()
}

/// Name, size, and the most bits a second. That ingest makes others would show in the lengths of files.
const RUNGS: [(&str, &str, u32); 5] = [
    ("144p", "256:144", 233_552),
    ("240p", "426:240", 501_936),
    ("360p", "640:360", 923_198),
    ("480p", "854:480", 1_422_189),
    ("720p", "1280:720", 2_611_198),
];

const NGINX: &str = "\
daemon off;
master_process off;
pid WORK/pid;
error_log stderr crit;
events { worker_connections 512; }
http {
    access_log off;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    client_body_temp_path WORK/body;
    proxy_temp_path WORK/proxy;
    fastcgi_temp_path WORK/fastcgi;
    uwsgi_temp_path WORK/uwsgi;
    scgi_temp_path WORK/scgi;
    keepalive_requests 1000000000;
    server { listen ADDRESS; root WORK/files; dav_methods PUT; }
}
";
