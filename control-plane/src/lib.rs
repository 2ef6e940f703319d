//! The control plane: who may watch what, from which edge; the catalogue over HTTP; the watch page.
//!
//! The main path:
//! 1. [`start()`] opens the catalogue, reads the keyring, and listens;
//! 2. `app` holds the routes: the same router under `/v1` and `/api/v1`;
//! 3. `playback` starts a session: `signer` mints its token, [`routing`] chooses where it plays;
//!    `steering` tells players while they play;
//! 4. `keys` hands protected films' keys to origins: drawn once, sealed in the catalogue by `vault`;
//! 5. `drm` gives players licences of those keys, for as long as their session lives;
//! 6. `videos` tells what the site has; `page` serves the watch page;
//! 7. `fleet` has orders for edges and shields: to purge, and to revoke;
//! 8. `telemetry` takes what players tell, and says what it comes to;
//! 9. `notices` tells what becomes of films, to those who ask and to the operator's webhook;
//! 10. `caller` finds out who calls; `people` has accounts, logins, API keys, channels and outside
//!     issuers.
//!
//! What always holds: no video byte passes here; every refusal is an `application/problem+json`;
//! no token and no key reaches a log.

mod app;
mod caller;
mod client;
pub mod config;
mod drm;
mod error;
mod fleet;
mod keeping;
mod keys;
mod maxmind;
mod metrics;
mod notices;
mod page;
mod page_of;
mod people;
mod playback;
mod problem;
mod random;
mod reading;
pub mod routing;
mod signer;
mod start;
mod status;
mod steering;
mod telemetry;
mod vault;
mod videos;

pub use error::Error;
pub use start::{Running, inspect, start};
