//! What films come in: what publishers are told to use, and how the names of such files end.

/// What is taken, by the name that publishers know it by.
const FORMATS: [(&str, &[&str]); 14] = [
    ("MP4", &["mp4", "m4v", "m4a"]),
    ("MOV", &["mov", "qt"]),
    ("3GP", &["3gp", "3g2"]),
    ("MKV", &["mkv", "mka"]),
    ("WebM", &["webm"]),
    ("MPEG-TS", &["ts", "m2ts", "mts"]),
    ("MPEG", &["mpg", "mpeg"]),
    ("AVI", &["avi"]),
    ("FLV", &["flv"]),
    ("WMV", &["wmv", "asf"]),
    ("Ogg", &["ogv", "ogg"]),
    ("MXF", &["mxf"]),
    ("MP3", &["mp3"]),
    ("FLAC", &["flac"]),
];

/// How the names of films end, in lower case.
pub(crate) fn endings() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().flat_map(|(_, endings)| *endings).copied()
}

/// What to use, in words.
pub(crate) fn names() -> String {
    let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
    match names.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_to_use_is_what_is_taken() {
        assert!(names().starts_with("MP4, MOV, 3GP, MKV, "), "{}", names());
        assert!(names().ends_with(", MP3 or FLAC"), "{}", names());
        for (name, endings) in FORMATS {
            assert!(!endings.is_empty(), "{name}");
        }
        let mut all: Vec<&str> = endings().collect();
        all.sort_unstable();
        assert!(all.is_sorted_by(|one, next| one < next), "each once");
    }
}
