//! Keys behind HTTP: the control plane, or whatever speaks as it does.

use std::time::Duration;

use async_trait::async_trait;
use contracts::{header, id::VideoId, reason::Reason};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Keys, Known, MAX_DOCUMENT, read};
use crate::fault::{Fault, with_causes};

/// A service that answers `GET {url}/{video}` with the document, or 404 for a film without keys; and says, where it
/// gives orders too, how far those are that it went by (`millrace-seq`).
pub(crate) struct Service {
    url: String,
    client: reqwest::Client,
}

impl Service {
    pub(crate) fn new(
        url: String,
        hop: Option<&[u8]>,
        wait: Duration,
    ) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::new();
        if let Some(mut value) = hop.and_then(|hop| HeaderValue::from_bytes(hop).ok()) {
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(header::HOP), value);
        }
        // Whoever stands between would see the keys: no proxy is taken from the environment.
        let client = runtime::http::client()
            .default_headers(headers)
            .timeout(wait)
            .no_proxy()
            .build()?;
        Ok(Self { url, client })
    }

    async fn load(&self, video: &VideoId) -> Result<(Option<Vec<u8>>, Option<u64>), Fault> {
        let url = format!("{}/{video}", self.url);
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        let seq = response.headers().get(header::SEQ);
        let seq = seq.and_then(|seq| seq.to_str().ok()?.parse().ok());
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok((None, seq)),
            status => {
                let what = format!("the key service answered {}", status.as_u16());
                return Err(Fault::new(Reason::Unreachable, what));
            }
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            document.extend_from_slice(&chunk);
            if document.len() > MAX_DOCUMENT {
                break; // `read` says what is wrong with it
            }
        }
        Ok((Some(document), seq))
    }
}

#[async_trait]
impl Keys for Service {
    async fn of(&self, video: &VideoId) -> Result<Known, Fault> {
        let (document, seq) = self.load(video).await?;
        let keys = document
            .map(|document| read(&document, video))
            .transpose()?;
        Ok(Known { keys, seq })
    }
}

fn failed(error: reqwest::Error) -> Fault {
    let reason = if error.is_timeout() {
        Reason::TooSlow
    } else {
        Reason::Unreachable
    };
    let what = with_causes(&error.without_url());
    Fault::new(reason, format!("the key service: {what}"))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex, PoisonError},
    };

    use axum::{Router, extract::Path, routing::get};

    use super::*;
    use crate::keys::conformance::{self, Peer};

    type Documents = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

    struct Shelf(Documents);

    #[async_trait]
    impl Peer for Shelf {
        async fn put(&self, video: &str, document: &[u8]) {
            let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            documents.insert(video.to_owned(), document.to_vec());
        }
    }

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router).into_future());
        format!("http://{address}/v1/keys")
    }

    fn film() -> VideoId {
        VideoId::parse("film").unwrap()
    }

    async fn reason(service: &Service) -> Reason {
        service.of(&film()).await.unwrap_err().reason
    }

    #[tokio::test]
    async fn a_service_keeps_the_promises_of_keys() {
        let documents = Documents::default();
        let shown = Arc::clone(&documents);
        let answer = async move |Path(video): Path<String>, headers: HeaderMap| {
            assert_eq!(headers["millrace-hop"], "between us");
            let documents = shown.lock().unwrap_or_else(PoisonError::into_inner);
            documents.get(&video).cloned().ok_or(StatusCode::NOT_FOUND)
        };
        let url = serve(Router::new().route("/v1/keys/{video}", get(answer))).await;
        let service = Service::new(url, Some(b"between us"), Duration::from_secs(10)).unwrap();
        conformance::all(&service, &Shelf(documents)).await;
    }

    #[tokio::test]
    async fn a_service_that_gives_orders_says_up_to_which_its_answer_is_good() {
        let answer = async || (StatusCode::NOT_FOUND, [(header::SEQ, "17")]);
        let url = serve(Router::new().fallback(answer)).await;
        let service = Service::new(url, None, Duration::from_secs(10)).unwrap();
        assert_eq!(service.of(&film()).await.unwrap().seq, Some(17));
    }

    #[tokio::test]
    async fn a_service_that_refuses_redirects_or_is_gone_is_unreachable() {
        for status in [
            StatusCode::FORBIDDEN,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::FOUND,
            StatusCode::NO_CONTENT,
        ] {
            let url = serve(Router::new().fallback(async move || status)).await;
            let service = Service::new(url, None, Duration::from_secs(10)).unwrap();
            assert_eq!(reason(&service).await, Reason::Unreachable, "{status}");
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let gone = Service::new(url, None, Duration::from_secs(10)).unwrap();
        assert_eq!(reason(&gone).await, Reason::Unreachable);
    }

    #[tokio::test]
    async fn a_service_that_does_not_answer_is_too_slow() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let service = Service::new(url, None, Duration::from_millis(20)).unwrap();
        assert_eq!(reason(&service).await, Reason::TooSlow);
    }
}
