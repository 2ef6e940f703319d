//! What is published of a film, and how it changes: `asset.json` is written by whoever holds the
//! right to change the film, from what is remembered then.
//!
//! Invariants:
//! - no two write at once, so that neither a publish nor a text undoes another text;
//! - a text that is named has a file, and the digest that is told is that of the file;
//! - a text that is put before its film is published is published with it;
//! - a film that will not be has no texts;
//! - files are read and hashed before the right to write is taken, not while others wait for it; but
//!   one that is not what was put, which a failure leaves behind.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use catalog::videos::{Event, State};
use contracts::{
    asset::{Asset, Kind, Rendition},
    id::{Generation, VideoId},
};
use store::{Digest, Store, layout};

use super::{Change, Language, Text, Texts};
use crate::{Error, replaced::Replacements};

/// Publishes films and their texts, and clears up after films that will not be.
#[derive(Clone)]
pub(crate) struct Publishing {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) texts: Arc<dyn Texts>,
    pub(crate) replacements: Arc<dyn Replacements>,
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is the film's first of its language.
    New,
    /// It is there in place of another.
    Replaced,
    /// The film has too many already; nothing was stored.
    TooMany,
    /// The film will not be, so that nothing was stored.
    Unwanted,
}

/// What lay in the store of a film's texts: each text as it was remembered then, with the digest of
/// its file, if that was there.
type Seen = Vec<(Text, Option<Digest>)>;

impl Publishing {
    /// Writes the one file that makes a film exist, with the texts that are there, and says that it is
    /// ready. `false` when a later generation, or this one, exists already: who lost the job without
    /// knowing it must not put an earlier one in its place. Nor is a film revealed that is not in this
    /// state, *processing* or, for what it is to have besides, *ready*: it was deleted or given up, or
    /// another attempt has published it.
    pub(crate) async fn reveal(&self, asset: Asset, state: State) -> Result<bool, Error> {
        let seen = self.look(&asset.video).await?;
        loop {
            let there = self.current(&asset.video).await?;
            if there.is_some_and(|there| there >= asset.generation) {
                return Ok(false);
            }
            if let Some(there) = there {
                // Before it is: who dies in between leaves nothing that nobody removes.
                self.replacements.note(&asset.video, there).await?;
            }
            let mut change = self.texts.change(&asset.video).await?;
            if !is(&mut *change, state).await? {
                return Ok(false);
            }
            if self.current(&asset.video).await? != there {
                // Another was published meanwhile.
                continue;
            }
            if let Some(there) = there {
                // Whatever became of the note meanwhile.
                change.replace(there).await?;
            }
            let duration_ms = asset.duration_ms;
            let ready = Event::Published { duration_ms };
            return self.finish(asset, ready, change, &seen).await;
        }
    }

    /// The generation that is published of a film; that of an unreadable description is not known.
    pub(crate) async fn current(&self, video: &VideoId) -> Result<Option<Generation>, Error> {
        let there = self.published(video).await?;
        Ok(there.map(|there| there.generation))
    }

    /// What is published of a film; `None` where it is unreadable.
    pub(crate) async fn published(&self, video: &VideoId) -> Result<Option<Asset>, Error> {
        match self.read(video).await {
            Err(Error::Unreadable { video }) => {
                tracing::error!(video.id = %video, "asset.json of {video} is unreadable; it is to be replaced");
                Ok(None)
            }
            read => read,
        }
    }

    /// Says of a film that it is ready whose `asset.json` was written by who then died, and tells of which
    /// generation it is. `None` when there is none, it does not name all of the film, or that is in another
    /// state.
    pub(crate) async fn conclude(
        &self,
        video: &VideoId,
        state: State,
    ) -> Result<Option<Generation>, Error> {
        let is_whole = |asset: &Asset| asset.thumbs.is_some();
        if !self.published(video).await?.is_some_and(|of| is_whole(&of)) {
            return Ok(None);
        }
        let seen = self.look(video).await?;
        let mut change = self.texts.change(video).await?;
        if !is(&mut *change, state).await? {
            return Ok(None);
        }
        let Some(asset) = self.published(video).await?.filter(is_whole) else {
            return Ok(None);
        };
        let (generation, duration_ms) = (asset.generation, asset.duration_ms);
        let ready = Event::Published { duration_ms };
        let ready = self.finish(asset, ready, change, &seen).await?;
        Ok(ready.then_some(generation))
    }

    /// Shows what of a film can be watched while the rest is made, and says so. `false` when another
    /// generation is published, or the film is not being processed. Again, it changes nothing.
    pub(crate) async fn show(&self, asset: Asset) -> Result<bool, Error> {
        let seen = self.look(&asset.video).await?;
        let mut change = self.texts.change(&asset.video).await?;
        let there = self.current(&asset.video).await?;
        let is_other = there.is_some_and(|there| there != asset.generation);
        if is_other || !is(&mut *change, State::Processing).await? {
            return Ok(false);
        }
        let duration_ms = asset.duration_ms;
        let playable = Event::Playable { duration_ms };
        self.finish(asset, playable, change, &seen).await
    }

    /// Publishes a film in one commit. The file is there before it counts: should it not come to count,
    /// [`conclude`](Self::conclude) finds it.
    async fn finish(
        &self,
        mut asset: Asset,
        event: Event,
        mut change: Box<dyn Change>,
        seen: &Seen,
    ) -> Result<bool, Error> {
        // First, so that nobody else moves the film on meanwhile.
        if !change.advance(event).await? {
            return Ok(false);
        }
        self.write(&mut asset, &mut *change, seen).await?;
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
        let mut seen = self.look(video).await?;
        // Its file is about to change.
        seen.retain(|(seen, _)| seen.language != text.language);
        let mut change = self.texts.change(video).await?;
        // Whoever gives the film up says so first, and removes its texts then: either those who do
        // so find this one, or this one finds that they were here.
        if is_over(&mut *change).await? {
            return Ok(Stored::Unwanted);
        }
        let had = change.put(text).await?;
        if !had && change.list().await?.len() > MOST_TEXTS {
            return Ok(Stored::TooMany);
        }
        let key = layout::subtitles(video, text.language.rendition());
        self.store.put(&key, file).await?;
        self.rewrite(video, &mut *change, &seen).await?;
        change.commit().await?;
        Ok(if had { Stored::Replaced } else { Stored::New })
    }

    /// Stores a text that a film brought along, unless the film has one of its language already: what
    /// a publisher put is not replaced by what was found. `false` when it was not taken.
    pub(crate) async fn offer(
        &self,
        video: &VideoId,
        text: &Text,
        file: Bytes,
    ) -> Result<bool, Error> {
        let mut change = self.texts.change(video).await?;
        let over = is_over(&mut *change).await?;
        let texts = change.list().await?;
        let has = texts.iter().any(|there| there.language == text.language);
        if has || texts.len() >= MOST_TEXTS || over {
            return Ok(false);
        }
        change.put(text).await?;
        let key = layout::subtitles(video, text.language.rendition());
        self.store.put(&key, file).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Removes a text. `false` when there is none.
    pub(crate) async fn remove(&self, video: &VideoId, language: &Language) -> Result<bool, Error> {
        let seen = self.look(video).await?;
        let mut change = self.texts.change(video).await?;
        if !change.remove(language).await? {
            return Ok(false);
        }
        self.rewrite(video, &mut *change, &seen).await?;
        // A row whose file is gone names nothing, should this not be committed.
        let key = layout::subtitles(video, language.rendition());
        self.store.delete(&key).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Removes the pieces of a film at which nobody works any more.
    pub(crate) async fn sweep(&self, video: &VideoId) -> Result<(), Error> {
        Ok(self.store.delete_prefix(&layout::pieces(video)).await?)
    }

    /// Removes what was made of a film that will not be. Its texts and keys stay, for it may be tried
    /// once more. Nothing, of a film that may be.
    pub(crate) async fn unmake(&self, video: &VideoId) -> Result<(), Error> {
        // Whether it answers at all is learnt while nobody waits.
        store::look(&*self.store).await?;
        let mut change = self.texts.change(video).await?;
        if !is_over(&mut *change).await? {
            return Ok(());
        }
        soon(self.store.delete(&layout::asset(video))).await?;
        drop(change);
        self.remove_made(video).await
    }

    async fn remove_made(&self, video: &VideoId) -> Result<(), Error> {
        for made in [
            layout::pieces(video),
            layout::encoded(video),
            layout::thumbnails(video),
        ] {
            self.store.delete_prefix(&made).await?;
        }
        Ok(())
    }

    /// Removes all that was made of a film that will not be, every text of it, and the keys that were drawn
    /// for it. Its original stays. Nothing, of a film that may be.
    pub(crate) async fn forget(&self, video: &VideoId) -> Result<(), Error> {
        store::look(&*self.store).await?;
        let mut change = self.texts.change(video).await?;
        if !is_over(&mut *change).await? {
            return Ok(());
        }
        for text in change.list().await? {
            change.remove(&text.language).await?;
        }
        // Not later: those of a film that is tried once more are others.
        change.forget_keys().await?;
        soon(async {
            self.store.delete(&layout::asset(video)).await?;
            let texts = layout::all_subtitles(video);
            self.store.delete_prefix(&texts).await
        })
        .await?;
        change.commit().await?;
        self.remove_made(video).await
    }

    /// Removes all that is kept of a film that was deleted, first the file that makes it exist.
    pub(crate) async fn erase(&self, video: &VideoId) -> Result<(), Error> {
        self.forget(video).await?;
        Ok(self.store.delete_prefix(&layout::originals(video)).await?)
    }

    /// Lists a film's texts.
    pub(crate) async fn list(&self, video: &VideoId) -> Result<Vec<Text>, Error> {
        self.texts.list(video).await
    }

    /// Reads the files of a film's texts, one at a time.
    async fn look(&self, video: &VideoId) -> Result<Seen, Error> {
        let mut seen = Vec::new();
        for text in self.texts.list(video).await? {
            let file = self.digest(video, &text).await?;
            seen.push((text, file));
        }
        Ok(seen)
    }

    async fn digest(&self, video: &VideoId, text: &Text) -> Result<Option<Digest>, Error> {
        let key = layout::subtitles(video, text.language.rendition());
        let file = self.store.read(&key).await?;
        Ok(file.map(|file| Digest::of(&file)))
    }

    /// The digest of the file of a text as it is remembered now.
    async fn digest_now(
        &self,
        video: &VideoId,
        text: &Text,
        seen: &Seen,
    ) -> Result<Option<Digest>, Error> {
        let before = seen.iter().find(|(seen, _)| seen == text);
        match (before, text.sha256) {
            // Put since files were looked at: its file was written before it could be found here.
            (None, Some(own)) => Ok(Some(own)),
            (Some((_, file)), own) if own.is_none() || *file == own => Ok(*file),
            // Who put it failed half way, or others came and went meanwhile: only the file tells.
            _ => self.digest(video, text).await,
        }
    }

    async fn rewrite(
        &self,
        video: &VideoId,
        change: &mut dyn Change,
        seen: &Seen,
    ) -> Result<(), Error> {
        match self.read(video).await? {
            Some(mut asset) => self.write(&mut asset, change, seen).await,
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
    async fn write(
        &self,
        asset: &mut Asset,
        change: &mut dyn Change,
        seen: &Seen,
    ) -> Result<(), Error> {
        asset
            .renditions
            .retain(|rendition| rendition.kind != Kind::Text);
        for text in change.list().await? {
            let id = text.language.rendition();
            let Some(sha256) = self.digest_now(&asset.video, &text, seen).await? else {
                tracing::error!(video.id = %asset.video, rendition = %id, "the file of {id} is gone");
                continue;
            };
            asset.renditions.push(Rendition {
                language: Some(text.language.tag().to_owned()),
                label: text.label,
                sha256: Some(sha256.to_string()),
                ..Rendition::new(id.clone(), Kind::Text)
            });
        }
        // It counts with the change: should that fail once the file is there, the next one tells it anew.
        change.publish(asset).await?;
        let json = serde_json::to_vec_pretty(asset)
            .map_err(|fault| Error::Tool(format!("asset.json cannot be written: {fault}")))?;
        let key = layout::asset(&asset.video);
        Ok(self.store.put(&key, json.into()).await?)
    }
}

/// Removes something from the store with the right to change its film, and so soon that nobody who waits for
/// theirs gives up; otherwise it is tried again. What a store does late then takes nothing that it should not:
/// the film is over.
async fn soon(work: impl Future<Output = Result<(), store::Error>>) -> Result<(), Error> {
    let late = || Error::Lacks("the store is too slow to remove a film now".to_owned());
    let done = tokio::time::timeout(HELD, work).await;
    Ok(done.map_err(|_| late())??)
}

/// Whether a film is in this state.
async fn is(change: &mut dyn Change, state: State) -> Result<bool, Error> {
    let film = change.film().await?;
    Ok(film.is_some_and(|film| film.state == state))
}

/// Whether a film will not be.
async fn is_over(change: &mut dyn Change) -> Result<bool, Error> {
    let film = change.film().await?;
    Ok(film.is_none_or(|film| matches!(film.state, State::Failed | State::Deleted)))
}

/// Texts of one film, at most: before every change all are read.
const MOST_TEXTS: usize = 64;

/// For how long a film's right is held at most while the store removes something: others wait up to 10 s for the one
/// writer that `SQLite` has.
const HELD: Duration = Duration::from_secs(4);
