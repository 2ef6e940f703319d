//! Any bytes as what an HTTP/3 client says: fields, frames and QPACK.

use tier::h3::Fault;
use tier::h3::fields::{request, trailers};
use tier::h3::frame::{self, Decoder, Frame};
use tier::h3::qpack::{self, DecoderStream, Encoder, EncoderStream, Field};

/// Any lines as the fields of a request: a request that HTTP/1.1 reads the same way, or a refusal.
pub fn fields(data: &[u8]) {
    let fields = lines(data);
    let _ = trailers(fields.clone());
    is_plain(fields.clone());
    // and once with what every request needs, so that the rest is reached at once
    let pseudo = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.example"),
        (":path", "/"),
    ];
    let pseudo = pseudo.map(|(name, value)| Field {
        name: name.into(),
        value: value.into(),
    });
    is_plain(pseudo.into_iter().chain(fields).collect());
}

/// Any bytes as a stream, whole and in pieces: the same frames, or the same fault.
pub fn frames(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let whole = decode(std::iter::once(data));
    let pieces = decode(data.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, pieces);
}

/// Any bytes as a QPACK field section or instruction stream: bounded fields, or an error.
pub fn qpack(data: &[u8]) {
    let _ = EncoderStream.check(data);
    let whole = DecoderStream::default().check(data);
    let mut stream = DecoderStream::default();
    assert_eq!(
        whole,
        data.chunks(1).try_for_each(|byte| stream.check(byte))
    );

    let Ok(fields) = qpack::decode(data.to_vec().into(), &LIMITS) else {
        return;
    };
    let size: usize = fields
        .iter()
        .map(|field| field.name.len() + field.value.len() + 32)
        .sum();
    assert!(size <= LIMITS.section_bytes && fields.len() <= LIMITS.fields);
    // what was decoded comes back from our own encoding
    let mut encoder = Encoder::new();
    for field in &fields {
        let Ok(name) = std::str::from_utf8(&field.name) else {
            return;
        };
        encoder.field(name, &field.value);
    }
    assert_eq!(
        qpack::decode(encoder.finish(), &LIMITS).as_ref(),
        Ok(&fields)
    );
}

/// Lines of name and value, the first `=` between them.
fn lines(data: &[u8]) -> Vec<Field> {
    let lines = data.split(|byte| *byte == 0xfe);
    let field = |line: &[u8]| {
        let at = line
            .iter()
            .position(|byte| *byte == b'=')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        Field {
            name: name.to_vec().into(),
            value: value.to_vec().into(),
        }
    };
    lines.map(field).collect()
}

fn is_plain(fields: Vec<Field>) {
    let Ok(request) = request(fields) else { return };
    let header = request.header;
    assert_ne!(header.method, "CONNECT");
    assert!(
        header
            .raw_path()
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    );
    let hosts: Vec<_> = header.headers.get_all("host").iter().collect();
    let authority = header.uri.authority().expect("every request has one");
    assert_eq!(hosts.len(), 1);
    assert!(
        hosts
            .iter()
            .all(|host| host.as_bytes() == authority.as_str().as_bytes())
    );
    assert!(!authority.as_str().contains('@'));
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(!header.headers.contains_key(name));
    }
    for (name, value) in &header.headers {
        assert!(!name.as_str().bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(
            !value
                .as_bytes()
                .iter()
                .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
        );
    }
    let lengths: Vec<_> = header.headers.get_all("content-length").iter().collect();
    assert!(lengths.len() <= 1 && lengths.len() == usize::from(request.content_length.is_some()));
}

/// What was decoded: the bodies joined, and everything else in its order.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    others: Vec<Frame>,
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Decoded, Fault> {
    let limits = frame::Limits {
        headers_bytes: HEADERS_BYTES,
    };
    let mut decoder = Decoder::new(limits);
    let mut decoded = Decoded::default();
    for piece in pieces {
        let mut input = piece.to_vec().into();
        while let Some(frame) = decoder.decode(&mut input)? {
            match frame {
                Frame::Data(piece) => decoded.data.extend_from_slice(&piece),
                // no decoder goes on behind a frame that no client may send
                Frame::PushPromise => return Ok(decoded),
                Frame::Headers(section) => {
                    assert!(section.len() <= HEADERS_BYTES, "a section above its limit");
                    decoded.others.push(Frame::Headers(section));
                }
                other => decoded.others.push(other),
            }
        }
        assert!(input.is_empty(), "asking for more with bytes left");
    }
    Ok(decoded)
}

const HEADERS_BYTES: usize = 4096;

const LIMITS: qpack::Limits = qpack::Limits {
    section_bytes: 4096,
    fields: 64,
};
