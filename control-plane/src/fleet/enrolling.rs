//! What nodes ask at the door: to enrol, for their next certificate, for their settings, for orders; and what they say
//! of themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::SecretDigest;
use catalog::members::{Member, Newcomer, Terms};
use contracts::fleet::{
    Announce, Enrol, Enrolled, Heartbeat, Network, Orders, Question, Renew, Renewed, Settings,
};
use contracts::time::UnixSeconds;
use runtime::problem::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::authority::Request;
use super::door::{Door, Known};
use super::{fallbacks, feed, shapes};
use crate::app::App;
use crate::client::Client;
use crate::people::limits::Limit;
use crate::people::network;
use crate::problem::{self, catalogue};

/// What is told to one node alone.
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// Makes whoever shows the secret of a join a node. The same secret with the same key gives the same node again.
#[utoipa::path(post, path = "/fleet/enroll", request_body = shapes::Enrol,
    responses((status = 201, body = shapes::Enrolled),
        (status = 400, body = Problem, description = "`bad-request`, or `prefixes-refused`, which names them"),
        (status = 403, body = Problem, description = "`join-refused`: unknown, used or expired"),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn enrol(
    State(app): State<Arc<App>>,
    client: Client,
    wish: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let now = app.clock.now();
    app.people
        .count(Limit::Enrol, network(client.address), now)?;
    let wish: Enrol = object(wish)?;
    let door = app.door()?;
    let secret = SecretDigest::of(&wish.secret.text());
    let join = app.catalog.members.join(&secret, now).await;
    let join = join.map_err(catalogue)?.ok_or_else(problem::no_join)?;
    let request = read(&wish.csr)?;
    within(&join.terms, &wish.announce)?;
    let newcomer = Newcomer {
        key: request.key(),
        announce: wish.announce,
        certificate_ends: door.ends(now),
    };
    let enrolled = app.catalog.members.enrol(&secret, &newcomer, now).await;
    let enrolled = enrolled.map_err(catalogue)?;
    let member = enrolled.ok_or_else(problem::no_join)?;
    tracing::info!(node = %member.name, "node {} has enrolled from {}", member.name, client.address);
    door.roster.look_again();
    let answer = Enrolled {
        certificate: door.sign(&member, &request, now)?,
        authority: door.authority.pem().to_owned(),
        settings: app.settings_of(door, &member),
        name: member.name,
    };
    Ok((StatusCode::CREATED, NO_STORE, Json(answer)).into_response())
}

/// A node's next certificate, for the key of the one that it shows.
#[utoipa::path(post, path = "/fleet/certificate", request_body = shapes::Renew,
    responses((status = 200, body = shapes::Renewed), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`node-unknown`, or `node-refused`: dismissed, or replaced by another"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn certify(
    State(app): State<Arc<App>>,
    Known(member): Known,
    wish: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let wish: Renew = object(wish)?;
    let request = read(&wish.csr)?;
    if request.key() != member.key {
        let detail = "csr must be for the key of the certificate that is shown";
        return Err(Problem::bad_request(detail));
    }
    let (door, now) = (app.door()?, app.clock.now());
    let members = &app.catalog.members;
    let noted = members.certify(&member.name, &member.key, door.ends(now));
    if !noted.await.map_err(catalogue)? {
        return Err(problem::node_refused());
    }
    let certificate = door.sign(&member, &request, now)?;
    Ok((NO_STORE, Json(Renewed { certificate })).into_response())
}

/// How a node is, every few seconds; it is told what to do.
#[utoipa::path(post, path = "/fleet/heartbeat", request_body = shapes::Heartbeat,
    responses((status = 200, body = shapes::Orders),
        (status = 400, body = Problem, description = "`bad-request`, or `prefixes-refused`, which names them: the node is heard all the same, and what it announced before counts"),
        (status = 401, body = Problem), (status = 403, body = Problem, description = "`node-refused`, `node-unknown`"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    Known(member): Known,
    heard: Result<Json<Value>, JsonRejection>,
) -> Result<Response, Problem> {
    let mut heard: Heartbeat = object(heard)?;
    let (door, now) = (app.door()?, app.clock.now());
    app.people.count(Limit::NodeBeats, &member.key, now)?;
    let announce = heard.announce.take();
    door.beats.hear(&member, heard, now);
    if let Some(announce) = announce.filter(|announce| *announce != member.announce) {
        app.people.count(Limit::NodeNews, &member.key, now)?;
        within(&member.terms, &announce)?;
        let members = &app.catalog.members;
        let noted = members.announce(&member.name, &member.key, &announce);
        if !noted.await.map_err(catalogue)? {
            return Err(problem::node_refused());
        }
        tracing::info!(node = %member.name, "node {} announces something else", member.name);
        door.roster.look_again();
    }
    let told = Orders {
        every_s: door.settings.heartbeat.as_secs(),
        lease_s: door.settings.quarantine.as_secs(),
        drain: member.drain,
        settings_version: app.settings_of(door, &member).version,
        unreached: door.roster.fault(&member).map(|fault| fault.for_node()),
    };
    Ok((NO_STORE, Json(told)).into_response())
}

/// What a node works by.
#[utoipa::path(get, path = "/fleet/settings",
    responses((status = 200, body = shapes::Settings),
        (status = 401, body = Problem), (status = 403, body = Problem, description = "`node-refused`, `node-unknown`"), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn settings(
    State(app): State<Arc<App>>,
    Known(member): Known,
) -> Result<Response, Problem> {
    let settings = app.settings_of(app.door()?, &member);
    Ok((NO_STORE, Json(settings)).into_response())
}

/// As `GET /fleet/feed` at the API, for nodes that show a certificate; a name in the query must be the certificate's.
#[utoipa::path(get, path = "/fleet/feed", params(feed::Parameters),
    responses((status = 200, body = feed::Document), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`node-unknown`, or `node-refused`: dismissed, or another's name"), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn orders(
    State(app): State<Arc<App>>,
    Known(member): Known,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(mut question) = question?;
    let name = question.node.get_or_insert_with(|| member.name.clone());
    if *name != member.name {
        return Err(problem::node_refused());
    }
    feed::tell(&app, &question).await
}

impl App {
    /// Where nodes enrol, if they can.
    pub(crate) fn door(&self) -> Result<&Door, Problem> {
        self.fleet.door.as_ref().ok_or_else(problem::no_enrolment)
    }

    /// What a node works by, now.
    fn settings_of(&self, door: &Door, member: &Member) -> Settings {
        let edges = self.routing.overview();
        let settings = Settings {
            version: String::new(),
            control: door.settings.public.clone(),
            parents: door.settings.parents.clone(),
            parents_trust: door.parents_trust.clone(),
            zone: door.settings.zone.clone(),
            keyring: self.signer.public(self.clock.now()),
            fallbacks: fallbacks::of(member, edges, self.clock.now()),
            public_without_token: door.settings.public_without_token,
        };
        settings.sealed()
    }
}

impl Door {
    /// When a certificate ends that is made now.
    fn ends(&self, now: UnixSeconds) -> UnixSeconds {
        now.plus(self.settings.certificate_ttl.as_secs())
    }

    fn sign(
        &self,
        member: &Member,
        request: &Request,
        now: UnixSeconds,
    ) -> Result<String, Problem> {
        let signed = self
            .authority
            .certify(&member.name, request, now, self.ends(now));
        signed.map_err(|error| {
            tracing::error!("no certificate can be made for {}: {error}", member.name);
            Problem::internal()
        })
    }
}

/// Reads a body that is an object, and so are its parts: what is derived takes a list for either.
fn object<T: DeserializeOwned>(body: Result<Json<Value>, JsonRejection>) -> Result<T, Problem> {
    let is_list = |part: &&&str| match &body {
        Ok(Json(body)) => body.get(**part).is_some_and(Value::is_array),
        Err(_) => false,
    };
    match PARTS.iter().find(is_list) {
        Some(part) => Err(Problem::bad_request(format!("{part} must be an object"))),
        None => runtime::body::object(body),
    }
}

fn read(csr: &str) -> Result<Request, Problem> {
    Request::read(csr).map_err(|bad| Problem::bad_request(bad.to_string()))
}

/// Refuses networks that the operator has not allowed: nobody draws others' viewers to itself.
fn within(terms: &Terms, announce: &Announce) -> Result<(), Problem> {
    let allowed = |network: &Network| terms.prefixes.iter().any(|all| network.is_within(all));
    let beyond = announce.prefixes.iter().filter(|network| !allowed(network));
    let beyond: Vec<String> = beyond.map(Network::to_string).collect();
    if beyond.is_empty() {
        return Ok(());
    }
    Err(problem::prefixes_refused(beyond))
}

/// What is an object within what nodes say.
const PARTS: [&str; 4] = ["announce", "load", "cache", "fill"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_no_object() {
        let read = |body: &Value| object::<Heartbeat>(Ok(Json(body.clone())));
        assert_eq!(read(&json!({})).unwrap(), Heartbeat::default());
        let announce = json!({"announce": ["https://edge.example"]});
        for list in [
            json!([]),
            json!([null, null]),
            json!({"load": []}),
            announce,
        ] {
            assert!(read(&list).is_err(), "{list}");
        }
    }
}
