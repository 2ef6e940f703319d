//! Films' rules in the catalogue's database.

use async_trait::async_trait;
use contracts::id::VideoId;
use contracts::token::Countries;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::{Audience, FilmRules, Rules};
use crate::error::Error;
use crate::open::engine;
use crate::sql::{Row, change, statement};

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }
}

#[async_trait]
impl FilmRules for Sql {
    async fn of(&self, video: &VideoId) -> Result<Rules, Error> {
        let sql = "SELECT audience, countries FROM film_rules WHERE video = $1";
        let row = statement(sql, vec![video.as_str().into()]);
        let Some(row) = self.db.query_one_raw(row).await.map_err(engine)? else {
            return Ok(Rules::default());
        };
        let table = "film_rules";
        let row = Row { row: &row, table };
        let countries = row.optional_text("countries")?;
        Ok(Rules {
            audience: row.parsed("audience", |word| Audience::parse(word).ok_or(()))?,
            countries: countries.as_deref().map(read),
        })
    }

    async fn set(&self, video: &VideoId, rules: &Rules) -> Result<(), Error> {
        let sql = "INSERT INTO film_rules (video, audience, countries) VALUES ($1, $2, $3) \
                   ON CONFLICT (video) DO UPDATE SET audience = excluded.audience, countries = excluded.countries";
        let values = vec![
            video.as_str().into(),
            rules.audience.as_str().into(),
            rules.countries.as_ref().map(written).into(),
        ];
        change(&self.db, sql, values).await.map(drop)
    }
}

/// As tokens write them: codes, commas, `!` before those that are left out.
fn written(countries: &Countries) -> String {
    match countries {
        Countries::Only(codes) => codes.join(","),
        Countries::Except(codes) => format!("!{}", codes.join(",")),
    }
}

fn read(text: &str) -> Countries {
    let codes = |text: &str| {
        let codes = text.split(',').filter(|code| !code.is_empty());
        codes.map(str::to_owned).collect()
    };
    match text.strip_prefix('!') {
        Some(text) => Countries::Except(codes(text)),
        None => Countries::Only(codes(text)),
    }
}
