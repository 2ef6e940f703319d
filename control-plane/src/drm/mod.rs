//! Licences: which keys of a protected film a session's player gets, and on what terms.
//!
//! 1. `offer` answers `playback/start`: `policy` says which keys the device may have, `token` makes a licence token of
//!    it, for minutes, and a renewal that gets the session its next one;
//! 2. `admission` judges the token that a player shows: signed here (`keyring`), fresh, of a session that lives (`sealed` tells which), and
//!    not used too often (`uses`);
//! 3. `clearkey` gives the keys themselves (W3C Clear Key);
//! 4. `proxy` passes challenges of other systems on to their vendors, as each wants it (`vendor`).
//!
//! `jwks` tells licence servers elsewhere what tokens are verified with.
//!
//! Other packagers get keys too: `cpix` tells a film's, `speke` fills in those that a
//! packager names (`filling`).

pub(crate) mod admission;
pub(crate) mod clearkey;
pub(crate) mod config;
pub(crate) mod cpix;
mod filling;
pub(crate) mod jwks;
mod keyring;
pub(crate) mod offer;
pub(crate) mod policy;
pub(crate) mod proxy;
mod sealed;
pub(crate) mod speke;
mod systems;
mod token;
mod uses;
mod vendor;

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::keys::{System, TrackType};
use runtime::watched::{FileError, Watched};

pub(crate) use self::token::Refused;

use self::config::Drm;
use self::keyring::Keyring;
use self::policy::Device;
use self::sealed::Seal;
use self::uses::Uses;
use self::vendor::Service;
use crate::error::Error;
use crate::vault::Vault;

/// What licences are given with.
pub(crate) struct Licensing {
    keyring: Watched<Keyring>,
    seal: Seal,
    uses: Uses,
    services: BTreeMap<System, Service>,
    client: reqwest::Client,
    drm: Drm,
}

impl Licensing {
    /// Reads the keys of licence tokens; without a file of them there is one that follows from each of the
    /// vault's: so a token outlives the key that sealed when it was signed.
    pub(crate) fn load(drm: &Drm, vault: &Vault) -> Result<Self, Error> {
        let roots = vault.roots();
        let derived = roots.map(|root| root.derive(b"millrace licence tokens 1"));
        let keyring = Keyring::watch(drm.license_keys.clone(), Keyring::derived(derived))?;
        let services = drm.vendors.iter();
        let services = services.map(|(system, vendor)| Ok((*system, Service::load(vendor)?)));
        // Whoever stands between would see what is shown to vendors: no proxy is taken from the environment.
        let client = runtime::http::client().no_proxy().timeout(PATIENCE);
        Ok(Self {
            keyring,
            seal: Seal::of(vault),
            uses: Uses::new(MOST_TOKENS),
            services: services.collect::<Result<_, Error>>()?,
            client: client.build()?,
            drm: drm.clone(),
        })
    }

    /// Reads the keys of licence tokens again if they have changed; tells whether they had.
    pub(crate) fn refresh(&self) -> Result<bool, FileError> {
        self.keyring.refresh()
    }

    /// The classes of tracks that a device gets keys for.
    pub(crate) fn tracks(&self, device: Device) -> Vec<TrackType> {
        self.drm.rules.tracks(device)
    }

    /// The systems that may give keys to players.
    pub(crate) fn systems(&self) -> &[System] {
        &self.drm.systems
    }

    /// The systems whose licences players get here, or where the configuration says.
    fn offered(&self) -> impl Iterator<Item = System> + '_ {
        let has_server = |system: &System| {
            *system == System::ClearKey
                || self.services.contains_key(system)
                || self.drm.license_urls.contains_key(system)
        };
        self.drm.systems.iter().copied().filter(has_server)
    }

    /// Where the certificate is with which a player makes its challenges.
    fn certificate_url(&self, system: System) -> Option<String> {
        self.services.get(&system)?.vendor.certificate_url.clone()
    }

    /// Where a system's licences are asked for.
    fn license_url(&self, system: System, public_base: &str) -> String {
        let elsewhere = self.drm.license_urls.get(&system);
        elsewhere.cloned().unwrap_or_else(|| {
            let system = system.as_str();
            format!("{public_base}/v1/drm/{system}/license")
        })
    }
}

/// How long a licence service has.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many tokens' uses are remembered: some 30 MiB when each has all its keys asked for.
const MOST_TOKENS: usize = 65_536;
