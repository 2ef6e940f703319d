//! The address of every public media URL, parsed once.

use std::fmt;

use crate::id::{RenditionId, VideoId};

/// The container in which segments travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Fragmented MP4 (ISO/IEC 23000-19); the same bytes serve HLS and DASH.
    Cmaf,
    /// MPEG transport stream (ISO/IEC 13818-1), for players that know nothing else.
    Ts,
}

/// What a media path names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `/v/{video}/master.m3u8` or `master_ts.m3u8`: the HLS multivariant playlist.
    Master {
        /// The film.
        video: VideoId,
        /// Which segments its playlists name.
        flavour: Flavour,
    },
    /// `/v/{video}/manifest.mpd`: the DASH manifest.
    Manifest {
        /// The film.
        video: VideoId,
    },
    /// `/v/{video}/{rendition}/playlist.m3u8` or `playlist_ts.m3u8`: an HLS media playlist.
    Playlist {
        /// The film.
        video: VideoId,
        /// The rendition.
        rendition: RenditionId,
        /// Which segments it names.
        flavour: Flavour,
    },
    /// `/v/{video}/{rendition}/init.mp4`: the CMAF initialization segment.
    Init {
        /// The film.
        video: VideoId,
        /// The rendition.
        rendition: RenditionId,
    },
    /// `/v/{video}/{rendition}/segment_{n}.m4s` or `.ts`.
    Segment {
        /// The film.
        video: VideoId,
        /// The rendition.
        rendition: RenditionId,
        /// Counted from 1.
        number: u32,
        /// The container.
        flavour: Flavour,
    },
    /// `/t/{video}/default.jpg`: the poster.
    Poster {
        /// The film.
        video: VideoId,
    },
}

/// A path names no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path names no media")]
pub struct AddressError;

impl Address {
    /// Parses a path without token and query.
    ///
    /// # Errors
    /// When the path has not the exact shape of one of the variants: there are no aliases.
    pub fn parse(path: &str) -> Result<Self, AddressError> {
        let mut parts = path.strip_prefix('/').ok_or(AddressError)?.split('/');
        let room = parts.next().ok_or(AddressError)?;
        let video = id(parts.next())?;
        let first = parts.next().ok_or(AddressError)?;
        let second = parts.next();
        if parts.next().is_some() {
            return Err(AddressError);
        }
        match (room, second) {
            ("v", None) => Self::parse_of_film(video, first),
            ("v", Some(file)) => {
                let rendition = RenditionId::parse(first).map_err(|_| AddressError)?;
                Self::parse_of_rendition(video, rendition, file)
            }
            ("t", None) if first == "default.jpg" => Ok(Self::Poster { video }),
            _ => Err(AddressError),
        }
    }

    fn parse_of_film(video: VideoId, file: &str) -> Result<Self, AddressError> {
        match file {
            "master.m3u8" => Ok(Self::Master {
                video,
                flavour: Flavour::Cmaf,
            }),
            "master_ts.m3u8" => Ok(Self::Master {
                video,
                flavour: Flavour::Ts,
            }),
            "manifest.mpd" => Ok(Self::Manifest { video }),
            _ => Err(AddressError),
        }
    }

    fn parse_of_rendition(
        video: VideoId,
        rendition: RenditionId,
        file: &str,
    ) -> Result<Self, AddressError> {
        match file {
            "playlist.m3u8" => Ok(Self::Playlist {
                video,
                rendition,
                flavour: Flavour::Cmaf,
            }),
            "playlist_ts.m3u8" => Ok(Self::Playlist {
                video,
                rendition,
                flavour: Flavour::Ts,
            }),
            "init.mp4" => Ok(Self::Init { video, rendition }),
            _ => {
                let name = file.strip_prefix("segment_").ok_or(AddressError)?;
                let (digits, flavour) = match name.split_once('.') {
                    Some((digits, "m4s")) => (digits, Flavour::Cmaf),
                    Some((digits, "ts")) => (digits, Flavour::Ts),
                    _ => return Err(AddressError),
                };
                let number = segment_number(digits)?;
                Ok(Self::Segment {
                    video,
                    rendition,
                    number,
                    flavour,
                })
            }
        }
    }

    /// The film that the address belongs to.
    #[must_use]
    pub const fn video(&self) -> &VideoId {
        match self {
            Self::Master { video, .. }
            | Self::Manifest { video }
            | Self::Playlist { video, .. }
            | Self::Init { video, .. }
            | Self::Segment { video, .. }
            | Self::Poster { video } => video,
        }
    }

    /// The path, as [`Address::parse`] takes it.
    #[must_use]
    pub fn path(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master { video, flavour } => {
                write!(f, "/v/{video}/master{}.m3u8", suffix(*flavour))
            }
            Self::Manifest { video } => write!(f, "/v/{video}/manifest.mpd"),
            Self::Playlist {
                video,
                rendition,
                flavour,
            } => {
                write!(
                    f,
                    "/v/{video}/{rendition}/playlist{}.m3u8",
                    suffix(*flavour)
                )
            }
            Self::Init { video, rendition } => write!(f, "/v/{video}/{rendition}/init.mp4"),
            Self::Segment {
                video,
                rendition,
                number,
                flavour,
            } => {
                let extension = match flavour {
                    Flavour::Cmaf => "m4s",
                    Flavour::Ts => "ts",
                };
                write!(f, "/v/{video}/{rendition}/segment_{number}.{extension}")
            }
            Self::Poster { video } => write!(f, "/t/{video}/default.jpg"),
        }
    }
}

fn id(part: Option<&str>) -> Result<VideoId, AddressError> {
    VideoId::parse(part.ok_or(AddressError)?).map_err(|_| AddressError)
}

const fn suffix(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Cmaf => "",
        Flavour::Ts => "_ts",
    }
}

/// One to nine digits without a leading zero, so that every segment has one name.
fn segment_number(digits: &str) -> Result<u32, AddressError> {
    let canonical = matches!(digits.len(), 1..=9)
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if !canonical {
        return Err(AddressError);
    }
    digits.parse().map_err(|_| AddressError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_reads_back_from_its_own_path() {
        for path in [
            "/v/a/master.m3u8",
            "/v/a/master_ts.m3u8",
            "/v/a/manifest.mpd",
            "/v/a/720p/playlist.m3u8",
            "/v/a/720p/playlist_ts.m3u8",
            "/v/a/audio-en/init.mp4",
            "/v/a/720p/segment_1.m4s",
            "/v/a/720p/segment_999999999.ts",
            "/t/a/default.jpg",
        ] {
            assert_eq!(
                Address::parse(path).map(|address| address.path()),
                Ok(path.to_owned())
            );
        }
    }

    #[test]
    fn there_are_no_aliases() {
        for path in [
            "",
            "/",
            "/v",
            "/v/",
            "/v/a",
            "/v/a/",
            "/v//master.m3u8",
            "/v/a/master.m3u8/",
            "/v/a/720p/segment_0.ts",
            "/v/a/720p/segment_01.ts",
            "/v/a/720p/segment_+1.ts",
            "/v/a/720p/segment_.ts",
            "/v/a/720p/segment_1.mp4",
            "/v/a/720p/segment_1234567890.ts",
            "/v/a/720P/init.mp4",
            "/x/a/master.m3u8",
            "/t/a/720p/default.jpg",
            "v/a/master.m3u8",
        ] {
            assert_eq!(Address::parse(path), Err(AddressError), "{path}");
        }
    }
}
