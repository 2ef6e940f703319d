//! Whoever has a join token: a key of its own, and the certificate that the door gives for it.

use contracts::fleet::{ENROL, JoinToken};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use reqwest::Method;
use serde_json::{Value, json};

use crate::role::Role;
use crate::site::{OPERATOR, Site};

/// The networks of all of them.
pub(crate) const NETWORK: &str = "192.0.2.0/24";

/// Whoever has a join token.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// What a token holds that nobody may see.
    pub(crate) secret: String,
    /// Its private key, in PEM.
    pub(crate) key: String,
    /// Its request for a certificate, in PEM.
    pub(crate) csr: String,
}

impl Newcomer {
    /// Whoever was handed the answer to [`invitation`].
    pub(crate) fn with(made: &Value) -> Self {
        let token = JoinToken::parse(made["token"].as_str().unwrap()).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let wish = CertificateParams::new(Vec::<String>::new()).unwrap();
        let csr = wish.serialize_request(&key).unwrap();
        Self {
            secret: token.secret.text(),
            key: key.serialize_pem(),
            csr: csr.pem().unwrap(),
        }
    }

    /// What it says at the door to enrol.
    pub(crate) fn wish(&self) -> Value {
        let announce = json!({"base": "https://127.0.0.1:9", "prefixes": [NETWORK]});
        json!({"secret": self.secret, "csr": self.csr, "announce": announce})
    }

    /// What speaks for the node once it has enrolled.
    pub(crate) fn client(&self, site: &Site, enrolled: &Value) -> reqwest::Client {
        let chain = enrolled["certificate"].as_str().unwrap();
        let pem = format!("{chain}\n{}", self.key);
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).unwrap();
        site.at_door().identity(identity).build().unwrap()
    }

    /// Enrols, and gives the answer; fails where it is refused.
    pub(crate) async fn enrol(&self, site: &Site, control: &Role) -> Value {
        let http = site.at_door().build().unwrap();
        let to = (Method::POST, format!("{}{ENROL}", control.door()));
        let answer = site.ask_by(&http, to, "", &self.wish()).await;
        let (status, told) = answer.unwrap_or_default();
        assert_eq!(status, 201, "{told}");
        told
    }
}

/// What an operator wishes, so that a node of that name may enrol.
pub(crate) fn invitation(name: &str) -> Value {
    json!({"site": "isp", "name": name, "prefixes": [NETWORK], "probe": false})
}

/// Somebody whom the operator lets enrol as a node of that name.
pub(crate) async fn invited(site: &Site, control: &Role, name: &str) -> (Newcomer, Value) {
    let joins = format!("{}/v1/fleet/joins", control.at("http"));
    let made = site.made(joins, OPERATOR, &invitation(name)).await;
    (Newcomer::with(&made), made)
}
