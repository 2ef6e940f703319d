//! The PROXY protocol, versions 1 and 2: what a load balancer says of the client before the connection's own bytes.
//!
//! Whoever reads a header asks [`parse`] how many bytes to read next, and so never takes one that belongs to TLS or
//! HTTP behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The client's end of the connection.
    Client(SocketAddr),
    /// Nothing of a client: the load balancer asks for itself, or does not know (`LOCAL`, `UNKNOWN`).
    Nothing,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes more belong to it, never none.
    Needs(usize),
    /// It is complete and ends with the last byte.
    Complete(Said),
}

/// The bytes are no header of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PROXY protocol header")]
pub struct Malformed;

/// Reads what has come of a header. Bytes beyond its end count as a fault: whoever asks reads only as many as it
/// was told.
///
/// # Errors
/// When no further byte can make it a header.
pub fn parse(bytes: &[u8]) -> Result<Progress, Malformed> {
    if bytes.len() < FIRST {
        let begun = bytes == SIGNATURE.get(..bytes.len()).unwrap_or_default()
            || V1.starts_with(bytes)
            || bytes.starts_with(V1);
        return if begun {
            Ok(Progress::Needs(FIRST - bytes.len()))
        } else {
            Err(Malformed)
        };
    }
    match bytes.strip_prefix(SIGNATURE) {
        Some(rest) => binary(rest),
        None => text(bytes.strip_prefix(V1).ok_or(Malformed)?),
    }
}

/// Version 1, behind `PROXY `: one line of at most 107 bytes in all.
fn text(rest: &[u8]) -> Result<Progress, Malformed> {
    let end = rest.iter().position(|byte| *byte == b'\r');
    let line = match end {
        // Nothing but the line's end can follow.
        Some(end) if end + 1 == rest.len() => return Ok(Progress::Needs(1)),
        Some(end) if rest.get(end..) == Some(b"\r\n") => rest.get(..end).unwrap_or_default(),
        None if V1.len() + rest.len() + 2 <= MAX_LINE => return Ok(Progress::Needs(2)),
        _ => return Err(Malformed),
    };
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(Progress::Complete(Said::Nothing));
    }
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(Malformed);
    let (family, source, target) = (word()?, word()?, word()?);
    let (source_port, _target_port) = (port(word()?)?, port(word()?)?);
    let (source, target): (IpAddr, IpAddr) = (
        source.parse().map_err(|_| Malformed)?,
        target.parse().map_err(|_| Malformed)?,
    );
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    if fits && words.next().is_none() {
        Ok(Progress::Complete(Said::Client(
            (source, source_port).into(),
        )))
    } else {
        Err(Malformed)
    }
}

/// A port as decimal digits without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(Malformed);
    }
    text.parse().map_err(|_| Malformed)
}

/// Version 2, behind its signature. Extensions (TLVs) are passed over.
fn binary(rest: &[u8]) -> Result<Progress, Malformed> {
    let Some((&[version_and_command, family, high, low], body)) = rest.split_first_chunk() else {
        return Ok(Progress::Needs(4 - rest.len()));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BODY || body.len() > length {
        return Err(Malformed);
    }
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed),
    };
    if body.len() < length {
        return Ok(Progress::Needs(length - body.len()));
    }
    let said = match family {
        _ if is_local => Said::Nothing,
        // Unspecified: the receiver takes the connection's own ends.
        0x00 => Said::Nothing,
        TCP4 => Said::Client(v4(body).ok_or(Malformed)?),
        TCP6 => Said::Client(v6(body).ok_or(Malformed)?),
        _ => return Err(Malformed),
    };
    Ok(Progress::Complete(said))
}

fn v4(body: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (_target, rest) = rest.split_first_chunk::<4>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_target, _extensions) = rest.split_first_chunk::<2>()?;
    Some((Ipv4Addr::from(*source), u16::from_be_bytes(*port)).into())
}

fn v6(body: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (_target, rest) = rest.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_target, _extensions) = rest.split_first_chunk::<2>()?;
    Some((Ipv6Addr::from(*source), u16::from_be_bytes(*port)).into())
}

const V1: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Every header has as many bytes as the signature of version 2: the shortest of version 1 has 15.
const FIRST: usize = SIGNATURE.len();

/// The longest line of version 1, its end included.
const MAX_LINE: usize = 107;

/// The longest body of version 2. Addresses and a client certificate's names have some hundred bytes.
const MAX_BODY: usize = 2048;

const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(header: &[u8]) -> Result<Said, Malformed> {
        match parse(header)? {
            Progress::Complete(said) => Ok(said),
            Progress::Needs(_) => Err(Malformed),
        }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    fn client(text: &str) -> Result<Said, Malformed> {
        Ok(Said::Client(text.parse().unwrap()))
    }

    #[test]
    fn a_line_of_version_1_names_the_client() {
        let said = whole(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n");
        assert_eq!(said, client("192.0.2.7:56324"));
        let said = whole(b"PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n");
        assert_eq!(said, client("[2001:db8::7]:0"));
        for nothing in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ffff::1 x\r\n"] {
            assert_eq!(whole(nothing), Ok(Said::Nothing));
        }
    }

    #[test]
    fn a_header_of_version_2_names_the_client_and_may_be_extended() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
        assert_eq!(whole(&v2(0x21, TCP4, &four)), client("192.0.2.7:56324"));
        let extended = [&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(whole(&v2(0x21, TCP4, &extended)), client("192.0.2.7:56324"));
        let mut six = [0; 36];
        six[15] = 1;
        six[33] = 9;
        assert_eq!(whole(&v2(0x21, TCP6, &six)), client("[::1]:9"));
        assert_eq!(whole(&v2(0x20, TCP4, &four)), Ok(Said::Nothing));
        assert_eq!(whole(&v2(0x20, 0, &[])), Ok(Said::Nothing));
        assert_eq!(whole(&v2(0x21, 0, &[1, 2])), Ok(Said::Nothing));
    }

    #[test]
    fn what_is_no_header_is_refused_at_the_first_byte_that_shows_it() {
        for bad in [
            &b"G"[..],
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
            b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 192.0.2.7 198.51.100.1 1 1\r\n",
            b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 1\r\n",
            b"PROXY UNKNOWNS\r\n",
            b"PROXY TCP4 a\rb",
            b"PROXY UNKNOWN\r\nG",
            b"\r\n\r\n\0\r\nQUIT\r",
            &v2(0x11, TCP4, &[0; 12]),
            &v2(0x22, TCP4, &[0; 12]),
            &v2(0x21, TCP4, &[0; 11]),
            &v2(0x21, TCP6, &[0; 12]),
            &v2(0x21, 0x12, &[0; 12]),
            &v2(0x21, 0x31, &[0; 216]),
            &[SIGNATURE, &[0x21, TCP4, 0xff, 0xff]].concat(),
            &[&b"PROXY UNKNOWN "[..], &[b'x'; 94]].concat(),
        ] {
            assert_eq!(
                parse(bad),
                Err(Malformed),
                "{:?}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn not_one_byte_beyond_the_header_is_asked_for() {
        let longest = [&b"PROXY UNKNOWN "[..], &[b'x'; 91], b"\r\n"].concat();
        assert_eq!(longest.len(), MAX_LINE);
        for header in [
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            v2(0x21, TCP4, &[1; 12]),
            v2(0x20, 0, &[]),
            longest,
        ] {
            let mut seen = 0;
            while let Progress::Needs(more) = parse(&header[..seen]).unwrap() {
                assert!(more > 0);
                seen += more;
            }
            assert_eq!(seen, header.len());
        }
    }
}
