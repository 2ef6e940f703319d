//! Sounds whose form changes on the way (stereo and then six channels, another rate, as television has it at each
//! advertisement) are brought to one form before they are encoded.
//!
//! ffmpeg builds its filters anew where a sound changes, and those that fill gaps begin anew with them: at the film's
//! start. So a child of its own, whose filters know nothing of what was before, writes the sounds down in one form.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    blame::settle,
    child::{self, End, Limits, Task},
    length::Bound,
    probe::{self, Facts},
    transcode::{BARE, Fault, words},
};

/// What is said, for a stream that is not to be filtered anew when it changes (`-reinit_filter:a 0`), by an encoder
/// that gave up there.
pub(super) fn is_wanted(end: &End) -> bool {
    matches!(end, End::Failed(why) if why.contains(CHANGED))
}

/// A file of sounds in one form each.
pub(super) struct Level(PathBuf);

impl Level {
    /// Where a folder has it.
    pub(super) fn of(folder: &Path) -> Self {
        Self(folder.join("sounds.nut"))
    }

    pub(super) fn file(&self) -> &Path {
        &self.0
    }

    /// Which of its streams the sound of that place is.
    pub(super) const fn stream(at: usize) -> usize {
        at + 1
    }

    /// Writes it.
    pub(super) async fn write(
        &self,
        (source, facts): (&Path, &Facts),
        bound: Bound,
        ffmpeg: &Path,
        limits: Limits,
    ) -> Result<(), Fault> {
        let count = u64::try_from(facts.sounds.len()).unwrap_or(u64::MAX);
        let limits = Limits {
            file_bytes: bound.file_bytes(PLAIN_BITS.saturating_mul(count)),
            ..limits
        };
        let task = Task {
            program: ffmpeg,
            arguments: &self.arguments(source, facts, bound),
            folder: self.0.parent().unwrap_or(&self.0),
            reads: &[source],
        };
        settle(child::run(task, limits, |_| ()).await?, limits)
    }

    fn arguments(&self, source: &Path, facts: &Facts, bound: Bound) -> Vec<OsString> {
        let mut list = words("-hide_banner -nostdin -y -v error -nostats -max_error_rate 0.02");
        list.extend(probe::input_limits());
        list.extend(["-i".into(), source.into()]);
        // The file begins where the film does, though all its sounds be late.
        list.extend(words(
            "-f lavfi -t 0.1 -i anullsrc=r=48000:cl=mono -map 1:a",
        ));
        for (at, sound) in facts.sounds.iter().enumerate() {
            list.extend(words(&format!("-map 0:{}", sound.stream)));
            list.push(format!("-filter:{}", Self::stream(at)).into());
            list.push(format!("aresample=48000,{}", sound.filters()).into());
        }
        let end = bound.output().as_secs_f64();
        list.extend(words(&format!("{BARE} -c:a pcm_s16le -t {end:.3} -f nut")));
        list.push(self.file().into());
        // Where a film begins, ffmpeg tells by the streams that are used.
        let picture = facts.picture.stream;
        list.extend(words(&format!(
            "-map 0:{picture} -c copy -frames:v 1 -f null -"
        )));
        list
    }
}

const CHANGED: &str = "Changing audio frame properties on the fly is not supported";
/// Two channels of 16 bits.
const PLAIN_BITS: u64 = 48_000 * 2 * 16;
