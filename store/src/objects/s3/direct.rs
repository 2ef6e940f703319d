//! Parts that clients PUT by signed addresses, as S3 has it: a multipart upload whose name clients never choose.

use std::time::Duration;

use async_trait::async_trait;
use object_store::{
    Error as Fault,
    aws::AmazonS3,
    multipart::{MultipartStore as _, PartId},
    signer::{SignedUrlOptions, Signer as _},
};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;

use super::{Bucket, S3, unread};
use crate::{
    Error, Key,
    objects::direct::{Arrived, Direct, LONGEST},
};

/// The clients for what others send: their parts bring no digests.
pub(super) struct Clients {
    pub(super) here: AmazonS3,
    /// Signs addresses as the outside reaches the server.
    pub(super) public: AmazonS3,
    pub(super) http: Client,
}

/// `ListPartsResult` of S3's `ListParts`.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Part", default)]
    parts: Vec<Part>,
    #[serde(rename = "IsTruncated", default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "PartNumber")]
    number: u32,
    #[serde(rename = "Size")]
    size_bytes: u64,
    #[serde(rename = "ETag", default)]
    tag: String,
}

#[async_trait]
impl Direct for S3 {
    async fn begin(&self, key: &Key) -> Result<String, Error> {
        let bucket = &self.bucket;
        let begun = bucket.direct.here.create_multipart(&bucket.path(key)).await;
        begun.map_err(bucket.failed(key, "beginning"))
    }

    async fn invite(
        &self,
        key: &Key,
        name: &str,
        number: u32,
        lasts: Duration,
    ) -> Result<String, Error> {
        let bucket = &self.bucket;
        let part = number.to_string();
        let query = [("partNumber", part.as_str()), ("uploadId", name)];
        let signed = sign(
            bucket,
            &bucket.direct.public,
            (Method::PUT, key),
            query,
            lasts,
        )
        .await;
        signed.map_err(bucket.failed(key, "signing"))
    }

    async fn arrived(&self, key: &Key, name: &str) -> Result<Vec<Arrived>, Error> {
        let arrived = listed(&self.bucket, key, name).await?;
        Ok(arrived.unwrap_or_default())
    }

    async fn complete(&self, key: &Key, name: &str, parts: &[Arrived]) -> Result<(), Error> {
        let bucket = &self.bucket;
        let parts = parts.iter().map(|part| PartId {
            content_id: part.tag.clone(),
        });
        let (path, name, here) = (bucket.path(key), name.to_owned(), &bucket.direct.here);
        let completed = here.complete_multipart(&path, &name, parts.collect()).await;
        completed
            .map(drop)
            .map_err(bucket.failed(key, "completing"))
    }

    async fn abort(&self, key: &Key, name: &str) -> Result<(), Error> {
        let bucket = &self.bucket;
        let (path, here) = (bucket.path(key), &bucket.direct.here);
        match here.abort_multipart(&path, &name.to_owned()).await {
            Ok(()) | Err(Fault::NotFound { .. }) => Ok(()),
            // Not every server says so that it does not know it.
            Err(fault) => match listed(bucket, key, name).await {
                Ok(None) => Ok(()),
                _ => Err(bucket.failed(key, "giving up")(fault)),
            },
        }
    }
}

impl Part {
    fn arrived(self) -> Arrived {
        Arrived {
            number: self.number,
            size_bytes: self.size_bytes,
            tag: self.tag,
        }
    }
}

/// The parts that are there, in their order; `None` where nothing is under way by this name.
async fn listed(bucket: &Bucket, key: &Key, name: &str) -> Result<Option<Vec<Arrived>>, Error> {
    let query = [("uploadId", name), ("max-parts", "1000")];
    let asked = (Method::GET, key);
    let url = sign(bucket, &bucket.direct.here, asked, query, ASKING).await;
    let url = url.map_err(bucket.failed(key, "signing"))?;
    let Some(text) = ask(bucket, key, url).await? else {
        return Ok(None);
    };
    let listed: Listed = quick_xml::de::from_str(&text)
        .map_err(|fault| unread(key, "listing parts", std::io::Error::other(fault)))?;
    if listed.truncated {
        let many = std::io::Error::other("there are more than 1000");
        return Err(unread(key, "listing parts", many));
    }
    let mut parts: Vec<Arrived> = listed.parts.into_iter().map(Part::arrived).collect();
    parts.sort_by_key(|part| part.number);
    Ok(Some(parts))
}

async fn sign<'a>(
    bucket: &Bucket,
    client: &AmazonS3,
    (method, key): (Method, &Key),
    query: [(&'a str, &'a str); 2],
    lasts: Duration,
) -> Result<String, Fault> {
    let options = SignedUrlOptions::default().with_query(query);
    let (path, lasts) = (bucket.path(key), lasts.min(LONGEST));
    let signed = client.signed_url_opts(method, &path, lasts, &options);
    Ok(signed.await?.into())
}

/// What the server says at an address; `None` where there is nothing.
async fn ask(bucket: &Bucket, key: &Key, url: String) -> Result<Option<String>, Error> {
    // An error would show the address, and with it who asked.
    let failed = |fault: reqwest::Error| {
        unread(
            key,
            "listing parts",
            std::io::Error::other(fault.without_url()),
        )
    };
    let mut answer = bucket.direct.http.get(url).send().await.map_err(failed)?;
    let status = answer.status();
    let mut text = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(failed)? {
        text.extend_from_slice(&bytes);
        if text.len() > LONGEST_LIST {
            let long = std::io::Error::other("the server says too much");
            return Err(unread(key, "listing parts", long));
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    match status {
        StatusCode::OK => Ok(Some(text)),
        StatusCode::NOT_FOUND => Ok(None),
        status => {
            let told = bucket.credentials.without(&format!("{status}: {text}"));
            let told: String = told.chars().take(super::LONGEST_WHY).collect();
            Err(unread(key, "listing parts", std::io::Error::other(told)))
        }
    }
}

/// How long an address is good that is made use of at once: clocks differ.
const ASKING: Duration = Duration::from_secs(300);
/// A thousand parts take a third of it.
const LONGEST_LIST: usize = 1 << 20;
