//! Edges and shields: what they are ordered to purge and to revoke.

pub(crate) mod orders;
