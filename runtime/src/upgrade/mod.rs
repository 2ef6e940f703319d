//! Handing a process's work over to a new one of the same program, without a pause.
//!
//! The old process starts the new one with one end of a socket pair as its standard input, on which its listening
//! sockets wait already. Then both speak, a line at a time:
//!
//! | who | says | meaning |
//! |---|---|---|
//! | new | `ready` | everything is checked that can be while the old one works |
//! | old | `yours {…}` | it has let go of what only one may have (disks, files), and this is what it knows |
//! | new | `serving` | it serves; the old one ends what it has begun |
//!
//! Until `serving` the old process can take everything back: when the new one ends, or takes too long. After it, the
//! end of the stream tells the new process that the old one has ended.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The variable by which a new process knows that its standard input is the end of a socket pair.
pub const MARK: &str = "MILLRACE_UPGRADE";

/// What a process knows that the next one could not find out, as numbers by name.
pub type Facts = BTreeMap<String, u64>;

/// What is handed over at the start.
#[derive(Default)]
pub struct Estate {
    /// Listening sockets by name.
    pub listeners: Vec<(String, TcpListener)>,
    /// What the new process must know before it opens anything.
    pub facts: Facts,
}

/// How a program is started again: as it was, from the file that has its name now.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its path, or a name that is looked up on the path.
    pub file: OsString,
    /// What stands behind.
    pub arguments: Vec<OsString>,
}

/// Why a new process did not take over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// It could not be started, or not be spoken to.
    #[error("the new process could not be started: {0}")]
    Start(#[source] io::Error),
    /// It ended, for a reason that it has logged.
    #[error("the new process ended: {0}")]
    Ended(String),
    /// It did not come so far in time.
    #[error("the new process took more than {} s", .0.as_secs())]
    Late(Duration),
    /// What only one process may have was not let go.
    #[error("{0}")]
    Kept(String),
}

/// The new process, as the old one sees it. Dropped before it serves, it is ended.
#[derive(Debug)]
pub struct Heir {
    stream: BufReader<UnixStream>,
    /// There until it serves.
    child: Option<Child>,
}

/// The old process, as the new one sees it.
#[derive(Debug)]
pub struct Elder {
    stream: BufReader<UnixStream>,
    listeners: Vec<(String, TcpListener)>,
    facts: Facts,
}

/// The first line: what the sockets that come with it are.
#[derive(Serialize, Deserialize)]
struct Offer {
    listeners: Vec<String>,
    facts: Facts,
}

impl Heir {
    /// Starts the new process, with the estate before it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Program, estate: &Estate) -> Result<Self, Failed> {
        let start = || {
            let (ours, its) = StdStream::pair()?;
            offer(&ours, estate)?;
            ours.set_nonblocking(true)?;
            let child = Command::new(&program.file)
                .args(&program.arguments)
                .env(MARK, "stdin")
                .stdin(Stdio::from(OwnedFd::from(its)))
                .spawn()?;
            Ok(Self {
                stream: BufReader::new(UnixStream::from_std(ours)?),
                child: Some(child),
            })
        };
        start().map_err(Failed::Start)
    }

    /// Waits until the new process needs what only one may have.
    ///
    /// # Errors
    /// When it ends before, or takes longer.
    pub async fn ready(&mut self, within: Duration) -> Result<(), Failed> {
        self.hear(READY, within).await
    }

    /// Tells the new process that it may have that.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn give(&mut self, facts: &Facts) -> Result<(), Failed> {
        let facts = serde_json::to_string(facts).map_err(|error| Failed::Start(error.into()))?;
        let line = format!("{YOURS} {facts}\n");
        let told = self.stream.get_mut().write_all(line.as_bytes()).await;
        match told {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    /// Waits until the new process serves, which is its own master from then on; gives its id.
    ///
    /// # Errors
    /// When it ends before, or takes longer.
    pub async fn serving(&mut self, within: Duration) -> Result<Option<u32>, Failed> {
        self.hear(SERVING, within).await?;
        let child = self.child.take();
        let id = child.as_ref().and_then(Child::id);
        if let Some(mut child) = child {
            tokio::spawn(async move {
                let ended = child.wait().await;
                tracing::error!("the process that took over has ended: {ended:?}");
            });
        }
        Ok(id)
    }

    async fn hear(&mut self, expected: &str, within: Duration) -> Result<(), Failed> {
        let mut line = String::new();
        match timeout(within, self.stream.read_line(&mut line)).await {
            Err(_) => Err(Failed::Late(within)),
            Ok(Ok(_)) if line.trim_end() == expected => Ok(()),
            Ok(_) => Err(self.ended().await),
        }
    }

    /// How the process ended that says nothing more; one that has not ended is ended.
    async fn ended(&mut self) -> Failed {
        let broken = || Failed::Ended("it broke off the handover".to_owned());
        let Some(child) = &mut self.child else {
            return broken();
        };
        match timeout(FAREWELL, child.wait()).await {
            Ok(Ok(status)) => Failed::Ended(status.to_string()),
            Ok(Err(error)) => Failed::Start(error),
            Err(_) => broken(),
        }
    }

    /// Ends a process that does not serve yet, and waits until it has ended; not for ever, for one that a broken disk
    /// holds ends only with that. It does nothing more, and what it holds is locked.
    pub async fn end(mut self) {
        if let Some(child) = &mut self.child
            && timeout(FAREWELL, child.kill()).await.is_err()
        {
            tracing::error!("the new process does not end although it was killed");
        }
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.start_kill();
        }
    }
}

impl Elder {
    /// The old process, if there is one: `mark` is what [`MARK`] says in the environment.
    ///
    /// # Errors
    /// When standard input is not what the mark promises.
    pub fn find(mark: Option<&OsStr>) -> io::Result<Option<Self>> {
        if mark.is_none() {
            return Ok(None);
        }
        let stream = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        Self::over(stream).map(Some)
    }

    fn over(mut stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(FAREWELL))?;
        let (line, sockets) = receive(&mut stream)?;
        let offer: Offer = serde_json::from_slice(&line)?;
        if sockets.len() != offer.listeners.len() {
            return Err(io::Error::other("not every socket came"));
        }
        let sockets = sockets.into_iter().map(TcpListener::from);
        let listeners = offer.listeners.into_iter().zip(sockets).collect();
        stream.set_read_timeout(None)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: BufReader::new(UnixStream::from_std(stream)?),
            listeners,
            facts: offer.facts,
        })
    }

    /// Takes the old process's listener at an address. Where any port will do, it is the one of that name.
    pub fn listener(&mut self, name: &str, address: SocketAddr) -> Option<TcpListener> {
        let is_meant = |(its, listener): &(String, TcpListener)| {
            listener.local_addr().is_ok_and(|bound| {
                bound == address
                    || (address.port() == 0 && its == name && bound.ip() == address.ip())
            })
        };
        let at = self.listeners.iter().position(is_meant)?;
        Some(self.listeners.swap_remove(at).1)
    }

    /// What the old process said of itself at first.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Asks for what only one process may have, and waits until the old one has let go of it; tells what that knew
    /// then. One that has ended has let go as well, and knows nothing.
    ///
    /// # Errors
    /// When it says something else.
    pub async fn ask(&mut self) -> io::Result<Facts> {
        self.tell(READY).await;
        let mut line = String::new();
        if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return Ok(Facts::new());
        }
        let facts = line.trim_end().strip_prefix(YOURS);
        let facts = facts.ok_or_else(|| io::Error::other("the old process does not hand over"))?;
        Ok(serde_json::from_str(facts)?)
    }

    /// Tells the old process that this one serves.
    pub async fn serving(&mut self) {
        self.tell(SERVING).await;
        // Those that are not wanted any more.
        self.listeners.clear();
    }

    async fn tell(&mut self, word: &str) {
        let line = format!("{word}\n");
        // An error says that the old process has ended; then nobody needs to hear.
        let _ = self.stream.get_mut().write_all(line.as_bytes()).await;
    }

    /// Resolves when the old process has ended.
    pub async fn gone(mut self) {
        let mut line = String::new();
        while self.stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            line.clear();
        }
    }
}

/// Writes the first line, and the sockets with it.
fn offer(stream: &StdStream, estate: &Estate) -> io::Result<()> {
    let names = estate.listeners.iter().map(|(name, _)| name.clone());
    let offer = Offer {
        listeners: names.collect(),
        facts: estate.facts.clone(),
    };
    let mut line = serde_json::to_vec(&offer)?;
    line.push(b'\n');
    let sockets: Vec<_> = estate
        .listeners
        .iter()
        .map(|(_, socket)| socket.as_fd())
        .collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("too many listeners"));
    }
    let sent = sendmsg(
        stream,
        &[IoSlice::new(&line)],
        &mut control,
        SendFlags::empty(),
    )?;
    if sent < line.len() {
        return Err(io::Error::other("the offer does not fit"));
    }
    Ok(())
}

/// Reads the first line, and the sockets that come with it.
fn receive(stream: &mut StdStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut line = vec![0; LONGEST_OFFER];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(
        &*stream,
        &mut [IoSliceMut::new(&mut line)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    line.truncate(read.bytes);
    let sockets = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => sockets.collect(),
        _ => Vec::new(),
    });
    let sockets = sockets.collect();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        if line.len() >= LONGEST_OFFER {
            return Err(io::Error::other("the offer has no end"));
        }
        stream.read_exact(&mut byte)?;
        line.extend_from_slice(&byte);
    }
    Ok((line, sockets))
}

const READY: &str = "ready";
const YOURS: &str = "yours";
const SERVING: &str = "serving";

/// How long a process that says nothing sensible any more is waited for.
const FAREWELL: Duration = Duration::from_secs(5);
/// More listeners than any role has.
const MOST_SOCKETS: usize = 16;
const LONGEST_OFFER: usize = 4096;

#[cfg(test)]
mod tests;
