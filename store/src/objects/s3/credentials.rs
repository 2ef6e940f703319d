//! The access key of a bucket: read from a file, again when that changes, and kept out of what is told.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential};
use runtime::watched::Watched;

use super::Address;
use crate::Error;

/// The access key as the file has it.
pub(super) struct Credentials {
    file: Arc<Watched<AwsCredential>>,
    /// That the file cannot be used is told once, not at each request.
    told: Arc<AtomicBool>,
}

impl Credentials {
    pub(super) fn open(address: &Address) -> Result<Self, Error> {
        let none = AwsCredential {
            key_id: String::new(),
            secret_key: String::new(),
            token: None,
        };
        let path = Some(address.credentials.clone());
        let file = Watched::open(path, LONGEST, none, |bytes| parse(&bytes));
        let file = file.map_err(|error| Error::Credentials {
            why: error.to_string(),
        })?;
        Ok(Self {
            file: Arc::new(file),
            told: Arc::default(),
        })
    }

    /// What somebody told, without what they should not have: servers repeat what they were asked.
    ///
    /// Of a document of S3's no more than its code and its message is left: others of its parts repeat the request and
    /// how it was signed.
    pub(super) fn without(&self, text: &str) -> String {
        let now = self.file.current();
        let parts = [Some(&now.key_id), Some(&now.secret_key), now.token.as_ref()];
        let mut text = said(text);
        for part in parts.into_iter().flatten() {
            // As it stands in an address, and in what is signed of an address.
            let encoded = encoded(part);
            for form in [self::encoded(&encoded), encoded, part.clone()] {
                text = text.replace(&form, "…");
            }
        }
        text
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let (file, told) = (Arc::clone(&self.file), Arc::clone(&self.told));
        let looked = tokio::task::spawn_blocking(move || match file.refresh() {
            Ok(_) => told.store(false, Ordering::Relaxed),
            Err(error) if !told.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "the store's credentials cannot be read again; those read before stay");
            }
            Err(_) => {}
        });
        looked.await?;
        Ok(Arc::clone(&self.file.current()))
    }
}

/// What is said in a text that may end with a document of S3's.
fn said(text: &str) -> String {
    let starts = ["<?xml", "<Error"].map(|start| text.find(start));
    let Some(start) = starts.into_iter().flatten().min() else {
        return text.to_owned();
    };
    let (before, document) = text.split_at(start);
    let element = |name: &str| {
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    };
    let words: Vec<&str> = ["Code", "Message"]
        .into_iter()
        .filter_map(element)
        .collect();
    format!("{before}{}", words.join(": "))
}

/// As addresses have it.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let byte = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// An id, a secret and perhaps a token, on one line; never says what stands there instead.
fn parse(bytes: &[u8]) -> Result<AwsCredential, String> {
    let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
    let words: Vec<&str> = text.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong =
        || "it should hold one line: an access key's id, its secret, perhaps a token".to_owned();
    if !words.iter().all(plain) {
        return Err(wrong());
    }
    let (id, secret, token) = match *words.as_slice() {
        [id, secret] => (id, secret, None),
        [id, secret, token] => (id, secret, Some(token)),
        _ => return Err(wrong()),
    };
    Ok(AwsCredential {
        key_id: id.to_owned(),
        secret_key: secret.to_owned(),
        token: token.map(str::to_owned),
    })
}

/// The longest file, in bytes: tokens are long.
const LONGEST: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_of_a_request_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "an-id s3cret/x to+k/en=\n").unwrap();
        let address = format!("films?endpoint=http://a.b&credentials={}", file.display());
        let credentials = Credentials::open(&Address::parse(&address).unwrap()).unwrap();
        let told = credentials.without(
            "403: <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>It differs.</Message>\
             <SignatureProvided>abcdef</SignatureProvided><CanonicalRequest>GET</CanonicalRequest></Error>",
        );
        assert_eq!(told, "403: SignatureDoesNotMatch: It differs.");
        assert_eq!(credentials.without("<Error><Code>Oops"), "");
        let told = credentials.without(
            "at ?X-Amz-Credential=an-id%2F2026&X-Amz-Security-Token=to%2Bk%2Fen%3D, to%252Bk%252Fen%253D, to+k/en=, s3cret/x",
        );
        assert_eq!(
            told,
            "at ?X-Amz-Credential=…%2F2026&X-Amz-Security-Token=…, …, …, …"
        );
    }

    #[test]
    fn an_access_key_is_read_from_one_line() {
        let key = parse(b" id  s3cret\n").unwrap();
        assert_eq!(
            (key.key_id.as_str(), key.secret_key.as_str()),
            ("id", "s3cret")
        );
        assert_eq!(parse(b"id s3cret token").unwrap().token.unwrap(), "token");
        let long = "x ".repeat(4);
        for fault in [
            "",
            "s3cret",
            "id s3cret\nid s3cret",
            "id s3cr\u{e9}t",
            &long,
        ] {
            let error = parse(fault.as_bytes()).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
