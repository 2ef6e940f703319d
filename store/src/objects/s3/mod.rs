//! Objects in a bucket of a server that speaks S3: for several machines.
//!
//! A short object is one request; a longer one goes up in parts, and is there when the server has put them together,
//! whole, or not at all. Each request carries the SHA-256 of what it brings, which the server checks, and an object
//! keeps that of its whole, which whole reads check. What a killed writer leaves are parts that nobody sees: a bucket's
//! own rule for incomplete uploads removes them.

use std::{io::Read as _, ops::Range, path::Path as File, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{
    Attribute, Attributes, ClientOptions, Error as Fault, GetOptions, GetRange, GetResult,
    ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter},
    sync::Semaphore,
};

use self::{credentials::Credentials, direct::Clients, sending::Sending};
use super::{Part, READ_LIMIT, Store, Writer, Written, direct::Direct};
use crate::{Digest, Error, Key};

mod address;
mod credentials;
mod direct;
mod ping;
mod sending;
#[cfg(test)]
mod tests;

pub use address::Address;
use address::Style;

/// A store in a bucket. Any number of processes on any machines may share one.
#[derive(Clone)]
pub struct S3 {
    bucket: Arc<Bucket>,
}

/// What all copies of a store share.
struct Bucket {
    name: String,
    objects: AmazonS3,
    direct: Clients,
    prefix: Option<Key>,
    credentials: Arc<Credentials>,
    /// The memory, in pieces of [`sending::GRAIN`], for what is on its way from writers that nobody else bounds.
    room: Arc<Semaphore>,
}

/// Reads the credentials that an address names.
pub(crate) fn inspect(address: &Address) -> Result<(), Error> {
    Credentials::open(address).map(drop)
}

impl S3 {
    /// Opens the store at an address, without asking the server anything.
    ///
    /// # Errors
    /// [`Error::Credentials`] when they cannot be read, [`Error::Io`] when no client can be made.
    pub fn open(address: &Address) -> Result<Self, Error> {
        runtime::tls::install_provider();
        let credentials = Arc::new(Credentials::open(address)?);
        let failed = |why: String| Error::Io {
            subject: address.bucket.clone(),
            action: "opening the bucket",
            source: std::io::Error::other(credentials.without(&why)),
        };
        let build =
            |builder: AmazonS3Builder| builder.build().map_err(|why| failed(why.to_string()));
        let here = || builder(address, &credentials, address.endpoint.as_deref());
        let public = address.public.as_ref().or(address.endpoint.as_ref());
        let public = builder(address, &credentials, public.map(String::as_str));
        let http = runtime::http::client().build();
        Ok(Self {
            bucket: Arc::new(Bucket {
                name: address.bucket.clone(),
                objects: build(here().with_checksum_algorithm(Checksum::SHA256))?,
                direct: Clients {
                    here: build(here())?,
                    public: build(public)?,
                    http: http.map_err(|why| failed(why.to_string()))?,
                },
                prefix: address.prefix.clone(),
                credentials,
                room: Arc::new(Semaphore::new(sending::MOST / sending::GRAIN)),
            }),
        })
    }
}

/// A client of the server at `endpoint`.
fn builder(
    address: &Address,
    credentials: &Arc<Credentials>,
    endpoint: Option<&str>,
) -> AmazonS3Builder {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let client = ClientOptions::new()
        .with_allow_http(plain)
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_timeout_disabled();
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRIED,
        ..RetryConfig::default()
    };
    let builder = AmazonS3Builder::new()
        .with_bucket_name(&address.bucket)
        .with_region(&address.region)
        .with_virtual_hosted_style_request(address.style == Style::Host)
        .with_credentials(Arc::clone(credentials) as _)
        .with_client_options(client)
        .with_retry(retry);
    match endpoint {
        // With the bucket in the host's name, the endpoint is that host.
        Some(endpoint) if address.style == Style::Host => match endpoint.split_once("://") {
            Some((scheme, host)) => {
                builder.with_endpoint(format!("{scheme}://{}.{host}", address.bucket))
            }
            None => builder,
        },
        Some(endpoint) => builder.with_endpoint(endpoint),
        None => builder,
    }
}

impl Bucket {
    fn path(&self, key: &Key) -> Path {
        match &self.prefix {
            Some(prefix) => Path::from(format!("{prefix}/{key}")),
            None => Path::from(key.as_str()),
        }
    }

    fn failed(&self, key: &Key, action: &'static str) -> impl FnOnce(Fault) -> Error + use<> {
        let key = key.clone();
        let credentials = Arc::clone(&self.credentials);
        move |fault| {
            let told = fault.to_string();
            if FULL.iter().any(|word| told.contains(word)) {
                return Error::Full { key };
            }
            let kind = match fault {
                Fault::PermissionDenied { .. } | Fault::Unauthenticated { .. } => {
                    std::io::ErrorKind::PermissionDenied
                }
                _ => std::io::ErrorKind::Other,
            };
            let told: String = credentials
                .without(&told)
                .chars()
                .take(LONGEST_WHY)
                .collect();
            Error::Io {
                subject: key.to_string(),
                action,
                source: std::io::Error::new(kind, told),
            }
        }
    }

    /// Asks for an object, or a range of it; its bytes are still to come.
    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Option<GetResult>, Fault> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        match self.objects.get_opts(&self.path(key), options).await {
            Ok(found) => Ok(Some(found)),
            // That there is no bucket says nothing about the object.
            Err(fault @ Fault::NotFound { .. }) if fault.to_string().contains(NO_BUCKET) => {
                Err(fault)
            }
            Err(Fault::NotFound { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Fault> {
        match self.objects.head(&self.path(key)).await {
            Ok(found) => Ok(Some(found.size)),
            // The answer to HEAD does not say what it is that is not there.
            Err(Fault::NotFound { .. }) => {
                let found = self.get(key, None).await?;
                Ok(found.map(|found| found.meta.size))
            }
            Err(fault) => Err(fault),
        }
    }
}

#[async_trait]
impl Store for S3 {
    async fn ping(&self) -> Result<(), Error> {
        ping::ping(&self.bucket).await
    }

    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        let bucket = &self.bucket;
        let found = bucket.get(key, None).await;
        let Some(found) = found.map_err(bucket.failed(key, "reading"))? else {
            return Ok(None);
        };
        fits(key, found.meta.size)?;
        let (size_bytes, kept) = (found.meta.size, kept(&found));
        let bytes = found.bytes().await.map_err(bucket.failed(key, "reading"))?;
        same_length(key, size_bytes, bytes.len() as u64)?;
        if let Some(kept) = kept {
            let whole = bytes.clone();
            let found = tokio::task::spawn_blocking(move || Digest::of(&whole)).await;
            let found = found.map_err(|stopped| stopped_at(key, "reading", stopped))?;
            same_digest(key, kept, found)?;
        }
        Ok(Some(bytes))
    }

    async fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        let bucket = &self.bucket;
        let length = range.end.saturating_sub(range.start);
        fits(key, length)?;
        let too_short = |found_bytes| Error::Corrupt {
            key: key.clone(),
            needed_bytes: range.end,
            found_bytes,
        };
        if length == 0 {
            let size = bucket.size(key).await;
            return match size.map_err(bucket.failed(key, "reading"))? {
                Some(size) if size < range.end => Err(too_short(size)),
                size => Ok(size.map(|_| Bytes::new())),
            };
        }
        let found = match bucket.get(key, Some(range.clone())).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            // A server refuses a range that begins behind the end; other refusals stand.
            Err(fault) => {
                return match bucket.size(key).await {
                    Ok(Some(size)) if size < range.end => Err(too_short(size)),
                    _ => Err(bucket.failed(key, "reading")(fault)),
                };
            }
        };
        if found.meta.size < range.end {
            return Err(too_short(found.meta.size));
        }
        let bytes = found.bytes().await.map_err(bucket.failed(key, "reading"))?;
        same_length(key, length, bytes.len() as u64)?;
        Ok(Some(bytes))
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        let size = self.bucket.size(key).await;
        size.map_err(self.bucket.failed(key, "asking the size"))
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        let whole = bytes.clone();
        let digest = tokio::task::spawn_blocking(move || Digest::of(&whole)).await;
        let digest = digest.map_err(|stopped| stopped_at(key, "writing", stopped))?;
        let mut sending = Sending::new(&self.bucket, key, Some(bytes.len() as u64), Some(digest));
        sending.push(bytes).await?;
        sending.finish().await
    }

    async fn put_file(&self, key: &Key, local: &File) -> Result<(), Error> {
        let failed = |action| move |source| unread(key, action, source);
        let (size_bytes, digest) = digest_of_file(key, local).await?;
        let mut file = tokio::fs::File::open(local)
            .await
            .map_err(failed("storing a file"))?;
        let mut sending = Sending::new(&self.bucket, key, Some(size_bytes), Some(digest));
        let mut buffer = vec![0; FRAME];
        loop {
            let count = file.read(&mut buffer).await;
            let count = count.map_err(failed("storing a file"))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            sending.push(Bytes::copy_from_slice(bytes)).await?;
        }
        sending.finish().await?;
        let removed = tokio::fs::remove_file(local).await;
        removed.map_err(failed("removing the local file"))
    }

    async fn writer(&self, key: &Key) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(BucketWriter {
            sending: Sending::new(&self.bucket, key, None, None).within(&self.bucket.room),
            hasher: Sha256::new(),
            size_bytes: 0,
        }))
    }

    async fn join(&self, parts: &[Part], into: &Key, promised: &Digest) -> Result<u64, Error> {
        let bucket = &self.bucket;
        let total = parts.iter().map(|part| part.size_bytes).sum();
        let mut sending = Sending::new(bucket, into, Some(total), Some(*promised));
        let mut hasher = Sha256::new();
        for part in parts {
            let found = bucket.get(&part.key, None).await;
            let found = found.map_err(bucket.failed(&part.key, "joining"))?;
            let found = found.ok_or_else(|| Error::PartMissing {
                key: part.key.clone(),
            })?;
            same_length(&part.key, part.size_bytes, found.meta.size)?;
            let mut bytes = found.into_stream();
            let mut came = 0;
            while let Some(frame) = bytes.next().await {
                let frame = frame.map_err(bucket.failed(&part.key, "joining"))?;
                came += frame.len() as u64;
                hasher.update(&frame);
                sending.push(frame).await?;
            }
            same_length(&part.key, part.size_bytes, came)?;
        }
        same_digest(into, *promised, Digest::of_hasher(hasher))?;
        sending.finish().await?;
        Ok(total)
    }

    async fn fetch(&self, key: &Key, local: &File) -> Result<bool, Error> {
        let bucket = &self.bucket;
        let found = bucket.get(key, None).await;
        let Some(found) = found.map_err(bucket.failed(key, "fetching"))? else {
            return Ok(false);
        };
        let file = tokio::fs::File::create_new(local).await;
        let file = file.map_err(|source| unread(key, "fetching", source))?;
        let fetched = receive(bucket, key, found, file).await;
        if fetched.is_err() {
            // Half a film is not to be taken for one.
            drop(tokio::fs::remove_file(local).await);
        }
        fetched.map(|()| true)
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        let bucket = &self.bucket;
        match bucket.objects.delete(&bucket.path(key)).await {
            Ok(()) | Err(Fault::NotFound { .. }) => Ok(()),
            Err(fault) => Err(bucket.failed(key, "deleting")(fault)),
        }
    }

    async fn delete_prefix(&self, prefix: &Key) -> Result<(), Error> {
        let bucket = &self.bucket;
        let listed = bucket.objects.list(Some(&bucket.path(prefix)));
        let listed = listed.map_ok(|object| object.location).boxed();
        let mut removed = bucket.objects.delete_stream(listed);
        while let Some(one) = removed.next().await {
            match one {
                Ok(_) | Err(Fault::NotFound { .. }) => {}
                Err(fault) => return Err(bucket.failed(prefix, "deleting")(fault)),
            }
        }
        Ok(())
    }

    fn direct(&self) -> Option<&dyn Direct> {
        Some(self)
    }
}

/// Writes an object's bytes to a file, and sees that they are whole.
async fn receive(
    bucket: &Bucket,
    key: &Key,
    found: GetResult,
    file: tokio::fs::File,
) -> Result<(), Error> {
    let (size_bytes, kept) = (found.meta.size, kept(&found));
    let mut file = BufWriter::with_capacity(FRAME, file);
    let (mut hasher, mut came) = (Sha256::new(), 0);
    let mut bytes = found.into_stream();
    while let Some(frame) = bytes.next().await {
        let frame = frame.map_err(bucket.failed(key, "fetching"))?;
        came += frame.len() as u64;
        hasher.update(&frame);
        let wrote = file.write_all(&frame).await;
        wrote.map_err(|source| unread(key, "fetching", source))?;
    }
    let wrote = file.flush().await;
    wrote.map_err(|source| unread(key, "fetching", source))?;
    same_length(key, size_bytes, came)?;
    kept.map_or(Ok(()), |kept| {
        same_digest(key, kept, Digest::of_hasher(hasher))
    })
}

/// An object whose bytes come bit by bit.
struct BucketWriter {
    sending: Sending,
    hasher: Sha256,
    size_bytes: u64,
}

#[async_trait]
impl Writer for BucketWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.size_bytes += bytes.len() as u64;
        self.hasher.update(&bytes);
        self.sending.push(bytes).await
    }

    fn written(&self) -> Written {
        Written {
            size_bytes: self.size_bytes,
            sha256: Digest::of_hasher(self.hasher.clone()),
        }
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        let digest = Digest::of_hasher(self.hasher);
        self.sending.finish_as(digest).await
    }
}

/// What an object keeps of the digest of its whole.
fn attributes(digest: Option<Digest>) -> Attributes {
    let mut attributes = Attributes::new();
    if let Some(digest) = digest {
        attributes.insert(
            Attribute::Metadata(SHA256.into()),
            digest.to_string().into(),
        );
    }
    attributes
}

fn kept(found: &GetResult) -> Option<Digest> {
    let kept = found.attributes.get(&Attribute::Metadata(SHA256.into()))?;
    Digest::from_hex(kept)
}

async fn digest_of_file(key: &Key, local: &File) -> Result<(u64, Digest), Error> {
    let local = local.to_owned();
    let work = move || {
        let (mut hasher, mut size_bytes) = (Sha256::new(), 0);
        let (mut file, mut buffer) = (std::fs::File::open(local)?, vec![0; FRAME]);
        loop {
            let count = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Ok((size_bytes, Digest::of_hasher(hasher)));
            };
            hasher.update(bytes);
            size_bytes += bytes.len() as u64;
        }
    };
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|stopped| stopped_at(key, "storing a file", stopped))?;
    done.map_err(|source| unread(key, "storing a file", source))
}

fn fits(key: &Key, size_bytes: u64) -> Result<(), Error> {
    if size_bytes > READ_LIMIT {
        return Err(Error::TooLarge {
            key: key.clone(),
            size_bytes,
            limit_bytes: READ_LIMIT,
        });
    }
    Ok(())
}

fn same_length(key: &Key, needed_bytes: u64, found_bytes: u64) -> Result<(), Error> {
    if needed_bytes != found_bytes {
        return Err(Error::Corrupt {
            key: key.clone(),
            needed_bytes,
            found_bytes,
        });
    }
    Ok(())
}

fn same_digest(key: &Key, promised: Digest, found: Digest) -> Result<(), Error> {
    if promised != found {
        return Err(Error::DigestMismatch {
            key: key.clone(),
            promised,
            found,
        });
    }
    Ok(())
}

/// What this machine's own files did.
fn unread(key: &Key, action: &'static str, source: std::io::Error) -> Error {
    Error::Io {
        subject: key.to_string(),
        action,
        source,
    }
}

fn stopped_at(key: &Key, action: &'static str, stopped: tokio::task::JoinError) -> Error {
    unread(key, action, std::io::Error::other(stopped))
}

/// The metadata that keeps an object's digest.
const SHA256: &str = "sha256";
/// What is read from and written to files at once.
const FRAME: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// So few and so soon over that jobs and clients, who try again too, hear of an outage.
const RETRIES: usize = 3;
const RETRIED: Duration = Duration::from_secs(20);
const LONGEST_WHY: usize = 600;
/// How servers say that there is no bucket of this name.
const NO_BUCKET: &str = "NoSuchBucket";
/// How servers say that there is no room.
const FULL: [&str; 3] = ["status code: 507", "StorageFull", "QuotaExceeded"];
