//! One client's connection: its critical streams, its requests, and its orderly end.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use pingora::apps::HttpServerApp;
use pingora::protocols::tls::SslDigest;
use quinn::{RecvStream, SendStream, VarInt, ZeroRttAccepted};
use runtime::shutdown::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, MissedTickBehavior};

use super::account::{Account, Taking};
use super::code::{Code, Fault};
use super::frame;
use super::inbound::Inbound;
use super::metrics::Metrics;
use super::outbound::Outbound;
use super::request::{self, Arrival};
use super::settings::Settings;
use super::uni::{self, Critical};
use crate::priority::Wish;
use crate::spoken::{Numbering, Spoken};

/// A connection whose handshake is complete.
pub(super) struct Connection<A> {
    quic: quinn::Connection,
    context: Arc<Context<A>>,
    shutdown: Shutdown,
    phase: Phase,
    /// The first request stream that has not been taken up.
    next_stream: u64,
    idle_since: Instant,
    tally: Tally,
    account: Account,
    wishes: Arc<Spoken<Wish>>,
    early: Option<Early>,
}

/// Requests that came before the handshake was complete.
pub(super) struct Early {
    pub(super) first: (SendStream, RecvStream),
    pub(super) handshake: ZeroRttAccepted,
    /// When the handshake must be complete.
    pub(super) until: Instant,
}

/// What all connections of a listener share.
pub(super) struct Context<A> {
    pub(super) app: Arc<A>,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) server: std::net::SocketAddr,
    /// What is told of TLS: the same of every connection.
    pub(super) tls: Arc<SslDigest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are welcome.
    Open,
    /// The client was told to send no more; what it sent before it knew is still taken until then.
    Announced(Instant),
    /// Only requests in progress are left.
    Draining,
}

/// What became of the requests so far.
#[derive(Debug, Default)]
struct Tally {
    answered: u32,
    given_up: u32,
}

/// Our ends of the critical streams. They stay open as long as the connection does.
struct Streams {
    control: SendStream,
    _qpack: Vec<SendStream>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Connection<A> {
    pub(super) fn new(
        quic: quinn::Connection,
        context: Arc<Context<A>>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            account: Account::new(context.metrics.clone()),
            wishes: Spoken::new(Numbering {
                first: 0,
                step: STREAM_STEP,
                at_once: context.settings.max_requests,
            }),
            early: None,
            quic,
            context,
            shutdown,
            phase: Phase::Open,
            next_stream: 0,
            idle_since: Instant::now(),
            tally: Tally::default(),
        }
    }

    /// Takes up requests that came before the handshake was complete.
    pub(super) fn with_early(self, early: Early) -> Self {
        Self {
            early: Some(early),
            ..self
        }
    }

    /// Serves the connection until it ends, and its requests after that: an application may have
    /// work in progress, such as filling a cache, for others than this client.
    pub(super) async fn run(mut self) {
        let metrics = self.context.metrics.clone();
        metrics.connections.inc();
        metrics.connections_open.inc();
        let mut requests = JoinSet::new();
        let result = match self.open_streams().await {
            Ok(streams) => self.serve(streams, &mut requests).await,
            Err(fault) => Err(fault),
        };
        let code = match result {
            Err(Fault::Connection(code) | Fault::Stream(code)) => {
                tracing::debug!(%code, "closed an HTTP/3 connection for a fault of the peer: {code}");
                metrics.connections_failed.inc();
                code
            }
            Ok(()) | Err(_) => Code::NO_ERROR,
        };
        self.quic.close(code.into(), b"");
        metrics.connections_open.dec();
        while requests.join_next().await.is_some() {}
    }

    /// Opens our control stream with SETTINGS, and the QPACK streams if the client has room.
    async fn open_streams(&self) -> Result<Streams, Fault> {
        let settings = &self.context.settings;
        let open = async {
            let mut control = self.quic.open_uni().await.map_err(|_| Fault::Gone)?;
            let mut bytes = BytesMut::new();
            bytes.extend_from_slice(&[uni::CONTROL]);
            frame::settings(settings.max_header_bytes as u64, &mut bytes);
            control
                .write_chunk(bytes.freeze())
                .await
                .map_err(|_| Fault::Gone)?;
            let mut qpack = Vec::new();
            for kind in [uni::QPACK_ENCODER, uni::QPACK_DECODER] {
                // both stay empty, so that a client without room for them loses nothing
                if let Some(Ok(mut stream)) = self.quic.open_uni().now_or_never()
                    && let Some(Ok(())) = stream
                        .write_chunk(Bytes::copy_from_slice(&[kind]))
                        .now_or_never()
                {
                    qpack.push(stream);
                }
            }
            Ok(Streams {
                control,
                _qpack: qpack,
            })
        };
        match tokio::time::timeout(settings.handshake, open).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Connection(Code::STREAM_CREATION_ERROR)),
        }
    }

    async fn serve(
        &mut self,
        mut streams: Streams,
        requests: &mut JoinSet<bool>,
    ) -> Result<(), Fault> {
        let mut unis = JoinSet::new();
        let critical = Arc::new(Critical::default());
        let (quic, mut shutdown) = (self.quic.clone(), self.shutdown.clone());
        let at_once = usize::try_from(self.context.settings.max_requests).unwrap_or(usize::MAX);
        let mut handshake = None;
        if let Some(early) = self.early.take() {
            let (send, recv) = early.first;
            self.accept(send, recv, requests);
            handshake = Some(Box::pin(tokio::time::timeout_at(
                early.until,
                early.handshake,
            )));
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // kept from one round to the next: each would queue up and leave the queue again for every request
        let mut bidi = pin!(quic.accept_bi());
        let mut uni = pin!(quic.accept_uni());
        let mut asked = pin!(shutdown.requested());
        let mut timer = pin!(tokio::time::sleep(self.context.settings.idle));
        while self.phase != Phase::Draining || !requests.is_empty() {
            let due = self.due(requests);
            if due.is_some_and(|due| due < timer.deadline()) {
                timer.set(tokio::time::sleep_until(due.unwrap_or_else(Instant::now)));
            }
            tokio::select! {
                stream = &mut bidi, if requests.len() < at_once => {
                    bidi.set(quic.accept_bi());
                    let Ok((send, recv)) = stream else { return Ok(()) };
                    self.accept(send, recv, requests);
                }
                stream = &mut uni => {
                    uni.set(quic.accept_uni());
                    let Ok(stream) = stream else { return Ok(()) };
                    self.account.noise(1)?;
                    let (account, wishes) = (self.account.clone(), Arc::clone(&self.wishes));
                    unis.spawn(uni::serve(stream, Arc::clone(&critical), account, wishes));
                }
                _ = look.tick() => self.account.quic_frames(&quic.stats().frame_rx)?,
                // a handshake that fails closes the connection by itself
                complete = either(handshake.as_mut()) => match complete {
                    Ok(_) => handshake = None,
                    Err(_) => return Ok(()),
                },
                Some(done) = requests.join_next() => self.count(done.unwrap_or(false))?,
                Some(done) = unis.join_next() => if let Ok(Err(fault)) = done {
                    return Err(fault);
                },
                () = &mut asked, if self.phase == Phase::Open => {
                    self.announce(&mut streams).await?;
                }
                () = &mut timer => match due {
                    Some(due) if due <= Instant::now() => self.go_on(&mut streams).await?,
                    // what was due when it was set no longer is
                    due => timer.set(tokio::time::sleep_until(due.unwrap_or_else(far))),
                },
            }
        }
        Ok(())
    }

    /// Takes up a request, or refuses it when the client was told that it would be.
    fn accept(&mut self, mut send: SendStream, mut recv: RecvStream, requests: &mut JoinSet<bool>) {
        if self.phase == Phase::Draining {
            let code = Code::REQUEST_REJECTED.into();
            // an error says that the client has given the stream up
            let _ = (send.reset(code), recv.stop(code));
            return;
        }
        let stream = u64::from(VarInt::from(send.id()));
        self.next_stream = stream + STREAM_STEP;
        self.idle_since = Instant::now();
        let (quic, context) = (self.quic.clone(), Arc::clone(&self.context));
        let taking = Taking::new(self.account.clone(), context.settings.write);
        let wish = self.wishes.open(stream);
        let arrival = if recv.is_0rtt() {
            Arrival::Early
        } else {
            Arrival::Sure
        };
        let inbound = Inbound::new(recv, self.account.clone(), &context.settings);
        let outbound = Outbound::new(send, taking, wish, context.metrics.clone());
        let request = request::Streams {
            inbound,
            outbound,
            arrival,
        };
        requests.spawn(request.serve(quic, context, self.shutdown.watch()));
    }

    /// Keeps the tally; a client that gives up far more than it lets be answered is cut off.
    fn count(&mut self, answered: bool) -> Result<(), Fault> {
        self.idle_since = Instant::now();
        let counter = if answered {
            &mut self.tally.answered
        } else {
            &mut self.tally.given_up
        };
        *counter = counter.saturating_add(1);
        if self.tally.given_up > GIVEN_UP_FREE + self.tally.answered.saturating_mul(GIVEN_UP_RATIO)
        {
            return Err(Fault::Connection(Code::EXCESSIVE_LOAD));
        }
        Ok(())
    }

    /// When something is due without anybody's doing.
    fn due(&self, requests: &JoinSet<bool>) -> Option<Instant> {
        match self.phase {
            Phase::Announced(until) => Some(until),
            Phase::Open if requests.is_empty() => {
                Some(self.idle_since + self.context.settings.idle)
            }
            _ => None,
        }
    }

    /// Does what was due.
    async fn go_on(&mut self, streams: &mut Streams) -> Result<(), Fault> {
        match self.phase {
            Phase::Announced(_) => self.drain(streams).await,
            _ => self.announce(streams).await,
        }
    }

    /// First half of the shutdown, RFC 9114 §5.2: send nothing new, but nothing is refused yet.
    async fn announce(&mut self, streams: &mut Streams) -> Result<(), Fault> {
        // the largest id that a request stream may have
        go_away(streams, super::varint::MAX - 3).await?;
        let grace = if self.shutdown.is_replaced() {
            // nothing presses, and a client may be slow to hear it
            self.context.settings.drain / 2
        } else {
            self.quic.rtt().clamp(GRACE, GRACE_MAX)
        };
        self.phase = Phase::Announced(Instant::now() + grace);
        Ok(())
    }

    /// Second half: requests from this id on are refused, and may be tried again elsewhere.
    async fn drain(&mut self, streams: &mut Streams) -> Result<(), Fault> {
        self.phase = Phase::Draining;
        go_away(streams, self.next_stream).await
    }
}

/// What is waited for, where there is something.
async fn either<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn go_away(streams: &mut Streams, stream: u64) -> Result<(), Fault> {
    let mut bytes = BytesMut::new();
    frame::go_away(stream, &mut bytes);
    let write = streams.control.write_chunk(bytes.freeze());
    match tokio::time::timeout(GRACE_MAX, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(quinn::WriteError::Stopped(_))) => {
            Err(Fault::Connection(Code::CLOSED_CRITICAL_STREAM))
        }
        _ => Err(Fault::Gone),
    }
}

/// Ids of request streams are this far apart: RFC 9000 §2.1.
const STREAM_STEP: u64 = 4;

/// How many requests a client may give up or send malformed, and how many more for each that it
/// let be answered. Seeking players stay far below.
const GIVEN_UP_FREE: u32 = 256;
const GIVEN_UP_RATIO: u32 = 4;

/// How long requests are still taken after the shutdown was announced: a round trip, within these; longer where
/// another process serves in our place.
const GRACE: Duration = Duration::from_millis(20);
const GRACE_MAX: Duration = Duration::from_secs(1);

/// How often the frames of QUIC are counted.
const LOOK: Duration = Duration::from_secs(2);

/// A time that is nobody's.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(24 * 3600)
}
