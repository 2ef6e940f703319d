//! Where somebody is, and whether a film may be watched there.

use std::net::IpAddr;
use std::path::PathBuf;

use contracts::time::UnixSeconds;
use contracts::token::{Claims, Countries};
use maxminddb::PathElement;
use runtime::watched::FileError;

use crate::maxmind::{self, Database};

/// The countries of addresses.
pub(crate) struct Geo(Database);

impl Geo {
    /// Reads the file; without one every country is unknown.
    pub(crate) fn load(path: Option<PathBuf>) -> Result<Self, FileError> {
        maxmind::open(path).map(Self)
    }

    /// The country of an address; `None` where the file does not know it.
    pub(crate) fn country(&self, address: IpAddr) -> Option<String> {
        let current = self.0.current();
        let reader = (**current).as_ref()?;
        // An IPv4 address in IPv6's clothes has no record of its own.
        let found = reader.lookup(address.to_canonical()).ok()?;
        let code: Option<&str> = found.decode_path(&CODE).ok()?;
        code.filter(|code| is_code(code)).map(str::to_owned)
    }

    /// Reads the file again if it has changed; tells whether it had.
    pub(crate) fn refresh(&self) -> Result<bool, FileError> {
        self.0.refresh()
    }
}

/// Whether rules of the site and of a film both admit a country; `None` is one that is not known.
pub(crate) fn admits(rules: &[Option<&Countries>], country: Option<&str>) -> bool {
    let one = |countries: &Countries| {
        let mut claims = Claims::new("/", UnixSeconds(1));
        claims.countries = Some(countries.clone());
        claims.admits_country(country)
    };
    rules.iter().flatten().all(|countries| one(countries))
}

/// Codes of countries, each once and in order; `ZZ` is one that is not known.
pub(crate) fn codes(mut codes: Vec<String>) -> Result<Vec<String>, String> {
    if codes.is_empty() || codes.len() > MOST || !codes.iter().all(|code| is_code(code)) {
        return Err(format!(
            "countries must be 1 to {MOST} codes of ISO 3166-1, such as \"DE\""
        ));
    }
    codes.sort();
    codes.dedup();
    Ok(codes)
}

fn is_code(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

const CODE: [PathElement<'static>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];
/// There are some 250.
const MOST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(codes: &[&str]) -> Vec<String> {
        codes.iter().map(|code| (*code).to_owned()).collect()
    }

    #[test]
    fn a_country_must_be_admitted_by_the_site_and_by_the_film() {
        let site = Countries::Except(list(&["RU", "ZZ"]));
        let film = Countries::Only(list(&["AT", "DE", "RU"]));
        for (country, site_only, both) in [
            (Some("DE"), true, true),
            (Some("RU"), false, false),
            (Some("FR"), true, false),
            (None, false, false),
        ] {
            assert_eq!(
                admits(&[Some(&site), None], country),
                site_only,
                "{country:?}"
            );
            assert_eq!(
                admits(&[Some(&site), Some(&film)], country),
                both,
                "{country:?}"
            );
            assert!(admits(&[None, None], country));
        }
        let unknown = Countries::Only(list(&["DE", "ZZ"]));
        assert!(admits(&[Some(&unknown)], None));
    }

    #[test]
    fn codes_are_codes() {
        assert_eq!(codes(list(&["DE", "AT", "DE"])).unwrap(), ["AT", "DE"]);
        for bad in [&["de"][..], &["DEU"], &[""], &["D,"], &[]] {
            assert!(codes(list(bad)).is_err(), "{bad:?}");
        }
        assert!(codes(vec!["DE".to_owned(); 301]).is_err());
    }

    #[test]
    fn without_a_file_every_country_is_unknown() {
        let geo = Geo::load(None).unwrap();
        assert_eq!(geo.country([198, 51, 100, 7].into()), None);
        assert!(Geo::load(Some("/no/such/file".into())).is_err());
    }
}
