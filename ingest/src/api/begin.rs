//! What every upload begins with, whichever way its bytes come: a film that is admitted, and its names.

use catalog::videos::NewVideo;
use contracts::{
    asset::Privacy,
    id::{UploadId, VideoId},
};
use runtime::problem::Problem;
use store::{Digest, layout};

use super::{App, caller::Caller};
use crate::{
    Error,
    upload::{self, NewFilm, Plan, Refused, Request, State, Token, Upload, Way, abandon::abandon},
};

/// What a publisher says of a film.
pub(crate) struct Film {
    pub(crate) request: Request,
    /// The digest of the whole, as far as it is known.
    pub(crate) sha256: Option<Digest>,
    pub(crate) title: Option<String>,
    pub(crate) privacy: Privacy,
    pub(crate) protected: bool,
    /// The channel that it is for.
    pub(crate) channel: Option<String>,
}

/// An upload of a film, of which nobody knows yet.
pub(crate) struct Begun {
    /// To be remembered before the film is announced.
    pub(crate) upload: Upload,
    pub(crate) film: NewFilm,
    /// What opens the upload, to be told once.
    pub(crate) token: Token,
}

impl Begun {
    /// Admits a film, and names it and its upload.
    pub(crate) async fn of(
        app: &App,
        caller: &Caller,
        film: Film,
        way: Way,
    ) -> Result<Self, Problem> {
        let channel = app.channel(caller, film.channel.as_deref()).await?;
        let title = title(&film)?;
        let plan = Plan::of(&film.request, app.limits)?;
        let video = VideoId::from_random(app.draw()?);
        let original = layout::original(&video, &plan.extension);
        let token = Token::from_random(app.draw()?);
        let upload = Upload {
            id: UploadId::from_random(app.draw()?),
            way,
            owner: channel.as_ref().map(|channel| channel.owner.clone()),
            video: video.clone(),
            original: original.map_err(|_| Problem::from(Refused::Format))?,
            size_bytes: plan.size_bytes,
            chunk_size_bytes: plan.chunk_size_bytes,
            sha256: film.sha256,
            state: State::Receiving,
            expires: app.clock.now().plus(app.upload_ttl.as_secs()),
            token: Some(token.digest()),
        };
        let video = NewVideo {
            id: video,
            title,
            privacy: film.privacy,
            protected: film.protected,
        };
        let channel = channel.map(|channel| channel.id);
        let film = NewFilm { video, channel };
        Ok(Self {
            upload,
            film,
            token,
        })
    }

    /// Enters the film of an upload that is remembered into the catalogue; where that fails, the upload is given up.
    pub(crate) async fn announce(self, app: &App) -> Result<Upload, Problem> {
        if let Err(error) = self.enter(app).await {
            take_back(app, &self.upload).await;
            return Err(error.into());
        }
        self.has_begun(app);
        Ok(self.upload)
    }

    async fn enter(&self, app: &App) -> Result<(), Error> {
        app.videos.create(self.film.video.clone()).await?;
        if let Some(channel) = &self.film.channel {
            // Before anybody is told of the film.
            let video = &self.upload.video;
            app.channels.put(video, None, Some(channel)).await?;
        }
        Ok(())
    }

    /// Says that an upload has begun.
    pub(crate) fn has_begun(&self, app: &App) {
        let (upload, size_bytes) = (&self.upload, self.upload.size_bytes);
        app.metrics.upload("started");
        tracing::info!(upload.id = %upload.id, video.id = %upload.video, size_bytes,
            "upload {} begins for {}", upload.id, upload.video);
    }
}

/// Gives up an upload of which nobody was told. What cannot be given up now is when its time is over.
pub(super) async fn take_back(app: &App, upload: &Upload) {
    let now = app.clock.now();
    let taken = abandon(&*app.uploads, &app.publishing, upload, NOT_BEGUN, now).await;
    if let Err(error) = taken {
        tracing::warn!(upload.id = %upload.id, %error, "cannot take back {}", upload.id);
    }
}

impl App {
    /// Random bytes.
    pub(crate) fn draw<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut drawn = [0; N];
        (self.random)(&mut drawn)?;
        Ok(drawn)
    }
}

fn title(film: &Film) -> Result<String, Problem> {
    let title = film
        .title
        .as_deref()
        .map(str::trim)
        .filter(|title| !title.is_empty());
    let file_name = &film.request.file_name;
    let title = title.map_or_else(|| upload::title_of(file_name), str::to_owned);
    let faulty = title.chars().count() > upload::MAX_TITLE || title.chars().any(char::is_control);
    if faulty {
        return Err(Problem::bad_request(
            "title has at most 200 characters, and neither it nor the file's name in its place control characters.",
        ));
    }
    Ok(title)
}

const NOT_BEGUN: &str = "the upload could not be begun";
