//! What every adapter of [`FilmRules`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::id::VideoId;
use contracts::token::Countries;

use super::{Audience, FilmRules, Rules};

/// Every promise, on a catalogue without rules.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(rules: &dyn FilmRules) {
    let film = VideoId::parse("ruled").expect("a test's id is one");
    let of = async || rules.of(&film).await.expect("of");
    assert_eq!(of().await, Rules::default());
    let codes = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect();
    for countries in [
        Some(Countries::Only(codes(&["AT", "DE"]))),
        Some(Countries::Except(codes(&["ZZ"]))),
        Some(Countries::Only(codes(&[]))),
        None,
    ] {
        for audience in [Audience::Granted, Audience::Everybody] {
            let countries = countries.clone();
            let wished = Rules {
                audience,
                countries,
            };
            rules.set(&film, &wished).await.expect("set");
            assert_eq!(of().await, wished);
        }
    }
}
