//! Playback sessions in the catalogue's database.

use async_trait::async_trait;
use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, PaginatorTrait as _, QueryFilter};

use super::{NewSession, Session, Sessions, Started};
use crate::error::Error;
use crate::open::engine;

mod rows {
    //! The table's shape.
    #![expect(unreachable_pub, reason = "the derive makes public items")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub video: String,
        pub started_unix_s: i64,
        pub expires_unix_s: i64,
        pub last_beat_unix_s: i64,
        pub stopped_unix_s: Option<i64>,
        pub position_ms: Option<i64>,
        pub idempotency_key: Option<String>,
        pub request_digest: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use rows::{Column, Entity};

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }

    /// The session that a key began, unless it has expired: then the key is set free.
    async fn begun_by(&self, key: &str, now: UnixSeconds) -> Result<Option<rows::Model>, Error> {
        Entity::update_many()
            .col_expr(Column::IdempotencyKey, Expr::value(None::<String>))
            .filter(Column::IdempotencyKey.eq(key))
            .filter(Column::ExpiresUnixS.lte(seconds(now)))
            .exec(&self.db)
            .await
            .map_err(engine)?;
        Entity::find()
            .filter(Column::IdempotencyKey.eq(key))
            .one(&self.db)
            .await
            .map_err(engine)
    }

    /// Writes the row; `false` when its id or its key is taken.
    async fn insert(&self, new: &NewSession) -> Result<bool, Error> {
        let repeat = new.repeat.as_ref();
        let row = rows::ActiveModel {
            id: Set(new.id.to_string()),
            video: Set(new.video.to_string()),
            started_unix_s: Set(seconds(new.started)),
            expires_unix_s: Set(seconds(new.expires)),
            last_beat_unix_s: Set(seconds(new.started)),
            stopped_unix_s: Set(None),
            position_ms: Set(new.position_ms.map(bounded)),
            idempotency_key: Set(repeat.map(|repeat| repeat.key.clone())),
            request_digest: Set(repeat.map(|repeat| repeat.digest.clone())),
        };
        let first_wins = OnConflict::new().do_nothing().to_owned();
        let made = Entity::insert(row)
            .on_conflict(first_wins)
            .exec_without_returning(&self.db)
            .await
            .map_err(engine)?;
        Ok(made == 1)
    }
}

#[async_trait]
impl Sessions for Sql {
    async fn start(&self, new: NewSession) -> Result<Started, Error> {
        if let Some(repeat) = &new.repeat
            && let Some(row) = self.begun_by(&repeat.key, new.started).await?
        {
            return repeated(row, &repeat.digest);
        }
        if self.insert(&new).await? {
            return Ok(Started::New(begun(new)));
        }
        // The unique key decided between two equal wishes; this is the one that came second.
        if let Some(repeat) = &new.repeat
            && let Some(row) = self.begun_by(&repeat.key, new.started).await?
        {
            return repeated(row, &repeat.digest);
        }
        Err(Error::Exists {
            what: format!("session {}", new.id),
        })
    }

    async fn find(&self, id: &SessionId) -> Result<Option<Session>, Error> {
        let row = Entity::find_by_id(id.as_str())
            .one(&self.db)
            .await
            .map_err(engine)?;
        row.map(session).transpose()
    }

    async fn beat(
        &self,
        id: &SessionId,
        position_ms: Option<u64>,
        now: UnixSeconds,
    ) -> Result<Option<Session>, Error> {
        let mut update = Entity::update_many()
            .col_expr(Column::LastBeatUnixS, Expr::value(seconds(now)))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::StoppedUnixS.is_null());
        if let Some(position) = position_ms {
            update = update.col_expr(Column::PositionMs, Expr::value(bounded(position)));
        }
        update.exec(&self.db).await.map_err(engine)?;
        self.find(id).await
    }

    async fn stop(&self, id: &SessionId, now: UnixSeconds) -> Result<bool, Error> {
        Entity::update_many()
            .col_expr(Column::StoppedUnixS, Expr::value(seconds(now)))
            .col_expr(Column::IdempotencyKey, Expr::value(None::<String>))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::StoppedUnixS.is_null())
            .exec(&self.db)
            .await
            .map_err(engine)?;
        Ok(self.find(id).await?.is_some())
    }

    async fn count(&self, now: UnixSeconds) -> Result<u64, Error> {
        Entity::find()
            .filter(Column::ExpiresUnixS.gt(seconds(now)))
            .filter(Column::StoppedUnixS.is_null())
            .count(&self.db)
            .await
            .map_err(engine)
    }

    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error> {
        Entity::delete_many()
            .filter(Column::ExpiresUnixS.lt(seconds(limit)))
            .exec(&self.db)
            .await
            .map(|deleted| deleted.rows_affected)
            .map_err(engine)
    }
}

fn begun(new: NewSession) -> Session {
    Session {
        id: new.id,
        video: new.video,
        started: new.started,
        expires: new.expires,
        last_beat: new.started,
        stopped: None,
        position_ms: new.position_ms,
    }
}

fn repeated(row: rows::Model, digest: &str) -> Result<Started, Error> {
    if row.request_digest.as_deref() == Some(digest) {
        session(row).map(Started::Same)
    } else {
        Ok(Started::Conflict)
    }
}

fn session(row: rows::Model) -> Result<Session, Error> {
    let corrupt = || Error::Corrupt(format!("the row of session {:?}", row.id));
    let instant = |value: i64| u64::try_from(value).map(UnixSeconds).map_err(|_| corrupt());
    Ok(Session {
        id: SessionId::parse(&row.id).map_err(|_| corrupt())?,
        video: VideoId::parse(&row.video).map_err(|_| corrupt())?,
        started: instant(row.started_unix_s)?,
        expires: instant(row.expires_unix_s)?,
        last_beat: instant(row.last_beat_unix_s)?,
        stopped: row.stopped_unix_s.map(instant).transpose()?,
        position_ms: row
            .position_ms
            .map(u64::try_from)
            .transpose()
            .map_err(|_| corrupt())?,
    })
}

fn seconds(instant: UnixSeconds) -> i64 {
    bounded(instant.0)
}

fn bounded(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
