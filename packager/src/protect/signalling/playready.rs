//! PlayReady: the header in XML, the object that holds it, and the `pssh` box that holds the object.

use aes::cipher::BlockCipherEncrypt;

use crate::{
    escape::Xml,
    protect::{
        Key, Scheme,
        signalling::{base64, guid, pssh},
    },
};

/// Writes the `pssh` box, which says where licences are if that is known.
#[must_use]
pub fn pssh(key: &Key, scheme: Scheme, license_url: Option<&str>) -> Vec<u8> {
    pssh::boxed(&SYSTEM, None, &object(key, scheme, license_url))
}

/// Writes the PlayReady object: one record, the header in UTF-16, all numbers little-endian.
#[must_use]
pub fn object(key: &Key, scheme: Scheme, license_url: Option<&str>) -> Vec<u8> {
    let text = header(key, scheme, license_url);
    let record: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut out = Vec::with_capacity(record.len() + 10);
    out.extend(
        u32::try_from(record.len() + 10)
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    out.extend(1u16.to_le_bytes()); // one record
    out.extend(1u16.to_le_bytes()); // which is a header
    out.extend(
        u16::try_from(record.len())
            .unwrap_or(u16::MAX)
            .to_le_bytes(),
    );
    out.extend(record);
    out
}

/// Version 4.0 with a checksum of the key for counter mode, 4.3 for cipher block chaining, which 4.0 does not know.
fn header(key: &Key, scheme: Scheme, license_url: Option<&str>) -> String {
    let id = base64(&guid(key.id()));
    let url = license_url
        .filter(|url| url.len() <= MAX_URL)
        .map(|url| format!("<LA_URL>{}</LA_URL>", Xml(url)))
        .unwrap_or_default();
    let (version, data) = match scheme {
        Scheme::Cenc => (
            "4.0.0.0",
            format!(
                "<PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO><KID>{id}</KID>\
                 <CHECKSUM>{}</CHECKSUM>",
                base64(&checksum(key))
            ),
        ),
        Scheme::Cbcs => (
            "4.3.0.0",
            format!(
                "<PROTECTINFO><KIDS><KID ALGID=\"AESCBC\" VALUE=\"{id}\"></KID></KIDS></PROTECTINFO>"
            ),
        ),
    };
    format!(
        "<WRMHEADER xmlns=\"http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader\" version=\"{version}\">\
         <DATA>{data}{url}</DATA></WRMHEADER>"
    )
}

/// The first eight bytes of the key's name, encrypted with the key: a wrong key is noticed by it.
fn checksum(key: &Key) -> [u8; 8] {
    let mut block = guid(key.id()).into();
    key.cipher().encrypt_block(&mut block);
    block.first_chunk().copied().unwrap_or_default()
}

/// The system's UUID.
pub const SYSTEM: [u8; 16] = [
    0x9a, 0x04, 0xf0, 0x79, 0x98, 0x40, 0x42, 0x86, 0xab, 0x92, 0xe6, 0x5b, 0xe0, 0x88, 0x5f, 0x95,
];
/// The record's length is told in 16 bits.
const MAX_URL: usize = 4 << 10;
