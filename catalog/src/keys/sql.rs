//! Sealed content keys in the catalogue's database.

use async_trait::async_trait;
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, EntityTrait,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};

use super::{Keys, Sealed};
use crate::error::Error;
use crate::open::engine;

mod rows {
    //! The table's shape.
    #![expect(unreachable_pub, reason = "the derive makes public items")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "content_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub video: String,
        pub sealed: Vec<u8>,
        pub created_unix_s: i64,
        pub sealed_by: Option<String>,
        pub due_unix_s: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use rows::{ActiveModel, Column, Entity};

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
impl Keys for Sql {
    async fn keep(
        &self,
        video: &VideoId,
        sealed: &Sealed,
        now: UnixSeconds,
    ) -> Result<Sealed, Error> {
        let row = ActiveModel {
            video: Set(video.to_string()),
            sealed: Set(sealed.bytes.clone()),
            created_unix_s: Set(held(now)),
            sealed_by: Set(sealed.by.clone()),
            due_unix_s: Set(sealed.due.map(held)),
        };
        let first_wins = OnConflict::column(Column::Video).do_nothing().to_owned();
        Entity::insert(row)
            .on_conflict(first_wins)
            .exec_without_returning(&self.db)
            .await
            .map_err(engine)?;
        let kept = self.find(video).await?;
        kept.ok_or_else(|| Error::Corrupt(format!("the keys of {video} are gone again")))
    }

    async fn find(&self, video: &VideoId) -> Result<Option<Sealed>, Error> {
        let row = Entity::find_by_id(video.as_str()).one(&self.db).await;
        Ok(row.map_err(engine)?.map(|row| Sealed {
            bytes: row.sealed,
            by: row.sealed_by,
            due: row
                .due_unix_s
                .map(|due| UnixSeconds(u64::try_from(due).unwrap_or(0))),
        }))
    }

    async fn replace(&self, video: &VideoId, found: &[u8], sealed: &Sealed) -> Result<bool, Error> {
        let row = ActiveModel {
            sealed: Set(sealed.bytes.clone()),
            sealed_by: Set(sealed.by.clone()),
            due_unix_s: Set(sealed.due.map(held)),
            ..Default::default()
        };
        let replaced = Entity::update_many()
            .set(row)
            .filter(Column::Video.eq(video.as_str()))
            .filter(Column::Sealed.eq(found))
            .exec(&self.db)
            .await;
        Ok(replaced.map_err(engine)?.rows_affected > 0)
    }

    async fn sealed_otherwise(
        &self,
        by: &str,
        after: Option<&VideoId>,
        limit: u32,
    ) -> Result<Vec<VideoId>, Error> {
        let otherwise = Condition::any()
            .add(Column::SealedBy.ne(by))
            .add(Column::SealedBy.is_null());
        let mut films = Entity::find().filter(otherwise);
        if let Some(after) = after {
            films = films.filter(Column::Video.gt(after.as_str()));
        }
        self.films(films.order_by_asc(Column::Video), limit).await
    }

    async fn due(&self, now: UnixSeconds, limit: u32) -> Result<Vec<VideoId>, Error> {
        let films = Entity::find().filter(Column::DueUnixS.lte(held(now)));
        self.films(films.order_by_asc(Column::DueUnixS), limit)
            .await
    }

    async fn forget(&self, video: &VideoId) -> Result<(), Error> {
        forget(&self.db, video).await
    }
}

/// [`Keys::forget`] on a connection or within the caller's transaction.
///
/// # Errors
/// As [`Keys::forget`].
pub async fn forget(db: &impl ConnectionTrait, video: &VideoId) -> Result<(), Error> {
    let gone = Entity::delete_by_id(video.as_str()).exec(db).await;
    gone.map(drop).map_err(engine)
}

impl Sql {
    async fn films(&self, rows: Select<Entity>, limit: u32) -> Result<Vec<VideoId>, Error> {
        let names = rows.select_only().column(Column::Video);
        let names = names.limit(u64::from(limit)).into_tuple::<String>();
        let names = names.all(&self.db).await.map_err(engine)?;
        let film = |name: String| {
            let wrong = |_| Error::Corrupt("video of a row of content_keys".to_owned());
            VideoId::parse(&name).map_err(wrong)
        };
        names.into_iter().map(film).collect()
    }
}

/// An instant as the table holds it.
fn held(instant: UnixSeconds) -> i64 {
    i64::try_from(instant.0).unwrap_or(i64::MAX)
}
