//! A small demultiplexer, written against the standard and not against the muxer.

use std::collections::BTreeMap;

/// A PES packet of one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pes {
    pub(crate) pts: u64,
    pub(crate) dts: u64,
    pub(crate) random_access: bool,
    /// The program clock when it begins, if any was told.
    pub(crate) clock: Option<u64>,
    pub(crate) data: Vec<u8>,
}

/// What a transport stream holds.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) video: Vec<Pes>,
    pub(crate) audio: Vec<Pes>,
    pub(crate) metadata: Vec<Pes>,
    /// Program clock values with the index of their packet.
    pub(crate) clocks: Vec<u64>,
}

/// Reads a stream and asserts what must hold of any: sync bytes, counters, tables, lengths.
pub(crate) fn demux(bytes: &[u8]) -> Stream {
    assert_eq!(bytes.len() % 188, 0);
    let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
    let mut kinds: BTreeMap<u16, u8> = BTreeMap::new();
    let (mut map, mut clock) = (None, None);
    let mut out = Stream::default();
    for packet in bytes.chunks(188) {
        assert_eq!(packet[0], 0x47);
        assert_eq!(packet[1] & 0x80, 0, "transport error");
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let starts = packet[1] & 0x40 != 0;
        let control = packet[3] >> 4;
        assert_ne!(control, 0);
        let counter = packet[3] & 0xf;
        if let Some(before) = counters.insert(pid, counter) {
            // Only packets with a payload count up.
            let wanted = (before + u8::from(control != 2)) & 0xf;
            assert_eq!(counter, wanted, "counter of stream {pid:#x}");
        }
        let mut payload = &packet[4..];
        let mut random_access = false;
        if control > 1 {
            let length = usize::from(payload[0]);
            if length > 0 {
                random_access = payload[1] & 0x40 != 0;
                if payload[1] & 0x10 != 0 {
                    assert_eq!(Some(pid), clock, "the clock is where the map says");
                    let base = u64::from(u32::from_be_bytes(payload[2..6].try_into().unwrap()));
                    out.clocks.push(base << 1 | u64::from(payload[6] >> 7));
                }
            }
            payload = &payload[1 + length..];
        }
        if control == 2 {
            assert!(payload.is_empty());
            continue;
        }
        match pid {
            0 => map = Some(association(section(payload, 0x00))),
            pid if Some(pid) == map => (clock, kinds) = program(section(payload, 0x02)),
            pid => {
                let units = match kinds[&pid] {
                    0x1b | 0x24 | 0xdb => &mut out.video,
                    0x0f | 0xcf => &mut out.audio,
                    0x15 => &mut out.metadata,
                    other => panic!("stream type {other}"),
                };
                if starts {
                    units.push(Pes {
                        random_access,
                        clock: out.clocks.last().copied(),
                        ..Pes::default()
                    });
                }
                units.last_mut().unwrap().data.extend(payload);
            }
        }
    }
    let units = out.video.iter_mut().chain(&mut out.audio);
    units.chain(&mut out.metadata).for_each(open);
    out
}

fn section(payload: &[u8], table: u8) -> &[u8] {
    let section = &payload[1 + usize::from(payload[0])..];
    assert_eq!(section[0], table);
    let length = 3 + (usize::from(section[1] & 0xf) << 8 | usize::from(section[2]));
    assert!(section[length..].iter().all(|byte| *byte == 0xff));
    let (body, crc) = section[..length].split_at(length - 4);
    assert_eq!(
        remainder(body),
        u32::from_be_bytes(crc.try_into().unwrap()),
        "section CRC"
    );
    &body[8..]
}

/// Annex A, bit by bit.
fn remainder(bytes: &[u8]) -> u32 {
    let mut register = 0xffff_ffffu32;
    for bit in bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        let carry = (register >> 31) as u8 ^ bit;
        register <<= 1;
        if carry == 1 {
            register ^= 0x04c1_1db7;
        }
    }
    register
}

fn pid(bytes: &[u8]) -> u16 {
    u16::from(bytes[0] & 0x1f) << 8 | u16::from(bytes[1])
}

/// Of the descriptors that follow.
fn length(bytes: &[u8]) -> usize {
    usize::from(bytes[0] & 0xf) << 8 | usize::from(bytes[1])
}

fn association(body: &[u8]) -> u16 {
    assert_eq!(body.len(), 4, "one program");
    pid(&body[2..])
}

fn program(body: &[u8]) -> (Option<u16>, BTreeMap<u16, u8>) {
    let mut rest = &body[4 + length(&body[2..])..];
    let mut streams = BTreeMap::new();
    while !rest.is_empty() {
        streams.insert(pid(&rest[1..]), rest[0]);
        rest = &rest[5 + length(&rest[3..])..];
    }
    (Some(pid(body)), streams)
}

/// Takes off the PES header.
fn open(pes: &mut Pes) {
    let data = std::mem::take(&mut pes.data);
    assert_eq!(data[..3], [0, 0, 1]);
    let length = usize::from(data[4]) << 8 | usize::from(data[5]);
    assert!(length == 0 || length + 6 == data.len(), "PES length");
    assert_eq!(data[6] & 0xc4, 0x84, "aligned");
    pes.pts = time(&data[9..14]);
    pes.dts = if data[7] & 0x40 != 0 {
        time(&data[14..19])
    } else {
        pes.pts
    };
    pes.data = data[9 + usize::from(data[8])..].to_vec();
}

fn time(bytes: &[u8]) -> u64 {
    assert!(
        [bytes[0], bytes[2], bytes[4]]
            .iter()
            .all(|byte| byte & 1 == 1),
        "marker bits"
    );
    let word = |high: u8, low: u8| u64::from(high) << 7 | u64::from(low) >> 1;
    u64::from(bytes[0] >> 1 & 7) << 30 | word(bytes[1], bytes[2]) << 15 | word(bytes[3], bytes[4])
}

/// The NAL units of an access unit in byte stream format.
pub(crate) fn nal_units(data: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = data
        .windows(3)
        .enumerate()
        .filter(|(_, code)| *code == [0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let unit = &data[start + 3..end];
            let kept = unit
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            &unit[..kept]
        })
        .collect()
}

/// The raw frames of an ADTS stream.
pub(crate) fn adts_frames(mut data: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !data.is_empty() {
        assert_eq!((data[0], data[1] & 0xf6), (0xff, 0xf0), "ADTS sync");
        let length =
            usize::from(data[3] & 3) << 11 | usize::from(data[4]) << 3 | usize::from(data[5]) >> 5;
        frames.push(&data[7..length]);
        data = &data[length..];
    }
    frames
}
