//! A request from its first byte to its answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use contracts::{
    address::{Address, Item},
    header,
    reason::Reason,
};
use http::{Method, Uri, header::HeaderMap};
use subtle::ConstantTimeEq;

use crate::{
    answer::{self, Answer, Body},
    asked::Asked,
    dress,
    fault::Fault,
    keys::Keys,
    library::{Edition, Library, access},
    lock::Lock,
    media::{Job, Media, Thing},
    metrics::Metrics,
    seldom::Seldom,
    tag,
};

/// What answers requests.
pub(crate) struct Origin {
    pub(crate) library: Library,
    pub(crate) media: Media,
    /// Where the keys of protected films come from; none: nowhere.
    pub(crate) keys: Option<Box<dyn Keys>>,
    pub(crate) metrics: Metrics,
    /// What tiers must show; none: nobody is asked.
    pub(crate) hop_secret: Option<Vec<u8>>,
    /// Bounds how often wrong credentials are told.
    pub(crate) strangers: Seldom,
}

/// Answers any request.
pub(crate) async fn handle(State(origin): State<Arc<Origin>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let mut kind = "none";
    let mut about = None;
    let answered = match origin.admit(&parts.method, &parts.uri, &parts.headers) {
        Ok(asked) => {
            kind = dress::name(&asked.address.item);
            let answered = origin.find(&asked, &parts.headers).await;
            about = Some(asked.address);
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
    fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Asked, Reason> {
        if let Some(secret) = &self.hop_secret {
            let shown = headers
                .get(header::HOP)
                .map_or(&b""[..], |value| value.as_bytes());
            if !bool::from(shown.ct_eq(secret)) {
                self.tell_stranger(shown.is_empty());
                return Err(Reason::Hop);
            }
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Reason::Method);
        }
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        Asked::parse(target)
    }

    /// A tier that was given another secret is a fault of the house, which the operator should see; but whoever
    /// reaches the port can cause the line.
    fn tell_stranger(&self, silent: bool) {
        let Some(before) = self.strangers.may_tell() else {
            return;
        };
        let what = if silent {
            "without a hop credential"
        } else {
            "with a wrong hop credential"
        };
        tracing::warn!(
            untold = before,
            "refused a request {what}; the next such line comes in a minute at the earliest"
        );
    }

    /// Finds what the address names. Publishing removes the generation before, whose description may be believed
    /// for a moment longer; who meets it then is served the new one.
    async fn find(&self, asked: &Asked, headers: &HeaderMap) -> Result<Answer, Fault> {
        let edition = self.edition(asked).await?;
        match self.answer(Arc::clone(&edition), asked, headers).await {
            Err(fault)
                if fault.reason == Reason::Corrupt && self.library.is_outdated(&edition).await =>
            {
                let edition = self.edition(asked).await?;
                self.answer(edition, asked, headers).await
            }
            outcome => outcome,
        }
    }

    async fn edition(&self, asked: &Asked) -> Result<Arc<Edition>, Fault> {
        let edition = self.library.edition(&asked.address.video).await?;
        edition.ok_or_else(Fault::not_found)
    }

    /// Answers for one state of a film, without making a body that the asker has already.
    async fn answer(
        &self,
        edition: Arc<Edition>,
        asked: &Asked,
        headers: &HeaderMap,
    ) -> Result<Answer, Fault> {
        let Asked { address, .. } = asked;
        let access = access(&edition.asset);
        let generation = edition.asset.generation;
        if address.item == Item::Poster {
            let poster = self.media.poster(&edition.asset).await?;
            let poster = poster.ok_or_else(Fault::not_found)?;
            let etag = tag::of_bytes(&poster, generation.0, asked, access);
            let body = Body::Content(poster.into());
            return Ok(Answer::new(address, generation, access, etag, body));
        }
        let published = self.library.film(edition).await?;
        let spoilt = address.item.rendition();
        if let Some(fault) = spoilt.and_then(|text| published.film.fault_of(text)) {
            return Err(fault.clone());
        }
        let cut = published.film.cut(address.view.segment_s).await?;
        let thing = Thing::find(&published, &cut, &address.item).ok_or_else(Fault::not_found)?;
        let lock = Lock::of(&published.edition.asset, address, self.keys.as_deref()).await?;
        let etag = tag::of_film(&published.film, asked, lock.as_ref(), access);
        let body = if answer::is_known(headers, &etag) {
            Body::Known
        } else {
            let job = Job {
                asked,
                published: &published,
                cut: &cut,
                lock: lock.as_ref(),
            };
            Body::Content(self.media.body(&job, thing, &etag).await?)
        };
        Ok(Answer::new(address, generation, access, etag, body))
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
