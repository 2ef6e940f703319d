//! Texts in the embedded database: `SQLite`, shared by every process of one machine.

use async_trait::async_trait;
use catalog::{
    Catalog,
    videos::{self, Video},
};
use contracts::id::VideoId;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use store::Digest;

use super::{Change, Language, Text, Texts};
use crate::{Error, schema::statement};

/// The memory of texts in the table `ingest_texts`.
pub(crate) struct Embedded {
    catalog: Catalog,
}

impl Embedded {
    pub(crate) const fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }
}

#[async_trait]
impl Texts for Embedded {
    async fn list(&self, video: &VideoId) -> Result<Vec<Text>, Error> {
        list(self.catalog.connection(), video).await
    }

    /// `SQLite` has one writer at a time: whoever changes a film keeps those waiting who change
    /// others, for as long as writing some small files takes.
    async fn change(&self, video: &VideoId) -> Result<Box<dyn Change>, Error> {
        Ok(Box::new(Held {
            video: video.clone(),
            within: self.catalog.begin().await?,
        }))
    }
}

/// The right to write: a transaction that has it from its start.
struct Held {
    video: VideoId,
    within: DatabaseTransaction,
}

#[async_trait]
impl Change for Held {
    async fn film(&mut self) -> Result<Option<Video>, Error> {
        Ok(videos::embedded::find(&self.within, &self.video).await?)
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
            text.label.clone().into(),
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
    use std::sync::Arc;

    use runtime::clock::System;

    use super::*;
    use crate::{schema::Migrations, texts::conformance};

    #[tokio::test(flavor = "multi_thread")]
    async fn the_embedded_memory_keeps_the_promises_of_texts_between_processes() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
        let open = async || {
            let catalog = catalog::open(&address, Arc::new(System)).await.unwrap();
            catalog.migrate::<Migrations>().await.unwrap();
            Arc::new(Embedded::new(catalog))
        };
        conformance::all(open().await, open().await).await;
    }
}
