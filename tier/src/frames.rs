//! HTTP/2 as a bystander sees it: where frames begin and end, and which carry nothing.

/// Follows one direction of a connection (RFC 9113 §4.1). It looks at heads only, and judges
/// nothing: whether a frame may come is for the one who reads it.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    state: State,
    /// A header block goes on in the next frame.
    block: bool,
    /// The preface or the SETTINGS that must follow it are missing.
    opening: bool,
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
        }
    }

    /// What a server sends.
    #[must_use]
    pub const fn of_server() -> Self {
        Self {
            state: BETWEEN,
            block: false,
            opening: false,
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
    pub fn take(&mut self, mut bytes: &[u8]) -> Seen {
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
                    if *missing == 0 {
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
                        self.enter(head, &mut seen);
                    }
                    taken
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        seen
    }

    fn enter(&mut self, head: [u8; HEAD_BYTES], seen: &mut Seen) {
        let [a, b, c, kind, flags, ..] = head;
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
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

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
