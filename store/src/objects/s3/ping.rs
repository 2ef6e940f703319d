//! Whether the bucket is there: a list of one object.

use std::{io, time::Duration};

use object_store::{
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};
use reqwest::{Method, StatusCode};

use super::{Bucket, LONGEST_WHY};
use crate::Error;

pub(super) async fn ping(bucket: &Bucket) -> Result<(), Error> {
    let failed = |source| Error::Io {
        subject: format!("the bucket {}", bucket.name),
        action: "looking for it",
        source,
    };
    let prefix = bucket.prefix.as_ref();
    let prefix = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
    let query = [
        ("list-type", "2"),
        ("max-keys", "1"),
        ("prefix", prefix.as_str()),
    ];
    let options = SignedUrlOptions::default().with_query(query);
    let here = &bucket.direct.here;
    let whole = Path::default();
    let url = here.signed_url_opts(Method::GET, &whole, LASTS, &options);
    let url = url.await.map_err(|fault| failed(io::Error::other(fault)))?;
    let url = String::from(url);
    // An error would show the address, and with it who asked.
    let lost = |fault: reqwest::Error| failed(io::Error::other(fault.without_url()));
    let mut answer = bucket.direct.http.get(url).send().await.map_err(lost)?;
    let status = answer.status();
    let mut text = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(lost)? {
        text.extend_from_slice(&bytes);
        if text.len() > LONGEST {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    match status {
        StatusCode::NOT_FOUND => Err(Error::Absent {
            place: format!("the bucket {}", bucket.name),
            hint: "make it, or mend the name in `store`",
        }),
        // Who may read only need not be let list.
        StatusCode::FORBIDDEN if text.contains("AccessDenied") => Ok(()),
        status if status.is_success() => Ok(()),
        status => {
            let told = bucket.credentials.without(&format!("{status}: {text}"));
            let told: String = told.chars().take(LONGEST_WHY).collect();
            Err(failed(io::Error::other(told)))
        }
    }
}

/// How long the question is good: clocks differ.
const LASTS: Duration = Duration::from_secs(300);
/// One object's line, or a refusal, is far shorter.
const LONGEST: usize = 64 << 10;
