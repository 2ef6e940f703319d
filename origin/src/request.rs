//! A request from its first byte to its answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use contracts::{
    address::{Address, Item},
    asset::Asset,
    header,
    reason::Reason,
    target,
};
use http::{Method, Uri, header::HeaderMap};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    answer::{self, Answer, Body},
    library::{Fault, Library, Published, access},
    media::Media,
    metrics::Metrics,
};

/// What answers requests.
pub(crate) struct Origin {
    pub(crate) library: Library,
    pub(crate) media: Media,
    pub(crate) metrics: Metrics,
    /// What tiers must show; none: nobody is asked.
    pub(crate) hop_secret: Option<Vec<u8>>,
}

/// Answers any request.
pub(crate) async fn handle(State(origin): State<Arc<Origin>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let mut kind = "none";
    let mut about = None;
    let answered = match origin.admit(&parts.method, &parts.uri, &parts.headers) {
        Ok(address) => {
            kind = name(&address);
            let answered = origin.find(&address, &parts.headers).await;
            about = Some(address);
            answered
        }
        Err(reason) => Err(Fault::new(reason, "refused before the film was looked for")),
    };
    let response = match answered {
        Ok(answer) => answer.respond(&parts.method, &parts.headers),
        Err(fault) => {
            origin.metrics.fault(fault.reason);
            log(&fault, about.as_ref());
            answer::problem(fault.reason, about.as_ref())
        }
    };
    origin.metrics.request(kind, response.status().as_u16());
    origin
        .metrics
        .sent_bytes
        .inc_by(answer::body_length(&response));
    response
}

impl Origin {
    /// The credential, the method, the target; in this order, so that a stranger learns nothing else.
    fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Address, Reason> {
        if let Some(secret) = &self.hop_secret {
            let shown = headers
                .get(header::HOP)
                .map_or(&b""[..], |value| value.as_bytes());
            if !bool::from(shown.ct_eq(secret)) {
                return Err(Reason::Hop);
            }
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Reason::Method);
        }
        let text = uri.path_and_query().map_or("", |target| target.as_str());
        let target = target::parse(text)?;
        if target.token.is_some() {
            return Err(Reason::Target);
        }
        Address::parse(target.path).map_err(|_| Reason::NotFound)
    }

    /// Finds what the address names. Publishing removes the generation before, whose description may be believed
    /// for a moment longer; who meets it then is served the new one.
    async fn find(&self, address: &Address, headers: &HeaderMap) -> Result<Answer, Fault> {
        let asset = self.asset(address).await?;
        match self.answer(Arc::clone(&asset), address, headers).await {
            Err(fault)
                if fault.reason == Reason::Corrupt && self.library.is_outdated(&asset).await =>
            {
                let asset = self.asset(address).await?;
                self.answer(asset, address, headers).await
            }
            outcome => outcome,
        }
    }

    async fn asset(&self, address: &Address) -> Result<Arc<Asset>, Fault> {
        let asset = self.library.asset(&address.video).await?;
        asset.ok_or_else(not_found)
    }

    /// Answers for one state of a film, without making a body that the asker has already.
    async fn answer(
        &self,
        asset: Arc<Asset>,
        address: &Address,
        headers: &HeaderMap,
    ) -> Result<Answer, Fault> {
        let access = access(&asset);
        if address.item == Item::Poster {
            let bytes = self.media.poster(&asset).await?.ok_or_else(not_found)?;
            let mut digest = Sha256::new_with_prefix(asset.generation.0.to_be_bytes());
            digest.update(&bytes);
            let etag = entity_tag(&digest.finalize(), access, address);
            return Ok(Answer::new(
                address,
                asset.generation,
                access,
                etag,
                Body::Bytes(bytes),
            ));
        }
        let published = self.library.film(asset).await?;
        if !Media::exists(&published, address) {
            return Err(not_found());
        }
        let etag = entity_tag(&published.film.digest, access, address);
        let body = if answer::is_known(headers, &etag) {
            Body::Known
        } else {
            Body::Bytes(self.body(&published, address).await?)
        };
        Ok(Answer::new(
            address,
            published.asset.generation,
            access,
            etag,
            body,
        ))
    }

    async fn body(&self, published: &Published, address: &Address) -> Result<Bytes, Fault> {
        let body = self.media.body(published, address).await?;
        body.ok_or_else(not_found)
    }
}

fn not_found() -> Fault {
    Fault::new(Reason::NotFound, "there is no such thing")
}

/// A strong tag: the film and the address determine every byte (RFC 9110 §8.8.3). Who may watch is part of it, so
/// that a tier which asks whether its copy is current learns of a change of privacy by a whole answer.
fn entity_tag(digest: &[u8], access: &str, address: &Address) -> String {
    let mut hash = Sha256::new();
    hash.update(digest);
    hash.update(access);
    hash.update(address.path());
    let hash = hash.finalize();
    format!("\"{}\"", hex::encode(hash.get(..16).unwrap_or_default()))
}

fn name(address: &Address) -> &'static str {
    match address.item {
        Item::Master(_) => "master",
        Item::Manifest => "manifest",
        Item::Playlist(..) | Item::Iframes(..) => "playlist",
        Item::Init(_) => "init",
        Item::Segment(..) | Item::Iframe(..) => "segment",
        Item::Cues(..) | Item::Subtitles(_) | Item::Captions(_) => "text",
        Item::Sheet(..) | Item::Sprite(_) | Item::ThumbnailSprite | Item::ThumbnailSheet(_) => {
            "thumbs"
        }
        Item::Key(_) => "key",
        Item::Poster => "poster",
    }
}

/// A client's mistake is a line for the curious; damage is for the operator.
fn log(fault: &Fault, address: Option<&Address>) {
    let Fault { reason, detail } = fault;
    let path = address.map(Address::path).unwrap_or_default();
    let video = address.map_or("", |address| address.video.as_str());
    let reason = reason.code();
    if fault.reason.blame() == contracts::reason::Blame::Client {
        tracing::debug!(
            video.id = video,
            path,
            reason,
            detail,
            "refused {path}: {reason}"
        );
    } else {
        tracing::error!(
            video.id = video,
            path,
            reason,
            detail,
            "cannot serve {path}: {detail}"
        );
    }
}
