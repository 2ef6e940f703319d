//! What a viewer meets: HTTP/1.1, HTTP/2 and HTTP/3 on one port, the gate, the cache.
//!
//! The main path:
//! 1. [`config`] says how, [`start`] binds the listeners and puts the node together;
//! 2. [`gate`] lets a request in by its token, or because its film is public;
//! 3. [`tier`] serves it from the cache or fills it from a parent;
//! 4. [`tier::access`] writes one line about it.
//!
//! A machine of somebody else's serves a house by way of [`member`]: it joins, and goes by what the house wishes.
//! With `serve = "site"` it is a cache in front of any HTTP origin instead: [`site`] lets everybody in.
//!
//! Invariants: a token never reaches a cache key, a parent or a log; a refusal tells the client
//! its status and nothing more; an edge asks nobody while a viewer waits, save a parent for bytes.

pub mod config;
pub mod gate;
pub mod member;
pub mod site;
mod start;

pub use start::{Error, Running, inspect, start, start_after};
