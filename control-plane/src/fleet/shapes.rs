//! What nodes say at the door and are told there, as its description shows it: [`contracts::fleet`] reads and writes it.

use utoipa::ToSchema;

/// What a node asks at first.
#[derive(ToSchema)]
#[schema(as = EnrolmentWish)]
pub(crate) struct Enrol {
    /// The secret of its join token.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    secret: String,
    /// A request for a certificate (PKCS #10) in PEM, for a key of ECDSA on P-256 or Ed25519; 8 KiB at most. Only its key
    /// counts.
    #[schema(max_length = 8192)]
    csr: String,
    announce: Announce,
}

/// A node that has enrolled.
#[derive(ToSchema)]
#[schema(as = Enrolment)]
pub(crate) struct Enrolled {
    /// Its name from now on.
    name: String,
    /// Its certificate in PEM, the authority's after it.
    certificate: String,
    /// The authority's certificate in PEM.
    authority: String,
    settings: Settings,
}

/// What a node asks before its certificate ends.
#[derive(ToSchema)]
#[schema(as = CertificateWish)]
pub(crate) struct Renew {
    /// A request as the first one, for the key of the certificate that it shows.
    #[schema(max_length = 8192)]
    csr: String,
}

/// A node's next certificate.
#[derive(ToSchema)]
#[schema(as = NextCertificate)]
pub(crate) struct Renewed {
    /// In PEM, the authority's after it.
    certificate: String,
}

/// How viewers reach a node, and whose addresses it serves.
#[derive(ToSchema)]
#[schema(as = NodeAnnounce)]
pub(crate) struct Announce {
    /// How viewers reach it: `https://host`, `https://host:port`, without a path; 300 bytes at most.
    #[schema(pattern = "^https?://")]
    base: String,
    /// The same without TLS, for players that do not trust its certificate.
    #[schema(pattern = "^https?://")]
    plain: Option<String>,
    /// Whose addresses it serves, such as `192.0.2.0/24`, within those that its join allows. None: those of its site that
    /// are known elsewhere.
    #[schema(required = false, max_items = 1000)]
    prefixes: Vec<String>,
    /// How much it can send, in bits a second; 0: it does not know.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    capacity_bps: u64,
    /// Whether there are times when it fetches nothing for a viewer.
    #[schema(required = false)]
    withholds: bool,
    /// The version of its program, 64 bytes at most.
    #[schema(required = false, max_length = 64)]
    version: String,
}

/// How a node is; `{}` is the least.
#[derive(ToSchema)]
#[schema(as = NodeHeartbeat)]
pub(crate) struct Heartbeat {
    /// What it announces, where that is not what was last accepted.
    announce: Option<Announce>,
    /// The feed whose orders it has applied.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    feed: Option<String>,
    /// The number of the last of them.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    applied: u64,
    /// For how many seconds after the feed's last answer it may go on to serve what is purged; absent: for ever.
    #[schema(format = "uint64")]
    stops_s: Option<u64>,
    #[schema(required = false)]
    load: Load,
    #[schema(required = false)]
    cache: CacheUse,
    #[schema(required = false)]
    fill: FillUse,
    /// It is being emptied and ends soon.
    #[schema(required = false)]
    draining: bool,
}

/// What a node sends.
#[derive(ToSchema)]
#[schema(as = NodeLoad)]
pub(crate) struct Load {
    /// Bits a second to viewers, since the last heartbeat.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    egress_bps: u64,
    /// Requests a second, since the last heartbeat.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    requests_s: u64,
    /// Connections of viewers.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    connections: u64,
    /// The most that it takes; 0: it does not know.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    max_connections: u64,
    /// Its processors' use.
    #[schema(required = false, maximum = 100)]
    cpu_percent: u64,
}

/// What a node's cache holds, in bytes, and what it did since the node started.
#[derive(ToSchema)]
#[schema(as = NodeCache)]
pub(crate) struct CacheUse {
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    memory_used: u64,
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    memory_size: u64,
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    disk_used: u64,
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    disk_size: u64,
    /// Requests that were answered from the cache.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    hits: u64,
    /// Requests that were not.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    misses: u64,
    /// What viewers were sent.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    bytes_out: u64,
    /// What parents have sent.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    bytes_filled: u64,
}

/// What a node fetches from its parents.
#[derive(ToSchema)]
#[schema(as = NodeFill)]
pub(crate) struct FillUse {
    /// Whether it may fetch now, by its hours. `true` without it.
    #[schema(required = false)]
    open: bool,
    /// The most that it fetches, in bytes a second; 0: no limit.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    rate_bytes_s: u64,
    /// Bytes a second that parents sent, since the last heartbeat.
    #[schema(required = false, maximum = 9_223_372_036_854_775_807i64)]
    used_bytes_s: u64,
}

/// What a node is told in answer to a heartbeat.
#[derive(ToSchema)]
#[schema(as = NodeOrders)]
pub(crate) struct Orders {
    /// After how many seconds the next heartbeat is wished.
    every_s: u64,
    /// For how many seconds after this one viewers are still sent to it, should no other be heard.
    lease_s: u64,
    /// Whether it is being emptied: viewers that it has may stay, nobody new is sent there.
    drain: bool,
    /// The version of its settings as they are now; where it has another, it is to fetch them.
    settings_version: String,
    /// Why nobody is sent to it: it was not found where it says that viewers reach it. Absent: it was, or is not asked.
    unreached: Option<String>,
}

/// What a node works by.
#[derive(ToSchema)]
#[schema(as = NodeSettings)]
pub(crate) struct Settings {
    /// The digest of the rest: what has the same version is the same.
    version: String,
    /// The listener of nodes.
    control: String,
    /// Its parents, in no order.
    parents: Vec<String>,
    /// The authorities, in PEM, of `https` parents' certificates; empty: the system's.
    parents_trust: String,
    /// What is a part of every cache key.
    zone: String,
    /// A keyring in JSON that holds no key with which one could mint.
    keyring: String,
    /// Edges where a viewer may go instead, the best first.
    fallbacks: Vec<String>,
    /// Whether films that are public may be fetched without a token.
    public_without_token: bool,
}

#[cfg(test)]
mod tests {
    use contracts::fleet;
    use contracts::id::{FeedId, NodeId};
    use serde::Serialize;
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    use super::*;

    /// Holds a shape to the members that are written.
    fn shows<Shape: PartialSchema>(written: impl Serialize) {
        let names = |members: &Value| {
            let members = members.as_object().unwrap().keys();
            members.cloned().collect::<std::collections::BTreeSet<_>>()
        };
        let shape = serde_json::to_value(Shape::schema()).unwrap();
        let written = serde_json::to_value(written).unwrap();
        assert_eq!(names(&shape["properties"]), names(&written));
    }

    #[test]
    fn what_is_described_is_what_is_read_and_written() {
        let base = fleet::Origin::parse("https://edge.example").unwrap();
        let announce = json!({"base": base, "plain": base});
        let announce: fleet::Announce = serde_json::from_value(announce).unwrap();
        let settings = fleet::Settings {
            version: String::new(),
            control: base,
            parents: Vec::new(),
            parents_trust: String::new(),
            zone: String::new(),
            keyring: String::new(),
            fallbacks: Vec::new(),
            public_without_token: false,
        };
        shows::<Enrol>(fleet::Enrol {
            secret: fleet::JoinSecret::from_random([1; 32]),
            csr: String::new(),
            announce: announce.clone(),
        });
        shows::<Enrolled>(fleet::Enrolled {
            name: NodeId::parse("isp-1").unwrap(),
            certificate: String::new(),
            authority: String::new(),
            settings: settings.clone(),
        });
        let csr = String::new();
        shows::<Renew>(fleet::Renew { csr: csr.clone() });
        shows::<Renewed>(fleet::Renewed { certificate: csr });
        shows::<Heartbeat>(fleet::Heartbeat {
            announce: Some(announce.clone()),
            feed: Some(FeedId::from_random([1; 16])),
            stops_s: Some(1),
            ..fleet::Heartbeat::default()
        });
        shows::<Announce>(announce);
        shows::<Load>(fleet::Load::default());
        shows::<CacheUse>(fleet::CacheUse::default());
        shows::<FillUse>(fleet::FillUse::default());
        shows::<Orders>(fleet::Orders {
            every_s: 5,
            lease_s: 20,
            drain: false,
            settings_version: String::new(),
            unreached: Some(String::new()),
        });
        shows::<Settings>(settings);
    }
}
