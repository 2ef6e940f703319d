//! Sealed content keys in the catalogue's database.

use async_trait::async_trait;
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseConnection, EntityTrait};

use super::Keys;
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
        sealed: &[u8],
        now: UnixSeconds,
    ) -> Result<Vec<u8>, Error> {
        let row = ActiveModel {
            video: Set(video.to_string()),
            sealed: Set(sealed.to_vec()),
            created_unix_s: Set(i64::try_from(now.0).unwrap_or(i64::MAX)),
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

    async fn find(&self, video: &VideoId) -> Result<Option<Vec<u8>>, Error> {
        let row = Entity::find_by_id(video.as_str()).one(&self.db).await;
        Ok(row.map_err(engine)?.map(|row| row.sealed))
    }

    async fn forget(&self, video: &VideoId) -> Result<(), Error> {
        let gone = Entity::delete_by_id(video.as_str()).exec(&self.db).await;
        gone.map(drop).map_err(engine)
    }
}
