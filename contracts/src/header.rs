//! Private headers between tiers. Every tier removes them from what comes from outside, and the
//! edge removes them from what goes to a viewer.

/// The credential that a child tier shows to its parent. A secret: never logged, never forwarded.
pub const HOP: &str = "millrace-hop";

/// Whether a response may be given without a token: [`ACCESS_PUBLIC`] or [`ACCESS_TOKEN`].
pub const ACCESS: &str = "millrace-access";

/// The film is public; an operator may let it be fetched without a token.
pub const ACCESS_PUBLIC: &str = "public";

/// The film is unlisted or private: only with a token.
pub const ACCESS_TOKEN: &str = "token";

/// Space-separated purge tags: `a:{video} r:{video}/{rendition} g:{video}/{generation} k:manifest`.
pub const SURROGATE_KEY: &str = "surrogate-key";

/// In a response: the number of the newest order of the feed that the object's bytes were fetched or validated after,
/// the least of all tiers on the way.
pub const SEQ: &str = "millrace-seq";

/// In a request between tiers: the least [`SEQ`] that will do.
pub const MIN_SEQ: &str = "millrace-min-seq";

/// The client's address as a trusted hop in front of an edge saw it.
pub const CLIENT_IP: &str = "millrace-client-ip";

/// The client's country (ISO 3166-1 alpha-2) as a trusted hop in front of an edge found it.
pub const CLIENT_COUNTRY: &str = "millrace-client-country";

/// A Common Access Token (CTA-5007).
pub const CAT: &str = "cta-common-access-token";

/// The cookie that carries a Common Access Token.
pub const CAT_COOKIE: &str = "CTA-Common-Access-Token";

/// Every header whose name starts so is private to the tiers.
pub const PRIVATE_PREFIX: &str = "millrace-";
