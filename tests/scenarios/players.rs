//! Films in players in Chromium (`web/e2e/players.mjs`), several at a time.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::house::{House, root};

/// A player that shall take steps with a manifest of a house.
pub(crate) fn player(house: &House, name: &str, manifest: &str, steps: &str) -> Command {
    let mut driver = Command::new("node");
    driver
        .arg("e2e/players.mjs")
        .args(["--player", name, "--url", manifest, "--steps", steps])
        .args(["--spki", house.fact("/spki")])
        .args(["--timeout", "240", "--patience", "60"])
        .current_dir(root().join("web"));
    driver
}

/// What a player saw.
pub(crate) fn seen(mut player: Command) -> Value {
    let output = player.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let told = told.lines().last().unwrap_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("a player without a word: {said}")
    });
    serde_json::from_str(told).unwrap()
}

/// Does the same with each, two at a time: a film takes its time, and hardly needs the machine; of three, one was late.
pub(crate) fn together<T: Sync, S: Send>(all: &[T], play: impl Fn(&T) -> S + Sync) -> Vec<S> {
    let next = AtomicUsize::new(0);
    let one_by_one = || {
        let turns = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = turns.map_while(|turn| all.get(turn).map(|one| (turn, play(one))));
        mine.collect::<Vec<_>>()
    };
    let mut done = thread::scope(|scope| {
        let begun = [(); 2].map(|()| scope.spawn(one_by_one));
        let done = begun.map(|one| one.join().unwrap());
        done.into_iter().flatten().collect::<Vec<_>>()
    });
    done.sort_by_key(|(turn, _)| *turn);
    done.into_iter().map(|(_, seen)| seen).collect()
}
