//! A UDP socket in tokio, as quinn's own but for one thing: where a read shows that nothing is left, nobody asks again.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The socket; messages leave at once.
#[derive(Debug)]
pub(super) struct Plain {
    io: UdpSocket,
    state: UdpSocketState,
}

impl Plain {
    /// Must be called inside a tokio runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            io: UdpSocket::from_std(socket)?,
        })
    }
}

impl AsyncUdpSocket for Plain {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            socket: self,
            waits: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let send = || self.state.send((&self.io).into(), transmit);
        self.io.try_io(Interest::WRITABLE, send)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(context))?;
            let mut had = 0;
            let read = self.io.try_io(Interest::READABLE, || {
                had = self.state.recv((&self.io).into(), buffers, meta)?;
                // Fewer than there was room for: the queue was empty. What comes from now on is told anew.
                if had < buffers.len() {
                    return Err(ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            if read.is_ok() || had > 0 {
                return Poll::Ready(Ok(had));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// One task's wish to be woken when there is room.
struct Poller {
    socket: Arc<Plain>,
    waits: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Arc::clone(&self.socket);
        let wait = || -> Pin<Box<dyn Future<Output = _> + Send + Sync>> {
            Box::pin(async move { socket.io.writable().await })
        };
        let outcome = ready!(self.waits.get_or_insert_with(wait).as_mut().poll(context));
        self.waits = None;
        Poll::Ready(outcome)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}
