//! What can go wrong with the catalogue, by what the caller can do about it.

use contracts::id::VideoId;

use crate::videos::State;

/// The catalogue could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address names no engine that is built in.
    #[error("no catalogue at {address}: {rule}")]
    Address {
        /// The address, without what may be a secret.
        address: String,
        /// What an address must be.
        rule: &'static str,
    },
    /// The folder of the catalogue's file cannot be used.
    #[error("the catalogue's file cannot be used: {0}")]
    Folder(String),
    /// It could not be opened.
    #[error("the catalogue at {address} does not open")]
    Opening {
        /// The address, without what may be a secret.
        address: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is such a thing already.
    #[error("{what} exists already")]
    Exists {
        /// What was to be made.
        what: String,
    },
    /// There is no such video.
    #[error("no video {0}")]
    NoVideo(VideoId),
    /// The video's state does not allow it.
    #[error("video {video} is {state} and cannot become what was asked for")]
    Refused {
        /// The video.
        video: VideoId,
        /// Its state.
        state: State,
    },
    /// A row holds what no row should.
    #[error("the catalogue is damaged: {0}")]
    Corrupt(String),
    /// The engine failed or could not be reached; trying again later can help.
    #[error("the catalogue's engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}
