//! Uploads whose bytes come in order, in the catalogue's database.

use async_trait::async_trait;
use catalog::{channels, videos};
use contracts::{id::UploadId, time::UnixSeconds};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, TransactionTrait, Value};
use store::Key;

use super::{Concatenated, Kind, Piece, Running, Stream, Streams};
use crate::{
    Error,
    schema::{integer, natural, on_server, statement},
    upload::{
        NewFilm,
        quota::{self, Over, Quota},
        sql::{insert, upload},
    },
};

/// The memory of such uploads in the tables `ingest_streams` and `ingest_pieces`, beside `ingest_uploads`.
#[derive(Clone)]
pub(crate) struct Sql {
    db: DatabaseConnection,
    site: Quota,
}

impl Sql {
    pub(crate) fn new(db: DatabaseConnection) -> Self {
        let site = Quota::default();
        Self { db, site }
    }

    /// The same where owners have this quota, unless they have one of their own.
    pub(crate) fn within(self, site: Quota) -> Self {
        Self { site, ..self }
    }

    /// Whether an upload may begin beside what its owner has.
    async fn admit(
        &self,
        transaction: &impl ConnectionTrait,
        stream: &Stream,
    ) -> Result<Result<(), Over>, Error> {
        let claim = quota::Claim {
            bytes: stream.upload.size_bytes,
            films: u64::from(stream.kind != Kind::Partial),
        };
        let owner = stream.upload.owner.as_ref();
        quota::sql::admit(transaction, owner, claim, self.site).await
    }

    async fn ids(&self, sql: &str, values: Vec<Value>) -> Result<Vec<UploadId>, Error> {
        let rows = self.db.query_all_raw(statement(sql, values)).await?;
        let id = |row: &QueryResult| parsed(&row.try_get::<String>("", "upload")?, "upload");
        rows.iter().map(id).collect()
    }

    /// Why parts cannot be put together: what the first one became, when all became that.
    async fn unready(&self, whole: &Stream, part: &UploadId) -> Result<Concatenated, Error> {
        let became = self.find(part).await?.and_then(|part| part.became);
        if let Some(became) = became {
            let before = self.find(&became).await?;
            let same =
                |before: &Stream| before.parts == whole.parts && before.metadata == whole.metadata;
            if before.as_ref().is_some_and(same) {
                return Ok(Concatenated::Before(became));
            }
        }
        Ok(Concatenated::Unready(part.clone()))
    }
}

#[async_trait]
impl Streams for Sql {
    async fn create(&self, stream: &Stream, now: UnixSeconds) -> Result<Result<(), Over>, Error> {
        let transaction = self.db.begin().await?;
        if let Err(over) = self.admit(&transaction, stream).await? {
            transaction.rollback().await?;
            return Ok(Err(over));
        }
        enter(&transaction, stream, now).await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    async fn find(&self, id: &UploadId) -> Result<Option<Stream>, Error> {
        let sql = "SELECT * FROM ingest_uploads JOIN ingest_streams ON upload = id \
                   WHERE id = $1 AND state <> 'abandoned'";
        let values = vec![id.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        row.map(|row| stream(&row)).transpose()
    }

    async fn pieces(&self, id: &UploadId) -> Result<Vec<Piece>, Error> {
        let sql = "SELECT * FROM ingest_pieces WHERE upload = $1 ORDER BY start_bytes";
        let values = vec![id.as_str().into()];
        let rows = self.db.query_all_raw(statement(sql, values)).await?;
        rows.iter().map(piece).collect()
    }

    async fn last(&self, id: &UploadId) -> Result<Option<Piece>, Error> {
        let sql = "SELECT * FROM ingest_pieces WHERE upload = $1 ORDER BY start_bytes DESC LIMIT 1";
        let values = vec![id.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        row.map(|row| piece(&row)).transpose()
    }

    async fn append(
        &self,
        id: &UploadId,
        from: u64,
        pieces: &[Piece],
        running: &Running,
        now: UnixSeconds,
    ) -> Result<bool, Error> {
        let end = pieces.last().map_or(from, Piece::end_bytes);
        let transaction = self.db.begin().await?;
        let sql = format!(
            "UPDATE ingest_streams SET arrived_bytes = $3, hasher = $4, touched_unix_s = $5 \
             WHERE upload = $1 AND arrived_bytes = $2 AND kind <> 'final' AND EXISTS \
             (SELECT 1 FROM ingest_uploads WHERE id = $1 AND state = 'receiving'{})",
            on_server(&self.db, " FOR SHARE")
        );
        let values = vec![
            id.as_str().into(),
            integer(from).into(),
            integer(end).into(),
            running.set_down().into(),
            integer(now.0).into(),
        ];
        let changed = transaction.execute_raw(statement(sql, values)).await?;
        if changed.rows_affected() != 1 {
            return Ok(false);
        }
        for piece in pieces {
            let sql = "INSERT INTO ingest_pieces (upload, start_bytes, size_bytes, object) \
                       VALUES ($1, $2, $3, $4) ON CONFLICT (upload, start_bytes) \
                       DO UPDATE SET size_bytes = excluded.size_bytes, object = excluded.object";
            let values = vec![
                id.as_str().into(),
                integer(piece.start_bytes).into(),
                integer(piece.size_bytes).into(),
                piece.object.as_str().into(),
            ];
            transaction.execute_raw(statement(sql, values)).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn concatenate(
        &self,
        whole: &Stream,
        film: &NewFilm,
        now: UnixSeconds,
    ) -> Result<Concatenated, Error> {
        let transaction = self.db.begin().await?;
        // In one order for all who do so at once.
        let mut parts: Vec<&UploadId> = whole.parts.iter().collect();
        parts.sort_by_key(|part| part.as_str());
        for part in parts {
            if !become_part(&transaction, part, whole).await? {
                transaction.rollback().await?;
                return self.unready(whole, part).await;
            }
        }
        // The parts count as the whole from here on.
        if let Err(over) = self.admit(&transaction, whole).await? {
            transaction.rollback().await?;
            return Ok(Concatenated::Over(over));
        }
        enter(&transaction, whole, now).await?;
        announce(&transaction, film, now).await?;
        let mut start_bytes = 0;
        for part in &whole.parts {
            let sql = "INSERT INTO ingest_pieces (upload, start_bytes, size_bytes, object) \
                       SELECT $1, start_bytes + $2, size_bytes, object FROM ingest_pieces \
                       WHERE upload = $3";
            let values = vec![
                whole.upload.id.as_str().into(),
                integer(start_bytes).into(),
                part.as_str().into(),
            ];
            transaction.execute_raw(statement(sql, values)).await?;
            let sql = "SELECT arrived_bytes FROM ingest_streams WHERE upload = $1";
            let values = vec![part.as_str().into()];
            let row = transaction.query_one_raw(statement(sql, values)).await?;
            let arrived = row.map(|row| row.try_get("", "arrived_bytes").map(natural));
            start_bytes += arrived.transpose()?.unwrap_or(0);
        }
        if start_bytes != whole.upload.size_bytes {
            return Err(corrupt("arrived_bytes"));
        }
        transaction.commit().await?;
        Ok(Concatenated::Made)
    }

    async fn take_whole(
        &self,
        before: UnixSeconds,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<UploadId>, Error> {
        let sql = "SELECT upload FROM ingest_uploads JOIN ingest_streams ON upload = id \
                   WHERE state = 'receiving' AND kind <> 'partial' AND arrived_bytes = size_bytes \
                   AND touched_unix_s <= $1 ORDER BY touched_unix_s, id LIMIT $2";
        let values = vec![integer(before.0).into(), limit.into()];
        let mut taken = Vec::new();
        for id in self.ids(sql, values).await? {
            let sql = "UPDATE ingest_streams SET touched_unix_s = $3 \
                       WHERE upload = $1 AND touched_unix_s <= $2";
            let values = vec![
                id.as_str().into(),
                integer(before.0).into(),
                integer(now.0).into(),
            ];
            let changed = self.db.execute_raw(statement(sql, values)).await?;
            if changed.rows_affected() == 1 {
                taken.push(id);
            }
        }
        Ok(taken)
    }

    async fn touch(&self, id: &UploadId, now: UnixSeconds) -> Result<(), Error> {
        let sql = "UPDATE ingest_streams SET touched_unix_s = $2 WHERE upload = $1";
        let values = vec![id.as_str().into(), integer(now.0).into()];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }
}

/// Writes a new upload down.
async fn enter(db: &impl ConnectionTrait, stream: &Stream, now: UnixSeconds) -> Result<(), Error> {
    insert(db, &stream.upload).await?;
    let sql = "INSERT INTO ingest_streams (upload, kind, arrived_bytes, hasher, metadata, parts, \
               touched_unix_s) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let parts: Vec<&str> = stream.parts.iter().map(UploadId::as_str).collect();
    let values = vec![
        stream.upload.id.as_str().into(),
        stream.kind.as_str().into(),
        integer(stream.arrived_bytes).into(),
        stream.running.as_ref().map(Running::set_down).into(),
        stream.metadata.as_str().into(),
        parts.join(" ").into(),
        integer(now.0).into(),
    ];
    db.execute_raw(statement(sql, values)).await?;
    Ok(())
}

/// Enters a film into the catalogue.
async fn announce(
    db: &impl ConnectionTrait,
    film: &NewFilm,
    now: UnixSeconds,
) -> Result<(), Error> {
    let video = videos::sql::create(db, film.video.clone(), now).await?;
    if let Some(channel) = &film.channel {
        channels::sql::put(db, &video.id, None, Some(channel)).await?;
    }
    Ok(())
}

/// Has a partial upload that is whole become a part of a final one, as which it lasts.
async fn become_part(
    db: &impl ConnectionTrait,
    part: &UploadId,
    whole: &Stream,
) -> Result<bool, Error> {
    let sql = "UPDATE ingest_uploads SET expires_unix_s = $2 WHERE id = $1 AND state = 'receiving'";
    let lasts = integer(whole.upload.expires.0);
    let values = vec![part.as_str().into(), lasts.into()];
    if db
        .execute_raw(statement(sql, values))
        .await?
        .rows_affected()
        != 1
    {
        return Ok(false);
    }
    let sql = "UPDATE ingest_streams SET became = $2 WHERE upload = $1 AND kind = 'partial' \
               AND became IS NULL \
               AND arrived_bytes = (SELECT size_bytes FROM ingest_uploads WHERE id = $1)";
    let values = vec![part.as_str().into(), whole.upload.id.as_str().into()];
    let changed = db.execute_raw(statement(sql, values)).await?;
    Ok(changed.rows_affected() == 1)
}

fn stream(row: &QueryResult) -> Result<Stream, Error> {
    let text = |column: &str| row.try_get::<String>("", column);
    let maybe = |column: &str| row.try_get::<Option<String>>("", column);
    let running =
        maybe("hasher")?.map(|text| Running::take_up(&text).ok_or_else(|| corrupt("hasher")));
    let parts = text("parts")?;
    let parts = parts.split_ascii_whitespace().map(|id| parsed(id, "parts"));
    let became = maybe("became")?.map(|id| parsed(&id, "became"));
    Ok(Stream {
        upload: upload(row)?,
        kind: match text("kind")?.as_str() {
            "whole" => Kind::Whole,
            "partial" => Kind::Partial,
            "final" => Kind::Final,
            _ => return Err(corrupt("kind")),
        },
        arrived_bytes: natural(row.try_get("", "arrived_bytes")?),
        running: running.transpose()?,
        metadata: text("metadata")?,
        parts: parts.collect::<Result<_, _>>()?,
        became: became.transpose()?,
    })
}

fn piece(row: &QueryResult) -> Result<Piece, Error> {
    let object: String = row.try_get("", "object")?;
    Ok(Piece {
        start_bytes: natural(row.try_get("", "start_bytes")?),
        size_bytes: natural(row.try_get("", "size_bytes")?),
        object: Key::parse(&object).map_err(|_| Error::Corrupt {
            table: "ingest_pieces",
            column: "object",
        })?,
    })
}

fn parsed(id: &str, column: &'static str) -> Result<UploadId, Error> {
    UploadId::parse(id).map_err(|_| corrupt(column))
}

const fn corrupt(column: &'static str) -> Error {
    Error::Corrupt {
        table: "ingest_streams",
        column,
    }
}

#[cfg(test)]
mod tests {
    use super::Sql;
    use crate::{
        schema::tests::{on_both, open},
        upload::{sql::Sql as Uploads, streams::conformance},
    };

    #[tokio::test]
    async fn the_memory_keeps_the_promises_of_streams_on_both_engines() {
        on_both(async |address| {
            let db = open(address).await.connection().clone();
            conformance::all(&Sql::new(db.clone()), &Uploads::new(db)).await;
        })
        .await;
    }
}
