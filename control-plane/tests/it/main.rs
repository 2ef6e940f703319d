//! A control plane in this process, spoken to as clients speak to it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets something else than it wants must fail"
)]

mod at_home;
mod bad_input;
mod callers;
mod drm;
mod enrolment;
mod entitlements;
mod fleet;
mod guesses;
mod house;
mod joining;
mod keys;
mod licences;
mod log;
mod members;
mod notices;
mod outside;
mod packagers;
mod page;
mod people;
mod playback;
mod reading;
mod rotation;
mod routing;
mod rules;
mod serving;
mod several;
mod site;
mod steering;
mod streams;
mod telemetry;
mod vendors;
mod videos;
