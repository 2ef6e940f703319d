//! The `ContentProtection` elements of a DASH manifest (ISO/IEC 23009-1 §5.8.4.1, ISO/IEC 23001-7 §11).

use std::fmt::Write;

use contracts::keys::System;

use crate::{
    escape::Xml,
    protect::{
        Key, Protection, Scheme,
        signalling::{base64, playready, uuid, widevine},
    },
};

impl Protection {
    /// The elements for an adaptation set or a representation whose key this is, one a line, each with the
    /// namespaces that it uses; nothing where samples are not encrypted.
    #[must_use]
    pub fn dash_content_protection(&self, key: &Key) -> String {
        let Some(scheme) = self.scheme() else {
            return String::new();
        };
        let name = String::from_utf8_lossy(scheme.fourcc());
        let mut out = format!(
            "<ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"{name}\" \
             xmlns:cenc=\"urn:mpeg:cenc:2013\" cenc:default_KID=\"{}\"/>\n",
            uuid(&key.id().0)
        );
        for system in self.systems() {
            if let Some((id, value, inside)) = self.dash_system(*system, key, scheme) {
                let url = self.license_element(*system);
                let _ = writeln!(
                    out,
                    "<ContentProtection schemeIdUri=\"urn:uuid:{}\" value=\"{value}\">{inside}{url}</ContentProtection>",
                    uuid(&id)
                );
            }
        }
        out
    }

    /// A system's UUID, its name, and what it wants to know; none for systems that DASH players do not take.
    pub(super) fn dash_system(
        &self,
        system: System,
        key: &Key,
        scheme: Scheme,
    ) -> Option<([u8; 16], &'static str, String)> {
        match system {
            System::Widevine => {
                let pssh = pssh_element(&widevine::pssh(key.id(), scheme));
                Some((widevine::SYSTEM, "Widevine", pssh))
            }
            System::PlayReady => {
                let url = self.license_url(System::PlayReady);
                let mut inside = pssh_element(&playready::pssh(key, scheme, url));
                let object = base64(&playready::object(key, scheme, url));
                let _ = write!(
                    inside,
                    "<mspr:pro xmlns:mspr=\"urn:microsoft:playready\">{object}</mspr:pro>"
                );
                Some((playready::SYSTEM, "MSPR 2.0", inside))
            }
            System::ClearKey => Some((CLEAR_KEY, "ClearKey1.0", String::new())),
            System::Identity | System::FairPlay => None,
        }
    }

    /// Where licences are asked for.
    fn license_element(&self, system: System) -> String {
        let of = |url: &str| {
            let kind = if system == System::ClearKey {
                " licenseType=\"EME-1.0\""
            } else {
                ""
            };
            let url = Xml(url);
            format!(
                "<dashif:Laurl xmlns:dashif=\"https://dashif.org/CPS\"{kind}>{url}</dashif:Laurl>"
            )
        };
        self.license_url(system).map(of).unwrap_or_default()
    }

    /// Where a system's licences are asked for, if manifests say so.
    #[must_use]
    pub fn license_url(&self, system: System) -> Option<&str> {
        self.license_urls.get(&system).map(String::as_str)
    }
}

fn pssh_element(pssh: &[u8]) -> String {
    format!(
        "<cenc:pssh xmlns:cenc=\"urn:mpeg:cenc:2013\">{}</cenc:pssh>",
        base64(pssh)
    )
}

/// The UUID that DASH-IF gave to W3C Clear Key.
const CLEAR_KEY: [u8; 16] = [
    0xe2, 0x71, 0x9d, 0x58, 0xa9, 0x85, 0xb3, 0xc9, 0x78, 0x1a, 0xb0, 0x30, 0xaf, 0x78, 0xd3, 0x0e,
];
