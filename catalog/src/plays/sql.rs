//! What was played, in the catalogue's database.
//!
//! Rows are written in one order everywhere: two who fold at once wait for each other, and not for ever.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, QueryResult, Value};

use super::{By, COLUMNS, Figures, Fold, Hour, MOST_CODES, Plays, Remembered, Slot, Wanted};
use crate::error::Error;
use crate::open::{begin, engine};
use crate::sql::{Row, change, number, seconds, statement};

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }

    async fn rows(&self, sql: String, values: Vec<Value>) -> Result<Vec<QueryResult>, Error> {
        let rows = self.db.query_all_raw(statement(sql, values)).await;
        rows.map_err(engine)
    }
}

#[async_trait]
impl Plays for Sql {
    async fn position(&self, log: &str) -> Result<Option<u64>, Error> {
        let sql = "SELECT position FROM fold_positions WHERE log = $1".to_owned();
        let rows = self.rows(sql, vec![log.into()]).await?;
        let position = |row| of(row, "fold_positions").number("position");
        rows.first().map(position).transpose()
    }

    async fn remembered(&self, sessions: &[SessionId]) -> Result<Vec<Remembered>, Error> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (1..=sessions.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT session, version, until_unix_s, told FROM told_sessions \
             WHERE session IN ({}) ORDER BY session",
            places.join(", ")
        );
        let ids = sessions.iter().map(|id| id.as_str().into()).collect();
        let rows = self.rows(sql, ids).await?;
        rows.iter().map(remembered).collect()
    }

    async fn fold(&self, step: &Fold) -> Result<bool, Error> {
        let within = begin(&self.db).await?;
        if !moved(&within, step).await? || !written(&within, step).await? {
            within.rollback().await.map_err(engine)?;
            return Ok(false);
        }
        for (slot, figures) in step.figures.iter().filter(|(_, f)| !f.is_nothing()) {
            add(&within, slot, figures).await?;
        }
        add_views(&within, step).await?;
        within.commit().await.map_err(engine)?;
        Ok(true)
    }

    async fn hours(&self, video: &VideoId, from: u64, to: u64) -> Result<Vec<Hour>, Error> {
        let sql = "SELECT hour_unix_s, views, watch_ms FROM view_aggregates \
                   WHERE video = $1 AND hour_unix_s >= $2 AND hour_unix_s < $3 \
                   AND (views > 0 OR watch_ms > 0) ORDER BY hour_unix_s";
        let values = vec![video.as_str().into(), number(from), number(to)];
        let rows = self.rows(sql.to_owned(), values).await?;
        let hour = |row: &QueryResult| {
            let row = of(row, "view_aggregates");
            Ok(Hour {
                hour_unix_s: row.number("hour_unix_s")?,
                views: row.number("views")?,
                watch_ms: row.number("watch_ms")?,
            })
        };
        rows.iter().map(hour).collect()
    }

    async fn views(&self, video: &VideoId) -> Result<u64, Error> {
        let sql = "SELECT CAST(COALESCE(SUM(views), 0) AS BIGINT) AS views FROM view_aggregates \
                   WHERE video = $1";
        let rows = self
            .rows(sql.to_owned(), vec![video.as_str().into()])
            .await?;
        let views = rows
            .first()
            .map(|row| of(row, "view_aggregates").number("views"));
        views.transpose().map(Option::unwrap_or_default)
    }

    async fn groups(
        &self,
        by: By,
        wanted: &Wanted,
        limit: u32,
    ) -> Result<Vec<(String, Figures)>, Error> {
        let (condition, mut values) = condition(wanted);
        let name = name(by);
        let sums = COLUMNS.map(|column| format!("CAST(SUM({column}) AS BIGINT) AS {column}"));
        let sql = format!(
            "SELECT {name} AS name, {} FROM qoe_aggregates WHERE {condition} \
             GROUP BY {name} HAVING SUM({}) <> 0 ORDER BY SUM(sessions) DESC, {name} LIMIT ${}",
            sums.join(", "),
            // What was taken back whole is not there any more. No count is negative in the end.
            COLUMNS.join(" + "),
            values.len() + 1
        );
        values.push(i64::from(limit).into());
        let rows = self.rows(sql, values).await?;
        let mut groups = rows.iter().map(group).collect::<Result<Vec<_>, _>>()?;
        let mut startup = self.startup(by, wanted).await?;
        let mut codes = self.codes(by, wanted).await?;
        for (name, figures) in &mut groups {
            figures.startup = startup.remove(name).unwrap_or_default();
            figures.codes = codes.remove(name).unwrap_or_default();
        }
        Ok(groups)
    }

    async fn forget(&self, now: UnixSeconds, hours: UnixSeconds) -> Result<u64, Error> {
        for table in ["qoe_aggregates", "startup_aggregates", "error_aggregates"] {
            let sql = format!("DELETE FROM {table} WHERE hour_unix_s < $1");
            change(&self.db, sql, vec![seconds(hours)]).await?;
        }
        let sql = "DELETE FROM told_sessions WHERE until_unix_s < $1";
        change(&self.db, sql, vec![seconds(now)]).await
    }
}

impl Sql {
    async fn startup(
        &self,
        by: By,
        wanted: &Wanted,
    ) -> Result<BTreeMap<String, BTreeMap<u16, i64>>, Error> {
        let (condition, values) = condition(wanted);
        let name = name(by);
        let sql = format!(
            "SELECT {name} AS name, class, CAST(SUM(starts) AS BIGINT) AS starts \
             FROM startup_aggregates WHERE {condition} GROUP BY {name}, class HAVING SUM(starts) <> 0"
        );
        let mut startup: BTreeMap<String, BTreeMap<u16, i64>> = BTreeMap::new();
        for row in self.rows(sql, values).await? {
            let row = of(&row, "startup_aggregates");
            let class = u16::try_from(row.number("class")?).map_err(|_| row.corrupt("class"))?;
            let of_name = startup.entry(row.text("name")?).or_default();
            of_name.insert(class, signed(&row, "starts")?);
        }
        Ok(startup)
    }
}

impl Sql {
    async fn codes(
        &self,
        by: By,
        wanted: &Wanted,
    ) -> Result<BTreeMap<String, BTreeMap<String, i64>>, Error> {
        let (condition, values) = condition(wanted);
        let name = name(by);
        let sql = format!(
            "SELECT {name} AS name, code, CAST(SUM(errors) AS BIGINT) AS errors \
             FROM error_aggregates WHERE {condition} GROUP BY {name}, code HAVING SUM(errors) <> 0 \
             ORDER BY SUM(errors) DESC, {name}, code LIMIT {MOST_CODES}"
        );
        let mut codes: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for row in self.rows(sql, values).await? {
            let row = of(&row, "error_aggregates");
            let of_name = codes.entry(row.text("name")?).or_default();
            of_name.insert(row.text("code")?, signed(&row, "errors")?);
        }
        Ok(codes)
    }
}

/// Moves the position, if it is still where the step begins.
async fn moved(within: &DatabaseTransaction, step: &Fold) -> Result<bool, Error> {
    let (log, to) = (Value::from(step.log.as_str()), number(step.to));
    let (sql, values) = match step.from {
        Some(from) => (
            "UPDATE fold_positions SET position = $2 WHERE log = $1 AND position = $3",
            vec![log, to, number(from)],
        ),
        None => (
            "INSERT INTO fold_positions (log, position) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            vec![log, to],
        ),
    };
    Ok(change(within, sql, values).await? == 1)
}

/// Writes the sessions, if none of them was written since.
async fn written(within: &DatabaseTransaction, step: &Fold) -> Result<bool, Error> {
    let mut sessions: Vec<&Remembered> = step.sessions.iter().collect();
    sessions.sort_by(|one, other| one.session.cmp(&other.session));
    for one in sessions {
        let mut values = vec![
            one.session.as_str().into(),
            seconds(one.until),
            one.told.clone().into(),
        ];
        let sql = if one.version == 0 {
            "INSERT INTO told_sessions (session, version, until_unix_s, told) \
             VALUES ($1, 1, $2, $3) ON CONFLICT DO NOTHING"
        } else {
            values.push(number(one.version));
            "UPDATE told_sessions SET version = version + 1, until_unix_s = $2, told = $3 \
             WHERE session = $1 AND version = $4"
        };
        if change(within, sql, values).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn add(within: &DatabaseTransaction, slot: &Slot, figures: &Figures) -> Result<(), Error> {
    let place = || -> Vec<Value> {
        vec![
            number(slot.hour_unix_s),
            slot.video.as_str().into(),
            slot.edge.as_str().into(),
            slot.isp.as_str().into(),
        ]
    };
    let mut values = place();
    values.extend(figures.counts().map(Value::from));
    let places: Vec<String> = (1..=values.len()).map(|n| format!("${n}")).collect();
    let sums =
        COLUMNS.map(|column| format!("{column} = qoe_aggregates.{column} + excluded.{column}"));
    let sql = format!(
        "INSERT INTO qoe_aggregates (hour_unix_s, video, edge, isp, {}) VALUES ({}) \
         ON CONFLICT (hour_unix_s, video, edge, isp) DO UPDATE SET {}",
        COLUMNS.join(", "),
        places.join(", "),
        sums.join(", ")
    );
    change(within, sql, values).await?;
    for (code, count) in &figures.codes {
        let sql = "INSERT INTO error_aggregates (hour_unix_s, video, edge, isp, code, errors) \
                   VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (hour_unix_s, video, edge, isp, code) \
                   DO UPDATE SET errors = error_aggregates.errors + excluded.errors";
        let mut values = place();
        values.extend([code.as_str().into(), (*count).into()]);
        change(within, sql, values).await?;
    }
    for (class, count) in &figures.startup {
        let sql = "INSERT INTO startup_aggregates (hour_unix_s, video, edge, isp, class, starts) \
                   VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (hour_unix_s, video, edge, isp, class) \
                   DO UPDATE SET starts = startup_aggregates.starts + excluded.starts";
        let mut values = place();
        values.extend([i64::from(*class).into(), (*count).into()]);
        change(within, sql, values).await?;
    }
    Ok(())
}

/// Views by film and hour, whatever the edge and the network.
async fn add_views(within: &DatabaseTransaction, step: &Fold) -> Result<(), Error> {
    let mut views: BTreeMap<(&VideoId, u64), (i64, i64)> = BTreeMap::new();
    for (slot, figures) in &step.figures {
        let sum = views.entry((&slot.video, slot.hour_unix_s)).or_default();
        *sum = (sum.0 + figures.views, sum.1 + figures.watch_ms);
    }
    for ((video, hour), (views, watch_ms)) in views.into_iter().filter(|(_, sum)| *sum != (0, 0)) {
        let sql = "INSERT INTO view_aggregates (video, hour_unix_s, views, watch_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (video, hour_unix_s) DO UPDATE SET \
                   views = view_aggregates.views + excluded.views, \
                   watch_ms = view_aggregates.watch_ms + excluded.watch_ms";
        let values = vec![
            video.as_str().into(),
            number(hour),
            views.into(),
            watch_ms.into(),
        ];
        change(within, sql, values).await?;
    }
    Ok(())
}

const fn name(by: By) -> &'static str {
    match by {
        // Not a constant, by which one cannot group.
        By::Nothing => "SUBSTR(edge, 1, 0)",
        By::Edge => "edge",
        By::Isp => "isp",
        By::Video => "video",
        By::Hour => "CAST(hour_unix_s AS TEXT)",
    }
}

fn condition(wanted: &Wanted) -> (String, Vec<Value>) {
    let mut sql = "hour_unix_s >= $1 AND hour_unix_s < $2".to_owned();
    let mut values = vec![number(wanted.from_unix_s), number(wanted.to_unix_s)];
    let of = [
        ("video", wanted.video.as_ref().map(VideoId::as_str)),
        ("edge", wanted.edge.as_deref()),
        ("isp", wanted.isp.as_deref()),
    ];
    for (column, value) in of {
        if let Some(value) = value {
            values.push(value.into());
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    }
    (sql, values)
}

fn group(row: &QueryResult) -> Result<(String, Figures), Error> {
    let row = of(row, "qoe_aggregates");
    let mut counts = [0; COLUMNS.len()];
    for (count, column) in counts.iter_mut().zip(COLUMNS) {
        *count = signed(&row, column)?;
    }
    Ok((row.text("name")?, Figures::of_counts(counts)))
}

fn remembered(row: &QueryResult) -> Result<Remembered, Error> {
    let row = of(row, "told_sessions");
    Ok(Remembered {
        session: row.parsed("session", SessionId::parse)?,
        version: row.number("version")?,
        until: row.instant("until_unix_s")?,
        told: row.row.try_get("", "told").map_err(engine)?,
    })
}

fn signed(row: &Row<'_>, column: &str) -> Result<i64, Error> {
    row.row.try_get("", column).map_err(engine)
}

const fn of<'a>(row: &'a QueryResult, table: &'static str) -> Row<'a> {
    Row { row, table }
}
