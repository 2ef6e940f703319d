//! The feed in the catalogue's database.
//!
//! Every change begins with the one row of `feed`, which stays locked until its end: so numbers become visible in their
//! order, whichever process ordered them.

use async_trait::async_trait;
use contracts::feed::{Entry, Gap, MAX_ENTRIES, MAX_SEQ, Order, Page};
use contracts::id::FeedId;
use contracts::revocation::Revocation;
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, QueryResult, Value};

use super::{Extent, Feed, Ordered};
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
}

/// Adds orders within a transaction, as [`Feed::append`] does. The feed is locked until it ends: add them last.
///
/// # Errors
/// [`Error::Engine`], or [`Error::Corrupt`] when the feed has not begun.
pub async fn append(
    within: &DatabaseTransaction,
    orders: &[Order],
    now: UnixSeconds,
) -> Result<u64, Error> {
    let Some(others) = orders.len().checked_sub(1) else {
        return Ok(extent(within).await?.ok_or_else(not_begun)?.head);
    };
    let sql = "UPDATE feed SET head = $2 + CASE WHEN head < $1 THEN $1 ELSE head + 1 END \
               RETURNING head";
    let values = vec![number(millis(now)), number(others as u64)];
    let row = within.query_one_raw(statement(sql, values)).await;
    let row = row.map_err(engine)?.ok_or_else(not_begun)?;
    let last = of(&row, "feed").number("head")?;
    for (seq, order) in (last - others as u64..).zip(orders) {
        insert(within, seq, order, now).await?;
    }
    Ok(last)
}

#[async_trait]
impl Feed for Sql {
    async fn begin(&self, id: &FeedId, now: UnixSeconds) -> Result<(), Error> {
        let sql = "INSERT INTO feed (one, id, head, folded) VALUES (1, $1, $2, $2) \
                   ON CONFLICT DO NOTHING";
        let values = vec![id.as_str().into(), number(beginning(now))];
        change(&self.db, sql, values).await.map(drop)
    }

    async fn renew(&self, id: &FeedId, now: UnixSeconds) -> Result<u64, Error> {
        let within = begin(&self.db).await?;
        let sql = "UPDATE feed SET id = $1, head = CASE WHEN head < $2 THEN $2 ELSE head + 1 END \
                   RETURNING head";
        let values = vec![id.as_str().into(), number(beginning(now))];
        let row = within.query_one_raw(statement(sql, values)).await;
        let row = row.map_err(engine)?.ok_or_else(not_begun)?;
        let begins = of(&row, "feed").number("head")?;
        let sql = "INSERT INTO feed_orders (seq, ordered_unix_s, body, until_unix_s) \
                   SELECT $1 + ROW_NUMBER() OVER (ORDER BY seq), ordered_unix_s, body, until_unix_s \
                   FROM feed_orders WHERE until_unix_s > $2";
        let revoked = change(&within, sql, vec![number(begins), seconds(now)]).await?;
        let sql = "DELETE FROM feed_orders WHERE seq <= $1";
        change(&within, sql, vec![number(begins)]).await?;
        let sql = "UPDATE feed SET head = $1, folded = $2";
        let values = vec![number(begins + revoked), number(begins)];
        change(&within, sql, values).await?;
        within.commit().await.map_err(engine)?;
        Ok(begins)
    }

    async fn append(&self, orders: &[Order], now: UnixSeconds) -> Result<u64, Error> {
        let within = begin(&self.db).await?;
        let last = append(&within, orders, now).await?;
        within.commit().await.map_err(engine)?;
        Ok(last)
    }

    async fn extent(&self) -> Result<Option<Extent>, Error> {
        extent(&self.db).await
    }

    async fn after(&self, seq: u64, now: UnixSeconds) -> Result<Page, Error> {
        // What was folded away while it was read is missing from the page: then it is read again.
        let mut known = self.extent().await?.ok_or_else(not_begun)?;
        loop {
            let page = self.page(&known, seq, now).await?;
            let then = self.extent().await?.ok_or_else(not_begun)?;
            if (&then.id, then.folded) == (&known.id, known.folded) {
                return Ok(page);
            }
            known = then;
        }
    }

    async fn find(&self, seq: u64) -> Result<Option<Ordered>, Error> {
        let sql = "SELECT seq, ordered_unix_s, body FROM feed_orders, feed \
                   WHERE seq = $1 AND seq > folded";
        let row = self.db.query_one_raw(statement(sql, vec![number(seq)]));
        let row = row.await.map_err(engine)?;
        let told = |row: &QueryResult| {
            let at = of(row, "feed_orders").instant("ordered_unix_s")?;
            let Entry { seq, order } = entry(row)?;
            Ok(Ordered { seq, at, order })
        };
        row.as_ref().map(told).transpose()
    }

    async fn count_after(&self, seq: u64) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) AS many FROM feed_orders, feed WHERE seq > $1 AND seq > folded";
        let row = self.db.query_one_raw(statement(sql, vec![number(seq)]));
        let row = row.await.map_err(engine)?.ok_or_else(not_begun)?;
        of(&row, "feed_orders").number("many")
    }

    async fn fold(&self, limit: UnixSeconds, now: UnixSeconds) -> Result<u64, Error> {
        let within = begin(&self.db).await?;
        let sql = "UPDATE feed SET folded = folded RETURNING id, head, folded";
        let row = within.query_one_raw(statement(sql, vec![])).await;
        let Some(row) = row.map_err(engine)? else {
            return Ok(0);
        };
        let known = read_extent(&row)?;
        let through = foldable(&within, &known, limit, now).await?;
        let sql = "UPDATE feed SET folded = $1";
        change(&within, sql, vec![number(through)]).await?;
        let sql = "DELETE FROM feed_orders \
                   WHERE seq <= $1 AND (until_unix_s IS NULL OR until_unix_s <= $2)";
        let gone = change(&within, sql, vec![number(through), seconds(now)]).await?;
        within.commit().await.map_err(engine)?;
        Ok(gone)
    }
}

impl Sql {
    async fn page(&self, known: &Extent, after: u64, now: UnixSeconds) -> Result<Page, Error> {
        let mut page = Page {
            feed: Some(known.id.clone()),
            head: known.head,
            ..Page::default()
        };
        if after < known.folded {
            let sql = "SELECT seq, body FROM feed_orders \
                       WHERE seq <= $1 AND until_unix_s > $2 ORDER BY seq LIMIT $3";
            let most = number(MAX_ENTRIES as u64);
            let values = vec![number(known.folded), seconds(now), most];
            page.gap = Some(Gap {
                through: known.folded,
                revocations: revocations(self.entries(sql, values).await?),
            });
        }
        let from = after.max(known.folded);
        if from < known.head {
            let sql = "SELECT seq, body FROM feed_orders \
                       WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3";
            let values = vec![number(from), number(known.head), number(PAGE)];
            page.entries = self.entries(sql, values).await?;
        }
        Ok(page)
    }

    async fn entries(&self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Entry>, Error> {
        let rows = self.db.query_all_raw(statement(sql, values)).await;
        rows.map_err(engine)?.iter().map(entry).collect()
    }
}

/// The last order before `limit`, unless revocations among those up to it are more than a gap holds: then the last
/// before the first that does not fit.
async fn foldable(
    within: &DatabaseTransaction,
    known: &Extent,
    limit: UnixSeconds,
    now: UnixSeconds,
) -> Result<u64, Error> {
    let sql = "SELECT COALESCE(MIN(seq), $2) AS young FROM feed_orders \
               WHERE seq > $3 AND ordered_unix_s >= $1 AND ordered_unix_s <= $4";
    let (none, folded) = (number(known.head + 1), number(known.folded));
    // What a clock dated ahead of this one keeps nothing here.
    let values = vec![seconds(limit), none, folded, seconds(now)];
    let row = within.query_one_raw(statement(sql, values)).await;
    let row = row.map_err(engine)?.ok_or_else(not_begun)?;
    let young = of(&row, "feed_orders").number("young")?;
    let through = last_before(within, known, young).await?;
    let sql = "SELECT seq, CAST(LENGTH(body) AS BIGINT) AS bytes FROM feed_orders \
               WHERE seq <= $1 AND until_unix_s > $2 ORDER BY seq LIMIT $3";
    let most = number(MAX_ENTRIES as u64 + 1);
    let values = vec![number(through), seconds(now), most];
    let rows = within.query_all_raw(statement(sql, values)).await;
    let mut room = GAP_BYTES;
    for (count, row) in rows.map_err(engine)?.iter().enumerate() {
        let row = of(row, "feed_orders");
        match room.checked_sub(row.number("bytes")? + 1) {
            Some(left) if count < MAX_ENTRIES => room = left,
            _ => return last_before(within, known, row.number("seq")?).await,
        }
    }
    Ok(through)
}

/// The last order before a number: who has applied it misses nothing that is folded away with it.
async fn last_before(within: &DatabaseTransaction, known: &Extent, seq: u64) -> Result<u64, Error> {
    let sql = "SELECT COALESCE(MAX(seq), $1) AS last FROM feed_orders WHERE seq > $1 AND seq < $2";
    let values = vec![number(known.folded), number(seq)];
    let row = within.query_one_raw(statement(sql, values)).await;
    let row = row.map_err(engine)?.ok_or_else(not_begun)?;
    of(&row, "feed_orders").number("last")
}

async fn insert(
    within: &DatabaseTransaction,
    seq: u64,
    order: &Order,
    now: UnixSeconds,
) -> Result<(), Error> {
    let unreadable = |_| Error::Corrupt("an order that this version cannot read".to_owned());
    let body = serde_json::to_string(order).map_err(unreadable)?;
    let until = match order {
        Order::Revoke(revocation) => seconds(revocation.until),
        _ => None::<i64>.into(),
    };
    let sql = "INSERT INTO feed_orders (seq, ordered_unix_s, body, until_unix_s) \
               VALUES ($1, $2, $3, $4)";
    let values = vec![number(seq), seconds(now), body.into(), until];
    change(within, sql, values).await.map(drop)
}

async fn extent(db: &impl ConnectionTrait) -> Result<Option<Extent>, Error> {
    let sql = "SELECT id, head, folded FROM feed";
    let row = db.query_one_raw(statement(sql, vec![])).await;
    row.map_err(engine)?.as_ref().map(read_extent).transpose()
}

fn read_extent(row: &QueryResult) -> Result<Extent, Error> {
    let row = of(row, "feed");
    Ok(Extent {
        id: row.parsed("id", FeedId::parse)?,
        head: row.number("head")?,
        folded: row.number("folded")?,
    })
}

fn entry(row: &QueryResult) -> Result<Entry, Error> {
    let row = of(row, "feed_orders");
    // As a page has it.
    let seq = row.number("seq")?;
    let read = |body: &str| {
        let mut order: serde_json::Map<_, _> = serde_json::from_str(body)?;
        order.insert("seq".to_owned(), seq.into());
        serde_json::from_value(order.into())
    };
    row.parsed("body", read)
}

fn revocations(entries: Vec<Entry>) -> Vec<Revocation> {
    let revoked = |entry: Entry| match entry.order {
        Order::Revoke(revocation) => Some(revocation),
        _ => None,
    };
    entries.into_iter().filter_map(revoked).collect()
}

const fn of<'a>(row: &'a QueryResult, table: &'static str) -> Row<'a> {
    Row { row, table }
}

fn not_begun() -> Error {
    Error::Corrupt("the feed has not begun".to_owned())
}

/// An instant as a number of the feed; zero, which makes no number, where a clock is that far off.
fn millis(now: UnixSeconds) -> u64 {
    let millis = now.0.checked_mul(1000);
    millis.filter(|millis| *millis < MAX_SEQ / 2).unwrap_or(0)
}

/// A number beyond all milliseconds of this second: nodes that follow no feed number their orders so themselves.
fn beginning(now: UnixSeconds) -> u64 {
    millis(now.plus(1)).max(1)
}

/// Orders of a page: the longest have some 2 KiB each, and a page has 4 MiB.
const PAGE: u64 = 1000;

/// The bytes of a gap's revocations, which leaves room for orders in its page.
const GAP_BYTES: u64 = 1 << 20;
