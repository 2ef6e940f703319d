//! Films' contents in the catalogue's database.

use async_trait::async_trait;
use contracts::asset::{Asset, Image, Kind, Rendition, Still, StillSize};
use contracts::id::{RenditionId, VideoId};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};

use super::{Contents, Encodings};
use crate::error::Error;
use crate::open::{begin_alone, engine};
use crate::sql::{Row, change, statement};
use crate::words;

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
impl Encodings for Sql {
    async fn of(&self, video: &VideoId) -> Result<Contents, Error> {
        let sql = "SELECT * FROM video_encodings WHERE video = $1 ORDER BY place";
        let rows = statement(sql, vec![video.as_str().into()]);
        let rows = self.db.query_all_raw(rows).await.map_err(engine)?;
        let sql = "SELECT video FROM video_thumbs WHERE video = $1";
        let thumbs = statement(sql, vec![video.as_str().into()]);
        let thumbs = self.db.query_one_raw(thumbs).await.map_err(engine)?;
        Ok(Contents {
            renditions: rows.iter().map(rendition).collect::<Result<_, _>>()?,
            thumbs: thumbs.is_some(),
            stills: self.stills(video).await?,
        })
    }

    async fn put(&self, asset: &Asset) -> Result<(), Error> {
        let name = format!("encodings/{}", asset.video);
        let within = begin_alone(&self.db, &name).await?;
        put(&within, asset).await?;
        within.commit().await.map_err(engine)
    }
}

impl Sql {
    async fn stills(&self, video: &VideoId) -> Result<Vec<Still>, Error> {
        let sql = "SELECT * FROM video_stills WHERE video = $1 ORDER BY number";
        let rows = statement(sql, vec![video.as_str().into()]);
        let rows = self.db.query_all_raw(rows).await.map_err(engine)?;
        rows.iter().map(still).collect()
    }
}

/// [`Encodings::put`] within a transaction in which nobody else does so for this film.
///
/// # Errors
/// [`Error::Engine`] when the engine fails.
pub async fn put(db: &impl ConnectionTrait, asset: &Asset) -> Result<(), Error> {
    for table in ["video_encodings", "video_thumbs", "video_stills"] {
        let sql = format!("DELETE FROM {table} WHERE video = $1");
        change(db, &sql, vec![asset.video.as_str().into()]).await?;
    }
    for (place, rendition) in (0_i64..).zip(&asset.renditions) {
        let sql = "INSERT INTO video_encodings (video, place, rendition, kind, language, label, sha256, width, height) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = vec![
            asset.video.as_str().into(),
            place.into(),
            rendition.id.as_str().into(),
            written(rendition.kind).into(),
            rendition.language.clone().into(),
            rendition.label.as_deref().map(words).into(),
            rendition.sha256.clone().into(),
            rendition.width.map(i64::from).into(),
            rendition.height.map(i64::from).into(),
        ];
        change(db, sql, values).await?;
    }
    for (number, still) in (1_i64..).zip(&asset.stills) {
        put_still(db, &asset.video, number, still).await?;
    }
    let Some(thumbs) = &asset.thumbs else {
        return Ok(());
    };
    let sql = "INSERT INTO video_thumbs (video, width, height, interval_ms, tiles) VALUES ($1, $2, $3, $4, $5)";
    let values = vec![
        asset.video.as_str().into(),
        i64::from(thumbs.width).into(),
        i64::from(thumbs.height).into(),
        i64::from(thumbs.interval_ms).into(),
        i64::from(thumbs.tiles).into(),
    ];
    change(db, sql, values).await.map(drop)
}

async fn put_still(
    db: &impl ConnectionTrait,
    video: &VideoId,
    number: i64,
    still: &Still,
) -> Result<(), Error> {
    let sql = "INSERT INTO video_stills (video, number, at_ms, small_width, small_height, small_bytes, \
               medium_width, medium_height, medium_bytes, large_width, large_height, large_bytes) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let at_ms = i64::try_from(still.at_ms).unwrap_or(i64::MAX);
    let mut values = vec![video.as_str().into(), number.into(), at_ms.into()];
    for Image {
        width,
        height,
        bytes,
    } in StillSize::ALL.map(|size| *still.image(size))
    {
        values.extend([width, height, bytes].map(|value| i64::from(value).into()));
    }
    change(db, sql, values).await.map(drop)
}

fn still(row: &QueryResult) -> Result<Still, Error> {
    let table = "video_stills";
    let row = Row { row, table };
    let image = |size: StillSize| {
        let told = |what: &str| {
            let column = format!("{}_{what}", size.as_str());
            let value: i64 = row.row.try_get("", &column).map_err(engine)?;
            u32::try_from(value).map_err(|_| row.corrupt(&column))
        };
        Ok::<_, Error>(Image {
            width: told("width")?,
            height: told("height")?,
            bytes: told("bytes")?,
        })
    };
    let at_ms: i64 = row.row.try_get("", "at_ms").map_err(engine)?;
    Ok(Still {
        at_ms: u64::try_from(at_ms).map_err(|_| row.corrupt("at_ms"))?,
        small: image(StillSize::Small)?,
        medium: image(StillSize::Medium)?,
        large: image(StillSize::Large)?,
    })
}

const fn written(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => "video",
        Kind::Audio => "audio",
        Kind::Text => "text",
    }
}

fn rendition(row: &QueryResult) -> Result<Rendition, Error> {
    let table = "video_encodings";
    let row = Row { row, table };
    let kind = match row.text("kind")?.as_str() {
        "video" => Kind::Video,
        "audio" => Kind::Audio,
        "text" => Kind::Text,
        _ => return Err(row.corrupt("kind")),
    };
    let pixels = |column: &str| {
        let value: Option<i64> = row.row.try_get("", column).map_err(engine)?;
        let value = value.map(u32::try_from).transpose();
        value.map_err(|_| row.corrupt(column))
    };
    Ok(Rendition {
        language: row.optional_text("language")?,
        label: row.optional_text("label")?,
        sha256: row.optional_text("sha256")?,
        width: pixels("width")?,
        height: pixels("height")?,
        ..Rendition::new(row.parsed("rendition", RenditionId::parse)?, kind)
    })
}
