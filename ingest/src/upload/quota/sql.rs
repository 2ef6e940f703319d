//! Quotas in the catalogue's database, beside the uploads that they count.

use async_trait::async_trait;
use contracts::id::UserId;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};

use super::{Claim, Over, Own, Quota, Quotas, Usage};
use crate::{
    Error,
    schema::{integer, natural, statement},
};

/// The quotas in the table `ingest_quotas`.
#[derive(Clone)]
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Quotas for Sql {
    async fn usage(&self, owner: &UserId) -> Result<Usage, Error> {
        usage(&self.db, owner).await
    }

    async fn own(&self, owner: &UserId) -> Result<Own, Error> {
        own(&self.db, owner).await
    }

    async fn set(&self, owner: &UserId, own: Own) -> Result<(), Error> {
        let sql = "INSERT INTO ingest_quotas (owner, max_bytes, max_uploads, max_films) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (owner) DO UPDATE SET \
                   max_bytes = excluded.max_bytes, max_uploads = excluded.max_uploads, \
                   max_films = excluded.max_films";
        let values = vec![
            owner.as_str().into(),
            own.bytes.map(integer).into(),
            own.uploads.map(integer).into(),
            own.films.map(integer).into(),
        ];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }
}

/// Whether an upload of this owner may begin, in the transaction that begins it: until it ends, nobody else begins one
/// of the same owner.
pub(crate) async fn admit(
    transaction: &impl ConnectionTrait,
    owner: Option<&UserId>,
    claim: Claim,
    site: Quota,
) -> Result<Result<(), Over>, Error> {
    let Some(owner) = owner else {
        return Ok(Ok(()));
    };
    let sql = "INSERT INTO ingest_quotas (owner) VALUES ($1) \
               ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner";
    let values = vec![owner.as_str().into()];
    transaction.execute_raw(statement(sql, values)).await?;
    let quota = own(transaction, owner).await?.within(site);
    if quota == Quota::default() {
        return Ok(Ok(()));
    }
    let usage = usage(transaction, owner).await?;
    Ok(quota.admit(usage, claim))
}

async fn own(db: &impl ConnectionTrait, owner: &UserId) -> Result<Own, Error> {
    let sql = "SELECT max_bytes, max_uploads, max_films FROM ingest_quotas WHERE owner = $1";
    let values = vec![owner.as_str().into()];
    let Some(row) = db.query_one_raw(statement(sql, values)).await? else {
        return Ok(Own::default());
    };
    let number = |column: &str| row.try_get::<Option<i64>>("", column);
    Ok(Own {
        bytes: number("max_bytes")?.map(natural),
        uploads: number("max_uploads")?.map(natural),
        films: number("max_films")?.map(natural),
    })
}

/// A part that has become a film's counts as that film.
async fn usage(db: &impl ConnectionTrait, owner: &UserId) -> Result<Usage, Error> {
    let sql = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes, \
               CAST(COALESCE(SUM(CASE WHEN state = 'receiving' THEN 1 ELSE 0 END), 0) AS BIGINT) AS uploads, \
               CAST(COALESCE(SUM(CASE WHEN kind = 'partial' THEN 0 ELSE 1 END), 0) AS BIGINT) AS films \
               FROM ingest_uploads LEFT JOIN ingest_streams ON upload = id \
               WHERE owner = $1 AND became IS NULL";
    let values = vec![owner.as_str().into()];
    let row = db.query_one_raw(statement(sql, values)).await?;
    let number = |row: &QueryResult, column| row.try_get::<i64>("", column).map(natural);
    row.map_or(Ok(Usage::default()), |row| {
        Ok(Usage {
            bytes: number(&row, "bytes")?,
            uploads: number(&row, "uploads")?,
            films: number(&row, "films")?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::Sql;
    use crate::{
        schema::tests::{on_both, open},
        upload::{
            quota::{Quota, conformance},
            sql::Sql as Uploads,
            streams::sql::Sql as Streams,
        },
    };

    #[tokio::test]
    async fn the_memory_keeps_the_promises_of_quotas_on_both_engines() {
        on_both(async |address| {
            let db = open(address).await.connection().clone();
            let site = Quota {
                bytes: Some(1000),
                uploads: Some(4),
                films: Some(6),
            };
            let uploads = Uploads::new(db.clone()).within(site);
            let streams = Streams::new(db.clone()).within(site);
            conformance::all(&Sql::new(db), &uploads, &streams).await;
        })
        .await;
    }
}
