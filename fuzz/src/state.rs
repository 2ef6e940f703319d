//! Any bytes as a state file of purges: lines that are read or refused, and what is read can be written and read again.

use tier::feed::state::parse;

/// Reads `data` line by line, as it is, and each line with the checksum that it should have.
pub fn check(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let _ = parse(line);
        let mut summed = format!("{:08x} ", crc32c::crc32c(line)).into_bytes();
        summed.extend_from_slice(line);
        let Some(read) = parse(&summed) else { continue };
        let json = serde_json::to_vec(&read).expect("what was read can be written");
        let mut again = format!("{:08x} ", crc32c::crc32c(&json)).into_bytes();
        again.extend_from_slice(&json);
        assert_eq!(parse(&again), Some(read));
        if let Some(byte) = again.last_mut() {
            *byte ^= 1;
        }
        assert_eq!(parse(&again), None);
    }
}
