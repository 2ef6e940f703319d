//! Any bytes as a QPACK field section or instruction stream: bounded fields, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tier::h3::qpack::{DecoderStream, Encoder, EncoderStream, Limits, decode};

const LIMITS: Limits = Limits {
    section_bytes: 4096,
    fields: 64,
};

fuzz_target!(|data: &[u8]| {
    let _ = EncoderStream.check(data);
    let whole = DecoderStream::default().check(data);
    let mut stream = DecoderStream::default();
    assert_eq!(
        whole,
        data.chunks(1).try_for_each(|byte| stream.check(byte))
    );

    let Ok(fields) = decode(data.to_vec().into(), &LIMITS) else {
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
    assert_eq!(decode(encoder.finish(), &LIMITS).as_ref(), Ok(&fields));
});
