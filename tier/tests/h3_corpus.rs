//! The corpora of the fuzz targets for what an HTTP/3 client says, replayed.
#![expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/h3.rs"]
mod h3;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn fields_are_read_as_http1_reads_them_or_refused() {
    let count = replay::each("h3_fields", |_, input| h3::fields(input)).unwrap();
    assert!(count >= 6);
}

#[test]
fn frames_are_the_same_whole_and_in_pieces() {
    let count = replay::each("h3_frame", |_, input| h3::frames(input)).unwrap();
    assert!(count >= 6);
}

#[test]
fn sections_are_decoded_as_we_encode_them_or_refused() {
    let count = replay::each("h3_qpack", |_, input| h3::qpack(input)).unwrap();
    assert!(count >= 6);
}
