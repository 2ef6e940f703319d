//! What is asked of ffmpeg and ffprobe before the first film is.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use super::codec::Codec;

/// The first version that has all options which ingest gives it (`-fps_mode` came last).
const OLDEST: (u32, u32) = (5, 1);

/// Says what keeps a program from being of use, as far as its version tells; one without a number, as builds from a
/// repository have it, is taken to be new enough.
pub(crate) fn judge(said: &str) -> Result<(), String> {
    let word = said.split_whitespace().nth(2).unwrap_or_default();
    let mut numbers = word.trim_start_matches('n').split(['.', '-']);
    let mut number = || numbers.next()?.parse::<u32>().ok();
    let (Some(major), minor) = (number(), number().unwrap_or(0)) else {
        return Ok(());
    };
    let (oldest, since) = OLDEST;
    if (major, minor) < OLDEST {
        return Err(format!(
            "is version {word}; {oldest}.{since} or a later one is needed"
        ));
    }
    Ok(())
}

/// Runs a program to see that it is there and new enough, and that it encodes what is asked for, where anything is.
pub(crate) fn inspect(program: &Path, codecs: &[Codec]) -> Result<(), String> {
    judge(&told(program, "-version").map_err(|error| cannot_run(program, &error))?)?;
    if codecs.is_empty() {
        return Ok(());
    }
    let encoders = told(program, "-encoders").map_err(|error| cannot_run(program, &error))?;
    encodes(&encoders, codecs)
}

/// Says which encoders are missing in what a program lists of them (`-encoders`).
pub(crate) fn encodes(encoders: &str, codecs: &[Codec]) -> Result<(), String> {
    let has = |name: &str| {
        encoders
            .lines()
            .any(|line| line.split_whitespace().nth(1) == Some(name))
    };
    let wanted = codecs.iter().map(|codec| codec.encoder()).chain([SOUND]);
    let missing: Vec<&str> = wanted.filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("was built without {}", missing.join(", ")))
}

fn cannot_run(program: &Path, error: &io::Error) -> String {
    format!(
        "cannot run {}: {error}; install it, or say where it is",
        program.display()
    )
}

fn told(program: &Path, option: &str) -> io::Result<String> {
    let run = Command::new(program)
        .args(["-hide_banner", option])
        .stdin(Stdio::null())
        .output()?;
    if !run.status.success() {
        return Err(io::Error::other(format!("it ends with {}", run.status)));
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

/// What sound is encoded with.
const SOUND: &str = "aac";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that says these words and lists these encoders.
    fn program(folder: &Path, version: &str, encoders: &str) -> std::path::PathBuf {
        let path = folder.join("ffmpeg");
        let text = format!(
            "#!/bin/sh\ncase \"$2\" in -version) echo '{version}';; *) printf '{encoders}';; esac\n"
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn versions_are_told_apart_and_what_has_none_is_taken() {
        let said =
            |version: &str| judge(&format!("ffmpeg version {version} Copyright (c) 2000-2026"));
        for good in ["5.1.9-0+deb12u1", "5.1", "n7.1", "10.0", "N-118000-gabcdef"] {
            assert_eq!(said(good), Ok(()), "{good}");
        }
        for old in ["4.4.2-0ubuntu0.22.04.1", "5.0.3", "n4.4"] {
            let fault = said(old).unwrap_err();
            assert!(fault.contains(old) && fault.contains("5.1"), "{fault}");
        }
        assert_eq!(judge(""), Ok(()));
    }

    #[test]
    fn a_program_that_is_absent_old_or_lacks_an_encoder_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("none");
        let said = inspect(&absent, &[]).unwrap_err();
        assert!(
            said.starts_with("cannot run ") && said.contains("/none"),
            "{said}"
        );
        let listed = " V....D libx264 H.264\\n A....D aac AAC\\n";
        let old = program(folder.path(), "ffmpeg version 4.4 Copyright", listed);
        assert!(inspect(&old, &[]).unwrap_err().contains("version 4.4"));
        let new = program(folder.path(), "ffmpeg version 7.1 Copyright", listed);
        assert_eq!(inspect(&new, &[Codec::H264]), Ok(()));
        let said = inspect(&new, &[Codec::H264, Codec::Av1]).unwrap_err();
        assert_eq!(said, "was built without libsvtav1");
    }
}
