//! Whose network an address is of, by a MaxMind DB file.

use std::net::IpAddr;
use std::path::PathBuf;

use maxminddb::PathElement;
use runtime::watched::FileError;

use crate::maxmind::{self, Database};

/// The networks, as far as they are known.
pub(crate) struct Networks(Database);

/// The longest name of a network, in characters.
const LONGEST: usize = 64;

impl Networks {
    /// Reads the file; without one no network is known.
    pub(crate) fn load(path: Option<PathBuf>) -> Result<Self, FileError> {
        maxmind::open(path).map(Self)
    }

    /// Reads the file again if it has changed; tells whether it had.
    pub(crate) fn refresh(&self) -> Result<bool, FileError> {
        self.0.refresh()
    }

    /// The network of an address: the number of its autonomous system and, where the file says it, whose it is.
    pub(crate) fn of(&self, address: IpAddr) -> Option<String> {
        let current = self.0.current();
        let reader = (**current).as_ref()?;
        // An IPv4 address in IPv6's clothes has no record of its own.
        let found = reader.lookup(address.to_canonical()).ok()?;
        // Files hold numbers in whichever width fits.
        let number = |path: &[PathElement<'_>]| {
            let number: Option<serde_json::Value> = found.decode_path(path).ok()?;
            number?.as_u64()
        };
        let owner = |path: &[PathElement<'_>]| found.decode_path::<&str>(path).ok()?;
        // Beside other facts about an address it stands among its traits.
        let number = number(&[NUMBER]).or_else(|| number(&[TRAITS, NUMBER]))?;
        let owner = owner(&[OWNER]).or_else(|| owner(&[TRAITS, OWNER]));
        let name = match owner {
            Some(owner) => format!("AS{number} {owner}"),
            None => format!("AS{number}"),
        };
        Some(
            name.chars()
                .filter(|one| !one.is_control())
                .take(LONGEST)
                .collect(),
        )
    }
}

const TRAITS: PathElement<'static> = PathElement::Key("traits");
const NUMBER: PathElement<'static> = PathElement::Key("autonomous_system_number");
const OWNER: PathElement<'static> = PathElement::Key("autonomous_system_organization");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_network_is_told_by_its_autonomous_system() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tests/data/geo_test.mmdb");
        let networks = Networks::load(Some(file)).unwrap();
        let of = |address: &str| networks.of(address.parse().unwrap());
        assert_eq!(of("198.51.100.7").as_deref(), Some("AS64500"));
        assert_eq!(of("::ffff:198.51.100.7").as_deref(), Some("AS64500"));
        assert_eq!(of("127.0.0.1"), None);
        let nothing = Networks::load(None).unwrap();
        assert_eq!(nothing.of([198, 51, 100, 7].into()), None);
    }

    #[test]
    fn a_file_that_has_changed_is_read_again_and_a_broken_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("networks"), folder.path().join("new"));
        let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tests/data/geo_test.mmdb");
        std::fs::copy(&known, &path).unwrap();
        let networks = Networks::load(Some(path.clone())).unwrap();
        assert!(!networks.refresh().unwrap());
        let of = || networks.of([198, 51, 100, 7].into());
        std::fs::write(&new, "no database").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert!(networks.refresh().is_err());
        assert_eq!(of().as_deref(), Some("AS64500"));
        std::fs::copy(&known, &new).unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert!(networks.refresh().unwrap());
        assert_eq!(of().as_deref(), Some("AS64500"));
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        for path in [Path::new("/nowhere/at/all.mmdb"), Path::new(file!())] {
            let refused = Networks::load(Some(path.to_owned())).err().unwrap();
            let refused = refused.to_string();
            assert!(refused.contains(path.to_str().unwrap()), "{refused}");
        }
    }
}
