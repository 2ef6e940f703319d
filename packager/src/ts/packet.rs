//! Transport packets: 188 bytes, a counter a stream, the program clock (ISO/IEC 13818-1 §2.4.3).

use std::ops::Range;

/// The streams of a segment.
#[derive(Clone, Copy)]
pub(super) enum Pid {
    Video,
    Audio,
    Metadata,
}

impl Pid {
    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Video => 0x100,
            Self::Audio => 0x101,
            Self::Metadata => 0x102,
        }
    }
}

/// The length of a transport packet.
pub(super) const LENGTH: usize = 188;
/// What a packet carries beside its own header.
pub(super) const PAYLOAD: u64 = 184;
/// What the first packet of a PES packet may say before its payload.
pub(super) const LEAD: u64 = 8;

/// Cuts PES packets into transport packets.
pub(super) struct Mux {
    out: Vec<u8>,
    scratch: Vec<u8>,
    /// How many packets of each stream with a payload.
    video: usize,
    audio: usize,
    metadata: usize,
}

impl Mux {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
            scratch: Vec::new(),
            video: 0,
            audio: 0,
            metadata: 0,
        }
    }

    /// An empty buffer for the next PES packet; give it back with [`Mux::recycle`].
    pub(super) fn scratch(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch
    }

    pub(super) fn recycle(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Writes a table that fits into one packet; `counter` is taken modulo 16.
    pub(super) fn table(&mut self, pid: u16, section: &[u8], counter: u32) {
        let start = self.out.len();
        self.header(pid, true, false, counter);
        self.out.push(0); // the section begins at once
        self.out.extend(section);
        self.out.resize(start + LENGTH, 0xff);
    }

    /// Writes a PES packet. The `last` of a stream is spread so that the stream's packets come to a multiple of 16.
    pub(super) fn write(
        &mut self,
        pid: Pid,
        pes: &[u8],
        reference: Option<u64>,
        random_access: bool,
        last: bool,
    ) {
        let written = self.written(pid);
        let first = Lead {
            reference,
            random_access,
        }
        .room();
        let mut packets = 1 + pes.len().saturating_sub(first).div_ceil(184);
        if last {
            packets = (*written + packets).next_multiple_of(16) - *written;
        }
        let counters = *written..*written + packets;
        *written += packets;
        self.packets(
            pid.number(),
            pes,
            Lead {
                reference,
                random_access,
            },
            counters,
        );
    }

    /// Writes a packet that tells the program clock and nothing else; it repeats the stream's counter (§2.4.3.3).
    pub(super) fn clock(&mut self, pid: Pid, reference: u64) {
        let written = *self.written(pid);
        let [high, low] = pid.number().to_be_bytes();
        let counter = u8::try_from((written + 15) % 16).unwrap_or(0);
        self.out
            .extend_from_slice(&[0x47, high & 0x1f, low, 0x20 | counter]);
        let lead = Lead {
            reference: Some(reference),
            random_access: false,
        };
        self.adaptation(184, lead);
    }

    fn written(&mut self, pid: Pid) -> &mut usize {
        match pid {
            Pid::Video => &mut self.video,
            Pid::Audio => &mut self.audio,
            Pid::Metadata => &mut self.metadata,
        }
    }

    fn packets(&mut self, pid: u16, mut rest: &[u8], lead: Lead, counters: Range<usize>) {
        let (begin, end) = (counters.start, counters.end);
        for counter in counters {
            let lead = if counter == begin {
                lead
            } else {
                Lead::default()
            };
            // Only packets with a payload count up, so each that follows needs a byte.
            let later = end - counter - 1;
            let take = lead.room().min(rest.len().saturating_sub(later));
            let (payload, tail) = rest.split_at_checked(take).unwrap_or((rest, &[]));
            rest = tail;
            let adaptation = 184 - payload.len();
            let nibble = u32::try_from(counter % 16).unwrap_or(0);
            self.header(pid, counter == begin, adaptation > 0, nibble);
            self.adaptation(adaptation, lead);
            self.out.extend_from_slice(payload);
        }
    }

    fn header(&mut self, pid: u16, start: bool, adaptation: bool, counter: u32) {
        let [high, low] = pid.to_be_bytes();
        let [.., counter] = counter.to_be_bytes();
        let control = if adaptation { 0x30 } else { 0x10 };
        let start = if start { 0x40 } else { 0 };
        self.out
            .extend_from_slice(&[0x47, start | high & 0x1f, low, control | counter & 0x0f]);
    }

    /// Writes an adaptation field of `length` bytes in all (§2.4.3.4), stuffed behind what it says.
    fn adaptation(&mut self, length: usize, lead: Lead) {
        let Some(body) = length.checked_sub(1) else {
            return;
        };
        let end = self.out.len() + length;
        self.out.push(u8::try_from(body).unwrap_or(0));
        if body > 0 {
            let random_access = if lead.random_access { 0x40 } else { 0 };
            let clock = if lead.reference.is_some() { 0x10 } else { 0 };
            self.out.push(random_access | clock);
        }
        if let Some(reference) = lead.reference {
            // 33 bits of base, six reserved, nine bits of extension (0).
            let [_, _, bytes @ ..] = ((reference & MASK_33) << 15 | 0x7e00).to_be_bytes();
            self.out.extend_from_slice(&bytes);
        }
        self.out.resize(end, 0xff);
    }
}

/// What the first packet of a PES packet says beside its payload.
#[derive(Clone, Copy, Default)]
struct Lead {
    reference: Option<u64>,
    random_access: bool,
}

impl Lead {
    /// The payload that fits beside it.
    fn room(self) -> usize {
        match self {
            Self {
                reference: Some(_), ..
            } => 184 - 8,
            Self {
                random_access: true,
                ..
            } => 184 - 2,
            Self { .. } => 184,
        }
    }
}

/// Timestamps wrap at 33 bits.
pub(super) const MASK_33: u64 = (1 << 33) - 1;
