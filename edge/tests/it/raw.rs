//! Requests written byte by byte, for targets that no client library would send.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Client;

/// What became of a raw request.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Refused,
}

type Fields<'a> = [(&'a str, &'a str)];

pub async fn h1(client: &Client, target: &str, fields: &Fields<'_>) -> Outcome {
    let mut stream = client.tls("http/1.1").await;
    let mut text = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A close without notice is as good an end as any here.
    let _ = stream.read_to_end(&mut answer).await;
    outcome(answer.starts_with(b"HTTP/1.1 200 "))
}

pub async fn h2(client: &Client, target: &str, fields: &Fields<'_>) -> Outcome {
    h2_message(client, &all(target, fields), None).await
}

/// HTTP/2 with literal header fields (RFC 7541 §6.2.2), without Huffman coding, whatever they say.
pub async fn h2_message(client: &Client, fields: &Fields<'_>, body: Option<&[u8]>) -> Outcome {
    let mut stream = client.tls("h2").await;
    let flags = if body.is_some() { 4 } else { 5 };
    let mut out = BytesMut::from(HELLO);
    out.put_slice(&h2_frame(1, flags, 1, &h2_block(fields)));
    if let Some(body) = body {
        out.put_slice(&h2_frame(0, 1, 1, body));
    }
    stream.write_all(&out).await.unwrap();
    let mut seen = BytesMut::new();
    loop {
        while let Some((kind, _, id, payload)) = frame(&mut seen) {
            match (kind, id) {
                (1, 1) => return outcome(payload.first() == Some(&0x88)),
                (3, 1) | (7, _) => return Outcome::Refused,
                _ => {}
            }
        }
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return Outcome::Refused;
        }
    }
}

/// A HEADERS frame with literal field lines and literal names (RFC 9204 §4.5.6).
pub fn h3_head(fields: &Fields<'_>) -> Vec<u8> {
    let mut block = BytesMut::from(&[0, 0][..]);
    for (name, value) in fields {
        integer(&mut block, 0x20, 3, name.len());
        block.put_slice(name.as_bytes());
        integer(&mut block, 0, 7, value.len());
        block.put_slice(value.as_bytes());
    }
    let mut out = BytesMut::from(&[1][..]);
    out.put_u16(0x4000 | u16::try_from(block.len()).unwrap());
    out.put_slice(&block);
    out.to_vec()
}

/// The connection preface with empty SETTINGS (RFC 9113 §3.4).
pub const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A field block of literals.
pub fn h2_block(fields: &Fields<'_>) -> Vec<u8> {
    let mut block = BytesMut::new();
    for (name, value) in fields {
        block.put_u8(0);
        for text in [name, value] {
            integer(&mut block, 0, 7, text.len());
            block.put_slice(text.as_bytes());
        }
    }
    block.to_vec()
}

pub fn h2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

pub async fn h3(client: &Client, target: &str, fields: &Fields<'_>) -> Outcome {
    h3_message(client, &all(target, fields), None).await
}

/// HTTP/3 without Huffman coding, whatever the fields say.
pub async fn h3_message(client: &Client, fields: &Fields<'_>, body: Option<&[u8]>) -> Outcome {
    let (_endpoint, connection) = client.quic().await;
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let mut out = BytesMut::from(&h3_head(fields)[..]);
    if let Some(body) = body {
        out.put_u8(0);
        out.put_u16(0x4000 | u16::try_from(body.len()).unwrap());
        out.put_slice(body);
    }
    // What is refused early is not taken to its end.
    let _ = send.write_all(&out).await;
    let _ = send.finish();
    let Ok(answer) = receive.read_to_end(1 << 20).await else {
        return Outcome::Refused;
    };
    // Frame type, length of one or two bytes, the block's prefix, then `:status`: 0xd9 is 200.
    let prefix = if answer.get(1).is_some_and(|byte| byte & 0xc0 == 0x40) {
        3
    } else {
        2
    };
    outcome(answer.first() == Some(&1) && answer.get(prefix + 2) == Some(&0xd9))
}

fn outcome(ok: bool) -> Outcome {
    if ok { Outcome::Ok } else { Outcome::Refused }
}

fn all<'a>(target: &'a str, fields: &Fields<'a>) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", target),
    ];
    all.extend_from_slice(fields);
    all
}

/// An integer with a prefix (RFC 7541 §5.1).
fn integer(out: &mut BytesMut, flags: u8, bits: u32, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        out.put_u8(flags | u8::try_from(value).unwrap());
        return;
    }
    out.put_u8(flags | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        out.put_u8(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.put_u8(u8::try_from(rest).unwrap());
}

/// The type, flags, stream and payload of the first frame.
pub fn frame(seen: &mut BytesMut) -> Option<(u8, u8, u32, BytesMut)> {
    let head = seen.get(..9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let (kind, flags, id) = (
        head[3],
        head[4],
        u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
    );
    (seen.len() >= 9 + length).then(|| {
        let mut frame = seen.split_to(9 + length);
        (kind, flags, id, frame.split_off(9))
    })
}
