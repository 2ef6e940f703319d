//! Whole-house scenarios: real processes, a real film, and a client that talks to them.
//!
//! Lettered so that the simplest fail first.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a scenario that cannot be set up ends the test, or says that it was skipped"
)]

mod house;
mod joinable;
mod newcomer;
mod players;
mod role;
mod site;

mod a_wire;
mod b_cache;
mod c_picture;
mod d_upload;
mod e_restart;
mod f_browser;
mod g_tokens;
mod h_players;
mod i_licences;
mod j_steering;
mod k_orders;
mod l_api;
mod m_kills;
mod n_nodes;
mod o_buckets;
mod p_studio;
