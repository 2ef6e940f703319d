//! Nodes in the catalogue's database.

use async_trait::async_trait;
use contracts::fleet::Kind;
use contracts::id::{FeedId, NodeId};
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult};

use super::{Node, Nodes, Sighting};
use crate::error::Error;
use crate::members::AHEAD_S;
use crate::open::{begin, engine};
use crate::sql::{Row, change, is_news, number, seconds, statement};

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
impl Nodes for Sql {
    async fn note(&self, seen: &[Sighting]) -> Result<(), Error> {
        let mut seen: Vec<&Sighting> = seen.iter().collect();
        // In one order everywhere: two who note the same nodes wait for each other, and not for ever.
        seen.sort_by(|one, other| one.name.cmp(&other.name));
        let within = begin(&self.db).await?;
        for one in seen {
            let is_news = is_news("nodes", "$7");
            let sql = format!(
                "INSERT INTO nodes \
                       (name, kind, first_unix_s, last_unix_s, feed, applied, stops_s) \
                       VALUES ($1, $2, $3, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET \
                       kind = excluded.kind, last_unix_s = excluded.last_unix_s, \
                       feed = excluded.feed, applied = excluded.applied, stops_s = excluded.stops_s \
                       WHERE {is_news}"
            );
            let stops = one
                .stops_s
                .map(|span| i64::try_from(span).unwrap_or(i64::MAX));
            let values = vec![
                one.name.as_str().into(),
                one.kind.as_str().into(),
                seconds(one.at),
                one.feed.as_ref().map(FeedId::as_str).into(),
                number(one.applied),
                stops.into(),
                seconds(one.at.plus(AHEAD_S)),
            ];
            change(&within, sql, values).await?;
        }
        within.commit().await.map_err(engine)
    }

    async fn list(&self) -> Result<Vec<Node>, Error> {
        let sql = "SELECT name, kind, first_unix_s, last_unix_s, feed, applied, stops_s \
                   FROM nodes ORDER BY name";
        let rows = self.db.query_all_raw(statement(sql, vec![])).await;
        rows.map_err(engine)?.iter().map(node).collect()
    }

    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error> {
        let sql = "DELETE FROM nodes WHERE last_unix_s < $1";
        change(&self.db, sql, vec![seconds(limit)]).await
    }
}

fn node(row: &QueryResult) -> Result<Node, Error> {
    let row = Row {
        row,
        table: "nodes",
    };
    let feed: Option<String> = row.row.try_get("", "feed").map_err(engine)?;
    let feed = feed.as_deref().map(FeedId::parse).transpose();
    let stops = row.optional_instant("stops_s")?;
    Ok(Node {
        first_seen: row.instant("first_unix_s")?,
        last: Sighting {
            name: row.parsed("name", NodeId::parse)?,
            kind: row.parsed("kind", |word| Kind::parse(word).ok_or(()))?,
            at: row.instant("last_unix_s")?,
            feed: feed.map_err(|_| row.corrupt("feed"))?,
            applied: row.number("applied")?,
            stops_s: stops.map(|UnixSeconds(span)| span),
        },
    })
}
