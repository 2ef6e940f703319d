//! `millrace up`: the whole house on one machine, with a film to watch.
//!
//! The story, in order: a folder with its secrets and ports ([`state`]), the roles as child
//! processes ([`house`]) with the configuration that [`plan`] writes for them, a film through the
//! public API ([`film`]), the addresses, and then either the wait for Ctrl-C or one play of
//! everything ([`proof`]).

mod addresses;
mod film;
mod house;
mod more;
mod plan;
mod proof;
mod state;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::api::Api;
use crate::cli;

pub(crate) async fn run(options: cli::Up) -> anyhow::Result<ExitCode> {
    if let Some(media) = &options.media {
        film::look(media)?;
    }
    if options.web.is_none() {
        eprintln!(
            "the watch page and the studio are not built here: build them with `npm ci && npm run build` in web/, and name them with --web web/dist; `cargo xtask up` does both"
        );
    }
    let state = state::State::open(&options.dir)?;
    state.is_store(options.store.as_deref())?;
    let mut house = house::start(&state, &options).await?;
    let addresses = house.addresses().clone();
    // Whatever happens from here on, the roles are stopped before the answer is given.
    let outcome = tokio::select! {
        outcome = live(&options, &state, &addresses) => outcome,
        fate = house.watch() => Err(fate),
        signal = runtime::shutdown::signal() => {
            signal.context("cannot wait for Ctrl-C").map(|()| ExitCode::SUCCESS)
        }
    };
    eprintln!("stopping …");
    house.stop().await;
    outcome
}

async fn live(
    options: &cli::Up,
    state: &state::State,
    addresses: &addresses::Addresses,
) -> anyhow::Result<ExitCode> {
    addresses.note(state)?;
    state.keep_store(options.store.as_deref())?;
    let api = Api::new(&addresses.api, None)?;
    let video = film::published(&api, state, options.media.as_deref()).await?;
    let stage = addresses::Stage::open(&api, addresses, state, &video).await?;
    if options.check {
        let proof = proof::play_everything(&api, &stage, addresses).await?;
        proof.print(options.json, &stage);
        return Ok(if proof.ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    stage.print(options);
    std::future::pending().await
}
