//! A request from its first byte to its answer.

use std::sync::Arc;

use contracts::{
    address::{Address, Item},
    header,
    reason::{Blame, Reason},
};
use http::{Method, header::HeaderMap, request::Parts};
use runtime::secret::Secret;
use subtle::ConstantTimeEq;

use crate::{
    answer::{self, Answer, Response},
    asked::Asked,
    content::{Content, Stream},
    dress::Kind,
    fault::Fault,
    kept::{Kept, Ready},
    keys::{Cached, Since},
    library::{Edition, Library, Published, access},
    lock::Lock,
    media::{Job, Media},
    metrics::Metrics,
    seldom::Seldom,
    tag,
};

/// What answers requests.
pub(crate) struct Origin {
    pub(crate) library: Library,
    pub(crate) media: Media,
    /// Where the keys of protected films come from; none: nowhere.
    pub(crate) keys: Option<Cached>,
    pub(crate) kept: Kept,
    pub(crate) metrics: Metrics,
    /// What tiers must show; none: nobody is asked.
    pub(crate) hop_secret: Option<Secret>,
    /// Bounds how often wrong credentials are told.
    pub(crate) strangers: Seldom,
    /// Bounds how often it is told that something cannot be served for a reason that all requests have at once.
    pub(crate) troubles: Seldom,
}

/// A request that is not answered with what it asked for.
struct Refusal {
    fault: Fault,
    kind: Kind,
    address: Option<Address>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            fault: Fault::new(reason, "refused before the film was looked for"),
            kind: Kind::None,
            address: None,
        }
    }
}

/// Answers any request.
pub(crate) async fn handle<B>(origin: &Origin, request: http::Request<B>) -> Response {
    let (parts, _) = request.into_parts();
    let (kind, mut response) = match origin.respond(&parts).await {
        Ok(answered) => answered,
        Err(Refusal {
            fault,
            kind,
            address,
        }) => {
            origin.metrics.fault(fault.reason);
            origin.log(&fault, address.as_ref());
            (kind, answer::problem(fault.reason, address.as_ref()))
        }
    };
    if parts.method == Method::HEAD {
        // Its fields are those of GET (RFC 9110 §9.3.2), also where the answer is a refusal.
        *response.body_mut() = Stream::Absent;
    }
    let length = u64::try_from(response.body().len()).unwrap_or(u64::MAX);
    origin.metrics.request(kind, response.status().as_u16());
    origin.metrics.sent_bytes.inc_by(length);
    response
}

impl Origin {
    /// Sends again what is kept, or goes the long way.
    async fn respond(&self, request: &Parts) -> Result<(Kind, Response), Refusal> {
        let Parts {
            method, headers, ..
        } = request;
        let target = self.admit(request)?;
        let keys = self.keys_for(headers);
        if let Some(ready) = self.kept.ready(target, &self.library, keys).await {
            return Ok((ready.kind, ready.answer.respond(method, headers)));
        }
        let asked = Asked::parse(target)?;
        let kind = Kind::of(&asked.address.item);
        match self.find(&asked, headers).await {
            Ok(answer) => Ok((kind, answer.respond(method, headers))),
            Err(fault) => Err(Refusal {
                fault,
                kind,
                address: Some(asked.address),
            }),
        }
    }

    /// The credential, then the method, so that a stranger learns nothing else; the target comes back.
    fn admit<'a>(&self, request: &'a Parts) -> Result<&'a str, Reason> {
        if let Some(secret) = &self.hop_secret {
            let shown = request.headers.get(header::HOP);
            let shown = shown.map_or(&b""[..], |value| value.as_bytes());
            if !bool::from(shown.ct_eq(secret.as_bytes())) {
                self.tell_stranger(shown.is_empty());
                return Err(Reason::Hop);
            }
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Err(Reason::Method);
        }
        let target = request.uri.path_and_query();
        Ok(target.map_or("", |target| target.as_str()))
    }

    /// Keys that are no older than the order that a tier has heard of.
    fn keys_for(&self, headers: &HeaderMap) -> Option<Since<'_>> {
        let least = headers.get(header::MIN_SEQ);
        let least = least.and_then(|least| least.to_str().ok()?.parse().ok());
        self.keys.as_ref().map(|keys| Since {
            keys,
            least: least.unwrap_or(0),
        })
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
        let whole = |etag, body| Answer::new(address, generation, access, etag, body);
        if address.item == Item::Poster {
            let poster = self.media.poster(&edition.asset).await?;
            let (poster, claim) = poster.ok_or_else(Fault::not_found)?;
            let etag = tag::of_bytes(&poster, generation.0, asked, access);
            return Ok(whole(etag, Content::from(poster).holding(&claim)));
        }
        let published = self.library.film(edition).await?;
        let spoilt = address.item.rendition();
        if let Some(fault) = spoilt.and_then(|text| published.film.fault_of(text)) {
            return Err(fault.clone());
        }
        let cut = published.film.cut(address.view.segment_s).await?;
        let job = Arc::new(Job::new(asked.clone(), published, cut));
        let thing = job.thing().ok_or_else(Fault::not_found)?;
        let Published { edition, film } = &job.published;
        if let Some(lock) = Lock::of(&edition.asset, address, self.keys_for(headers)).await? {
            job.encrypt_with(lock);
        }
        let etag = tag::of_film(film, asked, job.lock(), access);
        if answer::holds(headers, &etag) {
            let known = Answer::known(address, generation, access, etag);
            return Ok(known);
        }
        if !thing.is_written() {
            return Ok(whole(etag, self.media.body(&job, thing).await?));
        }
        let target = asked.key();
        if let Some(body) = self.kept.body(&target, &etag) {
            let answer = whole(etag.clone(), body.clone());
            self.kept.keep(target, Ready::new(&job, answer));
            return Ok(whole(etag, body));
        }
        let (body, claim) = self.media.write(&job, thing).await?;
        let answer = whole(etag.clone(), body.clone());
        self.kept.keep(target, Ready::new(&job, answer));
        // What is kept is counted there; but it may not be kept for as long as it is sent.
        Ok(whole(etag, body.holding(&claim)))
    }

    /// A client's mistake is a line for the curious; what else is not served is for the operator. Damage is told of
    /// each address; what the store or the keys suffer from, all requests suffer from.
    fn log(&self, fault: &Fault, address: Option<&Address>) {
        let Fault { reason, detail } = fault;
        let path = address.map(Address::path).unwrap_or_default();
        let video = address.map_or("", |address| address.video.as_str());
        let code = reason.code();
        if reason.blame() == Blame::Client {
            tracing::debug!(
                video.id = video,
                path,
                reason = code,
                detail,
                "refused {path}: {code}"
            );
            return;
        }
        let untold = match reason {
            Reason::Corrupt => Some(0),
            _ => self.troubles.may_tell(),
        };
        if let Some(untold) = untold {
            tracing::error!(
                video.id = video,
                path,
                reason = code,
                detail,
                untold,
                "cannot serve {path}: {detail}"
            );
        }
    }
}
