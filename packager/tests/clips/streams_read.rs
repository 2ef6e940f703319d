//! Transport streams as another crate reads them: tables with their checksums, counters, times.
#![expect(
    unreachable_pub,
    reason = "a macro makes a public type, whose neighbours must be as public"
)]

use std::collections::BTreeMap;

use mpeg2ts_reader::{
    demultiplex::{
        Demultiplex, DemuxContext, FilterChangeset, FilterRequest, NullPacketFilter,
        PatPacketFilter, PmtPacketFilter,
    },
    packet_filter_switch,
    pes::{ElementaryStreamConsumer, PesContents, PesHeader, PesPacketFilter, PtsDts},
    psi::pat::PAT_PID,
};

/// What a stream was found to hold, by its number.
#[derive(Default)]
pub struct Found {
    filters: FilterChangeset<Filter>,
    streams: BTreeMap<u16, Stream>,
}

#[derive(Default)]
pub struct Stream {
    pub kind: u8,
    pub units: usize,
    pub gaps: usize,
    last: Option<u64>,
}

packet_filter_switch! {
    Filter<Found> {
        Pat: PatPacketFilter<Found>,
        Pmt: PmtPacketFilter<Found>,
        Units: PesPacketFilter<Found, Units>,
        Null: NullPacketFilter<Found>,
    }
}

impl DemuxContext for Found {
    type F = Filter;

    fn filter_changeset(&mut self) -> &mut FilterChangeset<Filter> {
        &mut self.filters
    }

    fn construct(&mut self, request: FilterRequest<'_, '_>) -> Filter {
        match request {
            FilterRequest::ByPid(PAT_PID) => Filter::Pat(PatPacketFilter::default()),
            FilterRequest::Pmt {
                pid,
                program_number,
            } => Filter::Pmt(PmtPacketFilter::new(pid, program_number)),
            FilterRequest::ByStream {
                stream_type,
                stream_info,
                ..
            } => {
                let pid = u16::from(stream_info.elementary_pid());
                self.streams.entry(pid).or_default().kind = stream_type.into();
                Filter::Units(PesPacketFilter::new(Units(pid)))
            }
            _ => Filter::Null(NullPacketFilter::default()),
        }
    }
}

/// Counts what begins in a stream.
pub struct Units(u16);

impl Units {
    fn stream<'a>(&self, found: &'a mut Found) -> &'a mut Stream {
        found.streams.entry(self.0).or_default()
    }
}

impl ElementaryStreamConsumer<Found> for Units {
    fn start_stream(&mut self, _: &mut Found) {}

    fn begin_packet(&mut self, found: &mut Found, header: PesHeader<'_>) {
        let stream = self.stream(found);
        stream.units += 1;
        let PesContents::Parsed(Some(parsed)) = header.contents() else {
            panic!("a header that cannot be read");
        };
        let time = match parsed.pts_dts().unwrap() {
            PtsDts::PtsOnly(time) => time.unwrap().value(),
            PtsDts::Both { pts, dts } => {
                let (pts, dts) = (pts.unwrap().value(), dts.unwrap().value());
                assert!(dts <= pts);
                dts
            }
            _ => panic!("a unit without a time"),
        };
        assert!(stream.last <= Some(time), "times of decoding rise");
        stream.last = Some(time);
    }

    fn continue_packet(&mut self, _: &mut Found, _: &[u8]) {}

    fn end_packet(&mut self, _: &mut Found) {}

    fn continuity_error(&mut self, found: &mut Found) {
        self.stream(found).gaps += 1;
    }
}

/// What a stream holds; nothing where no table was believed.
pub fn read(bytes: &[u8]) -> BTreeMap<u16, Stream> {
    let mut found = Found::default();
    let mut demultiplex = Demultiplex::new(&mut found);
    demultiplex.push(&mut found, bytes);
    found.streams
}
