//! One ffmpeg child puts a film's own picture and sounds into mezzanines, as they are.

use std::{ffi::OsString, path::Path};

use contracts::{
    asset::{Kind, Rendition},
    id::RenditionId,
};

use super::{
    blame::settle,
    child::{self, Limits, Task},
    length::Bound,
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

    /// Makes them; none is larger than its source may be.
    ///
    /// # Errors
    /// [`Fault`] says whether the film or the machine is at fault.
    ///
    /// # Cancel safety
    /// Dropping the future kills the child; what it wrote is left in the folder.
    pub async fn run(&self, ffmpeg: &Path, limits: Limits) -> Result<(), Fault> {
        let arguments = self.arguments();
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
