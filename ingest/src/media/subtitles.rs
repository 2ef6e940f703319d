//! Subtitles that lie inside a publisher's file: which are kept, and how they come out.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    child::{self, End, Limits, Task},
    probe::{Stream, input_limits},
    sound::{language, name},
    transcode::words,
};

/// Subtitles inside a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// Which stream of the file they are.
    pub stream: u32,
    /// Their language as a BCP 47 tag.
    pub language: String,
    /// Their name in the file.
    pub label: Option<String>,
}

/// The first of each language that can be read as text, and does not only translate signs.
/// Those without a language are left out: viewers could not choose them.
pub(super) fn choose(streams: &[&Stream]) -> Vec<Inside> {
    let mut chosen: Vec<Inside> = Vec::new();
    for stream in streams {
        let is_text = TEXTS.contains(&stream.codec_name.as_str());
        let language = stream.tags.language.as_deref().and_then(language);
        let Some(language) = language.filter(|_| is_text && stream.disposition.forced == 0) else {
            continue;
        };
        let known = chosen.iter().any(|inside| inside.language == language);
        if !known && chosen.len() < MOST {
            chosen.push(Inside {
                stream: stream.index,
                language,
                label: name(&stream.tags),
            });
        }
    }
    chosen
}

/// Takes subtitles out of `source` as WebVTT, each into a file of `folder`.
///
/// That a file's subtitles cannot be read is no reason not to show the film: those are left out, and so are those
/// for which no time is left, which all have together.
///
/// # Errors
/// When the program cannot be run.
///
/// # Cancel safety
/// Dropping the future kills the child.
pub async fn extract(
    ffmpeg: &Path,
    source: &Path,
    subtitles: &[Inside],
    folder: &Path,
    limits: Limits,
) -> std::io::Result<Vec<(Inside, PathBuf)>> {
    let (mut made, since) = (Vec::new(), Instant::now());
    for inside in subtitles {
        let file = folder.join(format!("text-{}.vtt", inside.stream));
        let mut list: Vec<OsString> = words("-hide_banner -nostdin -y -v error");
        list.extend(input_limits());
        list.extend(["-i".into(), source.into()]);
        let stream = inside.stream;
        list.extend(words(&format!("-map 0:{stream} -c:s webvtt -f webvtt")));
        list.push(file.clone().into());
        let task = Task {
            program: ffmpeg,
            arguments: &list,
            folder,
            reads: &[source],
        };
        match child::run(task, limits.left(since), |_| ()).await? {
            End::Done(_) => made.push((inside.clone(), file)),
            end => tracing::warn!(stream, ?end, "subtitles inside a film cannot be read"),
        }
    }
    Ok(made)
}

/// ffmpeg's names of codecs that hold text; others hold pictures of it.
const TEXTS: [&str; 6] = ["mov_text", "subrip", "webvtt", "ass", "ssa", "text"];
/// The most that are taken out of one file.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, time::Duration};

    use super::*;

    #[tokio::test]
    async fn subtitles_that_keep_their_reader_have_the_time_of_one_together() {
        let folder = tempfile::tempdir().unwrap();
        let (program, source) = (folder.path().join("ffmpeg"), folder.path().join("film"));
        std::fs::write(&program, "#!/bin/sh\nexec tail -f /dev/null\n").unwrap();
        let runs = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, runs).unwrap();
        std::fs::write(&source, "film").unwrap();
        let texts: Vec<Inside> = (0..16)
            .map(|stream| Inside {
                stream,
                language: "en".to_owned(),
                label: None,
            })
            .collect();
        let limits = Limits {
            time: Duration::from_secs(2),
            memory_bytes: 1 << 30,
            file_bytes: 1 << 20,
        };
        let began = Instant::now();
        let made = extract(&program, &source, &texts, folder.path(), limits);
        assert_eq!(made.await.unwrap(), []);
        assert!(began.elapsed() < limits.time * 8, "{:?}", began.elapsed());
    }
}
