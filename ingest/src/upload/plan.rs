//! What is admitted: films by their size, name and type, and how they are cut into chunks.

use super::Refused;
use crate::media::formats;

/// What an operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest film.
    pub max_film_bytes: u64,
    /// The usual size of a chunk; larger for films that would have too many.
    pub chunk_size_bytes: u64,
}

impl Limits {
    /// The length of the chunks that so many bytes come in, few enough that a list of them stays small.
    #[must_use]
    pub fn chunk_size_for(self, size_bytes: u64) -> u64 {
        let mut chunk_size_bytes = self.chunk_size_bytes.max(1);
        while size_bytes.div_ceil(chunk_size_bytes) > MAX_CHUNKS {
            chunk_size_bytes = chunk_size_bytes.saturating_mul(2);
        }
        chunk_size_bytes
    }
}

/// What a publisher announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file's name on the publisher's machine.
    pub file_name: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its media type, when the publisher knows it.
    pub content_type: Option<String>,
}

/// How a film is cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The film's length.
    pub size_bytes: u64,
    /// The length of every chunk but the last.
    pub chunk_size_bytes: u64,
    /// The ending of the file's name, in lower case.
    pub extension: String,
}

impl Plan {
    /// Admits a film and cuts it.
    ///
    /// # Errors
    /// [`Refused`] when it is empty, too large, or of no kind that is taken.
    pub fn of(request: &Request, limits: Limits) -> Result<Self, Refused> {
        let size_bytes = request.size_bytes;
        if size_bytes == 0 {
            return Err(Refused::EmptyFile);
        }
        if size_bytes > limits.max_film_bytes {
            let limit_bytes = limits.max_film_bytes;
            return Err(Refused::FileTooLarge { limit_bytes });
        }
        let extension = request
            .file_name
            .rsplit_once('.')
            .map(|(_, extension)| extension.to_ascii_lowercase())
            .filter(|extension| formats::endings().any(|ending| ending == extension))
            .ok_or(Refused::Format)?;
        if !request.content_type.as_deref().is_none_or(is_film) {
            return Err(Refused::ContentType);
        }
        Ok(Self {
            size_bytes,
            chunk_size_bytes: limits.chunk_size_for(size_bytes),
            extension,
        })
    }
}

/// A title from a file's name: without folders and ending, and no longer than one may be.
#[must_use]
pub fn title_of(file_name: &str) -> String {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if name.is_empty() {
        "Untitled".to_owned()
    } else {
        name.chars().take(MAX_TITLE).collect()
    }
}

fn is_film(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    // What browsers say of files that they do not know is nothing.
    essence.is_empty()
        || essence.starts_with("video/")
        || essence.starts_with("audio/")
        || [
            "application/x-matroska",
            "application/octet-stream",
            "application/mxf",
            "application/mp4",
            "application/ogg",
        ]
        .contains(&essence.as_str())
}

/// The longest title of a film, in characters.
pub(crate) const MAX_TITLE: usize = 200;
/// So many chunks that a list of them stays small.
const MAX_CHUNKS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upload::session::tests::upload;

    const LIMITS: Limits = Limits {
        max_film_bytes: 1 << 40,
        chunk_size_bytes: 8 << 20,
    };

    fn request(file_name: &str, size_bytes: u64) -> Request {
        Request {
            file_name: file_name.to_owned(),
            size_bytes,
            content_type: None,
        }
    }

    #[test]
    fn a_film_is_admitted_by_size_name_and_type() {
        let plan = |name: &str, size| Plan::of(&request(name, size), LIMITS);
        assert_eq!(plan("a.MP4", 1).unwrap().extension, "mp4");
        assert_eq!(plan("a.mp4", 0), Err(Refused::EmptyFile));
        assert!(matches!(
            plan("a.mp4", (1 << 40) + 1),
            Err(Refused::FileTooLarge { .. })
        ));
        for name in ["a.txt", "mp4", "", "a.", "a.mp4/", "../a.exe"] {
            assert_eq!(plan(name, 1), Err(Refused::Format), "{name}");
        }
        let typed = |kind: &str| {
            let content_type = Some(kind.to_owned());
            Plan::of(
                &Request {
                    content_type,
                    ..request("a.mp4", 1)
                },
                LIMITS,
            )
            .is_ok()
        };
        assert!(typed("video/mp4; codecs=avc1") && typed("Application/Octet-Stream"));
        assert!(typed("audio/mpeg") && typed("") && typed("application/x-matroska"));
        assert!(!typed("text/plain") && !typed("image/png"));
        assert!(
            plan("a.mp4", 1 << 40)
                .unwrap()
                .size_bytes
                .div_ceil(plan("a.mp4", 1 << 40).unwrap().chunk_size_bytes)
                <= MAX_CHUNKS
        );
    }

    #[test]
    fn a_title_is_made_of_a_file_name() {
        assert_eq!(title_of("C:\\films\\My film.v2.mp4"), "My film.v2");
        assert_eq!(title_of("/x/.mp4"), "Untitled");
        assert_eq!(
            title_of(&format!("{}.mp4", "ä".repeat(240))),
            "ä".repeat(MAX_TITLE)
        );
    }

    proptest! {
        #[test]
        fn chunks_tile_the_film(size in 1_u64..1 << 42, chunk in 1_u64..1 << 24) {
            let limits = Limits { max_film_bytes: u64::MAX, chunk_size_bytes: chunk };
            let plan = Plan::of(&request("a.mp4", size), limits).unwrap();
            let upload = upload(plan.size_bytes, plan.chunk_size_bytes);
            let count = upload.chunk_count();
            prop_assert!(count >= 1 && u64::from(count) <= MAX_CHUNKS);
            let total: u64 = (0..count).map(|index| upload.chunk_bytes(index).unwrap()).sum();
            prop_assert_eq!(total, size);
            prop_assert_eq!(upload.chunk_bytes(count), None);
        }
    }
}
