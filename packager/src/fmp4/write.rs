//! A writer of boxes into memory.

#![expect(
    clippy::cast_possible_truncation,
    reason = "init segments and moof boxes are far below 4 GiB: plans bound a segment's samples"
)]

use crate::boxes::Kind;

/// Bytes under construction.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// Writes a box around what `body` writes.
    pub(super) fn boxed(&mut self, kind: &Kind, body: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.u32(0);
        self.0.extend(kind);
        body(self);
        let size = (self.0.len() - start) as u32;
        if let Some(place) = self.0.get_mut(start..start + 4) {
            place.copy_from_slice(&size.to_be_bytes());
        }
    }

    /// Writes a box that has a version and flags.
    pub(super) fn full(
        &mut self,
        kind: &Kind,
        version: u8,
        flags: u32,
        body: impl FnOnce(&mut Self),
    ) {
        self.boxed(kind, |out| {
            out.u32(u32::from(version) << 24 | flags);
            body(out);
        });
    }

    /// Writes an MPEG-4 descriptor whose body is shorter than 2 MiB (ISO/IEC 14496-1 §8.3.3).
    pub(super) fn descriptor(&mut self, tag: u8, body: impl FnOnce(&mut Self)) {
        let mut inner = Self(Vec::new());
        body(&mut inner);
        let length = inner.0.len() as u32;
        let group = |shift: u32| (length >> shift & 0x7f) as u8;
        self.0.extend([
            tag,
            0x80 | group(21),
            0x80 | group(14),
            0x80 | group(7),
            group(0),
        ]);
        self.0.extend(inner.0);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    pub(super) fn zeros(&mut self, count: usize) {
        self.0.extend(std::iter::repeat_n(0, count));
    }
}
