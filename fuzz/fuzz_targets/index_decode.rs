//! Any bytes as an index, its checksum made to fit: playlists and every segment's plan, or an error.
#![no_main]

use std::{sync::Arc, time::Duration};

use contracts::{address::Flavour, id::RenditionId};
use libfuzzer_sys::fuzz_target;
use packager::{Presentation, Source, dash, fmp4, hls, index::Index};

fuzz_target!(|data: &[u8]| {
    let mut sealed = data.to_vec();
    sealed.extend(crc32c::crc32c(data).to_be_bytes());
    let Ok(index) = Index::decode(&sealed) else {
        return;
    };
    let id = RenditionId::parse("any").expect("a rendition's name");
    let source = Source {
        id: id.clone(),
        language: None,
        index: Arc::new(index),
    };
    let Ok(film) = Presentation::new(vec![source], Duration::from_secs(4)) else {
        return;
    };
    let _ = dash::manifest(&film);
    for flavour in [Flavour::Cmaf, Flavour::Ts] {
        let _ = hls::master(&film, flavour);
        let _ = hls::playlist(&film, &id, flavour);
    }
    for rendition in film.renditions() {
        let _ = fmp4::init(rendition.index(), None);
        for segment in rendition.segments() {
            // Nobody has the bytes: packing must say so.
            assert!(fmp4::segment(rendition.index(), &segment, &Default::default(), None).is_err());
        }
    }
});
