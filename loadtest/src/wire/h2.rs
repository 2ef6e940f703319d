//! HTTP/2 by the `h2` crate, with windows that do not slow a server down.

use std::future::poll_fn;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::{Request, Uri, Version};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Answer;

/// A stream at a time of a connection that others share.
#[derive(Clone)]
pub(crate) struct Lane {
    requests: SendRequest<Bytes>,
}

impl Lane {
    pub(super) async fn open(stream: TlsStream<TcpStream>) -> Result<Self> {
        let (requests, connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            .handshake(stream)
            .await
            .context("no HTTP/2")?;
        // Ends when the last lane has gone; what ails it, the lanes find out.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { requests })
    }

    pub(super) async fn get(&mut self, uri: &Uri, mut sink: impl FnMut(&[u8])) -> Result<Answer> {
        poll_fn(|context| self.requests.poll_ready(context)).await?;
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        *request.version_mut() = Version::HTTP_2;
        let (response, _) = self.requests.send_request(request, true)?;
        let response = response.await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let (mut bytes, mut first) = (0, Instant::now());
        while let Some(piece) = body.data().await {
            let piece = piece?;
            if bytes == 0 {
                first = Instant::now();
            }
            bytes += piece.len();
            sink(&piece);
            body.flow_control().release_capacity(piece.len())?;
        }
        Ok(Answer {
            status,
            bytes,
            first,
        })
    }
}

const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;
