//! A small client of HTTP/1.1 over one kept connection: it counts bytes and takes times, and keeps nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::wire::head;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Bytes of the body.
    pub(crate) bytes: usize,
    /// From sending the request to its first byte back.
    pub(crate) first_byte: Duration,
}

impl Client {
    /// Opens a connection.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            address,
            buffer: vec![0; BUFFER],
        })
    }

    /// Asks for a path and reads the whole answer.
    pub(crate) fn get(&mut self, path: &str) -> Result<Reply> {
        self.fetch(path, |_| ())
    }

    /// Asks for a path and returns the body.
    pub(crate) fn body(&mut self, path: &str) -> Result<(Reply, Vec<u8>)> {
        let mut body = Vec::new();
        let reply = self.fetch(path, |bytes| body.extend_from_slice(bytes))?;
        Ok((reply, body))
    }

    fn fetch(&mut self, path: &str, mut sink: impl FnMut(&[u8])) -> Result<Reply> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let start = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut filled = self.read(0)?;
        let first_byte = start.elapsed();
        let head = loop {
            if let Some(head) = head::parse(self.buffer.get(..filled).unwrap_or_default())? {
                break head;
            }
            filled += self.read(filled)?;
        };
        let begun = self.buffer.get(head.size..filled).unwrap_or_default();
        sink(begun);
        let mut left = head.body.checked_sub(begun.len());
        while let Some(rest @ 1..) = left {
            let read = self.read(0)?;
            sink(self.buffer.get(..read).unwrap_or_default());
            left = rest.checked_sub(read);
        }
        left.context("more came than was announced")?;
        Ok(Reply {
            status: head.status,
            bytes: head.body,
            first_byte,
        })
    }

    /// Reads what is there behind the first `filled` bytes of the buffer.
    fn read(&mut self, filled: usize) -> Result<usize> {
        let room = self.buffer.get_mut(filled..).unwrap_or_default();
        match self.stream.read(room)? {
            0 => bail!("the connection ended within an answer"),
            read => Ok(read),
        }
    }
}

/// What one read takes at most.
const BUFFER: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_body_in_pieces_is_read_to_its_end_and_the_connection_serves_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for (pieces, asked) in [(3, "/a"), (0, "/b")] {
                let mut request = [0; 512];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(format!("GET {asked} ").as_bytes()));
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", pieces * 5);
                stream.write_all(head.as_bytes()).unwrap();
                for _ in 0..pieces {
                    stream.write_all(b"piece").unwrap();
                }
            }
        });
        let (reply, body) = client.body("/a").unwrap();
        assert_eq!((reply.status, reply.bytes), (200, 15));
        assert_eq!(body, b"piecepiecepiece");
        assert_eq!(client.get("/b").unwrap().bytes, 0);
        server.join().unwrap();
    }
}
