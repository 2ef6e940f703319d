//! Nodes over HTTP: how each is, and what an operator does with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use catalog::members::{Change, Member, Pulse};
use catalog::nodes::Sighting;
use catalog::nodes::standing::CONNECTED_S;
use contracts::feed::Order;
use contracts::fleet::Network;
use contracts::id::NodeId;
use contracts::revocation::{Revocation, Revoked};
use contracts::time::UnixSeconds;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::joins::weighs;
use super::roster::{Entry, weight};
use super::state::{self, State as Stands};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{self, catalogue};

/// All nodes.
#[derive(Serialize, ToSchema)]
#[schema(as = Nodes)]
pub(crate) struct List {
    nodes: Vec<Shown>,
}

/// A node.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub(crate) struct Shown {
    name: String,
    /// `edge` or `shield`.
    kind: &'static str,
    /// Of a node that has enrolled `joining`, `active`, `draining`, `quarantined` or `dismissed`; of one that shows a
    /// credential of the tiers `active`, or `silent` when it has not asked for orders for a while.
    state: &'static str,
    /// When it was last heard of, in Unix seconds.
    last_seen_at: Option<u64>,
    /// The last order that it has applied.
    applied: Option<u64>,
    /// Orders that it has not applied.
    lag: Option<u64>,
    /// Of a node that has enrolled.
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolled: Option<Enrolled>,
}

/// What is known of a node that has enrolled.
#[derive(Serialize, ToSchema)]
#[schema(as = EnrolledNode)]
pub(crate) struct Enrolled {
    site: String,
    region: String,
    partner: bool,
    protected: bool,
    probe: bool,
    /// As it counts now.
    weight: u32,
    priority: u32,
    /// Whether an operator wants it emptied.
    drain: bool,
    /// The networks that it may announce.
    allowed_prefixes: Vec<String>,
    /// How viewers reach it.
    base: String,
    plain: Option<String>,
    /// The networks that it announces.
    prefixes: Vec<String>,
    /// In bits a second; 0: it does not say.
    capacity_bps: u64,
    version: String,
    enrolled_at: u64,
    activated_at: Option<u64>,
    dismissed_at: Option<u64>,
    certificate_ends_at: u64,
    /// Why it was not found where it announces to be reached, when this control plane last asked there; `null` where it
    /// was, or is not asked.
    probe_fault: Option<String>,
    /// How much of what it can do is used, 0 to 1.
    used: Option<f64>,
    /// What it said last: `feed`, `applied`, `stops_s`, `load`, `cache`, `fill`, `draining`.
    #[schema(value_type = Option<Object>)]
    heartbeat: Option<serde_json::Value>,
}

/// What an operator changes of a node; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodeWish)]
pub(crate) struct Wish {
    /// Whether it is to be emptied: viewers that it has may stay, nobody new is sent there.
    drain: Option<bool>,
    /// Its capacity beside those of others, 1 to 1000000.
    #[schema(minimum = 1, maximum = 1_000_000)]
    weight: Option<u32>,
    /// Smaller comes first, 0 to 1000.
    #[schema(maximum = 1000)]
    priority: Option<u32>,
}

/// A node that was dismissed.
#[derive(Serialize, ToSchema)]
#[schema(as = DismissedNode)]
pub(crate) struct Dismissed {
    name: String,
    /// Until when its certificates would have been good, in Unix seconds: parents are ordered to refuse them until then.
    revoked_until: u64,
}

/// All nodes, those that show a credential of the tiers too. For operators.
#[utoipa::path(get, path = "/fleet/nodes",
    responses((status = 200, body = List), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<List>, Problem> {
    caller.operator()?;
    let nodes = app.nodes().await.map_err(catalogue)?;
    Ok(Json(List { nodes }))
}

/// One node. For operators.
#[utoipa::path(get, path = "/fleet/nodes/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Shown), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, description = "`node-not-found`"), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(name): Named<String>,
) -> Result<Json<Shown>, Problem> {
    caller.operator()?;
    app.node(&name).await
}

/// Changes how a node that has enrolled is used. For operators.
#[utoipa::path(patch, path = "/fleet/nodes/{name}", params(("name" = String, Path)), request_body = Wish,
    responses((status = 200, body = Shown), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "`node-not-found`: none that has enrolled"),
        (status = 409, body = Problem, description = "`node-dismissed`"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(name): Named<String>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<Json<Shown>, Problem> {
    caller.operator()?;
    let Json(wish) = wish?;
    weighs(wish.weight, wish.priority)?;
    let change = Change {
        drain: wish.drain,
        weight: wish.weight,
        priority: wish.priority,
    };
    let node = NodeId::parse(&name).map_err(|_| problem::no_node())?;
    let members = &app.catalog.members;
    let changed = members.change(&node, &change).await.map_err(catalogue)?;
    if changed.is_none() {
        let dismissed = members.find(&node).await.map_err(catalogue)?;
        return Err(dismissed.map_or_else(problem::no_node, |_| problem::node_dismissed()));
    }
    tracing::info!(%node, "node {node} is changed by an operator");
    app.told_of_members();
    app.node(&name).await
}

/// Dismisses a node for good: its certificate counts no more, here at once, at parents when the order has come to them.
/// Again, it orders the same again. For operators.
#[utoipa::path(delete, path = "/fleet/nodes/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Dismissed), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, description = "`node-not-found`: none that has enrolled"), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn dismiss(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(name): Named<String>,
) -> Result<Json<Dismissed>, Problem> {
    caller.operator()?;
    let node = NodeId::parse(&name).map_err(|_| problem::no_node())?;
    let dismissed = app.catalog.members.dismiss(&node, app.clock.now()).await;
    let member = dismissed.map_err(catalogue)?.ok_or_else(problem::no_node)?;
    let until = member.certificate_ends;
    let what = Revoked::Node(node.clone());
    let order = Order::Revoke(Revocation { what, until });
    app.orders.give(&[order]).await.map_err(catalogue)?;
    tracing::info!(%node, "node {node} is dismissed");
    app.told_of_members();
    Ok(Json(Dismissed {
        name,
        revoked_until: until.0,
    }))
}

impl App {
    /// Has routing look at what has changed.
    fn told_of_members(&self) {
        if let Some(door) = &self.fleet.door {
            door.roster.look_again();
        }
    }

    async fn node(&self, name: &str) -> Result<Json<Shown>, Problem> {
        let nodes = self.nodes().await.map_err(catalogue)?;
        let found = nodes.into_iter().find(|node| node.name == name);
        found.map(Json).ok_or_else(problem::no_node)
    }

    /// All nodes by name: those that have enrolled, and those that follow the feed.
    async fn nodes(&self) -> Result<Vec<Shown>, catalog::Error> {
        let mut shown = BTreeMap::new();
        let mut heard: HashMap<NodeId, Sighting> = HashMap::new();
        for node in self.fleet.heard.list().await? {
            heard.insert(node.last.name.clone(), node.last);
        }
        let mut lags = Lags::default();
        for entry in self.members().await? {
            let sighting = heard.remove(&entry.member.name);
            let node = self.of_member(&entry, sighting.as_ref(), &mut lags).await?;
            shown.insert(node.name.clone(), node);
        }
        for sighting in heard.values() {
            let node = self.of_tier(sighting, &mut lags).await?;
            shown.insert(node.name.clone(), node);
        }
        Ok(shown.into_values().collect())
    }

    /// The nodes that have enrolled, as the catalogue has them now.
    async fn members(&self) -> Result<Vec<Entry>, catalog::Error> {
        if let Some(door) = &self.fleet.door {
            door.beats.write().await?;
        }
        let mut pulses: HashMap<NodeId, Pulse> = HashMap::new();
        for (name, _, pulse) in self.catalog.members.pulses().await? {
            pulses.extend(pulse.map(|pulse| (name, pulse)));
        }
        let members = self.catalog.members.list().await?.into_iter();
        let entries = members.map(|member| Entry {
            pulse: pulses.remove(&member.name),
            member,
        });
        Ok(entries.collect())
    }

    async fn of_member(
        &self,
        entry: &Entry,
        sighting: Option<&Sighting>,
        lags: &mut Lags,
    ) -> Result<Shown, catalog::Error> {
        let Entry { member, pulse } = entry;
        let quarantine = self.fleet.quarantine;
        let stands = Stands::of(member, pulse.as_ref(), self.clock.now(), quarantine);
        let beat = pulse.as_ref().map(|pulse| pulse.last.0);
        let asked = sighting.map(|sighting| sighting.at.0);
        Ok(Shown {
            name: member.name.to_string(),
            kind: "edge",
            state: stands.as_str(),
            last_seen_at: beat.max(asked),
            applied: sighting.map(|sighting| sighting.applied),
            lag: match sighting {
                Some(sighting) => Some(lags.of(self, sighting).await?),
                None => None,
            },
            enrolled: Some(self.enrolled(member, pulse.as_ref())),
        })
    }

    async fn of_tier(&self, sighting: &Sighting, lags: &mut Lags) -> Result<Shown, catalog::Error> {
        let connected = self.clock.now() < sighting.at.plus(CONNECTED_S);
        Ok(Shown {
            name: sighting.name.to_string(),
            kind: sighting.kind.as_str(),
            state: if connected { "active" } else { "silent" },
            last_seen_at: Some(sighting.at.0),
            applied: Some(sighting.applied),
            lag: Some(lags.of(self, sighting).await?),
            enrolled: None,
        })
    }
}

/// How many orders there are after a number. Nodes that lag do so together: few numbers are asked for.
#[derive(Default)]
struct Lags(HashMap<u64, u64>);

impl Lags {
    async fn of(&mut self, app: &App, node: &Sighting) -> Result<u64, catalog::Error> {
        let extent = app.catalog.feed.extent().await?;
        let ours = extent.is_some_and(|extent| node.feed == Some(extent.id));
        let applied = if ours { node.applied } else { 0 };
        if let Some(lag) = self.0.get(&applied) {
            return Ok(*lag);
        }
        let lag = app.catalog.feed.count_after(applied).await?;
        self.0.insert(applied, lag);
        Ok(lag)
    }
}

impl App {
    fn enrolled(&self, member: &Member, pulse: Option<&Pulse>) -> Enrolled {
        let door = self.fleet.door.as_ref();
        let fault = door.and_then(|door| door.roster.fault(member));
        let (terms, announce) = (&member.terms, &member.announce);
        let texts = |networks: &[Network]| networks.iter().map(Network::to_string).collect();
        let unix = |instant: Option<UnixSeconds>| instant.map(|instant| instant.0);
        Enrolled {
            site: terms.site.clone(),
            region: terms.region.clone(),
            partner: terms.partner,
            protected: terms.protected,
            probe: terms.probe,
            weight: weight(member),
            priority: terms.priority,
            drain: member.drain,
            allowed_prefixes: texts(&terms.prefixes),
            base: announce.base.to_string(),
            plain: announce.plain.as_ref().map(ToString::to_string),
            prefixes: texts(&announce.prefixes),
            capacity_bps: announce.capacity_bps,
            version: announce.version.clone(),
            enrolled_at: member.enrolled.0,
            activated_at: unix(member.activated),
            dismissed_at: unix(member.dismissed),
            certificate_ends_at: member.certificate_ends.0,
            probe_fault: fault
                .filter(|_| member.dismissed.is_none())
                .map(|fault| fault.to_string()),
            used: pulse.map(|pulse| state::load(member, pulse)),
            heartbeat: pulse.and_then(|pulse| serde_json::to_value(&pulse.said).ok()),
        }
    }
}
