//! Plays against small sites on loopback, whole ones and ones with a defect each.

mod defects;
mod protocols;
mod site;

use super::{Options, Report, play};

/// Plays with default options.
async fn plain(url: &str) -> Report {
    play(&Options {
        url: url.to_owned(),
        ..Options::default()
    })
    .await
}

/// All problems in one text.
fn problems(report: &Report) -> String {
    report.problems().collect::<Vec<_>>().join("\n")
}
