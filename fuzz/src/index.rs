//! Any bytes as an index, its checksum made to fit: it packs nothing but the file that it was made of, or is an error.

use packager::index::{Index, Sample};

use super::packing;

/// Decodes `data` and packs what it describes, once without that file and once with one made up for it.
pub fn check(data: &[u8]) {
    let _ = Index::decode(data);
    let mut sealed = data.to_vec();
    sealed.extend(crc32c::crc32c(data).to_be_bytes());
    let Ok(index) = Index::decode(&sealed) else {
        return;
    };
    let again = Index::decode(&index.encode()).expect("what was decoded is well formed");
    assert_eq!(again, index);
    packing::refuses(&index);
    if index.file().length <= MOST {
        let (index, file) = made_up(&index);
        packing::check(index, &file);
    }
}

/// A file for an index, and the index with the file's checksums. Each sample is one NAL unit where it is long enough.
fn made_up(index: &Index) -> (Index, Vec<u8>) {
    let length = usize::try_from(index.file().length).expect("at most MOST");
    let mut file: Vec<u8> = (0..length).map(|at| (at * 7 >> 3) as u8).collect();
    let mut samples: Vec<Sample> = index.samples().to_vec();
    for sample in &mut samples {
        let place = packing::range(&(sample.offset..sample.end()));
        let bytes = &mut file[place];
        if let Some((head, [first, ..])) = bytes.split_first_chunk_mut::<4>() {
            *head = (sample.size - 4).to_be_bytes();
            // An IDR picture or another one, of H.264.
            *first = if sample.sync { 0x65 } else { 0x41 };
        }
        sample.crc = crc32c::crc32c(bytes);
    }
    let index = Index::new(index.track().clone(), samples, *index.file());
    (index.expect("only checksums have changed"), file)
}

/// The longest file that is made up.
const MOST: u64 = 256 << 10;
