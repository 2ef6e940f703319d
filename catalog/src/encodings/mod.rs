//! What published films consist of, as far as who plays them must know: the catalogue's copy of what their
//! `asset.json` says.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::asset::{Asset, Rendition, Still};
use contracts::id::VideoId;

use crate::error::Error;

/// What a film consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its renditions, as `asset.json` orders them. None is known of a film that was published before the
    /// catalogue kept them.
    pub renditions: Vec<Rendition>,
    /// Whether there are small pictures along the time line.
    pub thumbs: bool,
    /// The stills, in the film's order.
    pub stills: Vec<Still>,
}

/// The contents of a site's films.
#[async_trait]
pub trait Encodings: Send + Sync {
    /// What a film consists of.
    async fn of(&self, video: &VideoId) -> Result<Contents, Error>;

    /// Keeps what a film consists of, in place of what was kept before.
    async fn put(&self, asset: &Asset) -> Result<(), Error>;
}
