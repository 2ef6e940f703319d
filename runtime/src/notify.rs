//! What a process tells the supervisor that started it: the protocol of systemd's `sd_notify(3)`.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where a supervisor listens, if there is one that does.
#[derive(Clone, Debug, Default)]
pub struct Supervisor(Option<OsString>);

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The process serves.
    Ready,
    /// It reads its configuration again; [`State::Ready`] follows.
    Reloading,
    /// It ends what it has begun.
    Stopping,
    /// Another process serves in its place, the one of this id.
    Replaced(u32),
}

impl Supervisor {
    /// The supervisor that the variable `NOTIFY_SOCKET` names.
    #[must_use]
    pub const fn new(socket: Option<OsString>) -> Self {
        Self(socket)
    }

    /// Tells it. One that does not hear is logged and changes nothing.
    pub fn tell(&self, state: State) {
        let Some(socket) = &self.0 else { return };
        let text = match state {
            State::Ready => "READY=1".to_owned(),
            State::Reloading => "RELOADING=1".to_owned(),
            State::Stopping => "STOPPING=1".to_owned(),
            State::Replaced(id) => format!("MAINPID={id}\nREADY=1"),
        };
        let name = socket.as_bytes();
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(socket),
        };
        let told = address
            .and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
        if let Err(error) = told {
            tracing::warn!("the supervisor does not hear: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_each_state_and_nobody_need_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).unwrap();
        let told = Supervisor::new(Some(path.into_os_string()));
        for (state, text) in [
            (State::Ready, "READY=1"),
            (State::Reloading, "RELOADING=1"),
            (State::Replaced(17), "MAINPID=17\nREADY=1"),
            (State::Stopping, "STOPPING=1"),
        ] {
            told.tell(state);
            let mut heard = [0; 64];
            let length = supervisor.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], text.as_bytes());
        }
        drop(supervisor);
        told.tell(State::Ready);
        Supervisor::default().tell(State::Ready);
    }
}
