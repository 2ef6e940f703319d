//! What is published of a film, and how it changes: `asset.json` is written by whoever holds the
//! right to change the film, from what is remembered then.
//!
//! Invariants:
//! - no two write at once, so that neither a publish nor a text undoes another text;
//! - a text that is named has a file, and the digest that is told is that of the file;
//! - a text that is put before its film is published is published with it.

use std::sync::Arc;

use bytes::Bytes;
use contracts::{
    asset::{Asset, Kind, Rendition},
    id::VideoId,
};
use store::{Digest, Store, layout};

use super::{Change, Language, Text, Texts};
use crate::Error;

/// Publishes films and their texts.
#[derive(Clone)]
pub(crate) struct Publishing {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) texts: Arc<dyn Texts>,
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is the film's first of its language.
    New,
    /// It is there in place of another.
    Replaced,
    /// The film has too many already.
    TooMany,
}

impl Publishing {
    /// Writes the one file that makes a film exist, with the texts that are there. `false` when a
    /// later generation, or this one, exists already: who lost the job without knowing it must not
    /// put an earlier one in its place.
    pub(crate) async fn reveal(&self, mut asset: Asset) -> Result<bool, Error> {
        let mut change = self.texts.change(&asset.video).await?;
        match self.read(&asset.video).await {
            Ok(Some(there)) if there.generation >= asset.generation => return Ok(false),
            Ok(_) => {}
            Err(Error::Unreadable { video }) => {
                tracing::error!(video.id = %video, "asset.json of {video} is unreadable; it is replaced");
            }
            Err(error) => return Err(error),
        }
        self.write(&mut asset, &mut *change).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Stores a text, and names it if the film is published.
    ///
    /// The file comes first: what fails in between leaves a file that nobody names, or names with
    /// the digest of the one before; putting it again mends both, as does any other change.
    pub(crate) async fn put(
        &self,
        video: &VideoId,
        text: &Text,
        file: Bytes,
    ) -> Result<Stored, Error> {
        let mut change = self.texts.change(video).await?;
        let had = change.put(text).await?;
        if !had && change.list().await?.len() > MOST_TEXTS {
            return Ok(Stored::TooMany);
        }
        let key = layout::subtitles(video, text.language.rendition());
        self.store.put(&key, file).await?;
        self.rewrite(video, &mut *change).await?;
        change.commit().await?;
        Ok(if had { Stored::Replaced } else { Stored::New })
    }

    /// Removes a text. `false` when there is none.
    pub(crate) async fn remove(&self, video: &VideoId, language: &Language) -> Result<bool, Error> {
        let mut change = self.texts.change(video).await?;
        if !change.remove(language).await? {
            return Ok(false);
        }
        self.rewrite(video, &mut *change).await?;
        // A row whose file is gone names nothing, should this not be committed.
        let key = layout::subtitles(video, language.rendition());
        self.store.delete(&key).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Removes every text of a film that will not be.
    pub(crate) async fn forget(&self, video: &VideoId) -> Result<(), Error> {
        let mut change = self.texts.change(video).await?;
        for text in change.list().await? {
            change.remove(&text.language).await?;
        }
        self.store
            .delete_prefix(&layout::all_subtitles(video))
            .await?;
        change.commit().await
    }

    /// Lists a film's texts.
    pub(crate) async fn list(&self, video: &VideoId) -> Result<Vec<Text>, Error> {
        self.texts.list(video).await
    }

    async fn rewrite(&self, video: &VideoId, change: &mut dyn Change) -> Result<(), Error> {
        match self.read(video).await? {
            Some(mut asset) => self.write(&mut asset, change).await,
            None => Ok(()),
        }
    }

    async fn read(&self, video: &VideoId) -> Result<Option<Asset>, Error> {
        let Some(bytes) = self.store.read(&layout::asset(video)).await? else {
            return Ok(None);
        };
        let asset = serde_json::from_slice(&bytes).map_err(|_| Error::Unreadable {
            video: video.clone(),
        })?;
        Ok(Some(asset))
    }

    /// Writes `asset.json` with the texts whose files are there.
    async fn write(&self, asset: &mut Asset, change: &mut dyn Change) -> Result<(), Error> {
        asset
            .renditions
            .retain(|rendition| rendition.kind != Kind::Text);
        for text in change.list().await? {
            let id = text.language.rendition();
            let file = self
                .store
                .read(&layout::subtitles(&asset.video, id))
                .await?;
            let Some(file) = file else {
                tracing::error!(video.id = %asset.video, rendition = %id, "the file of {id} is gone");
                continue;
            };
            asset.renditions.push(Rendition {
                language: Some(text.language.tag().to_owned()),
                label: text.label,
                sha256: Some(Digest::of(&file).to_string()),
                ..Rendition::new(id.clone(), Kind::Text)
            });
        }
        let json = serde_json::to_vec_pretty(asset)
            .map_err(|fault| Error::Tool(format!("asset.json cannot be written: {fault}")))?;
        let key = layout::asset(&asset.video);
        Ok(self.store.put(&key, json.into()).await?)
    }
}

/// Texts of one film, at most: every change reads them all.
const MOST_TEXTS: usize = 64;
