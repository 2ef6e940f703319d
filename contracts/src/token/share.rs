//! A keyring as partners' nodes may have it: what verifies and cannot mint.

use ed25519_dalek::SigningKey;

use super::keyring::{Entry, File, KeyRing, KeyRingError};

/// Of a keyring in JSON the keys that somebody may hold who must not mint, in JSON: public keys, those of pairs
/// without their seeds.
///
/// # Errors
/// As [`KeyRing::from_json`].
pub fn public_only(text: &str) -> Result<String, KeyRingError> {
    KeyRing::from_json(text)?;
    let file = File::read(text)?;
    let keyring = file.keyring.into_iter().filter_map(Entry::public).collect();
    // Texts and numbers under names that are fixed: there is nothing that could fail.
    Ok(serde_json::to_string(&File { keyring }).unwrap_or_default())
}

impl Entry {
    /// Without what is secret, where something is left that verifies.
    fn public(mut self) -> Option<Self> {
        if let Some(seed) = self.seed_hex.take() {
            let mut bytes = [0; 32];
            hex::decode_to_slice(seed, &mut bytes).ok()?;
            let public = SigningKey::from_bytes(&bytes).verifying_key();
            self.pub_hex = Some(hex::encode(public.as_bytes()));
        }
        (self.key_hex.is_none() && self.pub_hex.is_some()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: &str = r#"{"keyring":[
        {"kid":"a","ver":"m1","key_hex":"00112233445566778899aabbccddeeff","scope":["/v/"],"nbf":0,"exp":2000},
        {"kid":"b","ver":"m2","seed_hex":"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60","scope":["/v/"],"nbf":0,"exp":2000},
        {"kid":"c","ver":"m2","pub_hex":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a","scope":["/v/"],"nbf":0,"exp":1000},
        {"kid":"d","ver":"cat","alg":"HS256","key_hex":"00112233445566778899aabbccddeeff","cose_kid_hex":"01","iss":"x","scope":["/v/"],"nbf":0,"exp":2000},
        {"kid":"e","ver":"cat","alg":"EdDSA","pub_hex":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a","cose_kid_hex":"02","iss":"x","scope":["/v/"],"nbf":0,"exp":2000}]}"#;

    #[test]
    fn a_partner_gets_public_keys_and_the_public_half_of_pairs() {
        let text = public_only(RING).unwrap();
        let ring = KeyRing::from_json(&text).unwrap();
        assert_eq!(ring.len(), 3);
        assert!(ring.secret().is_none() && ring.find("b").is_some() && ring.find("e").is_some());
        for secret in ["key_hex", "seed_hex", "9d61b19d", "00112233"] {
            assert!(!text.contains(secret), "{secret}");
        }
        // RFC 8032 §7.1, test 1.
        assert!(text.contains("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
    }

    #[test]
    fn what_is_no_keyring_is_not_shared() {
        assert!(public_only("{}").is_err());
        let bad = RING.replace("\"ver\":\"m1\"", "\"ver\":\"m3\"");
        assert!(public_only(&bad).is_err());
    }
}
