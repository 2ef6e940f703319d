//! Who may fetch a path: tokens in the first path segment, the plain query form, and Common Access Tokens.
//!
//! ```text
//! URL    = /~<token><path>       or  <path>?mt=<token>
//! token  = ver "." kid "." b64u(claims) "." b64u(tag)              at most 1500 bytes
//! ver    = m1 (HMAC-SHA256, 32-byte tag) | m2 (Ed25519, 64-byte tag)
//! tag    = ALG(key, "millrace/" ver "\n" ver "." kid "." b64u(claims))
//!
//! plain  = <path>?exp=<unix>&kid=<id>&sig=b64u(HMAC-SHA256(key, "millrace/q1\n" kid "\n" exp "\n" path))
//!
//! cat    = CTA-5007, in the first path segment as `/~cat.<token>`, as `CAT=` in the query, in a field or a cookie
//! ```
//! The order of the checks is part of the contract: target, grammar, key id, tag, claims, time,
//! the key's scope, the token's path, network, country, rendition. What does not depend on the request (down to the
//! claims' grammar) may be remembered for a minute; the rest is looked at each time.

mod cat;
mod claims;
mod keyring;
mod material;
mod memory;
mod mint;
mod presented;
mod share;
mod verify;

pub use claims::{Claims, Countries};
pub use keyring::{Key, KeyRing, KeyRingError, Version};
pub use mint::MintError;
pub use share::public_only;
pub use verify::{Accepted, Request, admit, readmit, verify};

/// Seconds by which a token may be used before its not-before time.
pub const NOT_BEFORE_SKEW_S: u64 = 30;
