//! HTTP/2 as a bystander sees it: where frames begin and end, which carry nothing, and what a client
//! says of its windows and wishes.

/// Follows one direction of a connection (RFC 9113 §4.1). It looks at heads, of a client's frames
/// also at what decides which answer goes first, and judges nothing: whether a frame may come is
/// for the one who reads it.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    state: State,
    /// A header block goes on in the next frame.
    block: bool,
    /// The preface or the SETTINGS that must follow it are missing.
    opening: bool,
    heard: Heard,
}

/// What a client says that decides which answer may go, and which goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// A header on this stream: a request, or what follows its body.
    Request(u32),
    /// The window of each stream to begin with, in bytes (SETTINGS, RFC 9113 §6.5.2).
    InitialWindow(u32),
    /// So many bytes more may be sent on a stream (WINDOW_UPDATE, RFC 9113 §6.9).
    Window {
        /// 0 for the connection.
        stream: u32,
        /// By how much the window grows.
        bytes: u32,
    },
    /// Another priority for a stream (PRIORITY_UPDATE, RFC 9218 §7.1).
    Priority {
        /// Which stream is meant.
        stream: u32,
        /// A value of the field `priority`.
        value: &'a [u8],
    },
}

/// The part of a frame's payload that is kept until it can be read.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Nothing is kept of what a server says.
    of_client: bool,
    /// The type of the frame, when it is one of those that are read.
    kind: Option<u8>,
    stream: u32,
    bytes: [u8; LONGEST_WORD],
    here: usize,
}

/// What a piece of the stream brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Frames that carry nothing for anybody: all but HEADERS and DATA with content.
    pub noise: u64,
    /// Something that had begun has ended, so that what is begun now is something else.
    pub ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Within the connection preface; so many bytes are missing.
    Preface(usize),
    /// Within a head of which so many bytes are here; none: between two frames.
    Head {
        bytes: [u8; HEAD_BYTES],
        here: usize,
    },
    /// Within a payload; so many bytes are missing.
    Payload { missing: usize, data: bool },
}

impl Frames {
    /// What a client sends.
    #[must_use]
    pub const fn of_client() -> Self {
        Self {
            state: State::Preface(PREFACE_BYTES),
            block: false,
            opening: true,
            heard: Heard::new(true),
        }
    }

    /// What a server sends.
    #[must_use]
    pub const fn of_server() -> Self {
        Self {
            state: BETWEEN,
            block: false,
            opening: false,
            heard: Heard::new(false),
        }
    }

    /// Whether another frame may be put in here.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        matches!(self.state, State::Head { here: 0, .. }) && !self.block
    }

    /// Whether something is begun that a client has no reason to pause in: the preface and its
    /// SETTINGS, a header block, any frame but DATA.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        match self.state {
            State::Payload { data, .. } => self.opening || self.block || !data,
            _ => self.opening || !self.is_between(),
        }
    }

    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Seen {
        self.hear(bytes, |_| {})
    }

    /// Takes the next bytes, and calls `heed` with each word of a client in them.
    pub fn hear(&mut self, mut bytes: &[u8], mut heed: impl FnMut(Word<'_>)) -> Seen {
        let mut seen = Seen::default();
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Preface(missing) => {
                    let taken = bytes.len().min(*missing);
                    *missing -= taken;
                    if *missing == 0 {
                        self.state = BETWEEN;
                    }
                    taken
                }
                State::Payload { missing, .. } => {
                    let taken = bytes.len().min(*missing);
                    *missing -= taken;
                    let is_over = *missing == 0;
                    self.heard
                        .take(bytes.get(..taken).unwrap_or_default(), is_over, &mut heed);
                    if is_over {
                        self.end(&mut seen);
                    }
                    taken
                }
                State::Head { bytes: head, here } => {
                    let rest = head.get_mut(*here..).unwrap_or_default();
                    let taken = bytes.len().min(rest.len());
                    for (to, from) in rest.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                    *here += taken;
                    if *here == HEAD_BYTES {
                        let head = *head;
                        self.enter(head, &mut seen, &mut heed);
                    }
                    taken
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        seen
    }

    fn enter(&mut self, head: [u8; HEAD_BYTES], seen: &mut Seen, heed: &mut impl FnMut(Word<'_>)) {
        let [a, b, c, kind, flags, stream @ ..] = head;
        let missing = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            HEADERS => self.block = flags & END_HEADERS == 0,
            CONTINUATION if flags & END_HEADERS != 0 => self.block = false,
            _ => {}
        }
        // Padding alone is as little as nothing, and whoever ends a stream says something.
        let empty = missing == 0 && flags & END_STREAM == 0;
        let noise = match kind {
            HEADERS => false,
            DATA => empty || flags & PADDED != 0,
            _ => true,
        };
        seen.noise += u64::from(noise);
        self.heard
            .begin(kind, flags, u32::from_be_bytes(stream), heed);
        self.state = State::Payload {
            missing,
            data: kind == DATA,
        };
        if missing == 0 {
            self.end(seen);
        }
    }

    fn end(&mut self, seen: &mut Seen) {
        self.state = BETWEEN;
        self.opening = false;
        seen.ended |= !self.block;
    }
}

impl Heard {
    const fn new(of_client: bool) -> Self {
        Self {
            of_client,
            kind: None,
            stream: 0,
            bytes: [0; LONGEST_WORD],
            here: 0,
        }
    }

    fn begin(&mut self, kind: u8, flags: u8, stream: u32, heed: &mut impl FnMut(Word<'_>)) {
        let is_read = match kind {
            SETTINGS => flags & ACK == 0,
            WINDOW_UPDATE | PRIORITY_UPDATE => true,
            _ => false,
        };
        self.kind = (self.of_client && is_read).then_some(kind);
        self.stream = stream & STREAM_ID;
        if self.of_client && kind == HEADERS {
            heed(Word::Request(self.stream));
        }
        self.here = 0;
    }

    fn take(&mut self, payload: &[u8], is_over: bool, heed: &mut impl FnMut(Word<'_>)) {
        let Some(kind) = self.kind else {
            return;
        };
        for byte in payload {
            let Some(place) = self.bytes.get_mut(self.here) else {
                // Longer than any word.
                self.kind = None;
                return;
            };
            *place = *byte;
            self.here += 1;
            if let (SETTINGS, SETTING_BYTES, [a, b, rest @ ..]) = (kind, self.here, &self.bytes) {
                self.here = 0;
                if [*a, *b] == INITIAL_WINDOW_SIZE {
                    heed(Word::InitialWindow(number(rest)));
                }
            }
        }
        let (of, said) = self.bytes.split_at(self.here.min(4));
        match kind {
            _ if !is_over => {}
            WINDOW_UPDATE if self.here == 4 => heed(Word::Window {
                stream: self.stream,
                bytes: number(of),
            }),
            PRIORITY_UPDATE if self.here >= 4 => heed(Word::Priority {
                stream: number(of),
                value: said.get(..self.here - 4).unwrap_or_default(),
            }),
            _ => {}
        }
    }
}

/// The number of 31 bits at the beginning.
fn number(bytes: &[u8]) -> u32 {
    let bytes = bytes.first_chunk().copied().unwrap_or_default();
    u32::from_be_bytes(bytes) & STREAM_ID
}

const BETWEEN: State = State::Head {
    bytes: [0; HEAD_BYTES],
    here: 0,
};

/// RFC 9113 §3.4.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
/// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// RFC 9218 §7.1.
const PRIORITY_UPDATE: u8 = 0x10;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// All but the reserved bit.
const STREAM_ID: u32 = u32::MAX >> 1;
/// RFC 9113 §6.5.1 and §6.5.2.
const SETTING_BYTES: usize = 6;
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
/// A priority that says more than this is not read.
const LONGEST_WORD: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let length_bytes = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = length_bytes[1..].to_vec();
        frame.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        frame.resize(9 + length, 0);
        frame
    }

    fn noise(bytes: &[u8]) -> u64 {
        Frames::of_server().take(bytes).noise
    }

    #[test]
    fn only_headers_and_content_are_no_noise() {
        assert_eq!(noise(&frame(HEADERS, END_HEADERS, 20)), 0);
        assert_eq!(noise(&frame(DATA, 0, 1)), 0);
        assert_eq!(noise(&frame(DATA, END_STREAM, 0)), 0);
        assert_eq!(noise(&frame(DATA, 0, 0)), 1);
        assert_eq!(noise(&frame(DATA, PADDED, 9)), 1);
        for kind in (2..=9).chain([0x10, 0xff]) {
            assert_eq!(noise(&frame(kind, 0, 8)), 1, "{kind}");
        }
    }

    #[test]
    fn a_header_block_is_urgent_until_its_last_frame_and_a_body_is_not() {
        let mut frames = Frames::of_server();
        assert!(!frames.is_urgent());
        frames.take(&frame(HEADERS, 0, 20));
        assert!(frames.is_urgent() && !frames.is_between());
        let seen = frames.take(&frame(CONTINUATION, 0, 5));
        assert!(frames.is_urgent() && !seen.ended);
        let seen = frames.take(&frame(CONTINUATION, END_HEADERS, 5));
        assert!(!frames.is_urgent() && seen.ended);
        frames.take(&frame(DATA, 0, 100)[..50]);
        assert!(!frames.is_urgent() && !frames.is_between());
        frames.take(&[0; 59]);
        assert!(frames.is_between());
        frames.take(&frame(6, 0, 8)[..16]);
        assert!(frames.is_urgent());
    }

    #[test]
    fn the_preface_is_whole_with_its_settings() {
        let mut frames = Frames::of_client();
        for part in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r", "\n", "\0\0\0\x04\0\0\0\0"] {
            assert!(!frames.take(part.as_bytes()).ended && frames.is_urgent());
        }
        assert!(frames.take(b"\0").ended && !frames.is_urgent());
        assert!(frames.is_between());
    }

    fn words(frames: &mut Frames, bytes: &[u8]) -> Vec<String> {
        let mut words = Vec::new();
        frames.hear(bytes, |word| words.push(format!("{word:?}")));
        words
    }

    #[test]
    fn a_client_says_how_much_may_be_sent_and_what_goes_first() {
        let mut frames = Frames::of_client();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(b"\0\0\x0c\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\x01\0\0");
        bytes.extend(b"\0\0\0\x04\x01\0\0\0\0");
        bytes.extend(b"\0\0\x01\x01\x05\0\0\0\x03\x82");
        bytes.extend(b"\0\0\x04\x08\0\0\0\0\x03\x80\0\x10\0");
        bytes.extend(b"\0\0\x07\x10\0\0\0\0\0\0\0\0\x05u=1");
        let expected = [
            "InitialWindow(65536)",
            "Request(3)",
            "Window { stream: 3, bytes: 4096 }",
            "Priority { stream: 5, value: [117, 61, 49] }",
        ];
        assert_eq!(words(&mut frames, &bytes), expected);
        let mut frames = Frames::of_client();
        let pieces: Vec<String> = bytes
            .iter()
            .flat_map(|byte| words(&mut frames, &[*byte]))
            .collect();
        assert_eq!(pieces, expected);
    }

    #[test]
    fn words_that_are_too_short_or_too_long_are_not_heard() {
        let mut frames = Frames::of_client();
        frames.take(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        for (kind, length) in [(SETTINGS, 5), (WINDOW_UPDATE, 3), (WINDOW_UPDATE, 5)]
            .into_iter()
            .chain([(PRIORITY_UPDATE, 3), (PRIORITY_UPDATE, 65), (6, 8)])
        {
            assert!(words(&mut frames, &frame(kind, 0, length)).is_empty());
        }
        assert!(words(&mut Frames::of_server(), &frame(WINDOW_UPDATE, 0, 4)).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_are_seen_as_the_whole_is(
            kinds in proptest::collection::vec((0u8..12, any::<u8>(), 0usize..40), 0..20),
            cuts in proptest::collection::vec(1usize..50, 1..50),
        ) {
            let bytes: Vec<u8> = kinds
                .iter()
                .flat_map(|(kind, flags, length)| frame(*kind, *flags, *length))
                .collect();
            let mut whole = Frames::of_server();
            let expected = whole.take(&bytes).noise;
            let (mut frames, mut rest, mut found) = (Frames::of_server(), &bytes[..], 0);
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                found += frames.take(piece).noise;
                rest = after;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(frames.is_between(), whole.is_between());
        }
    }
}
