//! Joins over HTTP: an operator lets a node enrol.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use catalog::SecretDigest;
use catalog::members::{Join, Terms};
use contracts::fleet::{JoinSecret, JoinToken, MAX_PREFIXES, Network};
use contracts::id::{JoinId, NodeId};
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::door::Door;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{self, catalogue};
use crate::random;
use crate::routing::prefixes::is_name;

/// How long a join counts where nothing else is said, and at most, in seconds.
const EXPIRES_S: u64 = 86_400;
const LONGEST_S: u64 = 30 * 86_400;

/// The node that is to join.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = JoinWish)]
pub(crate) struct Wish {
    /// The site that it stands in: 1 to 64 letters, digits, `.`, `-` and `_`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    site: String,
    /// The region of its site.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9._-]{0,64}$")]
    region: String,
    /// Its name, 1 to 32 of `a-z 0-9 -`, a letter first; without it one that begins with its site.
    #[schema(pattern = "^[a-z][a-z0-9-]{0,31}$")]
    name: Option<String>,
    /// `edge`.
    #[schema(pattern = "^edge$")]
    kind: Option<String>,
    /// The networks that it may announce, or parts of them, such as `192.0.2.0/24`; 1000 at most.
    #[serde(default)]
    #[schema(max_items = 1000)]
    prefixes: Vec<String>,
    /// Its capacity beside those of others, 1 to 1000000; without it by what it says that it can send.
    #[schema(minimum = 1, maximum = 1_000_000)]
    weight: Option<u32>,
    /// Smaller comes first, 0 to 1000.
    #[serde(default)]
    #[schema(maximum = 1000)]
    priority: u32,
    /// Whether a partner runs it, and it serves viewers of its site and region alone. `true` without it.
    partner: Option<bool>,
    /// Whether protected films may come from it. `false` without it.
    #[serde(default)]
    protected: bool,
    /// Whether it can be reached from here, and is to be before viewers are sent there. `true` without it.
    probe: Option<bool>,
    /// How long the token counts, in seconds, 60 to 2592000; 86400 without it.
    #[schema(minimum = 60, maximum = 2_592_000)]
    expires_s: Option<u64>,
}

/// A join that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = JoinMade)]
pub(crate) struct Made {
    id: String,
    /// The name that the node gets.
    name: String,
    /// What the node is started with; it is not told again.
    token: String,
    /// From when on it counts no more, in Unix seconds.
    expires_at: u64,
    /// Whether a node of that name has enrolled: whoever uses the token takes its place, and its key counts no more.
    replaces: bool,
}

/// A join, without its token.
#[derive(Serialize, ToSchema)]
#[schema(as = Join)]
pub(crate) struct Shown {
    id: String,
    /// The name that the node gets.
    name: String,
    site: String,
    region: String,
    prefixes: Vec<String>,
    weight: Option<u32>,
    priority: u32,
    partner: bool,
    protected: bool,
    probe: bool,
    created_at: u64,
    expires_at: u64,
    /// Whether a node has enrolled with it.
    used: bool,
}

/// Joins that count.
#[derive(Serialize, ToSchema)]
#[schema(as = Joins)]
pub(crate) struct List {
    joins: Vec<Shown>,
}

/// Lets one node enrol. For operators.
#[utoipa::path(post, path = "/fleet/joins", request_body = Wish,
    responses((status = 201, body = Made), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "`not-found`: `fleet.listen` is not configured"),
        (status = 409, body = Problem, description = "`name-taken`"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    caller.operator()?;
    let Json(wish) = wish?;
    let door = app.door()?;
    let now = app.clock.now();
    let join = Join {
        id: JoinId::from_random(random::bits()?),
        node: wish.node()?,
        created: now,
        expires: now.plus(wish.expires_s()?),
        used: false,
        terms: wish.terms()?,
    };
    let replaces = app.is_node(&join.node).await?;
    let secret = JoinSecret::from_random(random::bits()?);
    let digest = SecretDigest::of(&secret.text());
    match app.catalog.members.invite(&join, &digest).await {
        Err(catalog::Error::Exists { .. }) => {
            let detail = "A node of this name was dismissed, and its certificates may not have ended; take another name.";
            return Err(problem::name_taken(detail));
        }
        invited => invited.map_err(catalogue)?,
    }
    tracing::info!(join.id = %join.id, node = %join.node, "node {} may enrol", join.node);
    let made = Made {
        id: join.id.to_string(),
        name: join.node.to_string(),
        token: door.token(secret),
        expires_at: join.expires.0,
        replaces,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// The joins that have not expired, used ones too. For operators.
#[utoipa::path(get, path = "/fleet/joins",
    responses((status = 200, body = List), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<List>, Problem> {
    caller.operator()?;
    let joins = app.catalog.members.joins(app.clock.now()).await;
    let joins = joins.map_err(catalogue)?.into_iter().map(Shown::from);
    Ok(Json(List {
        joins: joins.collect(),
    }))
}

/// Takes a join back; a node that has enrolled with it stays. For operators.
#[utoipa::path(delete, path = "/fleet/joins/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, description = "`join-not-found`"), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn withdraw(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    caller.operator()?;
    let id = JoinId::parse(&id).map_err(|_| problem::no_such_join())?;
    if !app.catalog.members.withdraw(&id).await.map_err(catalogue)? {
        return Err(problem::no_such_join());
    }
    Ok(StatusCode::NO_CONTENT)
}

impl Wish {
    fn node(&self) -> Result<NodeId, Problem> {
        if self.kind.as_deref().is_some_and(|kind| kind != "edge") {
            return Err(Problem::bad_request("kind must be \"edge\""));
        }
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let mark: [u8; 3] = random::bits()?;
                format!("{}-{}", named(&self.site), hex::encode(mark))
            }
        };
        let parsed = NodeId::parse(&name).ok();
        let parsed = parsed.filter(|_| name.starts_with(|first: char| first.is_ascii_lowercase()));
        let rule = "name must be 1 to 32 of a-z, 0-9 and -, a letter first";
        parsed.ok_or_else(|| Problem::bad_request(rule))
    }

    fn expires_s(&self) -> Result<u64, Problem> {
        let expires = self.expires_s.unwrap_or(EXPIRES_S);
        if !(60..=LONGEST_S).contains(&expires) {
            return Err(Problem::bad_request("expires_s must be 60 to 2592000"));
        }
        Ok(expires)
    }

    fn terms(self) -> Result<Terms, Problem> {
        let name = "must be 1 to 64 letters, digits, \".\", \"-\" and \"_\"";
        if !is_name(&self.site) {
            return Err(Problem::bad_request(format!("site {name}")));
        }
        if !self.region.is_empty() && !is_name(&self.region) {
            return Err(Problem::bad_request(format!("region {name}")));
        }
        weighs(self.weight, Some(self.priority))?;
        if self.prefixes.len() > MAX_PREFIXES {
            let detail = format!("prefixes must be {MAX_PREFIXES} at most");
            return Err(Problem::bad_request(detail));
        }
        let network = |text: &String| {
            let read = Network::parse(text);
            read.map_err(|no| Problem::bad_request(format!("the prefix {text:?} is {no}")))
        };
        let prefixes: Result<Vec<Network>, Problem> = self.prefixes.iter().map(network).collect();
        Ok(Terms {
            prefixes: prefixes?,
            site: self.site,
            region: self.region,
            weight: self.weight,
            priority: self.priority,
            partner: self.partner.unwrap_or(true),
            protected: self.protected,
            probe: self.probe.unwrap_or(true),
        })
    }
}

impl App {
    /// Whether a node that has enrolled has this name. Refuses one that somebody has who has not enrolled: what is said of
    /// one would be taken for the other.
    async fn is_node(&self, name: &NodeId) -> Result<bool, Problem> {
        if self
            .routing
            .edges()
            .iter()
            .any(|edge| edge.name == name.as_str())
        {
            let detail = "An edge of the configuration has this name; take another.";
            return Err(problem::name_taken(detail));
        }
        let known = self.catalog.members.find(name).await;
        if let Some(member) = known.map_err(catalogue)? {
            return Ok(member.dismissed.is_none());
        }
        let heard = self.fleet.heard.list().await.map_err(catalogue)?;
        if heard.iter().any(|node| node.last.name == *name) {
            let detail = "A node that follows the feed has this name; take another.";
            return Err(problem::name_taken(detail));
        }
        Ok(false)
    }
}

impl Door {
    fn token(&self, secret: JoinSecret) -> String {
        let token = JoinToken {
            url: self.settings.public.clone(),
            authority: self.authority.digest(),
            secret,
        };
        token.text()
    }
}

impl From<Join> for Shown {
    fn from(join: Join) -> Self {
        let terms = join.terms;
        Self {
            id: join.id.to_string(),
            name: join.node.to_string(),
            site: terms.site,
            region: terms.region,
            prefixes: terms.prefixes.iter().map(Network::to_string).collect(),
            weight: terms.weight,
            priority: terms.priority,
            partner: terms.partner,
            protected: terms.protected,
            probe: terms.probe,
            created_at: join.created.0,
            expires_at: join.expires.0,
            used: join.used,
        }
    }
}

/// Checks what says where a node ranks.
pub(crate) fn weighs(weight: Option<u32>, priority: Option<u32>) -> Result<(), Problem> {
    if weight.is_some_and(|weight| !(1..=1_000_000).contains(&weight)) {
        return Err(Problem::bad_request("weight must be 1 to 1000000"));
    }
    if priority.is_some_and(|priority| priority > 1000) {
        return Err(Problem::bad_request("priority must be 0 to 1000"));
    }
    Ok(())
}

/// A site's name as far as a node's name can have it.
fn named(site: &str) -> String {
    let letter = |byte: u8| match byte.to_ascii_lowercase() {
        byte @ (b'a'..=b'z' | b'0'..=b'9') => char::from(byte),
        _ => '-',
    };
    let name: String = site.bytes().map(letter).take(24).collect();
    if name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name
    } else {
        format!("n{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_after_its_site_where_nobody_names_it() {
        let wish = |site: &str, name: Option<&str>| -> Wish {
            let json = serde_json::json!({"site": site, "name": name});
            serde_json::from_value(json).unwrap()
        };
        for (site, begins) in [
            ("isp-1", "isp-1-"),
            ("ISP.North_1", "isp-north-1-"),
            ("1", "n1-"),
            (&"s".repeat(64), "ssssssssssssssssssssssss-"),
        ] {
            let name = wish(site, None).node().unwrap();
            assert!(name.as_str().starts_with(begins), "{name}");
            assert_eq!(name.as_str().len(), begins.len() + 6);
        }
        assert_eq!(wish("s", Some("edge-7")).node().unwrap().as_str(), "edge-7");
        for bad in ["", "7", "-a", "Edge", "a b"] {
            assert!(wish("s", Some(bad)).node().is_err(), "{bad:?}");
        }
    }
}
