//! Which node of the fleet is at the other end of a connection, by the certificate that it has shown.

use contracts::fleet;
use contracts::id::NodeId;
use contracts::time::UnixSeconds;
use pingora::protocols::tls::SslDigest;
use runtime::life::Life;
use rustls::ServerConnection;
use webpki::EndEntityCert;

use crate::admission::Child;

/// What Pingora hands on of a connection over TLS; of a node's certificate, in the place of the organization, its name,
/// and in that of the serial number, when it ends.
pub(crate) fn digest(version: &'static str, tls: &ServerConnection) -> SslDigest {
    let shown = tls.peer_certificates().and_then(<[_]>::first);
    let shown = shown.and_then(|certificate| Some((named(certificate)?, Life::of(certificate)?)));
    let (node, until) = shown
        .map(|(node, life)| (node.as_str().to_owned(), life.until().0.to_string()))
        .unzip();
    SslDigest::new("", version, node, until, Vec::new())
}

/// Who is there, as [`digest`] has put it down.
pub(crate) fn of(digest: &SslDigest) -> Option<Child<'_>> {
    let until = digest.serial_number.as_deref()?.parse().ok()?;
    Some(Child {
        node: digest.organization.as_deref()?,
        until: UnixSeconds(until),
    })
}

/// The one node that a certificate names, which the handshake has found good.
fn named(certificate: &rustls::pki_types::CertificateDer<'_>) -> Option<NodeId> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut nodes = certificate.valid_uri_names().filter_map(fleet::named);
    let node = nodes.next()?;
    nodes.next().is_none().then_some(node)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn node(uris: &[&str]) -> Option<NodeId> {
        let mut params = CertificateParams::new(vec!["isp-9.example".to_owned()]).unwrap();
        let uris = uris
            .iter()
            .map(|&uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        named(made.der())
    }

    #[test]
    fn a_certificate_is_of_the_one_node_that_it_names() {
        let expected = NodeId::parse("isp-1").ok();
        assert_eq!(node(&["millrace://node/isp-1"]), expected);
        assert_eq!(
            node(&["https://isp.example/", "millrace://node/isp-1"]),
            expected
        );
        for other in [
            &[][..],
            &["https://isp-1"],
            &["millrace://node/"],
            &["millrace://node/isp-1", "millrace://node/isp-2"],
        ] {
            assert_eq!(node(other), None, "{other:?}");
        }
    }
}
