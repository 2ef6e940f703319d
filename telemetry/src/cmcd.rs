//! Common Media Client Data that a player reports by itself (CTA-5004-B, event mode): a dictionary a line.
//!
//! A line says which session it is of (`sid`), which of its reports it is (`sn`), and when (`ts`, in Unix
//! milliseconds). Of its other keys those count that say what the player does: `sta`, and `e` where that
//! says more; `br`, `msd` and `h` go with it.

use contracts::cmcd::Report;
use contracts::id::SessionId;
use contracts::time::UnixSeconds;

use crate::event::{Event, Fault, Kind, MOST_MS, MOST_SEQ, coded, named};

/// The longest line that is looked at, in bytes.
pub const LONGEST_LINE: usize = 4096;

/// A line, read as far as it can be without its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The session that it names.
    pub session: SessionId,
    at_unix_ms: u64,
    event: Event,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// [`Fault::Malformed`] when it names no session, number, time or event; [`Fault::OutOfBounds`] when
    /// one of them, or the line, is out of bounds.
    pub fn read(line: &str) -> Result<Self, Fault> {
        if line.len() > LONGEST_LINE {
            return Err(Fault::OutOfBounds);
        }
        let mut report = Report::default();
        report.read(line);
        let session = report.text("sid").ok_or(Fault::Malformed)?;
        let seq = whole(&report, "sn", f64::from(MOST_SEQ))?.ok_or(Fault::Malformed)?;
        let at_unix_ms = whole(&report, "ts", 1e15)?.ok_or(Fault::Malformed)?;
        let said = report.text("e").ok_or(Fault::Malformed)?;
        let kind = kind(&said, report.text("sta").as_deref());
        let failed = matches!(kind, Kind::Error { .. });
        let short = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
        let kbps = whole(&report, "br", 1e6).unwrap_or_default();
        Ok(Self {
            session: SessionId::parse(&session).map_err(|_| Fault::NoSession)?,
            at_unix_ms,
            event: Event {
                seq: u32::try_from(seq).map_err(|_| Fault::OutOfBounds)?,
                at_ms: 0,
                kind,
                bitrate_kbps: short(kbps.filter(|kbps| *kbps > 0)),
                startup_ms: short(whole(&report, "msd", 3.6e6).unwrap_or_default()),
                edge: report.text("h").and_then(|host| named(&host)),
                code: report
                    .text("ec")
                    .filter(|_| failed)
                    .map(|code| coded(&code)),
            },
        })
    }

    /// The event, now that it is known when its session began. A clock may be a minute behind.
    ///
    /// # Errors
    /// [`Fault::OutOfSession`] when it was not in it.
    pub fn event(self, started: UnixSeconds) -> Result<Event, Fault> {
        let began = started.0.saturating_mul(1000);
        let early = self.at_unix_ms.saturating_add(BEHIND_MS) < began;
        let at_ms = self.at_unix_ms.saturating_sub(began);
        if early || at_ms > MOST_MS {
            return Err(Fault::OutOfSession);
        }
        Ok(Event {
            at_ms,
            ..self.event
        })
    }
}

/// By how much a player's clock may be behind.
const BEHIND_MS: u64 = 60_000;

/// What a line means for a playback: the state that the player is in, where it says so, or else what
/// its event says.
fn kind(event: &str, state: Option<&str>) -> Kind {
    match (event, state) {
        (_, Some("f")) => Kind::Error { fatal: true },
        ("e", _) => Kind::Error { fatal: false },
        (_, Some("p")) => Kind::Playing,
        (_, Some("a" | "w")) => Kind::Pause,
        (_, Some("r")) => Kind::RebufferStart { seek: false },
        (_, Some("k")) => Kind::RebufferStart { seek: true },
        (_, Some("e")) => Kind::End { completed: true },
        (_, Some("q")) => Kind::End { completed: false },
        _ => Kind::Progress,
    }
}

/// A number from 0 to `most`, without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before"
)]
fn whole(report: &Report<'_>, key: &str, most: f64) -> Result<Option<u64>, Fault> {
    match report.number(key) {
        None => Ok(None),
        Some(number) if (0.0..=most).contains(&number) => Ok(Some(number as u64)),
        Some(_) => Err(Fault::OutOfBounds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: UnixSeconds = UnixSeconds(1_800_000_000);

    fn read(line: &str) -> Result<Event, Fault> {
        Line::read(line)?.event(STARTED)
    }

    fn line(rest: &str) -> String {
        format!("sid=\"s1\",sn=3,ts=1800000005500,{rest}")
    }

    #[test]
    fn what_a_player_reports_is_an_event() {
        for (rest, kind) in [
            ("e=ps,sta=s", Kind::Progress),
            ("e=ps,sta=d", Kind::Progress),
            ("e=ps,sta=p", Kind::Playing),
            ("e=t,sta=p", Kind::Playing),
            ("e=ps,sta=a", Kind::Pause),
            ("e=ps,sta=w", Kind::Pause),
            ("e=ps,sta=r", Kind::RebufferStart { seek: false }),
            ("e=ps,sta=k", Kind::RebufferStart { seek: true }),
            ("e=ps,sta=e", Kind::End { completed: true }),
            ("e=ps,sta=q", Kind::End { completed: false }),
            ("e=ps,sta=f", Kind::Error { fatal: true }),
            ("e=e,ec=(\"4\"),sta=f", Kind::Error { fatal: true }),
            ("e=e,sta=p", Kind::Error { fatal: false }),
            ("e=bc,br=(3200;v)", Kind::Progress),
            ("e=rr,url=\"https://a/v/b\"", Kind::Progress),
        ] {
            let event = read(&line(rest)).unwrap();
            assert_eq!(
                (event.seq, event.at_ms, event.kind),
                (3, 5500, kind),
                "{rest}"
            );
        }
        let event = read(&line(
            "e=t,sta=p,br=(3200;v 128;a),msd=812.5,h=\"127.0.0.1:8443\"",
        ))
        .unwrap();
        assert_eq!(
            (event.bitrate_kbps, event.startup_ms),
            (Some(3200), Some(812))
        );
        assert_eq!(event.edge.as_deref(), Some("127.0.0.1:8443"));
        let code = |rest: &str| read(&line(rest)).unwrap().code;
        assert_eq!(
            code("e=e,ec=(\"3016\" \"b\"),sta=f").as_deref(),
            Some("3016")
        );
        assert_eq!(code("e=ps,ec=(\"3016\"),sta=p"), None);
    }

    #[test]
    fn a_line_that_says_too_little_or_too_much_is_refused() {
        for (line, fault) in [
            ("", Fault::Malformed),
            ("sn=1,ts=1,e=ps", Fault::Malformed),
            ("sid=\"a\",ts=1,e=ps", Fault::Malformed),
            ("sid=\"a\",sn=1,e=ps", Fault::Malformed),
            ("sid=\"a\",sn=1,ts=1", Fault::Malformed),
            ("sid=\"a b\",sn=1,ts=1,e=ps", Fault::NoSession),
            ("sid=\"a\",sn=5000,ts=1,e=ps", Fault::OutOfBounds),
            ("sid=\"a\",sn=-1,ts=1,e=ps", Fault::OutOfBounds),
            ("sid=\"a\",sn=1,ts=1,e=ps", Fault::OutOfSession),
            ("sid=\"a\",sn=1,ts=1900000000000,e=ps", Fault::OutOfSession),
        ] {
            assert_eq!(read(line), Err(fault), "{line}");
        }
        let long = format!("sid=\"a\",sn=1,ts=1,e=ps,{}", "x".repeat(LONGEST_LINE));
        assert_eq!(read(&long), Err(Fault::OutOfBounds));
        let early = read("sid=\"a\",sn=1,ts=1799999945000,e=ps").unwrap();
        assert_eq!(early.at_ms, 0, "a clock that is a little behind");
    }
}
