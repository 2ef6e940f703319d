//! Bits that nobody guesses.

use runtime::problem::Problem;

/// So many bytes of them.
pub(crate) fn bits<const BYTES: usize>() -> Result<[u8; BYTES], Problem> {
    let mut bits = [0; BYTES];
    getrandom::fill(&mut bits).map_err(|error| {
        tracing::error!("the system gives no randomness: {error}");
        Problem::internal()
    })?;
    Ok(bits)
}
