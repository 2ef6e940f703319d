//! The bounds of the HTTP/3 front: what one client may hold, and for how long.

use std::time::Duration;

use crate::listen::Limits;
use crate::pace::Patience;

/// Limits and time-outs of a listener.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most connections at a time; more are refused. Each may cost the windows below.
    pub max_connections: usize,
    /// From this many connections on, a new client must first prove its address (a Retry packet,
    /// one more round trip).
    pub retry_from_connections: usize,
    /// The most requests of one connection in progress.
    pub max_requests: u32,
    /// The most unidirectional streams of one client; HTTP/3 needs three.
    pub max_uni_streams: u32,
    /// The largest request header, in bytes, as RFC 9114 §4.2.2 counts it.
    pub max_header_bytes: usize,
    /// The most fields of a request header.
    pub max_header_fields: usize,
    /// How many bytes of one request may wait to be read.
    pub stream_receive_bytes: u32,
    /// How many bytes of all requests of a connection may wait to be read.
    pub connection_receive_bytes: u32,
    /// How many response bytes of a connection may be sent and not yet acknowledged. Bounds memory
    /// and, divided by the round-trip time, the rate that one connection reaches.
    pub connection_send_bytes: u64,
    /// The kernel's buffers of the socket, in bytes; the system may grant less.
    pub socket_buffer_bytes: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long a request's header may take, from its first byte to its last.
    pub header: Duration,
    /// How slowly a request's body may come.
    pub read: Patience,
    /// How slowly the responses of a connection may be taken.
    pub write: Patience,
    /// How long a connection may be silent, or without a request.
    pub idle: Duration,
    /// Whether clients that come back may send GET and HEAD before the handshake is complete (0-RTT).
    /// Whoever recorded such a request may send it once more to another node.
    pub early_data: bool,
    /// How long requests in progress may take after the shutdown was asked for.
    pub drain: Duration,
}

impl Settings {
    /// Takes what all listeners of a node have in common.
    pub const fn bear(&mut self, limits: &Limits) {
        self.max_connections = limits.max_connections;
        self.handshake = limits.handshake;
        self.header = limits.header;
        self.read = limits.read;
        self.write = limits.write;
        self.drain = limits.drain;
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            retry_from_connections: 2_000,
            max_requests: 128,
            max_uni_streams: 8,
            max_header_bytes: 16 * 1024,
            max_header_fields: 128,
            stream_receive_bytes: 64 * 1024,
            connection_receive_bytes: 512 * 1024,
            connection_send_bytes: 4 * 1024 * 1024,
            socket_buffer_bytes: 4 * 1024 * 1024,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            read: Patience {
                grace: Duration::from_secs(30),
                bytes_per_s: 1024,
            },
            write: Patience {
                grace: Duration::from_secs(60),
                bytes_per_s: 1024,
            },
            idle: Duration::from_secs(30),
            early_data: true,
            drain: Duration::from_secs(20),
        }
    }
}
