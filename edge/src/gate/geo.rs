//! In which country an address is, by a MaxMind DB file.

use std::net::IpAddr;
use std::path::PathBuf;

use maxminddb::{PathElement, Reader};
use runtime::watched::{FileError, Watched};
use tier::admission::Country;

/// The file and what was last read from it.
pub(super) struct Geo(Watched<Option<Reader<Vec<u8>>>>);

impl Geo {
    /// Reads the file; without one every country is unknown.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, FileError> {
        Watched::open(path, MAX_BYTES, None, read).map(Self)
    }

    /// Reads the file again if it has changed; tells whether it had.
    pub(super) fn refresh(&self) -> Result<bool, FileError> {
        self.0.refresh()
    }

    /// The country of an address; `None` where the file does not know it.
    pub(super) fn country(&self, address: IpAddr) -> Option<Country> {
        let current = self.0.current();
        let reader = (**current).as_ref()?;
        // An IPv4 address in IPv6's clothes has no record of its own.
        let found = reader.lookup(address.to_canonical()).ok()?;
        let code: Option<&str> = found.decode_path(&CODE).ok()?;
        Country::parse(code?)
    }
}

/// The whole file is checked before a single address is looked up in it.
fn read(bytes: Vec<u8>) -> Result<Option<Reader<Vec<u8>>>, String> {
    let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
    reader.verify().map_err(|error| error.to_string())?;
    Ok(Some(reader))
}

const CODE: [PathElement<'static>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];

/// The largest file; of those that are sold, ones with countries have some 10 MB, with cities some 100.
const MAX_BYTES: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = include_bytes!("../../tests/data/geo_test.mmdb");

    #[test]
    fn every_published_lookup_agrees() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/data/geo.json")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("geo.mmdb");
        std::fs::write(&path, FILE).unwrap();
        let geo = Geo::open(Some(path)).unwrap();
        let lookups = vectors["lookups"].as_array().unwrap();
        assert!(lookups.len() >= 8);
        for lookup in lookups {
            let ip = lookup["ip"].as_str().unwrap();
            let expected = match ip {
                // The bare lookup finds nothing; ours takes the address out of its clothes first.
                "::ffff:198.51.100.7" => Some("DE"),
                _ => lookup["record"]["country"]["iso_code"].as_str(),
            };
            let found = geo.country(ip.parse().unwrap());
            assert_eq!(found.as_ref().map(Country::as_str), expected, "{ip}");
        }
    }

    #[test]
    fn without_a_file_every_country_is_unknown() {
        let geo = Geo::open(None).unwrap();
        assert_eq!(geo.country([198, 51, 100, 7].into()), None);
        assert!(!geo.refresh().unwrap());
    }

    #[test]
    fn a_damaged_file_is_refused_or_finds_nothing_new_and_never_panics() {
        let mut refused = 0;
        for at in 0..FILE.len() {
            let mut damaged = FILE.to_vec();
            damaged[at] ^= 0x55;
            match read(damaged) {
                Err(_) => refused += 1,
                Ok(reader) => {
                    let reader = reader.unwrap();
                    let found = reader.lookup([198, 51, 100, 7].into()).unwrap();
                    let _: Result<Option<&str>, _> = found.decode_path(&CODE);
                }
            }
        }
        assert!(refused > FILE.len() / 4, "{refused}");
        for cut in 0..FILE.len() {
            assert!(read(FILE[..cut].to_vec()).is_err(), "{cut} bytes");
        }
    }
}
