//! Lists in pages.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use runtime::problem::Problem;
use serde::Deserialize;

/// The longest page.
const LONGEST: u32 = 100;

/// Which page.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// Where the page begins: the `next` of the page before.
    pub(crate) next: Option<String>,
    /// Entries a page, 1 to 100; 20 without it.
    pub(crate) limit: Option<u32>,
}

/// How long a page is.
pub(crate) struct Limit(u32);

/// The length of the page that is asked for, and after what it begins.
pub(crate) fn page<T, E: std::fmt::Display>(
    asked: Result<Query<Page>, QueryRejection>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<(Limit, Option<T>), Problem> {
    asked?.0.read(parse)
}

impl Page {
    /// Its length, and after what it begins.
    pub(crate) fn read<T, E: std::fmt::Display>(
        self,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<(Limit, Option<T>), Problem> {
        let limit = self.limit.unwrap_or(20);
        if !(1..=LONGEST).contains(&limit) {
            return Err(Problem::bad_request(format!(
                "limit must be 1 to {LONGEST}"
            )));
        }
        let after = self.next.as_deref().map(parse).transpose();
        let after = after.map_err(|error| Problem::bad_request(format!("next: {error}")))?;
        Ok((Limit(limit), after))
    }
}

impl Limit {
    /// One more than is shown, which tells whether there is another page.
    pub(crate) const fn ask(&self) -> u32 {
        self.0 + 1
    }

    /// What is shown, and after what the next page begins, if there is one.
    pub(crate) fn cut<T>(
        &self,
        mut found: Vec<T>,
        name: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let length = usize::try_from(self.0).unwrap_or(usize::MAX);
        let more = found.len() > length;
        found.truncate(length);
        let next = found.last().filter(|_| more).map(name);
        (found, next)
    }
}
