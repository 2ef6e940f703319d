//! An edge over real sockets: HTTP/1.1, HTTP/2 and HTTP/3 against scripted parents.
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test where they stand"
)]

mod client;
mod control;
mod feed;
mod house;
mod origin;
mod raw;

mod a_wire;
mod b_cache;
mod c_fill;
mod d_gate;
mod d_public;
mod e_vectors;
mod f_hops;
mod g_cat;
mod h_grants;
mod i_proxied;
mod j_site;
mod k_suite;
mod l_disk;
mod m_parts;
mod n_freshness;
mod o_smuggling;
mod p_frames;
mod q_slow;
mod r_purge;
mod s_ahead;
mod t_turns;
mod u_access;
mod u_lost;
mod v_figures;
mod w_at_hand;
mod w_parents;
mod x_early;
mod y_intake;
mod z_member;
