//! A real process that fills, evicts and purges, killed again and again without warning.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Keeps what may be found after each death.
#[derive(Default)]
struct Model {
    /// Of each object, the last version that was begun.
    newest: HashMap<u32, u32>,
    /// Of each object, the last version that was purged.
    purged: HashMap<u32, u32>,
}

impl Model {
    /// Takes a line of the child's: what it does, to which object, at which version.
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let verb = words.next();
        let (Some(n), Some(version)) = (words.next(), words.next()) else {
            return;
        };
        // The last line may have been cut short; numbers end with a mark.
        let number = |text: &str| {
            text.strip_suffix(';')
                .and_then(|digits| digits.parse().ok())
        };
        let (Some(n), Some(version)) = (number(n), number(version)) else {
            return;
        };
        match verb {
            Some("begin") => self.newest.insert(n, version),
            Some("purged") => self.purged.insert(n, version),
            _ => None,
        };
    }

    fn check(&self, n: u32, version: u32) {
        let purged = self.purged.get(&n).copied().unwrap_or(0);
        let newest = self.newest.get(&n).copied().unwrap_or(0);
        assert!(
            (purged + 1..=newest).contains(&version),
            "object {n}: {version} is not of {purged}+1..={newest}"
        );
    }
}

/// Runs the child until it has said `lines` things, and kills it.
fn round(directory: &Path, first_version: u32, lines: usize, model: &mut Model) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env("MILLRACE_TEST_DIRECTORY", directory)
        .env("MILLRACE_TEST_VERSION", first_version.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut alive = false;
    for line in said.by_ref().map_while(Result::ok).take(lines) {
        alive |= line.starts_with("begin");
        model.hear(&line);
    }
    child.kill().unwrap();
    // What it had said before it died.
    said.map_while(Result::ok)
        .for_each(|line| model.hear(&line));
    child.wait().unwrap();
    assert!(alive, "the child worked");
}

#[test]
fn a_process_killed_at_any_moment_serves_nothing_wrong_afterwards_and_is_warm() {
    let directory = tempfile::tempdir().unwrap();
    let rounds: usize =
        std::env::var("MILLRACE_TEST_KILLS").map_or(100, |text| text.parse().unwrap());
    let mut model = Model::default();
    let (mut version_s, mut warm) = (1, 0);
    for kill in 0..rounds {
        let lines = 12 + kill * 37 % 120;
        round(directory.path(), version_s, lines, &mut model);
        version_s += 10_000;
        // Every other time the next child has to cope with what the last has left behind.
        if kill % 2 == 1 {
            continue;
        }
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        runtime.block_on(async {
            let cache = open(&settings(directory.path())).await;
            let mut found = 0;
            for n in 0..OBJECTS {
                if let Some((version, _)) = version(cache, n).await {
                    model.check(n, version);
                    found += 1;
                }
            }
            assert!(
                found > 0 || kill == 0,
                "there are warm hits after kill {kill}"
            );
            warm += found;
            cache.close().await;
        });
    }
    assert!(warm > rounds * 5, "{warm} warm hits");
}

#[test]
#[ignore = "the process that is killed"]
fn child() {
    let Ok(directory) = std::env::var("MILLRACE_TEST_DIRECTORY") else {
        return;
    };
    let first: u32 = std::env::var("MILLRACE_TEST_VERSION")
        .unwrap()
        .parse()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let cache = open(&settings(Path::new(&directory))).await;
        let mut state = first;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for version_s in first.. {
            let n = draw(OBJECTS);
            match draw(10) {
                0..6 => {
                    println!("begin {n}; {version_s};");
                    fill(cache, n, version_s, draw(180_000) as usize).await;
                }
                6 => {
                    cache.purge(&at(n)).await.unwrap();
                    println!("purged {n}; {version_s};");
                }
                _ => drop(version(cache, n).await),
            }
        }
    });
}

const OBJECTS: u32 = 150;
const CHILD: &str = "cache::below::tests::killed::child";
