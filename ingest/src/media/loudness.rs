//! How loud a sound is, by EBU R 128 (ITU-R BS.1770), as ffmpeg measures it.

use std::{ffi::OsString, path::Path};

use contracts::asset::Loudness;

use super::{
    blame::settle,
    child::{self, End, Limits, Task},
    probe::input_limits,
    transcode::{Fault, words},
};

/// Measures a mezzanine of sound; `None` for one that is silent, or too short to tell.
///
/// # Errors
/// [`Fault`] says whether the film or the machine is at fault.
///
/// # Cancel safety
/// Dropping the future kills the child.
pub async fn measure(
    ffmpeg: &Path,
    mezzanine: &Path,
    limits: Limits,
) -> Result<Option<Loudness>, Fault> {
    let mut list: Vec<OsString> = words("-hide_banner -nostdin -v info -nostats");
    list.extend(input_limits());
    list.extend(["-i".into(), mezzanine.into()]);
    list.extend(words(
        "-map 0:a -af ebur128=framelog=verbose:peak=true -f null -",
    ));
    let folder = mezzanine.parent().unwrap_or(mezzanine);
    let task = Task {
        program: ffmpeg,
        arguments: &list,
        folder,
        reads: &[mezzanine],
    };
    let end = child::run(task, limits, |_| ()).await?;
    let told = match &end {
        End::Done(said) => read(said),
        _ => None,
    };
    settle(end, limits)?;
    Ok(told)
}

/// Reads the summary at the end of what the measuring filter says.
fn read(said: &str) -> Option<Loudness> {
    let (_, summary) = said.rsplit_once("Summary:")?;
    let value = |name: &str, unit: &str| {
        let line = summary
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        thousandths(line.trim().strip_suffix(unit)?.trim())
    };
    Some(Loudness {
        integrated_mlufs: value("I:", "LUFS").filter(|level| *level > SILENCE_MLUFS)?,
        range_mlu: value("LRA:", "LU")?,
        true_peak_mdbtp: value("Peak:", "dBFS")?,
    })
}

fn thousandths(text: &str) -> Option<i32> {
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or((1, text), |digits| (-1, digits));
    let (whole, tenth) = digits.split_once('.')?;
    let (whole, tenth): (i32, i32) = (whole.parse().ok()?, tenth.parse().ok()?);
    let value = whole
        .checked_mul(1000)?
        .checked_add(tenth.checked_mul(100)?)?;
    (tenth < 10).then_some(sign * value)
}

/// At this level the measure's gate is shut (EBU Tech 3341): nothing was heard.
const SILENCE_MLUFS: i32 = -70_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "size=N/A\n[Parsed_ebur128_0 @ 0x1] Summary:\n\n  Integrated loudness:\n    I:         -21.8 LUFS\n    \
        Threshold: -31.8 LUFS\n\n  Loudness range:\n    LRA:         0.4 LU\n    Threshold: -41.8 LUFS\n    \
        LRA low:   -21.8 LUFS\n    LRA high:  -21.8 LUFS\n\n  True peak:\n    Peak:        0.7 dBFS\n";

    #[test]
    fn a_summary_is_read_and_silence_tells_nothing() {
        let told = Loudness {
            integrated_mlufs: -21_800,
            range_mlu: 400,
            true_peak_mdbtp: 700,
        };
        assert_eq!(read(SAID), Some(told));
        assert_eq!(read(&SAID.replace("-21.8 LUFS", "-70.0 LUFS")), None);
        assert_eq!(read(&SAID.replace("0.7 dBFS", "-inf dBFS")), None);
        assert_eq!(read("nothing"), None);
        assert_eq!(thousandths("-0.5"), Some(-500));
        assert_eq!(thousandths("99999999.1"), None);
    }
}
