//! The envelope: COSE (RFC 9052) with one tag or signature, read strictly.

use ciborium::Value;
use coset::iana::Algorithm as Registered;
use coset::{
    AsCborValue as _, CoseMac0, Header, MacContext, RegisteredLabelWithPrivate, SignatureContext,
    mac_structure_data, sig_structure_data,
};

use crate::reason::Reason;

/// The algorithms that are accepted, one for each kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::token) enum Algorithm {
    /// HMAC with SHA-256, the tag whole.
    Hs256,
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// By the name that stands in a keyring.
    pub(in crate::token) fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }

    fn of(header: &Header) -> Option<Self> {
        match header.alg.as_ref()? {
            RegisteredLabelWithPrivate::Assigned(Registered::HMAC_256_256) => Some(Self::Hs256),
            RegisteredLabelWithPrivate::Assigned(Registered::EdDSA) => Some(Self::EdDsa),
            RegisteredLabelWithPrivate::Assigned(Registered::ES256) => Some(Self::Es256),
            _ => None,
        }
    }

    /// The CBOR tag of the structure that it belongs in (RFC 9052 §2).
    const fn structure(self) -> u64 {
        match self {
            Self::Hs256 => MAC0,
            Self::EdDsa | Self::Es256 => SIGN1,
        }
    }
}

/// An envelope that is well formed; whether it is genuine is for the key to say.
pub(super) struct Envelope {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Vec<u8>,
    pub(super) payload: Vec<u8>,
    /// What the tag or signature is made over.
    pub(super) message: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

impl Envelope {
    /// Reads an envelope. The tags of CWT and COSE may be left out, but not the second alone (RFC 8392 §6).
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let (is_cwt, value) = match whole(bytes)? {
            Value::Tag(CWT, inner) => (true, *inner),
            value => (false, value),
        };
        let (structure, value) = match value {
            Value::Tag(tag @ (MAC0 | SIGN1), inner) => (Some(tag), *inner),
            value if !is_cwt => (None, value),
            _ => return Err(Reason::Malformed),
        };
        // COSE_Sign1 has the same four items (RFC 9052 §4.2 and §6.2).
        let items = CoseMac0::from_cbor_value(value).map_err(|_| Reason::Malformed)?;
        let (protected, unprotected) = (&items.protected.header, &items.unprotected);
        if !is_plain(protected) || !is_plain(unprotected) || unprotected.alg.is_some() {
            return Err(Reason::Malformed);
        }
        let algorithm = Algorithm::of(protected).ok_or(Reason::Malformed)?;
        if structure.is_some_and(|structure| structure != algorithm.structure()) {
            return Err(Reason::Malformed);
        }
        let kid = match (protected.key_id.as_slice(), unprotected.key_id.as_slice()) {
            ([], kid) | (kid, []) => kid.to_vec(),
            (signed, other) if signed == other => signed.to_vec(),
            _ => return Err(Reason::Malformed),
        };
        let payload = items.payload.ok_or(Reason::Malformed)?;
        let protected = items.protected;
        let message = match algorithm {
            Algorithm::Hs256 => mac_structure_data(MacContext::CoseMac0, protected, &[], &payload),
            Algorithm::EdDsa | Algorithm::Es256 => {
                sig_structure_data(SignatureContext::CoseSign1, protected, None, &[], &payload)
            }
        };
        Ok(Self {
            algorithm,
            kid,
            payload,
            message,
            tag: items.tag,
        })
    }
}

/// Reads one CBOR item and nothing behind it. Its nesting is bounded, and no length in it is believed before the
/// bytes are there.
pub(super) fn whole(bytes: &[u8]) -> Result<Value, Reason> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH)
        .map_err(|_| Reason::Malformed)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(Reason::Malformed)
    }
}

/// Whether a header says nothing but `alg` and `kid`: all else could change what the token means.
fn is_plain(header: &Header) -> bool {
    let known = Header {
        alg: header.alg.clone(),
        key_id: header.key_id.clone(),
        ..Header::default()
    };
    *header == known
}

/// Tags: a CWT (RFC 8392 §6), and the structures of COSE.
const CWT: u64 = 61;
const MAC0: u64 = 17;
const SIGN1: u64 = 18;

/// How deep a token may nest: claims, parts of the address, kinds of match, and tags on the way.
const DEPTH: usize = 16;
