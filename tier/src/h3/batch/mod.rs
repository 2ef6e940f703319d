//! The way out of QUIC: what a connection has to send in one turn leaves in as few system calls as the kernel allows.
//!
//! quinn hands over ten datagrams at a time and gives its thread back after twenty. The kernel takes sixty-four, up to
//! 64 KB, as one message, and one long message costs both ends far less than many short ones. So a connection's task
//! has two turns in one, what it sends is gathered, and it leaves at their end.
//!
//! tokio lets a task that was woken go first, so that each of several answers on a connection would be sent by itself.
//! quinn's tasks therefore go to the end of the line once: by then what is ready to run has written.

mod plain;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

use self::plain::Plain;

/// Tokio, with sockets that gather and tasks that send what was gathered.
#[derive(Debug)]
pub(super) struct Gathering;

impl Runtime for Gathering {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(Turns {
            future: Some(future),
            left: None,
            due: false,
        });
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let plain = Arc::new(Plain::new(socket)?);
        Ok(Arc::new(Socket { plain }))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// A task of quinn's: a connection's, or the endpoint's.
struct Turns {
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What the kernel had no room for.
    left: Option<Left>,
    /// Others have had their turn since it was woken.
    due: bool,
}

struct Left {
    batch: Batch,
    /// Would have nobody woken if it were dropped.
    _poller: Pin<Box<dyn UdpPoller>>,
}

impl Future for Turns {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.due = !self.due;
        if self.due {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let left = self.left.take().map(|left| left.batch);
        TURN.with_borrow_mut(|turn| turn.begin(left));
        for _ in 0..TURNS {
            let Some(future) = &mut self.future else {
                break;
            };
            if future.as_mut().poll(context).is_ready() {
                self.future = None;
            }
            if TURN.with_borrow_mut(Turn::may_be_over) {
                break;
            }
        }
        if let Some(batch) = TURN.with_borrow_mut(Turn::end) {
            self.left = wait(batch, context);
        }
        match (&self.future, &self.left) {
            (None, None) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

/// Sends a batch, or has the task woken when the kernel has room for it.
fn wait(mut batch: Batch, context: &mut Context<'_>) -> Option<Left> {
    let mut poller = Arc::clone(&batch.head.as_ref()?.socket).create_io_poller();
    loop {
        match poller.as_mut().poll_writable(context) {
            Poll::Pending => {
                return Some(Left {
                    batch,
                    _poller: poller,
                });
            }
            // a socket that fails has nobody to send for
            Poll::Ready(Err(_)) => return None,
            Poll::Ready(Ok(())) if batch.leave().is_ok() => return None,
            Poll::Ready(Ok(())) => {}
        }
    }
}

/// A socket that gathers within a turn.
struct Socket {
    plain: Arc<dyn AsyncUdpSocket>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain.fmt(f)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        let plain = Arc::clone(&self.plain).create_io_poller();
        Box::pin(Poller { plain })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        TURN.with_borrow_mut(|turn| match turn.under_way {
            true => turn.gather(transmit, &self.plain),
            false => self.plain.try_send(transmit),
        })
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.plain.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.plain.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.plain.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.plain.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.plain.may_fragment()
    }
}

/// Asks the kernel only when it has refused something in this turn.
#[derive(Debug)]
struct Poller {
    plain: Pin<Box<dyn UdpPoller>>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if TURN.with_borrow(|turn| turn.under_way && !turn.refused) {
            return Poll::Ready(Ok(()));
        }
        self.plain.as_mut().poll_writable(context)
    }
}

/// What the task that has the thread sends.
#[derive(Default)]
struct Turn {
    under_way: bool,
    /// The kernel had no room.
    refused: bool,
    /// Datagrams since it was last asked whether the turn is over.
    datagrams: usize,
    batch: Batch,
}

impl Turn {
    fn begin(&mut self, left: Option<Batch>) {
        self.under_way = true;
        self.refused = false;
        self.datagrams = 0;
        if let Some(left) = left {
            self.batch = left;
        }
    }

    /// Whether the task stopped by itself, and not because it had sent as much as it may at a time.
    fn may_be_over(&mut self) -> bool {
        std::mem::take(&mut self.datagrams) < DATAGRAMS_A_TURN || self.refused
    }

    /// Sends what was gathered; gives back what the kernel has no room for.
    fn end(&mut self) -> Option<Batch> {
        self.under_way = false;
        match self.batch.leave() {
            Ok(()) => None,
            Err(_) => Some(std::mem::take(&mut self.batch)),
        }
    }

    fn gather(
        &mut self,
        transmit: &Transmit<'_>,
        socket: &Arc<dyn AsyncUdpSocket>,
    ) -> io::Result<()> {
        if !self.batch.has_room_for(transmit, socket) {
            if let Err(error) = self.batch.leave() {
                self.refused = true;
                return Err(error);
            }
            self.batch.begin(transmit, socket);
        }
        self.datagrams += self.batch.add(transmit);
        Ok(())
    }
}

/// Datagrams of one size for one client, the last of which may be shorter.
#[derive(Default)]
struct Batch {
    head: Option<Head>,
    data: Vec<u8>,
}

struct Head {
    socket: Arc<dyn AsyncUdpSocket>,
    to: SocketAddr,
    from: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    /// Bytes of each datagram but the last.
    datagram: usize,
}

impl Batch {
    fn begin(&mut self, transmit: &Transmit<'_>, socket: &Arc<dyn AsyncUdpSocket>) {
        self.head = Some(Head {
            socket: Arc::clone(socket),
            to: transmit.destination,
            from: transmit.src_ip,
            ecn: transmit.ecn,
            datagram: size(transmit),
        });
    }

    /// Whether it can leave together with what is here.
    fn has_room_for(&self, transmit: &Transmit<'_>, socket: &Arc<dyn AsyncUdpSocket>) -> bool {
        let Some(head) = &self.head else { return false };
        let bytes = self.data.len() + transmit.contents.len();
        let most = head.socket.max_transmit_segments();
        head.to == transmit.destination
            && head.from == transmit.src_ip
            && head.ecn == transmit.ecn
            && self.data.len().is_multiple_of(head.datagram)
            // a single one may be the short one at the end
            && (size(transmit) == head.datagram
                || (transmit.segment_size.is_none() && size(transmit) < head.datagram))
            && bytes <= BYTES
            && bytes.div_ceil(head.datagram) <= most
            && Arc::ptr_eq(&head.socket, socket)
    }

    /// How many datagrams that were.
    fn add(&mut self, transmit: &Transmit<'_>) -> usize {
        self.data.extend_from_slice(transmit.contents);
        transmit.contents.len().div_ceil(size(transmit))
    }

    /// Sends it, and is empty then.
    ///
    /// # Errors
    /// The kernel has no room: it is still here. What fails otherwise is lost, as datagrams may be.
    fn leave(&mut self) -> io::Result<()> {
        let Some(head) = &self.head else {
            return Ok(());
        };
        let transmit = Transmit {
            destination: head.to,
            ecn: head.ecn,
            contents: &self.data,
            segment_size: (self.data.len() > head.datagram).then_some(head.datagram),
            src_ip: head.from,
        };
        match head.socket.try_send(&transmit) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => tracing::debug!(%error, "datagrams could not be sent: {error}"),
            Ok(()) => {}
        }
        self.head = None;
        self.data.clear();
        Ok(())
    }
}

/// Bytes of each datagram but the last; never 0.
fn size(transmit: &Transmit<'_>) -> usize {
    transmit
        .segment_size
        .unwrap_or(transmit.contents.len())
        .max(1)
}

thread_local! {
    static TURN: RefCell<Turn> = RefCell::default();
}

/// How often quinn's task is asked to go on before what it sent leaves.
const TURNS: usize = 2;

/// quinn gives the thread back after so many datagrams, whether or not there are more.
const DATAGRAMS_A_TURN: usize = 20;

/// What fits into one message over IPv4.
const BYTES: usize = 65_507;
