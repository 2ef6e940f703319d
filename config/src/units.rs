//! Durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration: `500ms`, `10s`, `5m`, `4h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes: `512B`, `64KiB`, `8MiB`, `2GiB`, `1TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SPANS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const SIZES: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Span {
    /// Whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl ByteSize {
    /// Mebibytes.
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.checked_mul(*factor)
}

fn print(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |factor: u64| value >= factor && value.is_multiple_of(factor);
    let largest = units
        .iter()
        .filter(|(_, factor)| fits(*factor))
        .max_by_key(|(_, factor)| *factor);
    match largest.or_else(|| units.iter().min_by_key(|(_, factor)| *factor)) {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => Ok(()),
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(
            u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX),
            &SPANS,
            f,
        )
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, &SIZES, f)
    }
}

macro_rules! as_text {
    ($name:ident, $units:ident, $wrap:expr, $example:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                parse(&text, &$units).map($wrap).ok_or_else(|| {
                    serde::de::Error::custom(format!("{text:?} is not like {}", $example))
                })
            }
        }
    };
}

as_text!(
    Span,
    SPANS,
    |millis| Self(Duration::from_millis(millis)),
    "\"500ms\", \"10s\", \"5m\", \"4h\", \"7d\""
);
as_text!(
    ByteSize,
    SIZES,
    Self,
    "\"512B\", \"64KiB\", \"8MiB\", \"2GiB\", \"1TiB\""
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_back_as_they_were_written() {
        for text in ["500ms", "10s", "5m", "4h", "7d", "90s", "0ms"] {
            let span: Span = serde_json::from_str(&format!("{text:?}")).unwrap();
            assert_eq!(span.to_string(), text);
        }
        for text in ["512B", "64KiB", "8MiB", "2GiB", "1TiB", "0B"] {
            let size: ByteSize = serde_json::from_str(&format!("{text:?}")).unwrap();
            assert_eq!(size.to_string(), text);
        }
    }

    #[test]
    fn numbers_without_unit_or_beyond_range_are_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "1 week",
            "99999999999999999999s",
            "99999999999999d",
        ] {
            assert!(
                serde_json::from_str::<Span>(&format!("{text:?}")).is_err(),
                "{text}"
            );
        }
    }
}
