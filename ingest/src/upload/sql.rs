//! Uploads in the catalogue's database, shared by every instance.

use async_trait::async_trait;
use catalog::{
    videos::{self, Event},
    words,
};
use contracts::{
    id::{UploadId, UserId, VideoId},
    time::UnixSeconds,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, TransactionTrait};
use store::{Digest, Key};

use super::{
    Chunk, Claim, State, Upload, Uploads, Way,
    quota::{self, Over, Quota},
};
use crate::{
    Error,
    jobs::{self, NewJob},
    schema::{integer, natural, on_server, statement},
};

/// The memory of uploads in the tables `ingest_uploads` and `ingest_chunks`.
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

    /// Keeps an upload's state as the statement found it until the statement is done.
    fn held(&self) -> &'static str {
        on_server(&self.db, " FOR SHARE")
    }
}

#[async_trait]
impl Uploads for Sql {
    async fn create(&self, upload: &Upload) -> Result<Result<(), Over>, Error> {
        let transaction = self.db.begin().await?;
        let claim = quota::Claim {
            bytes: upload.size_bytes,
            films: 1,
        };
        let owner = upload.owner.as_ref();
        let admitted = quota::sql::admit(&transaction, owner, claim, self.site).await?;
        if let Err(over) = admitted {
            transaction.rollback().await?;
            return Ok(Err(over));
        }
        insert(&transaction, upload).await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    async fn find(&self, id: &UploadId) -> Result<Option<Upload>, Error> {
        let sql = "SELECT * FROM ingest_uploads WHERE id = $1 AND state <> 'abandoned'";
        let values = vec![id.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        row.map(|row| upload(&row)).transpose()
    }

    async fn chunk(&self, id: &UploadId, index: u32) -> Result<Option<Chunk>, Error> {
        let sql =
            "SELECT place, sha256, stored FROM ingest_chunks WHERE upload = $1 AND place = $2";
        let values = vec![id.as_str().into(), index.into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        row.map(|row| chunk(&row)).transpose()
    }

    async fn chunks(&self, id: &UploadId) -> Result<Vec<Chunk>, Error> {
        let sql =
            "SELECT place, sha256, stored FROM ingest_chunks WHERE upload = $1 ORDER BY place";
        let rows = self
            .db
            .query_all_raw(statement(sql, vec![id.as_str().into()]))
            .await?;
        rows.iter().map(chunk).collect()
    }

    async fn claim(&self, id: &UploadId, index: u32, sha256: &Digest) -> Result<Claim, Error> {
        // The update changes nothing of a claim for the same bytes, yet counts as a row.
        let sql = format!(
            "INSERT INTO ingest_chunks (upload, place, sha256, stored) \
             SELECT id, $2, $3, FALSE FROM ingest_uploads \
             WHERE id = $1 AND state = 'receiving'{} \
             ON CONFLICT (upload, place) DO UPDATE SET stored = ingest_chunks.stored \
             WHERE ingest_chunks.sha256 = excluded.sha256",
            self.held()
        );
        let values = vec![id.as_str().into(), index.into(), sha256.to_string().into()];
        let changed = self.db.execute_raw(statement(sql, values)).await?;
        if changed.rows_affected() == 1 {
            return Ok(Claim::Granted);
        }
        Ok(match self.find(id).await? {
            Some(upload) if upload.state == State::Receiving => Claim::Taken,
            _ => Claim::Closed,
        })
    }

    async fn stored(&self, id: &UploadId, index: u32) -> Result<bool, Error> {
        let sql = format!(
            "UPDATE ingest_chunks SET stored = TRUE WHERE upload = $1 AND place = $2 \
             AND EXISTS (SELECT 1 FROM ingest_uploads WHERE id = $1 AND state = 'receiving'{})",
            self.held()
        );
        let values = vec![id.as_str().into(), index.into()];
        let changed = self.db.execute_raw(statement(sql, values)).await?;
        Ok(changed.rows_affected() == 1)
    }

    async fn forget(&self, id: &UploadId, index: u32) -> Result<(), Error> {
        let sql = format!(
            "DELETE FROM ingest_chunks WHERE upload = $1 AND place = $2 \
             AND EXISTS (SELECT 1 FROM ingest_uploads WHERE id = $1 AND state = 'receiving'{})",
            self.held()
        );
        let transaction = self.db.begin().await?;
        // First: who holds the row for reading and then changes it waits for whoever does the same.
        let changed = "UPDATE ingest_uploads SET made_sha256 = NULL WHERE id = $1";
        let values = vec![id.as_str().into()];
        transaction.execute_raw(statement(changed, values)).await?;
        let values = vec![id.as_str().into(), index.into()];
        transaction.execute_raw(statement(sql, values)).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn complete(&self, id: &UploadId, whole: &Digest, job: &NewJob) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        let sql = "UPDATE ingest_uploads SET state = 'complete', sha256 = $2 \
                   WHERE id = $1 AND state = 'receiving'";
        let values = vec![id.as_str().into(), whole.to_string().into()];
        let changed = transaction.execute_raw(statement(sql, values)).await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        leave(&transaction, id).await?;
        jobs::sql::add(&transaction, job).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn keep(&self, id: &UploadId, now: UnixSeconds, until: UnixSeconds) -> Result<(), Error> {
        let sql = "UPDATE ingest_uploads SET expires_unix_s = $3 \
                   WHERE id = $1 AND state = 'receiving' AND expires_unix_s > $2 AND expires_unix_s < $3";
        let values = vec![
            id.as_str().into(),
            integer(now.0).into(),
            integer(until.0).into(),
        ];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }

    async fn makes(&self, id: &UploadId, chunks: u32, whole: &Digest) -> Result<(), Error> {
        let sql = "UPDATE ingest_uploads SET made_sha256 = $3 WHERE id = $1 \
                   AND (SELECT COUNT(*) FROM ingest_chunks WHERE upload = $1 AND stored) = $2";
        let values = vec![id.as_str().into(), chunks.into(), whole.to_string().into()];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }

    async fn made(&self, id: &UploadId) -> Result<Option<Digest>, Error> {
        let sql = "SELECT made_sha256 FROM ingest_uploads WHERE id = $1";
        let values = vec![id.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        row.map_or(Ok(None), |row| digest(&row, "made_sha256"))
    }

    async fn give_up(
        &self,
        upload: &Upload,
        reason: &str,
        now: UnixSeconds,
    ) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        let sql =
            "UPDATE ingest_uploads SET state = 'abandoned' WHERE id = $1 AND state = 'receiving'";
        let values = vec![upload.id.as_str().into()];
        let changed = transaction.execute_raw(statement(sql, values)).await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        // Looked at once the row is held: whoever puts it together with others changes that first.
        if is_part(&transaction, &upload.id).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        free(&transaction, &upload.id).await?;
        let reason = words(reason);
        match videos::sql::advance(&transaction, &upload.video, Event::Failed { reason }, now).await
        {
            // One that was deleted stays so; parts of a film have none.
            Ok(_) | Err(catalog::Error::NoVideo(_) | catalog::Error::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn expired(&self, now: UnixSeconds, limit: u32) -> Result<Vec<Upload>, Error> {
        let sql = format!(
            "SELECT * FROM ingest_uploads \
             WHERE (state = 'receiving' AND expires_unix_s <= $1{LACKING}) OR state = 'abandoned' \
             ORDER BY expires_unix_s, id LIMIT $2"
        );
        let values = vec![integer(now.0).into(), limit.into()];
        let rows = self.db.query_all_raw(statement(&sql, values)).await?;
        rows.iter().map(upload).collect()
    }

    async fn leftovers(&self, limit: u32) -> Result<Vec<UploadId>, Error> {
        let sql = "SELECT upload FROM ingest_leftovers ORDER BY upload LIMIT $1";
        let rows = statement(sql, vec![limit.into()]);
        let rows = self.db.query_all_raw(rows).await?;
        let corrupt = |_| Error::Corrupt {
            table: "ingest_leftovers",
            column: "upload",
        };
        let id = |row: &QueryResult| {
            UploadId::parse(&row.try_get::<String>("", "upload")?).map_err(corrupt)
        };
        rows.iter().map(id).collect()
    }

    async fn cleared(&self, id: &UploadId) -> Result<(), Error> {
        let sql = "DELETE FROM ingest_leftovers WHERE upload = $1";
        let values = vec![id.as_str().into()];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }

    async fn go_direct(&self, id: &UploadId, name: &str) -> Result<(), Error> {
        let sql = "INSERT INTO ingest_directs (upload, name) VALUES ($1, $2)";
        let values = vec![id.as_str().into(), name.into()];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }

    async fn direct(&self, id: &UploadId) -> Result<Option<String>, Error> {
        let sql = "SELECT name FROM ingest_directs WHERE upload = $1";
        let values = vec![id.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        Ok(row.map(|row| row.try_get("", "name")).transpose()?)
    }

    async fn remove(&self, id: &UploadId) -> Result<bool, Error> {
        let sql = "DELETE FROM ingest_uploads WHERE id = $1 AND state <> 'complete'";
        let values = vec![id.as_str().into()];
        let changed = self.db.execute_raw(statement(sql, values)).await?;
        Ok(changed.rows_affected() == 1)
    }

    async fn of(&self, video: &VideoId) -> Result<Option<Upload>, Error> {
        let sql = "SELECT * FROM ingest_uploads WHERE video = $1";
        let values = vec![video.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        row.map(|row| upload(&row)).transpose()
    }

    async fn release(&self, video: &VideoId) -> Result<Option<UploadId>, Error> {
        let transaction = self.db.begin().await?;
        let sql = "DELETE FROM ingest_uploads WHERE video = $1 RETURNING id, state";
        let values = vec![video.as_str().into()];
        let Some(row) = transaction.query_one_raw(statement(sql, values)).await? else {
            return Ok(None);
        };
        let id = UploadId::parse(&row.try_get::<String>("", "id")?);
        let id = id.map_err(|_| Error::Corrupt {
            table: "ingest_uploads",
            column: "id",
        })?;
        if row.try_get::<String>("", "state")? != State::Complete.as_str() {
            free(&transaction, &id).await?;
        }
        leave(&transaction, &id).await?;
        transaction.commit().await?;
        Ok(Some(id))
    }
}

/// Has the parts of what comes to nothing be parts again, which count, and can be removed or put together anew.
async fn free(db: &impl ConnectionTrait, id: &UploadId) -> Result<(), Error> {
    let sql = "UPDATE ingest_streams SET became = NULL WHERE became = $1";
    let values = vec![id.as_str().into()];
    db.execute_raw(statement(sql, values)).await?;
    Ok(())
}

/// Whether an upload is a part of another that still receives, which has its bytes.
async fn is_part(db: &impl ConnectionTrait, id: &UploadId) -> Result<bool, Error> {
    let sql = "SELECT 1 AS one FROM ingest_streams AS part \
               JOIN ingest_uploads AS whole ON whole.id = part.became \
               WHERE part.upload = $1 AND whole.state = 'receiving'";
    let values = vec![id.as_str().into()];
    Ok(db.query_one_raw(statement(sql, values)).await?.is_some())
}

/// Remembers that the parts of an upload are to be removed.
async fn leave(db: &impl ConnectionTrait, id: &UploadId) -> Result<(), Error> {
    let sql = "INSERT INTO ingest_leftovers (upload) VALUES ($1) ON CONFLICT DO NOTHING";
    let values = vec![id.as_str().into()];
    db.execute_raw(statement(sql, values)).await?;
    Ok(())
}

/// Of what has arrived whole nobody sends anything more: it only waits to be joined, and what it is put together of does.
const LACKING: &str = " AND NOT EXISTS (SELECT 1 FROM ingest_streams AS own \
    WHERE own.upload = ingest_uploads.id AND own.kind <> 'partial' \
    AND own.arrived_bytes = ingest_uploads.size_bytes) \
    AND NOT EXISTS (SELECT 1 FROM ingest_streams AS part JOIN ingest_uploads AS whole ON whole.id = part.became \
    WHERE part.upload = ingest_uploads.id AND whole.state = 'receiving')";

/// Writes a new upload down.
pub(crate) async fn insert(db: &impl ConnectionTrait, upload: &Upload) -> Result<(), Error> {
    let sql = "INSERT INTO ingest_uploads (id, video, original, size_bytes, chunk_size_bytes, \
               sha256, state, expires_unix_s, way, owner, token_sha256) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let values = vec![
        upload.id.as_str().into(),
        upload.video.as_str().into(),
        upload.original.as_str().into(),
        integer(upload.size_bytes).into(),
        integer(upload.chunk_size_bytes).into(),
        upload.sha256.map(|digest| digest.to_string()).into(),
        upload.state.as_str().into(),
        integer(upload.expires.0).into(),
        upload.way.as_str().into(),
        upload.owner.as_ref().map_or("", UserId::as_str).into(),
        upload.token.map(|digest| digest.to_string()).into(),
    ];
    db.execute_raw(statement(sql, values)).await?;
    Ok(())
}

/// Reads an upload from a row that has all columns of `ingest_uploads`.
pub(crate) fn upload(row: &QueryResult) -> Result<Upload, Error> {
    let text = |column: &str| row.try_get::<String>("", column);
    let number = |column: &str| row.try_get::<i64>("", column).map(natural);
    let corrupt = |column: &'static str| Error::Corrupt {
        table: "ingest_uploads",
        column,
    };
    let owner = Some(text("owner")?).filter(|owner| !owner.is_empty());
    let owner = owner.map(|owner| UserId::parse(&owner)).transpose();
    Ok(Upload {
        id: UploadId::parse(&text("id")?).map_err(|_| corrupt("id"))?,
        way: match text("way")?.as_str() {
            "chunks" => Way::Chunks,
            "stream" => Way::Stream,
            _ => return Err(corrupt("way")),
        },
        owner: owner.map_err(|_| corrupt("owner"))?,
        video: VideoId::parse(&text("video")?).map_err(|_| corrupt("video"))?,
        original: Key::parse(&text("original")?).map_err(|_| corrupt("original"))?,
        size_bytes: number("size_bytes")?,
        chunk_size_bytes: number("chunk_size_bytes")?,
        sha256: digest(row, "sha256")?,
        state: match text("state")?.as_str() {
            "receiving" => State::Receiving,
            "complete" => State::Complete,
            "abandoned" => State::Abandoned,
            _ => return Err(corrupt("state")),
        },
        expires: UnixSeconds(number("expires_unix_s")?),
        token: digest(row, "token_sha256")?,
    })
}

/// Reads a digest from a column that may have none.
fn digest(row: &QueryResult, column: &'static str) -> Result<Option<Digest>, Error> {
    let corrupt = || Error::Corrupt {
        table: "ingest_uploads",
        column,
    };
    let hex = row.try_get::<Option<String>>("", column)?;
    hex.map(|hex| Digest::from_hex(&hex).ok_or_else(corrupt))
        .transpose()
}

fn chunk(row: &QueryResult) -> Result<Chunk, Error> {
    let corrupt = |column: &'static str| Error::Corrupt {
        table: "ingest_chunks",
        column,
    };
    Ok(Chunk {
        index: u32::try_from(row.try_get::<i64>("", "place")?).map_err(|_| corrupt("place"))?,
        sha256: Digest::from_hex(&row.try_get::<String>("", "sha256")?)
            .ok_or_else(|| corrupt("sha256"))?,
        stored: row.try_get("", "stored")?,
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        jobs::sql::Sql as Jobs,
        schema::tests::{on_both, open},
        upload::conformance,
    };

    use super::Sql;

    #[tokio::test]
    async fn the_memory_keeps_the_promises_of_uploads_on_both_engines() {
        on_both(async |address| {
            let db = open(address).await.connection().clone();
            conformance::all(&Sql::new(db.clone()), &Jobs::new(db)).await;
        })
        .await;
    }
}
