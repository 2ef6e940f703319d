//! Any bytes as one direction of an HTTP/2 connection: seen alike whole and in pieces.

use crate::parser::Frames;

/// Follows `data`, whose first byte says how long the pieces are.
pub fn check(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    for start in [Frames::of_client(), Frames::of_server()] {
        let (mut whole, mut pieces, mut noise) = (start, start, 0);
        let (mut words, mut words_of_pieces) = (Vec::new(), Vec::new());
        let seen = whole.hear(data, |word| words.push(format!("{word:?}")));
        for piece in data.chunks(usize::from(*cut).max(1)) {
            let heard = pieces.hear(piece, |word| words_of_pieces.push(format!("{word:?}")));
            noise += heard.noise;
        }
        assert_eq!(words, words_of_pieces);
        assert_eq!(seen.noise, noise);
        assert!(noise <= data.len() as u64 / 9, "a frame has a head");
        assert_eq!(whole.is_between(), pieces.is_between());
        assert_eq!(whole.is_urgent(), pieces.is_urgent());
        assert!(!(whole.is_between() && seen.ended && whole.is_urgent()));
    }
}
