//! Films in the catalogue's database.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::asset::Privacy;
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use runtime::clock::Clock;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, IntoCondition, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};

use super::{Event, NewVideo, State, Video, Videos};
use crate::error::Error;
use crate::events::{self, Kind};
use crate::open::{begin, engine};
use crate::words;

mod rows {
    //! The table's shape.
    #![expect(unreachable_pub, reason = "the derive makes public items")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "videos")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub title: String,
        pub privacy: String,
        pub protected: bool,
        pub state: String,
        pub progress: i32,
        pub failure: Option<String>,
        pub duration_ms: Option<i64>,
        pub created_unix_s: i64,
        pub updated_unix_s: i64,
        pub erased_unix_s: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use rows::{Column, Entity};

/// How often a change is tried again when another came between reading and writing.
const TRIES: u32 = 16;

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
    clock: Arc<dyn Clock>,
}

impl Sql {
    pub(crate) fn new(db: DatabaseConnection, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// Films in a state of which something else holds, those that changed first before the others.
    async fn oldest(
        &self,
        state: State,
        also: impl IntoCondition,
        limit: u32,
    ) -> Result<Vec<Video>, Error> {
        let rows = Entity::find()
            .filter(Column::State.eq(state.as_str()))
            .filter(also)
            .order_by_asc(Column::UpdatedUnixS)
            .order_by_asc(Column::Id)
            .limit(u64::from(limit))
            .all(&self.db)
            .await
            .map_err(engine)?;
        rows.into_iter().map(video).collect()
    }
}

#[async_trait]
impl Videos for Sql {
    async fn create(&self, new: NewVideo) -> Result<Video, Error> {
        create(&self.db, new, self.clock.now()).await
    }

    async fn find(&self, id: &VideoId) -> Result<Option<Video>, Error> {
        find(&self.db, id).await
    }

    async fn list(&self, after: Option<&VideoId>, limit: u32) -> Result<Vec<Video>, Error> {
        // As `Video::is_playable` says.
        let playable = Condition::any()
            .add(Column::State.eq(State::Ready.as_str()))
            .add(
                Condition::all()
                    .add(Column::State.eq(State::Processing.as_str()))
                    .add(Column::DurationMs.is_not_null()),
            );
        let mut query = Entity::find()
            .filter(playable)
            .filter(Column::Privacy.eq(Privacy::Public.as_str()));
        if let Some(after) = after {
            // Only a film that could have been listed is a mark.
            let listed = |video: &Video| video.is_playable() && video.privacy == Privacy::Public;
            let Some(mark) = self.find(after).await?.filter(listed) else {
                return Ok(Vec::new());
            };
            let created = seconds(mark.created);
            query = query.filter(
                Condition::any().add(Column::CreatedUnixS.lt(created)).add(
                    Condition::all()
                        .add(Column::CreatedUnixS.eq(created))
                        .add(Column::Id.lt(after.as_str())),
                ),
            );
        }
        let rows = query
            .order_by_desc(Column::CreatedUnixS)
            .order_by_desc(Column::Id)
            .limit(u64::from(limit))
            .all(&self.db)
            .await
            .map_err(engine)?;
        rows.into_iter().map(video).collect()
    }

    async fn advance(&self, id: &VideoId, event: Event) -> Result<Video, Error> {
        let within = begin(&self.db).await?;
        let moved = advance(&within, id, event, self.clock.now()).await?;
        within.commit().await.map_err(engine)?;
        Ok(moved)
    }

    async fn progress(&self, id: &VideoId, percent: u8) -> Result<(), Error> {
        Entity::update_many()
            .col_expr(Column::Progress, Expr::value(i32::from(percent.min(99))))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::State.eq(State::Processing.as_str()))
            .filter(Column::Progress.lt(i32::from(percent.min(99))))
            .exec(&self.db)
            .await
            .map(drop)
            .map_err(engine)
    }

    async fn waits(&self, id: &VideoId, reason: Option<&str>) -> Result<(), Error> {
        Entity::update_many()
            .col_expr(Column::Failure, Expr::value(reason.map(words)))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::State.eq(State::Processing.as_str()))
            .exec(&self.db)
            .await
            .map(drop)
            .map_err(engine)
    }

    async fn deleted(&self, limit: u32) -> Result<Vec<Video>, Error> {
        let still = Column::ErasedUnixS.is_null();
        self.oldest(State::Deleted, still, limit).await
    }

    async fn unfit(&self, limit: u32) -> Result<Vec<Video>, Error> {
        let shown = Column::DurationMs.is_not_null();
        self.oldest(State::Failed, shown, limit).await
    }

    async fn taken_back(&self, id: &VideoId) -> Result<(), Error> {
        Entity::update_many()
            .col_expr(Column::DurationMs, Expr::value(None::<i64>))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::State.eq(State::Failed.as_str()))
            .exec(&self.db)
            .await
            .map(drop)
            .map_err(engine)
    }

    async fn erased(&self, id: &VideoId) -> Result<(), Error> {
        let now = Some(seconds(self.clock.now()));
        Entity::update_many()
            .col_expr(Column::ErasedUnixS, Expr::value(now))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::State.eq(State::Deleted.as_str()))
            .exec(&self.db)
            .await
            .map(drop)
            .map_err(engine)
    }

    async fn count(&self) -> Result<Vec<(State, u64)>, Error> {
        let mut counts = Vec::new();
        for state in State::ALL {
            let query = Entity::find().filter(Column::State.eq(state.as_str()));
            let count = query.count(&self.db).await.map_err(engine)?;
            if count > 0 {
                counts.push((state, count));
            }
        }
        Ok(counts)
    }
}

/// [`Videos::create`] on a connection or within the caller's transaction.
///
/// # Errors
/// As [`Videos::create`].
pub async fn create(
    db: &impl ConnectionTrait,
    new: NewVideo,
    now: UnixSeconds,
) -> Result<Video, Error> {
    let title = words(&new.title);
    let row = rows::ActiveModel {
        id: Set(new.id.to_string()),
        title: Set(title.clone()),
        privacy: Set(new.privacy.as_str().to_owned()),
        protected: Set(new.protected),
        state: Set(State::Uploading.as_str().to_owned()),
        progress: Set(0),
        failure: Set(None),
        duration_ms: Set(None),
        created_unix_s: Set(seconds(now)),
        updated_unix_s: Set(seconds(now)),
        erased_unix_s: Set(None),
    };
    // A conflict that is an error would end a server's transaction.
    let first_wins = OnConflict::new().do_nothing().to_owned();
    let made = Entity::insert(row)
        .on_conflict(first_wins)
        .exec_without_returning(db)
        .await
        .map_err(engine)?;
    if made == 0 {
        return Err(Error::Exists {
            what: format!("video {}", new.id),
        });
    }
    Ok(Video {
        id: new.id,
        title,
        privacy: new.privacy,
        protected: new.protected,
        state: State::Uploading,
        progress: 0,
        failure: None,
        duration_ms: None,
        created: now,
        updated: now,
    })
}

/// [`Videos::advance`] within the caller's transaction: so a room can move a film on and queue what
/// follows in one step. What is told of it is written in the same.
///
/// # Errors
/// As [`Videos::advance`].
pub async fn advance(
    db: &impl ConnectionTrait,
    id: &VideoId,
    event: Event,
    now: UnixSeconds,
) -> Result<Video, Error> {
    for _ in 0..TRIES {
        let Some(before) = find(db, id).await? else {
            return Err(Error::NoVideo(id.clone()));
        };
        let refused = Error::Refused {
            video: id.clone(),
            state: before.state,
        };
        let Ok(next) = before.state.next(&event) else {
            return Err(refused);
        };
        let is_news = match event {
            Event::Playable { .. } => before.duration_ms.is_none(),
            Event::Left { .. } => before.failure.is_none(),
            Event::Published { .. } => before.failure.is_some(),
            _ => false,
        };
        if next == before.state && !is_news {
            return Ok(before);
        }
        let fits = match event {
            Event::Left { .. } => before.is_playable(),
            Event::Retried => before.is_unmade() && !before.is_unfit(),
            _ => true,
        };
        if !fits {
            return Err(refused);
        }
        let after = moved(before.clone(), next, &event, now);
        let mut change = Entity::update_many();
        if after.progress != before.progress {
            // Else what a worker notes meanwhile would be undone.
            change = change.col_expr(Column::Progress, Expr::value(i32::from(after.progress)));
        }
        let changed = change
            .col_expr(Column::State, Expr::value(after.state.as_str()))
            .col_expr(Column::Failure, Expr::value(after.failure.clone()))
            .col_expr(
                Column::DurationMs,
                Expr::value(after.duration_ms.map(bounded)),
            )
            .col_expr(Column::UpdatedUnixS, Expr::value(seconds(now)))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::State.eq(before.state.as_str()))
            .exec(db)
            .await
            .map_err(engine)?;
        if changed.rows_affected == 1 {
            if let Some(kind) = Kind::of(after.state).filter(|_| is_told(&event, before.state)) {
                events::sql::write(db, kind, &after, now).await?;
            }
            return Ok(after);
        }
    }
    Err(engine("another writer came between every time"))
}

/// Whether others are told of an event. That a film is ready they are told once, whatever it comes to have besides.
fn is_told(event: &Event, before: State) -> bool {
    match event {
        Event::Playable { .. } | Event::Failed { .. } => true,
        Event::Published { .. } | Event::Left { .. } => before != State::Ready,
        Event::Uploaded | Event::Retried | Event::Deleted => false,
    }
}

fn moved(before: Video, next: State, event: &Event, now: UnixSeconds) -> Video {
    let stays = before.is_playable();
    let mut after = Video {
        state: next,
        updated: now,
        ..before
    };
    match event {
        Event::Uploaded => after.progress = 0,
        Event::Retried => {
            after.progress = 0;
            // What was left of it can be watched meanwhile; nothing can of one that failed.
            after.duration_ms = after.duration_ms.filter(|_| stays);
            after.failure = None;
        }
        Event::Deleted => {}
        Event::Playable { duration_ms } => {
            after.duration_ms = Some(*duration_ms);
            after.failure = None;
        }
        Event::Left { reason } => {
            after.progress = 100;
            after.failure = Some(words(reason));
        }
        Event::Published { duration_ms } => {
            after.progress = 100;
            after.duration_ms = Some(*duration_ms);
            // What it may have waited for.
            after.failure = None;
        }
        Event::Failed { reason } => after.failure = Some(words(reason)),
    }
    after
}

/// [`Videos::find`] on a connection or within the caller's transaction.
///
/// # Errors
/// As [`Videos::find`].
pub async fn find(db: &impl ConnectionTrait, id: &VideoId) -> Result<Option<Video>, Error> {
    let row = Entity::find_by_id(id.as_str())
        .one(db)
        .await
        .map_err(engine)?;
    row.map(video).transpose()
}

fn video(row: rows::Model) -> Result<Video, Error> {
    let corrupt = || Error::Corrupt(format!("the row of video {:?}", row.id));
    Ok(Video {
        id: VideoId::parse(&row.id).map_err(|_| corrupt())?,
        privacy: privacy(&row.privacy).ok_or_else(corrupt)?,
        protected: row.protected,
        state: State::parse(&row.state).ok_or_else(corrupt)?,
        progress: u8::try_from(row.progress).map_err(|_| corrupt())?,
        duration_ms: row
            .duration_ms
            .map(u64::try_from)
            .transpose()
            .map_err(|_| corrupt())?,
        created: UnixSeconds(u64::try_from(row.created_unix_s).map_err(|_| corrupt())?),
        updated: UnixSeconds(u64::try_from(row.updated_unix_s).map_err(|_| corrupt())?),
        title: row.title,
        failure: row.failure,
    })
}

fn privacy(word: &str) -> Option<Privacy> {
    [Privacy::Public, Privacy::Unlisted, Privacy::Private]
        .into_iter()
        .find(|privacy| privacy.as_str() == word)
}

fn seconds(instant: UnixSeconds) -> i64 {
    bounded(instant.0)
}

fn bounded(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
