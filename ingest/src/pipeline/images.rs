//! A film's images: its poster, the sheets of small pictures, and the stills.

use std::path::{Path, PathBuf};

use contracts::asset::{Asset, Still, StillSize};
use store::{Key, layout};

use super::{Failure, PROBE_TIME, Pipeline, Room, encoding, film::Film, generation, missing};
use crate::{
    Error,
    jobs::Job,
    media::{
        child::Limits,
        still::{self, Sheets},
        stills,
    },
};

impl Pipeline {
    pub(super) async fn poster(&self, film: &Film, room: &Room) -> Result<PathBuf, Failure> {
        let file = room.folder().join("poster.jpg");
        let (ffmpeg, limits) = (&self.tools.ffmpeg, self.glance());
        still::poster(ffmpeg, &film.largest.0, film.seen, &file, limits)
            .await
            .map_err(encoding)?;
        Ok(file)
    }

    pub(super) async fn sheets(&self, film: &Film, room: &Room) -> Result<Sheets, Failure> {
        let (mezzanine, layout) = &film.smallest;
        let (ffmpeg, limits) = (&self.tools.ffmpeg, self.tools.limits);
        layout
            .make(ffmpeg, mezzanine, room.folder(), limits)
            .await
            .map_err(encoding)
    }

    pub(super) async fn keep_sheets(&self, sheets: &Sheets, job: &Job) -> Result<(), Error> {
        let generation = generation(job);
        for (number, file) in (1..).zip(&sheets.files) {
            let key = layout::sheet(&job.video, generation, number);
            self.store.put_file(&key, file).await?;
        }
        Ok(())
    }

    pub(super) async fn keep_poster(&self, poster: &Path, job: &Job) -> Result<(), Error> {
        let key = layout::poster(&job.video);
        Ok(self.store.put_file(&key, poster).await?)
    }

    /// Makes a film's stills.
    pub(super) async fn stills(&self, film: &Film, room: &Room) -> Result<Vec<Still>, Failure> {
        let (mezzanine, moments) = &film.largest;
        let (ffmpeg, folder) = (&self.tools.ffmpeg, room.folder());
        let made = moments.make(ffmpeg, mezzanine, folder, self.glance()).await;
        made.map_err(encoding)
    }

    pub(super) async fn keep_stills(
        &self,
        stills: &[Still],
        room: &Room,
        job: &Job,
    ) -> Result<(), Error> {
        for which @ (number, size) in all(stills) {
            let key = layout::still(&job.video, generation(job), which);
            let file = stills::file(room.folder(), number, size);
            self.store.put_file(&key, &file).await?;
        }
        Ok(())
    }

    /// Sees that a generation has stills. Those that are shown already stay as they are: their addresses do not
    /// tell of which generation they are.
    pub(super) async fn take_stills(
        &self,
        film: &Film,
        room: &Room,
        job: &Job,
    ) -> Result<Vec<Still>, Failure> {
        let shown = self.publishing.published(&job.video).await?;
        if let Some(shown) = shown.filter(|shown| !shown.stills.is_empty())
            && self.copy_stills(&shown, job).await?
        {
            return Ok(shown.stills);
        }
        let made = self.stills(film, room).await?;
        self.keep_stills(&made, room, job).await?;
        Ok(made)
    }

    /// Copies all images of what is published.
    pub(super) async fn copy_images(&self, shown: &Asset, job: &Job) -> Result<(), Failure> {
        let sheets = shown.thumbs.iter().flat_map(|thumbs| &thumbs.sheet_bytes);
        for (number, _) in (1..).zip(sheets) {
            let sheet = |of| layout::sheet(&job.video, of, number);
            let (from, to) = (sheet(shown.generation), sheet(generation(job)));
            if !self.copy(&from, &to).await? {
                return Err(missing(&from));
            }
        }
        if !self.copy_stills(shown, job).await? {
            return Err(missing(&layout::generation(&job.video, shown.generation)));
        }
        Ok(())
    }

    /// Copies the stills of what is published; `false` where they are not all there.
    async fn copy_stills(&self, shown: &Asset, job: &Job) -> Result<bool, Error> {
        for which in all(&shown.stills) {
            let still = |of| layout::still(&job.video, of, which);
            let (from, to) = (still(shown.generation), still(generation(job)));
            if !self.copy(&from, &to).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<bool, Error> {
        let Some(image) = self.store.read(from).await? else {
            return Ok(false);
        };
        self.store.put(to, image).await?;
        Ok(true)
    }

    /// What a child may take that makes one image.
    const fn glance(&self) -> Limits {
        Limits {
            time: PROBE_TIME,
            ..self.tools.limits
        }
    }
}

fn all(stills: &[Still]) -> impl Iterator<Item = (u32, StillSize)> {
    let sizes = |number| StillSize::ALL.map(|size| (number, size));
    (1..).zip(stills).flat_map(move |(number, _)| sizes(number))
}
