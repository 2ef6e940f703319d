//! Texts in the catalogue's database, shared by every instance.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::{
    Catalog, encodings, keys,
    videos::{self, Event, Video},
    words,
};
use contracts::asset::Asset;
use contracts::id::{Generation, VideoId};
use runtime::clock::Clock;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use store::Digest;

use super::{Change, Language, Text, Texts};
use crate::{Error, replaced, schema::statement};

/// The memory of texts in the table `ingest_texts`.
pub(crate) struct Sql {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
}

impl Sql {
    pub(crate) const fn new(catalog: Catalog, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, clock }
    }
}

#[async_trait]
impl Texts for Sql {
    async fn list(&self, video: &VideoId) -> Result<Vec<Text>, Error> {
        list(self.catalog.connection(), video).await
    }

    /// `SQLite` has one writer at a time: whoever changes a film keeps those waiting who change
    /// others, for as long as writing some small files takes. A server keeps those waiting only
    /// who change the same film's texts.
    async fn change(&self, video: &VideoId) -> Result<Box<dyn Change>, Error> {
        let name = format!("texts/{video}");
        Ok(Box::new(Held {
            video: video.clone(),
            clock: Arc::clone(&self.clock),
            within: self.catalog.begin_alone(&name).await?,
        }))
    }
}

/// The right to change a film's texts: a transaction that has it from its start.
struct Held {
    video: VideoId,
    clock: Arc<dyn Clock>,
    within: DatabaseTransaction,
}

#[async_trait]
impl Change for Held {
    async fn film(&mut self) -> Result<Option<Video>, Error> {
        Ok(videos::sql::find(&self.within, &self.video).await?)
    }

    async fn list(&mut self) -> Result<Vec<Text>, Error> {
        list(&self.within, &self.video).await
    }

    async fn put(&mut self, text: &Text) -> Result<bool, Error> {
        let had = self.remove(&text.language).await?;
        let sql =
            "INSERT INTO ingest_texts (video, language, label, sha256) VALUES ($1, $2, $3, $4)";
        let values = vec![
            self.video.as_str().into(),
            text.language.tag().into(),
            text.label.as_deref().map(words).into(),
            text.sha256.map(|digest| digest.to_string()).into(),
        ];
        self.within.execute_raw(statement(sql, values)).await?;
        Ok(had)
    }

    async fn remove(&mut self, language: &Language) -> Result<bool, Error> {
        let sql = "DELETE FROM ingest_texts WHERE video = $1 AND language = $2";
        let values = vec![self.video.as_str().into(), language.tag().into()];
        let changed = self.within.execute_raw(statement(sql, values)).await?;
        Ok(changed.rows_affected() == 1)
    }

    async fn advance(&mut self, event: Event) -> Result<bool, Error> {
        let now = self.clock.now();
        match videos::sql::advance(&self.within, &self.video, event, now).await {
            Ok(_) => Ok(true),
            Err(catalog::Error::NoVideo(_) | catalog::Error::Refused { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn replace(&mut self, generation: Generation) -> Result<(), Error> {
        let now = self.clock.now();
        replaced::sql::replace(&self.within, (&self.video, generation), now).await
    }

    async fn publish(&mut self, asset: &Asset) -> Result<(), Error> {
        Ok(encodings::sql::put(&self.within, asset).await?)
    }

    async fn forget_keys(&mut self) -> Result<(), Error> {
        Ok(keys::sql::forget(&self.within, &self.video).await?)
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        Ok(self.within.commit().await?)
    }
}

async fn list(db: &impl ConnectionTrait, video: &VideoId) -> Result<Vec<Text>, Error> {
    let sql = "SELECT language, label, sha256 FROM ingest_texts WHERE video = $1 ORDER BY language";
    let values = vec![video.as_str().into()];
    let rows = db.query_all_raw(statement(sql, values)).await?;
    rows.iter().map(text).collect()
}

fn text(row: &QueryResult) -> Result<Text, Error> {
    let corrupt = |column| Error::Corrupt {
        table: "ingest_texts",
        column,
    };
    let language = row.try_get::<String>("", "language")?;
    let sha256 = row.try_get::<Option<String>>("", "sha256")?;
    let sha256 = sha256.map(|hex| Digest::from_hex(&hex).ok_or_else(|| corrupt("sha256")));
    Ok(Text {
        language: Language::parse(&language).ok_or_else(|| corrupt("language"))?,
        label: row.try_get("", "label")?,
        sha256: sha256.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use runtime::clock::System;

    use super::*;
    use crate::{
        schema::tests::{on_both, open},
        texts::conformance,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn the_memory_keeps_the_promises_of_texts_between_processes_on_both_engines() {
        on_both(async |address| {
            let one = Arc::new(Sql::new(open(address).await, Arc::new(System)));
            let other = Arc::new(Sql::new(open(address).await, Arc::new(System)));
            conformance::all(one, other).await;
        })
        .await;
    }
}
