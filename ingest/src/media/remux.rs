//! One ffmpeg child puts a film's own picture and sounds into mezzanines, as they are.

use std::{ffi::OsString, path::Path};

use contracts::{
    asset::{Kind, Rendition},
    id::RenditionId,
};

use super::{
    blame::settle,
    child::{self, Limits, Task},
    length::{Bound, HEADERS_BYTES},
    probe::{self, Facts},
    rate::Rate,
    transcode::{self, BARE, FRAGMENTED, Fault, Mezzanine, words},
};

/// What is to be put into mezzanines.
#[derive(Debug)]
pub struct Remux<'a> {
    /// The publisher's file.
    pub source: &'a Path,
    /// What it is.
    pub facts: &'a Facts,
    /// The rate of its ladder.
    pub rate: Rate,
    /// How long it may become.
    pub bound: Bound,
    /// The folder that takes the mezzanines, and nothing else of this film.
    pub folder: &'a Path,
}

/// The name of the rendition that is the source's own picture.
pub const SOURCE: &str = "source";

impl Remux<'_> {
    /// Lists the files that will be made: the picture, then the sounds.
    #[must_use]
    pub fn mezzanines(&self) -> Vec<Mezzanine> {
        let picture = RenditionId::parse(SOURCE).ok().map(|id| Rendition {
            width: Some(self.facts.picture.width),
            height: Some(self.facts.picture.height),
            ..Rendition::new(id, Kind::Video)
        });
        let sounds = self.facts.sounds.iter().filter_map(transcode::sound);
        picture
            .into_iter()
            .chain(sounds)
            .map(|rendition| Mezzanine {
                file: self.folder.join(format!("{}.mp4", rendition.id)),
                rendition,
            })
            .collect()
    }

    /// Makes them; each has what its source has of it, and other headers.
    ///
    /// # Errors
    /// [`Fault`] says whether the film or the machine is at fault.
    ///
    /// # Cancel safety
    /// Dropping the future kills the child; what it wrote is left in the folder.
    pub async fn run(&self, ffmpeg: &Path, limits: Limits) -> Result<(), Fault> {
        let arguments = self.arguments();
        let source = tokio::fs::metadata(self.source).await?;
        let limits = Limits {
            file_bytes: source.len().saturating_add(HEADERS_BYTES),
            ..limits
        };
        let task = Task {
            program: ffmpeg,
            arguments: &arguments,
            folder: self.folder,
            reads: &[self.source],
        };
        settle(child::run(task, limits, |_| ()).await?, limits)
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut list: Vec<OsString> = words("-hide_banner -nostdin -y -v error -nostats");
        list.extend(probe::input_limits());
        list.extend(["-i".into(), self.source.into()]);
        let end = self.bound.output().as_secs_f64();
        let streams = self.facts.sounds.iter().map(|sound| sound.stream);
        let streams = std::iter::once(self.facts.picture.stream).chain(streams);
        let scale = self.rate.timescale();
        for (at, (mezzanine, stream)) in self.mezzanines().into_iter().zip(streams).enumerate() {
            let fragments = if at == 0 {
                // One a group, however many key pictures there are.
                format!("+frag_keyframe -min_frag_duration 1500000 -video_track_timescale {scale}")
            } else {
                " -frag_duration 2000000".to_owned()
            };
            list.extend(words(&format!(
                "-map 0:{stream} {BARE} -c copy {FRAGMENTED}{fragments} -t {end:.3} -f mp4"
            )));
            list.push(mezzanine.file.into());
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;

    #[tokio::test]
    async fn what_other_files_may_have_is_no_bound_for_a_source_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (source, room) = (folder.path().join("source"), folder.path().join("room"));
        std::fs::create_dir(&room).unwrap();
        let made = Command::new("ffmpeg")
            .args("-v error -f lavfi -i testsrc2=s=320x240:r=25:d=4 -c:v libx264".split(' '))
            .args("-preset ultrafast -pix_fmt yuv420p -f mp4".split(' '))
            .arg(&source)
            .status();
        assert!(made.unwrap().success());
        let limits = Limits {
            time: Duration::from_secs(600),
            memory_bytes: 4 << 30,
            file_bytes: 16 << 10,
        };
        let has = std::fs::metadata(&source).unwrap().len();
        assert!(has > 4 * limits.file_bytes, "{has}");
        let mut facts = Facts::plain(320, 240, Rate::new(25, 1).unwrap());
        facts.announced = Some(Duration::from_secs(4));
        let remux = Remux {
            source: &source,
            facts: &facts,
            rate: facts.picture.rate,
            bound: Bound::of(&facts, Duration::from_secs(3600)).unwrap(),
            folder: &room,
        };
        remux.run(Path::new("ffmpeg"), limits).await.unwrap();
        let [picture] = &remux.mezzanines()[..] else {
            panic!("it has no sound");
        };
        let made = std::fs::metadata(&picture.file).unwrap().len();
        assert!(made > has / 2, "{made} of {has}");
    }
}
