//! Subtitles: what files say is kept, and every segment shows what its part of the film shows.

use std::{fmt::Write, sync::Arc, time::Duration};

use contracts::{address::Flavour, id::RenditionId};
use packager::text::{self, Document, Encoding, Error, Track, srt, webvtt};
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Each cue as `start-end id|settings|text`, in milliseconds.
fn told(document: &Document) -> Vec<String> {
    let cues = document.cues().iter();
    cues.map(|cue| {
        let (start, end) = (cue.start.as_millis(), cue.end.as_millis());
        let id = cue.id.as_deref().unwrap_or("-");
        format!("{start}-{end} {id}|{}|{}", cue.settings, cue.text)
    })
    .collect()
}

fn vtt(file: &str) -> Document {
    webvtt::parse(file.as_bytes()).unwrap()
}

fn subrip(file: &str) -> Vec<String> {
    told(&srt::parse(file.as_bytes()).unwrap())
}

const FILM: &str = "\u{feff}WEBVTT - Sita, with love\r\nKind: captions\r\n\r\n\
    NOTE translated by\r\ntwo people\r\n\r\n\
    STYLE\r\n::cue(.loud) {\r\n  color: red;\r\n}\r\n\r\n\
    REGION \t\r\nid:top lines:3\r\n\r\n\
    intro\r\n00:01.000 --> 00:04.250 region:top align:left\r\n<v Anna>Good morning &amp; welcome.\r\n- Hello!\r\n\r\n\
    01:00:00.000-->01:00:02.000\r\nAn hour later\r\n\r\n\r\n\
    STYLE\r\ntoo late\r\n\r\n\
    2\r\n00:00:02.000 --> 00:00:03.000\r\n";

#[test]
fn a_webvtt_file_is_read_with_all_that_it_says() {
    let film = vtt(FILM);
    let wanted = [
        "1000-4250 intro|region:top align:left|<v Anna>Good morning &amp; welcome.\n- Hello!",
        "2000-3000 2||",
        "3600000-3602000 -||An hour later",
    ];
    assert_eq!(told(&film), wanted);
    let head: Vec<&str> = film.head().iter().map(text::Block::body).collect();
    assert_eq!(head, ["::cue(.loud) {\n  color: red;\n}", "id:top lines:3"]);
    assert_eq!(film.encoding(), Encoding::Utf8);
}

#[test]
fn webvtt_is_written_in_canonical_form() {
    let wanted = "WEBVTT\n\nSTYLE\n::cue(.loud) {\n  color: red;\n}\n\nREGION\nid:top lines:3\n\n\
        intro\n00:00:01.000 --> 00:00:04.250 region:top align:left\n\
        <v Anna>Good morning &amp; welcome.\n- Hello!\n\n\
        2\n00:00:02.000 --> 00:00:03.000\n\n\
        01:00:00.000 --> 01:00:02.000\nAn hour later\n";
    assert_eq!(webvtt::write(&vtt(FILM)), wanted);
}

#[test]
fn every_kind_of_line_end_gives_the_same_cues() {
    let unix = FILM.replace("\r\n", "\n");
    assert_eq!(vtt(&unix), vtt(FILM));
    assert_eq!(vtt(&unix.replace('\n', "\r")), vtt(FILM));
    let unended = "WEBVTT\n\n00:01.000 --> 00:02.000\nlast";
    assert_eq!(told(&vtt(unended)), ["1000-2000 -||last"]);
}

#[test]
fn a_broken_cue_is_dropped_and_its_neighbours_are_kept() {
    let broken_lines = [
        "00:60.000 --> 01:02.000",
        "60:00.000 --> 61:00.000",
        "00:03,000 --> 00:04,000",
        "0:03.000 --> 0:04.000",
        "00:03.00 --> 00:04.00",
        "00:03.0000 --> 00:04.0000",
        "00:03.000 ->> --> 00:04.000",
        "--> 00:04.000",
        "00:04.000 --> 00:03.000",
        "00:03.000 --> 00:03.000",
        "99999999999999999999:00:03.000 --> 99999999999999999999:00:04.000",
        "18446744073709551615:00:03.000 --> 18446744073709551615:00:04.000",
    ];
    for broken in broken_lines {
        let file = format!(
            "WEBVTT\n\n00:01.000 --> 00:02.000\nfirst\n\nid\n{broken}\nbroken\n\n\
             00:05.000 --> 00:06.000\nlast\n"
        );
        let wanted = ["1000-2000 -||first", "5000-6000 -||last"];
        assert_eq!(told(&vtt(&file)), wanted, "{broken}");
    }
}

#[test]
fn forgotten_blank_lines_cost_no_cue() {
    let file = "WEBVTT\n00:01.000 --> 00:02.000\none\n00:02.000 --> 00:03.000\ntwo\n\
        id lost\n00:03.000 --> 00:04.000\nthree";
    let wanted = [
        "1000-2000 -||one",
        "2000-3000 -||two\nid lost",
        "3000-4000 -||three",
    ];
    assert_eq!(told(&vtt(file)), wanted);
}

#[test]
fn what_is_no_webvtt_is_refused() {
    for file in [
        "",
        "WEBVT",
        "WEBVTTX\n",
        "webvtt\n",
        " WEBVTT\n",
        "WEBVTT\u{b}\n",
    ] {
        let refused = webvtt::parse(file.as_bytes());
        assert_eq!(refused, Err(Error::NotSubtitles), "{file:?}");
        assert_eq!(text::parse(file.as_bytes()), Err(Error::NotSubtitles));
    }
    for file in ["WEBVTT", "WEBVTT\n", "\u{feff}WEBVTT\ttitle", "WEBVTT\r\r"] {
        assert_eq!(vtt(file).cues(), [], "{file:?}");
    }
    let latin = b"WEBVTT\n\n00:01.000 --> 00:02.000\ncaf\xe9\n";
    assert_eq!(text::parse(latin), Err(Error::NotUtf8 { offset: 35 }));
}

#[test]
fn bounds_are_kept() {
    let large = vec![b'\n'; text::MAX_FILE_BYTES + 1];
    assert_eq!(text::parse(&large), Err(Error::TooLarge));
    let cue = |text: &str| format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n");
    let most = "x".repeat(text::MAX_BLOCK_BYTES);
    assert!(webvtt::parse(cue(&most).as_bytes()).is_ok());
    let more = cue(&format!("{most}x"));
    assert_eq!(
        text::parse(more.as_bytes()),
        Err(Error::CueTooLarge { cue: 1 })
    );
    let as_srt = more.replace("WEBVTT", "").replace("00:01.", "00:00:01.");
    assert_eq!(
        text::parse(as_srt.as_bytes()),
        Err(Error::CueTooLarge { cue: 1 })
    );
    let cues = "00:01.000 --> 00:02.000\nx\n\n";
    let many = format!("WEBVTT\n\n{}", cues.repeat(text::MAX_CUES));
    assert_eq!(vtt(&many).cues().len(), text::MAX_CUES);
    assert_eq!(
        text::parse(format!("{many}{cues}").as_bytes()),
        Err(Error::TooManyCues)
    );
    let styles = format!(
        "WEBVTT\n\n{}",
        "STYLE\n{}\n\n".repeat(text::MAX_BLOCK_BYTES / 3 + 1)
    );
    assert_eq!(text::parse(styles.as_bytes()), Err(Error::HeadTooLarge));
}

#[test]
fn a_subrip_file_is_read_however_sloppily_it_is_written() {
    let file = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,500  X1:10 X2:20 Y1:30 Y2:40\r\nOne\r\n\
        and a half \r\n\r\n\
        2\r\n0:0:3.000 --> 0:0:4.5\r\nTwo\r\n\r\nafter a blank line\r\n\r\n\
        3\r\n00:00:xx,000 --> 00:00:06,000\r\nBroken\r\n\r\n\
        00:00:07,000 --> 00:00:08,000\r\nWithout a counter\r\n\
        5\r\n00:00:08,000 --> 00:00:09,000\r\n42\r\n\r\n\
        6\r\n\r\n00:00:10,000 --> 00:00:11,000\r\n\r\nBlank lines everywhere\r\n\r\n\
        7\r\n00:00:12,000 --> 00:00:13,000\r\n\r\n";
    let wanted = [
        "1000-2500 -||One\nand a half",
        "3000-4005 -||Two\nafter a blank line",
        "7000-8000 -||Without a counter",
        "8000-9000 -||42",
        "10000-11000 -||Blank lines everywhere",
    ];
    assert_eq!(subrip(file), wanted);
    let doubled = "1\r\r\n00:00:01,000 --> 00:00:02,000\r\r\nOne\r\r\n\r\r\n\
        2\r\r\n00:00:03,000 --> 00:00:04,000\r\r\nTwo";
    assert_eq!(subrip(doubled), ["1000-2000 -||One", "3000-4000 -||Two"]);
}

#[test]
fn subrip_markup_becomes_webvtt() {
    let cases = [
        ("<i>So</i> <B>it</B> goes", "|<i>So</i> <b>it</b> goes"),
        ("<i>never <b>closed", "|<i>never <b>closed</b></i>"),
        (
            "<b>ill <i>nested</b> tags</i>",
            "|<b>ill <i>nested</i></b> tags",
        ),
        ("</u>alone", "|alone"),
        ("<font color=\"#ffff00\">Yellow</font>", "|Yellow"),
        (
            "Tom & Jerry: 1 < 2 > 0",
            "|Tom &amp; Jerry: 1 &lt; 2 &gt; 0",
        ),
        ("Go --> there", "|Go --&gt; there"),
        ("I <3 you <unknown> <", "|I &lt;3 you &lt;unknown&gt; &lt;"),
        ("{\\an8}Above", "line:0|Above"),
        ("{\\pos(1,2)\\an1}Left{\\an9}", "align:left|Left"),
        ("{\\an5\\b1}Middle {aside}", "line:50%|Middle {aside}"),
        ("{\\unended", "|{\\unended"),
        ("<font>\n</font>\nsecond", "|second"),
    ];
    for (written, wanted) in cases {
        let file = format!("1\n00:00:01,000 --> 00:00:02,000\n{written}\n");
        assert_eq!(
            subrip(&file),
            [format!("1000-2000 -|{wanted}")],
            "{written}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_read_as_windows_1252_and_it_is_told() {
    let file = b"1\n00:00:01,000 --> 00:00:02,000\n\x93Caf\xe9\x94 \x97 5 \x80\n";
    let document = text::parse(file).unwrap();
    assert_eq!(told(&document), ["1000-2000 -||“Café” — 5 €"]);
    assert_eq!(document.encoding(), Encoding::Windows1252);
}

#[test]
fn a_file_in_utf_16_is_read_by_its_byte_order_mark_and_never_panics() {
    let srt = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,000\r\nCafé 🎬\r\n";
    let units = srt.encode_utf16();
    let little: Vec<u8> = units.clone().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units.flat_map(u16::to_be_bytes).collect();
    for file in [&little, &big] {
        let document = text::parse(file).unwrap();
        assert_eq!(told(&document), ["1000-2000 -||Café 🎬"]);
        assert_eq!(document.encoding(), Encoding::Utf16);
        // Cut within a character, or within a half of one.
        for end in 0..file.len() {
            let _ = text::parse(&file[..end]);
        }
    }
    let vtt = "\u{feff}WEBVTT\n\n00:01.000 --> 00:02.000\nA word\n";
    let vtt: Vec<u8> = vtt.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(told(&text::parse(&vtt).unwrap()), ["1000-2000 -||A word"]);
    assert_eq!(text::parse(b"\xff\xfe"), Err(Error::NotSubtitles));
    let large = [b"\xff\xfe".as_slice(), &vec![b' '; text::MAX_FILE_BYTES]].concat();
    assert_eq!(text::parse(&large), Err(Error::TooLarge));
}

#[test]
fn a_segment_repeats_cues_that_span_it_and_the_head() {
    let film = vtt(
        "WEBVTT\n\nSTYLE\n::cue { color: white }\n\n00:01.000 --> 00:05.000\nspans\n\n\
         00:04.000 --> 00:06.000\nbegins\n\n00:02.000 --> 00:04.000\nended\n",
    );
    let wanted = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\nSTYLE\n::cue { color: white }\n\n\
        00:00:01.000 --> 00:00:05.000\nspans\n\n00:00:04.000 --> 00:00:06.000\nbegins\n";
    assert_eq!(
        text::segment(&film, ms(4000), ms(8000), Flavour::Ts),
        wanted
    );
    let empty = "WEBVTT\n\nSTYLE\n::cue { color: white }\n";
    assert_eq!(
        text::segment(&film, ms(8000), ms(12_000), Flavour::Cmaf),
        empty
    );
}

/// A WebVTT file and what it holds: any moments, any text, ids and settings here and there.
fn any_file() -> impl Strategy<Value = String> {
    let cue = (
        0u64..60_000,
        1u64..20_000,
        "[a-z&;<>/ é-]{0,9}",
        any::<bool>(),
    );
    prop::collection::vec(cue, 0..40).prop_map(|cues| {
        let mut file = String::from("WEBVTT\n\nSTYLE\nb{}\n\n");
        for (at, (start, length, text, named)) in cues.into_iter().enumerate() {
            let moment = |millis: u64| {
                format!(
                    "{:02}:{:02}.{:03}",
                    millis / 60_000,
                    millis / 1000 % 60,
                    millis % 1000
                )
            };
            let id = if named { "STYLE\n" } else { "" };
            let text = text.replace("-->", "");
            let (start, end) = (moment(start), moment(start + length));
            let _ = write!(file, "{id}{start} --> {end} line:{at}\n{text}\n\n");
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cue_is_in_the_segments_that_it_overlaps_and_nowhere_else(
        file in any_file(),
        mut boundaries in prop::collection::vec(0u64..90_000, 2..30),
    ) {
        boundaries.sort_unstable();
        boundaries.dedup();
        let film = vtt(&file);
        for pair in boundaries.windows(2) {
            let (start, end) = (ms(pair[0]), ms(pair[1]));
            let written = text::segment(&film, start, end, Flavour::Cmaf);
            let segment = vtt(&written);
            let wanted: Vec<_> = film.cues().iter().filter(|cue| cue.start < end && start < cue.end).collect();
            prop_assert_eq!(segment.cues().iter().collect::<Vec<_>>(), wanted);
            prop_assert_eq!(segment.head(), film.head());
        }
    }

    #[test]
    fn rates_are_those_of_the_written_segments(
        file in any_file(),
        mut boundaries in prop::collection::vec(0u64..90_000, 2..30),
        target in 1u64..100,
        flavour in prop_oneof![Just(Flavour::Cmaf), Just(Flavour::Ts)],
    ) {
        boundaries.sort_unstable();
        boundaries.dedup();
        prop_assume!(boundaries.len() > 1);
        let boundaries: Vec<Duration> = boundaries.into_iter().map(ms).collect();
        let document = Arc::new(vtt(&file));
        let track = Track {
            id: RenditionId::parse("text-en").unwrap(),
            language: Some("en".to_owned()),
            label: None,
            document: Arc::clone(&document),
        };
        let bits = |pair: &[Duration]| text::segment(&document, pair[0], pair[1], flavour).len() as u128 * 8;
        let rate = |bits: u128, length: Duration| (bits * 1_000_000_000).div_ceil(length.as_nanos());
        let all: u128 = boundaries.windows(2).map(bits).sum();
        let whole = rate(all, *boundaries.last().unwrap() - boundaries[0]);
        let runs = (0..boundaries.len()).flat_map(|from| (from + 1..boundaries.len()).map(move |to| from..=to));
        let runs = runs.map(|run| &boundaries[run]).filter_map(|run| {
            let length = run[run.len() - 1] - run[0];
            let allowed = length * 2 >= Duration::from_secs(target) && length * 2 <= Duration::from_secs(3 * target);
            allowed.then(|| rate(run.windows(2).map(bits).sum(), length))
        });
        let peak = runs.max().unwrap_or(whole);
        let rates = track.rates(&boundaries, target, flavour);
        prop_assert_eq!(u128::from(rates.peak), peak);
        prop_assert_eq!(u128::from(rates.average), whole);
    }

    #[test]
    fn what_is_written_reads_back_as_itself(file in any_file()) {
        let film = vtt(&file);
        prop_assert_eq!(vtt(&webvtt::write(&film)), film);
    }

    #[test]
    fn any_lines_that_parse_can_be_written(
        lines in prop::collection::vec(prop_oneof![
            Just("00:01.000 --> 00:02.000".to_owned()), Just("1:00:01,000 --> 1:00:02,000 X1:3".to_owned()),
            Just(String::new()), Just("7".to_owned()), Just("STYLE".to_owned()), Just("REGION ".to_owned()),
            Just("<i>-->{\\an8}".to_owned()), "[ -~\r\t\0é]{0,12}",
        ], 0..24),
        signed in any::<bool>(),
    ) {
        let file = format!("{}{}", if signed { "WEBVTT\n\n" } else { "" }, lines.join("\n"));
        if let Ok(document) = text::parse(file.as_bytes()) {
            let again = vtt(&webvtt::write(&document));
            prop_assert_eq!(again.cues(), document.cues());
            prop_assert_eq!(again.head(), document.head());
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = text::parse(&bytes);
        let _ = webvtt::parse(&[b"WEBVTT\n".as_slice(), &bytes].concat());
    }
}
