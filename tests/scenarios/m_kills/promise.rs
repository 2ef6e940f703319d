//! What must be so, because a write was answered for.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::role::Role;
use crate::site::{ORIGIN, Site};

/// A question, and what must be answered.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub(super) method: Method,
    pub(super) path: String,
    /// What is shown: a bearer's credential.
    pub(super) shown: String,
    pub(super) body: Value,
    pub(super) status: u16,
    /// What stands where in the answer.
    pub(super) says: Option<(&'static str, Value)>,
    /// Who asks it where nodes are met; none: it is asked at the API.
    pub(super) node: Option<reqwest::Client>,
}

impl Promise {
    /// That a `GET` is answered so.
    pub(super) fn get(path: impl Into<String>, shown: &str, status: u16) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            shown: shown.to_owned(),
            body: Value::Null,
            status,
            says: None,
            node: None,
        }
    }

    /// That whoever asks where nodes are met is answered so.
    pub(super) fn at_door(
        (method, path): (Method, &str),
        node: &reqwest::Client,
        body: Value,
        status: u16,
    ) -> Self {
        Self {
            method,
            body,
            node: Some(node.clone()),
            ..Self::get(path, "", status)
        }
    }

    /// That a `POST` is.
    pub(super) fn post(path: impl Into<String>, body: Value, status: u16) -> Self {
        Self {
            method: Method::POST,
            body,
            ..Self::get(path, crate::site::OPERATOR, status)
        }
    }

    /// And says so there.
    pub(super) fn with(self, pointer: &'static str, value: Value) -> Self {
        Self {
            says: Some((pointer, value)),
            ..self
        }
    }

    /// Asks, again and again where events are counted first, and fails unless it is so.
    pub(super) async fn kept(&self, site: &Site, control: &Role) {
        let asked = async {
            loop {
                let told = self.asked(site, control).await;
                if self.is_so(&told) || !self.path.ends_with("/stats") {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(20), asked).await;
        let told = told.unwrap_or_else(|_| panic!("{self:?} is not so in time"));
        assert!(self.is_so(&told), "{self:?} but {told:?}");
    }

    async fn asked(&self, site: &Site, control: &Role) -> (u16, Value) {
        let url = |base: String| format!("{base}{}", self.path);
        let to = |base: String| (self.method.clone(), url(base));
        let told = if self.shown == ORIGIN {
            let asked = site.http.get(url(control.at("http")));
            let asked = asked.header("millrace-hop", ORIGIN).send();
            let answer = asked.await.unwrap();
            Some((answer.status().as_u16(), answer.json().await.unwrap()))
        } else if let Some(node) = &self.node {
            let to = to(control.door());
            site.ask_by(node, to, &self.shown, &self.body).await
        } else {
            let to = to(control.at("http"));
            site.ask(to, &self.shown, &self.body).await
        };
        told.unwrap_or_else(|| panic!("no answer to {self:?}"))
    }

    fn is_so(&self, (status, told): &(u16, Value)) -> bool {
        let says = |(pointer, value): &(&str, Value)| told.pointer(pointer) == Some(value);
        *status == self.status && self.says.as_ref().is_none_or(says)
    }
}
