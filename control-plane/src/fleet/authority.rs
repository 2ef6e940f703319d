//! The fleet's own authority: by it nodes know the control plane, and are known themselves.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use contracts::fleet;
use contracts::id::NodeId;
use contracts::time::UnixSeconds;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKey, PublicKeyData, SanType, SerialNumber,
};
use runtime::secret::Unusable;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// The files in its folder.
const CERTIFICATE: &str = "authority.pem";
const KEY: &str = "authority.key";
/// How long the authority that is made here lives: nodes that know it are to be set up anew after that.
const LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// How much earlier certificates are good than they are made, because nodes' clocks differ: an eighth of their life, and
/// this at most.
const EARLIER_S: u64 = 3600;

/// What signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A node's request for a certificate, whose signature is good.
pub(crate) struct Request {
    key: PublicKey,
}

/// What is wrong with a request for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRequest {
    /// It is not one.
    #[error("csr is no certificate request in PEM whose signature is good")]
    Unread,
    /// Its key is of another kind.
    #[error("csr must be for a key of ECDSA on P-256 or of Ed25519")]
    Key,
}

impl Authority {
    /// Opens the authority in a folder, or makes it there. Of several who make it at once one does, and all open that.
    pub(crate) fn open(folder: &Path, now: UnixSeconds) -> Result<Self, Error> {
        make(folder, now).map_err(|error| at(folder, format!("cannot be made: {error}")))?;
        Self::read(folder)
    }

    /// Whether what is in a folder can be opened, or the authority be made there; nothing is made.
    pub(crate) fn inspect(folder: &Path) -> Result<(), Error> {
        if !folder.join(KEY).exists() && !folder.join(CERTIFICATE).exists() {
            return Ok(());
        }
        // One that was not made to its end is, at the next start.
        if !folder.join(CERTIFICATE).exists() {
            return private(folder).map(drop);
        }
        Self::read(folder).map(drop)
    }

    fn read(folder: &Path) -> Result<Self, Error> {
        let pair = private(folder)?;
        let certificate = folder.join(CERTIFICATE);
        let pem = text(&certificate)?;
        let unusable = |what: &str| at(&certificate, what.to_owned());
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unusable("is no certificate in PEM"))?;
        let parsed = webpki::EndEntityCert::try_from(&der);
        let parsed = parsed.map_err(|_| unusable("is no certificate"))?;
        if parsed.subject_public_key_info().as_ref() != pair.subject_public_key_info() {
            return Err(unusable("is not of the key beside it"));
        }
        let issuer = Issuer::from_ca_cert_der(&der, pair)
            .map_err(|_| unusable("is no certificate of an authority"))?;
        Ok(Self {
            issuer,
            certificate: der,
            pem,
        })
    }

    /// Its certificate in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate.
    pub(crate) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// By what join tokens name it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// A node's certificate in PEM, the authority's after it.
    pub(crate) fn certify(
        &self,
        node: &NodeId,
        request: &Request,
        now: UnixSeconds,
        ends: UnixSeconds,
    ) -> Result<String, rcgen::Error> {
        let uri = fleet::uri(node);
        let mut wish = params(node.as_str(), now, ends)?;
        wish.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        wish.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        wish.use_authority_key_identifier_extension = true;
        let signed = wish.signed_by(&request.key, &self.issuer)?;
        Ok(format!("{}{}", signed.pem(), self.pem))
    }

    /// A certificate and a new key for the listener that is reached at a host; the authority's goes with it.
    pub(crate) fn server(
        &self,
        host: &str,
        now: UnixSeconds,
        ends: UnixSeconds,
    ) -> Result<CertifiedKey, Error> {
        let certified = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let mut wish = params("Millrace control plane", now, ends)?;
            wish.subject_alt_names = vec![match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.to_owned().try_into()?),
            }];
            wish.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            wish.use_authority_key_identifier_extension = true;
            let leaf = wish.signed_by(&key, &self.issuer)?;
            Ok::<_, rcgen::Error>((leaf.der().clone(), key.serialize_der()))
        };
        let (leaf, key) = certified().map_err(Error::Authority)?;
        let key = PrivateKeyDer::try_from(key).map_err(|_| Error::Tls)?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key);
        let chain = vec![leaf, self.certificate.clone()];
        Ok(CertifiedKey::new(chain, key.map_err(|_| Error::Tls)?))
    }
}

impl Request {
    /// Reads a request in PEM. Of what it says only the key counts, which its sender has, for it is signed by it.
    pub(crate) fn read(pem: &str) -> Result<Self, BadRequest> {
        let request =
            CertificateSigningRequestParams::from_pem(pem).map_err(|_| BadRequest::Unread)?;
        let key = request.public_key;
        let (algorithm, length) = (key.algorithm(), key.der_bytes().len());
        // A point on P-256 as SEC 1 §2.3.3 writes it, and an Ed25519 key (RFC 8410 §4).
        let known = (*algorithm == PKCS_ECDSA_P256_SHA256 && length == 65)
            || (*algorithm == PKCS_ED25519 && length == 32);
        known.then_some(Self { key }).ok_or(BadRequest::Key)
    }

    /// The SHA-256 of its public key, in hexadecimal digits.
    pub(crate) fn key(&self) -> String {
        hex::encode(Sha256::digest(self.key.subject_public_key_info()))
    }
}

/// Whom a certificate that the handshake found good is of, and the digest of its key.
pub(crate) fn named(certificate: &CertificateDer<'_>) -> Option<(NodeId, String)> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    let name = parsed.valid_uri_names().find_map(fleet::named)?;
    let key = Sha256::digest(parsed.subject_public_key_info());
    Some((name, hex::encode(key)))
}

fn text(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path);
    text.map_err(|error| at(path, format!("cannot be read: {error}")))
}

/// The key in a folder.
fn private(folder: &Path) -> Result<KeyPair, Error> {
    let path = folder.join(KEY);
    let pair = KeyPair::from_pem(&text(&path)?);
    pair.map_err(|_| at(&path, "is no private key in PEM".to_owned()))
}

/// Makes what is not there. Each file is put in its place whole, and only where there is none.
fn make(folder: &Path, now: UnixSeconds) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(folder)?;
    // Whoever makes both puts the key there first.
    if folder.join(CERTIFICATE).exists() && !folder.join(KEY).exists() {
        return Err(format!("{KEY} is not beside {CERTIFICATE}").into());
    }
    if !folder.join(KEY).exists() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        put(folder, KEY, &pair.serialize_pem())?;
    }
    if !folder.join(CERTIFICATE).exists() {
        // The key that is there now, be it another's.
        let pair = KeyPair::from_pem(&fs::read_to_string(folder.join(KEY))?)?;
        let mut wish = params("Millrace fleet", now, now.plus(LIFE.as_secs()))?;
        wish.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        wish.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        put(folder, CERTIFICATE, &wish.self_signed(&pair)?.pem())?;
    }
    sweep(folder)?;
    Ok(())
}

/// Removes what is left of processes that ended while they wrote: copies of the key lie nowhere else. Who writes still
/// finds that the file is there.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_draft) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a name is that of a file that is to become the key or the certificate.
fn is_draft(name: &str) -> bool {
    [KEY, CERTIFICATE].iter().any(|whole| {
        let mark = name
            .strip_prefix(whole)
            .and_then(|rest| rest.strip_prefix('.'));
        mark.is_some_and(|mark| {
            mark.len() == 16 && mark.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    })
}

fn put(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let mark = getrandom::u64().map_err(io::Error::other)?;
    let draft = folder.join(format!("{name}.{mark:016x}"));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    let whole = folder.join(name);
    let placed = written.and_then(|()| match fs::hard_link(&draft, &whole) {
        // Another's is there, which may have swept this one away.
        Err(_) if whole.exists() => Ok(()),
        placed => placed,
    });
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => placed,
    }
}

fn params(
    name: &str,
    now: UnixSeconds,
    ends: UnixSeconds,
) -> Result<CertificateParams, rcgen::Error> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |instant: u64| epoch + Duration::from_secs(instant);
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = subject;
    let earlier = EARLIER_S.min(ends.0.saturating_sub(now.0) / 8);
    params.not_before = at(now.0.saturating_sub(earlier));
    params.not_after = at(ends.0);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn at(path: &Path, fault: String) -> Error {
    Error::Secret(Unusable::new(path, fault))
}

#[cfg(test)]
mod tests {
    use rcgen::PKCS_ECDSA_P384_SHA384;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn request(algorithm: &'static rcgen::SignatureAlgorithm) -> (KeyPair, String) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let wish = CertificateParams::new(vec!["somebody.example".to_owned()]).unwrap();
        let csr = wish.serialize_request(&key).unwrap().pem().unwrap();
        (key, csr)
    }

    #[test]
    fn an_authority_is_made_once_and_opened_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("authority");
        let one = Authority::open(&folder, NOW).unwrap();
        let two = Authority::open(&folder, NOW.plus(100)).unwrap();
        assert_eq!(one.digest(), two.digest());
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder.join(KEY)).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn of_many_who_make_it_at_once_all_have_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let opened = std::thread::scope(|scope| {
            let open = || Authority::open(dir.path(), NOW).unwrap().digest();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            let opened = threads.into_iter().map(|thread| thread.join().unwrap());
            opened.collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!(opened.len(), 1);
    }

    #[test]
    fn what_a_process_left_that_was_killed_while_it_wrote_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        drop(Authority::open(dir.path(), NOW).unwrap());
        for left in [
            "authority.key.0123456789abcdef",
            "authority.pem.0123456789abcdef",
        ] {
            fs::write(dir.path().join(left), "half of a key").unwrap();
        }
        fs::write(dir.path().join("authority.key.mine"), "an operator's").unwrap();
        drop(Authority::open(dir.path(), NOW).unwrap());
        let left = fs::read_dir(dir.path()).unwrap();
        let left = left.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = left.collect();
        left.sort();
        assert_eq!(
            left,
            ["authority.key", "authority.key.mine", "authority.pem"]
        );
    }

    #[test]
    fn a_folder_is_looked_at_before_a_start_and_nothing_is_made_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("authority");
        assert!(Authority::inspect(&folder).is_ok());
        assert!(!folder.exists());
        drop(Authority::open(&folder, NOW).unwrap());
        assert!(Authority::inspect(&folder).is_ok());
        let said = || Authority::inspect(&folder).unwrap_err().to_string();
        let (key, certificate) = (folder.join(KEY), folder.join(CERTIFICATE));
        let made = fs::read_to_string(&key).unwrap();
        fs::write(&key, "no key").unwrap();
        assert!(
            said().ends_with("authority.key: is no private key in PEM"),
            "{}",
            said()
        );
        fs::remove_file(&key).unwrap();
        assert!(
            said().contains("authority.key: cannot be read"),
            "{}",
            said()
        );
        assert!(Authority::open(&folder, NOW).is_err());
        assert!(!key.exists(), "no key is made beside another's certificate");
        // It was killed between the two.
        fs::write(&key, made).unwrap();
        fs::remove_file(&certificate).unwrap();
        assert!(Authority::inspect(&folder).is_ok());
    }

    #[test]
    fn a_certificate_of_another_key_is_refused_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        drop(Authority::open(dir.path(), NOW).unwrap());
        let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        fs::write(dir.path().join(KEY), other.serialize_pem()).unwrap();
        let refused = Authority::open(dir.path(), NOW).err().unwrap().to_string();
        assert!(
            refused.ends_with("authority.pem: is not of the key beside it"),
            "{refused}"
        );
    }

    #[test]
    fn a_node_s_certificate_names_it_and_its_key_and_nothing_that_it_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), NOW).unwrap();
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let (_, csr) = request(algorithm);
            let request = Request::read(&csr).unwrap();
            let node = NodeId::parse("isp-1").unwrap();
            let pem = authority.certify(&node, &request, NOW, NOW.plus(60));
            let pem = pem.unwrap();
            let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem.as_bytes())
                .map(Result::unwrap)
                .collect();
            assert_eq!(chain.len(), 2);
            assert_eq!(chain.last(), Some(authority.certificate()));
            assert_eq!(named(&chain[0]), Some((node, request.key())));
            let parsed = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
            assert_eq!(parsed.valid_dns_names().count(), 0);
        }
        assert_eq!(named(authority.certificate()), None);
    }

    #[test]
    fn a_request_with_a_broken_signature_or_another_key_is_refused() {
        let (_, csr) = request(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(Request::read(&csr).err(), Some(BadRequest::Key));
        let (_, csr) = request(&PKCS_ED25519);
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(csr.as_bytes());
        let mut der = der.unwrap().to_vec();
        *der.last_mut().unwrap() ^= 1;
        let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der);
        let broken = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{base64}\n-----END CERTIFICATE REQUEST-----\n"
        );
        for bad in [broken.as_str(), "", "x", &csr[..60]] {
            assert_eq!(Request::read(bad).err(), Some(BadRequest::Unread), "{bad}");
        }
    }
}
