//! The gate: who may fetch what, decided from the request alone.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use contracts::header::{CLIENT_COUNTRY, CLIENT_IP};
use contracts::reason::Reason;
use contracts::token::{self, KeyRing, KeyRingError};
use ipnet::IpNet;
use runtime::clock::Clock;
use tier::admission::{Admission, Admitted, Condition, Facts};

/// The rule of an edge.
///
/// A request with a token (or a plain signature) is admitted when that is in order. One without
/// is refused, unless the operator lets public films be fetched without: then the object itself
/// must say that its film is public.
pub struct Gate {
    keys: Keys,
    clock: Arc<dyn Clock>,
    public_without_token: bool,
    trusted_hops: Vec<IpNet>,
}

/// The keyring file and what was last read from it.
pub struct Keys {
    path: Option<PathBuf>,
    ring: ArcSwap<(KeyRing, Option<SystemTime>)>,
}

/// Why the keyring could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file could not be read.
    #[error("cannot read the keyring {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no keyring.
    #[error("the keyring {} is refused: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; holds no key.
        source: KeyRingError,
    },
}

impl Gate {
    /// A gate with the keys of `keys`.
    #[must_use]
    pub fn new(keys: Keys, clock: Arc<dyn Clock>, public_without_token: bool) -> Self {
        Self {
            keys,
            clock,
            public_without_token,
            trusted_hops: Vec::new(),
        }
    }

    /// Believes what peers in these networks say of the client, in the fields
    /// [`CLIENT_IP`] and [`CLIENT_COUNTRY`].
    #[must_use]
    pub fn trusting(mut self, hops: Vec<IpNet>) -> Self {
        self.trusted_hops = hops;
        self
    }

    /// The keys, to have them read again.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Where the client is: the socket's other end, or what a trusted hop says of it.
    fn client<'a>(&self, facts: &Facts<'a>) -> (Option<IpAddr>, Option<&'a str>) {
        let peer = facts.peer.map(|ip| ip.to_canonical());
        let trusted =
            peer.is_some_and(|peer| self.trusted_hops.iter().any(|net| net.contains(&peer)));
        if !trusted {
            return (peer, None);
        }
        let field = |name| {
            facts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        match field(CLIENT_IP) {
            Some(text) => (text.parse().ok(), field(CLIENT_COUNTRY)),
            None => (peer, field(CLIENT_COUNTRY)),
        }
    }
}

impl Admission for Gate {
    fn admit(&self, facts: &Facts<'_>) -> Result<Admitted, Reason> {
        let (client_ip, country) = self.client(facts);
        let request = token::Request {
            target: facts.target,
            now: self.clock.now(),
            client_ip,
            country,
        };
        match token::admit(&self.keys.ring.load().0, &request)? {
            Some(accepted) => Ok(Admitted {
                address: accepted.cache_key,
                session: accepted.session.map(|id| id.to_string()),
                condition: Condition::None,
            }),
            None if self.public_without_token => Ok(Admitted {
                condition: Condition::Public,
                ..self.readmit(facts.target)?
            }),
            None => Err(Reason::Missing),
        }
    }

    fn readmit(&self, target: &str) -> Result<Admitted, Reason> {
        token::readmit(target).map(Admitted::to)
    }
}

impl Keys {
    /// Reads the keyring; without a file there is no key, and every token is refused.
    ///
    /// # Errors
    /// When the file cannot be read or is no keyring.
    pub fn open(path: Option<PathBuf>) -> Result<Self, KeysError> {
        let read = match &path {
            Some(path) => read(path)?,
            None => (KeyRing::default(), None),
        };
        Ok(Self {
            path,
            ring: ArcSwap::from_pointee(read),
        })
    }

    /// Reads the keyring again if the file has changed; tells whether it had.
    ///
    /// # Errors
    /// As [`Keys::open`]; the old keys then stay.
    pub fn refresh(&self) -> Result<bool, KeysError> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        if modified(path).is_some() && modified(path) == self.ring.load().1 {
            return Ok(false);
        }
        self.ring.store(Arc::new(read(path)?));
        Ok(true)
    }
}

fn read(path: &Path) -> Result<(KeyRing, Option<SystemTime>), KeysError> {
    // The time is taken first: a change in between is then seen as a change.
    let changed = modified(path);
    let text = std::fs::read_to_string(path).map_err(|source| KeysError::Read {
        path: path.to_owned(),
        source,
    })?;
    let ring = KeyRing::from_json(&text).map_err(|source| KeysError::Refused {
        path: path.to_owned(),
        source,
    })?;
    Ok((ring, changed))
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
