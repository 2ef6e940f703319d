//! What can be typed about films: adding them, playing them, taking them away.

use std::path::PathBuf;

use clap::Args;

use super::{Api, span, span_or_seconds};
use crate::play;

/// Options of `millrace add`.
#[derive(Args)]
pub(crate) struct Add {
    /// The film
    pub(crate) file: PathBuf,
    /// Its title; without it the file's name
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Who may watch: public, unlisted or private
    #[arg(long, default_value = "public", value_parser = ["public", "unlisted", "private"])]
    pub(crate) privacy: String,
    /// Subtitles of the film, WebVTT or SubRip, as `en=FILE`; may be repeated
    #[arg(long, value_name = "LANGUAGE=FILE", value_parser = Subtitles::parse)]
    pub(crate) subtitles: Vec<Subtitles>,
    /// The channel that it is for; publishers need one of their own
    #[arg(
        long,
        value_name = "CHANNEL_ID",
        conflicts_with = "resume",
        allow_hyphen_values = true
    )]
    pub(crate) channel: Option<String>,
    /// The film leaves the house encrypted only
    #[arg(long, conflicts_with = "resume")]
    pub(crate) protected: bool,
    /// Go on with an upload that was cut off
    #[arg(long, value_name = "UPLOAD_ID", allow_hyphen_values = true)]
    pub(crate) resume: Option<String>,
    /// Wait until the film can be watched, or has failed
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Subtitles to go with a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subtitles {
    /// Their language, as a BCP 47 tag.
    pub(crate) language: String,
    /// Where they are.
    pub(crate) file: PathBuf,
}

impl Subtitles {
    fn parse(text: &str) -> Result<Self, String> {
        let (language, file) = text
            .split_once('=')
            .filter(|(_, file)| !file.is_empty())
            .ok_or("it must be LANGUAGE=FILE, such as en=film.srt")?;
        // Whether it is a language, ingest says; it must not be another path.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if language.is_empty() || !language.bytes().all(plain) {
            return Err(format!("{language:?} is no language such as en or pt-br"));
        }
        Ok(Self {
            language: language.to_ascii_lowercase(),
            file: file.into(),
        })
    }
}

/// Options of `millrace play`.
#[derive(Args)]
pub(crate) struct Play {
    /// An HLS playlist or a DASH manifest
    pub(crate) url: String,
    /// The only protocol to use; without it what the server and this player agree on
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<play::Protocol>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Trust the certificates in this PEM file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl Play {
    pub(crate) fn to_options(&self) -> play::Options {
        play::Options {
            url: self.url.clone(),
            protocol: self.protocol,
            ca: self.ca.clone(),
            insecure: self.insecure,
        }
    }
}

/// Options of `millrace purge`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Purge {
    /// A path, `/v/FILM/master.m3u8`; in front of a site `//host/path`
    #[arg(long, group = "what", value_name = "PATH")]
    pub(crate) url: Option<String>,
    /// What bears this tag in Surrogate-Key
    #[arg(long, group = "what")]
    pub(crate) tag: Option<String>,
    /// What is below a path that ends in `/`
    #[arg(long, group = "what", value_name = "PATH/")]
    pub(crate) prefix: Option<String>,
    /// All of a film
    #[arg(
        long,
        group = "what",
        value_name = "VIDEO_ID",
        allow_hyphen_values = true
    )]
    pub(crate) video: Option<String>,
    /// Everything
    #[arg(long, group = "what")]
    pub(crate) all: bool,
    /// On whose behalf: what is purged bears the tag `t:TENANT`, or none that begins with `t:`
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Let it be served as far as stale objects are, rather than never again
    #[arg(long)]
    pub(crate) soft: bool,
    /// Wait until no node serves it any more, and say who is waited for
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait no longer than this (`90s`, `10m`), then exit with 1
    #[arg(long, requires = "wait", value_name = "TIME", value_parser = span)]
    pub(crate) timeout: Option<::config::Span>,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Options of `millrace remove`.
#[derive(Args)]
pub(crate) struct Remove {
    /// The film's id
    #[arg(allow_hyphen_values = true)]
    pub(crate) video: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Options of `millrace retry`.
#[derive(Args)]
pub(crate) struct Retry {
    /// The film's id
    #[arg(allow_hyphen_values = true)]
    pub(crate) video: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Options of `millrace keys rotate`.
#[derive(Args)]
pub(crate) struct Rotate {
    /// The film's id
    #[arg(allow_hyphen_values = true)]
    pub(crate) video: String,
    /// For how long the old keys still count (`2h`, `0s`, or a number of seconds); without it as long as tokens last
    #[arg(long, value_name = "SPAN", value_parser = span_or_seconds)]
    pub(crate) grace: Option<::config::Span>,
    #[command(flatten)]
    pub(crate) api: Api,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Arguments, Command, Keys};

    fn subtitles(values: &[&str]) -> Result<Vec<Subtitles>, clap::Error> {
        let named = values.iter().flat_map(|value| ["--subtitles", value]);
        let words = ["millrace", "add", "film.mp4"].into_iter().chain(named);
        match Arguments::try_parse_from(words)?.command {
            Command::Add(add) => Ok(add.subtitles),
            _ => unreachable!("the verb is add"),
        }
    }

    #[test]
    fn subtitles_are_a_language_and_a_file() {
        let told = subtitles(&["en=a=b.srt", "pt-BR=c.vtt"]).unwrap();
        let told: Vec<_> = told
            .iter()
            .map(|one| (one.language.as_str(), one.file.to_str().unwrap()))
            .collect();
        assert_eq!(told, [("en", "a=b.srt"), ("pt-br", "c.vtt")]);
        for fault in ["en", "en=", "=a.srt", "../x=a.srt", "e n=a.srt"] {
            assert!(subtitles(&[fault]).is_err(), "{fault}");
        }
    }

    #[test]
    fn how_long_old_keys_count_is_a_span_or_a_number_of_seconds() {
        let grace = |text: &str| {
            let typed = ["millrace", "keys", "rotate", "film", "--grace", text];
            match Arguments::try_parse_from(typed).ok()?.command {
                Command::Keys(Keys::Rotate(rotate)) => rotate.grace.map(|span| span.0.as_secs()),
                _ => unreachable!("the verb is keys rotate"),
            }
        };
        assert_eq!(grace("2h"), Some(7200));
        assert_eq!(grace("0"), Some(0));
        assert_eq!(grace("90"), Some(90));
        assert_eq!(grace("soon"), None);
    }
}
