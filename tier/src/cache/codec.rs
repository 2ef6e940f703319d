//! An object's `CacheMeta` as bytes on disk.
//!
//! `version u8 | flags u8 | status u16 | fresh until, created, epoch: i64 ns since 1970 |
//! stale-while-revalidate, stale-if-error: u32 s | variance 16, with flag 1 | fields, each
//! name length u16, name, value length u16, value`, little-endian.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue};
use pingora::cache::CacheMeta;
use pingora::http::ResponseHeader;

/// Writes a meta; `None` for one that has no place in the format.
pub(super) fn encode(meta: &CacheMeta) -> Option<Vec<u8>> {
    let header = meta.response_header();
    let mut out = vec![VERSION, u8::from(meta.variance().is_some())];
    out.extend_from_slice(&header.status.as_u16().to_le_bytes());
    for time in [meta.fresh_until(), meta.created(), meta.epoch()] {
        out.extend_from_slice(&nanoseconds(time).to_le_bytes());
    }
    for seconds in [meta.stale_while_revalidate_sec(), meta.stale_if_error_sec()] {
        out.extend_from_slice(&seconds.to_le_bytes());
    }
    out.extend_from_slice(meta.variance().as_ref().map_or(&[], |variance| variance));
    for (name, value) in &header.headers {
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            out.extend_from_slice(&u16::try_from(part.len()).ok()?.to_le_bytes());
            out.extend_from_slice(part);
        }
    }
    Some(out)
}

/// Reads what [`encode`] wrote; `None` for anything else.
pub(super) fn decode(bytes: &[u8]) -> Option<CacheMeta> {
    let mut reader = Reader(bytes);
    let [version, flags] = reader.array()?;
    if version != VERSION || flags > 1 {
        return None;
    }
    let status = u16::from_le_bytes(reader.array()?);
    let mut times = [UNIX_EPOCH; 3];
    for time in &mut times {
        *time = moment(i64::from_le_bytes(reader.array()?))?;
    }
    let while_revalidate = u32::from_le_bytes(reader.array()?);
    let if_error = u32::from_le_bytes(reader.array()?);
    let variance = (flags == 1).then(|| reader.array());
    let variance = variance.map_or(Some(None), |found| found.map(Some))?;
    let mut header = ResponseHeader::build(status, None).ok()?;
    while !reader.0.is_empty() {
        let name = HeaderName::from_bytes(reader.text()?).ok()?;
        let value = HeaderValue::from_bytes(reader.text()?).ok()?;
        header.append_header(name, value).ok()?;
    }
    let [fresh_until, created, epoch] = times;
    let mut meta = CacheMeta::new(fresh_until, created, while_revalidate, if_error, header);
    if epoch != created {
        meta.set_epoch_override(epoch);
    }
    if let Some(variance) = variance {
        meta.set_variance(variance);
    }
    Some(meta)
}

/// Whether two metas of one key are of the same fill: a confirmation leaves alone when it began.
pub(super) fn same_fill(one: &[u8], other: &[u8]) -> bool {
    let created = |bytes: &[u8]| -> Option<[u8; 8]> { bytes.get(CREATED)?.try_into().ok() };
    created(one).is_some_and(|at| created(other) == Some(at))
}

fn nanoseconds(time: SystemTime) -> i64 {
    let within = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => within(since),
        Err(before) => -within(before.duration()),
    }
}

fn moment(nanoseconds: i64) -> Option<SystemTime> {
    let span = Duration::from_nanos(nanoseconds.unsigned_abs());
    if nanoseconds < 0 {
        UNIX_EPOCH.checked_sub(span)
    } else {
        UNIX_EPOCH.checked_add(span)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (here, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*here)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (here, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(here)
    }
}

const VERSION: u8 = 1;
/// Where a meta says when the fill began: behind version, flags, status and one other time.
const CREATED: Range<usize> = 12..20;

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> CacheMeta {
        let mut header = ResponseHeader::build(404, None).unwrap();
        header.append_header("etag", "\"a\"").unwrap();
        header.append_header("link", "<a>").unwrap();
        header.append_header("link", "<b>").unwrap();
        let at = |ms: u64| UNIX_EPOCH + Duration::from_millis(ms);
        let mut meta = CacheMeta::new(at(1_900_000_000_123), at(1_800_000_000_001), 3, 4, header);
        meta.set_epoch_override(at(1_700_000_000_007));
        meta.set_variance([7; 16]);
        meta
    }

    #[test]
    fn a_meta_comes_back_as_it_was() {
        let (before, bytes) = (meta(), encode(&meta()).unwrap());
        let after = decode(&bytes).unwrap();
        assert_eq!(after.response_header().status, 404);
        assert_eq!(after.headers().get_all("link").iter().count(), 2);
        assert_eq!(after.headers(), before.headers());
        assert_eq!(after.variance(), Some([7; 16]));
        for time in [CacheMeta::fresh_until, CacheMeta::created, CacheMeta::epoch] {
            assert_eq!(time(&after), time(&before));
        }
        let windows = (
            after.stale_while_revalidate_sec(),
            after.stale_if_error_sec(),
        );
        assert_eq!(windows, (3, 4));
        assert_eq!(encode(&after).unwrap(), bytes);
    }

    #[test]
    fn a_confirmation_is_of_the_fill_it_confirms() {
        let mut confirmed = CacheMeta::new(
            meta().fresh_until() + Duration::from_secs(60),
            meta().created(),
            0,
            0,
            meta().response_header_copy(),
        );
        confirmed.set_epoch_override(meta().created() + Duration::from_secs(1));
        let bytes = encode(&meta()).unwrap();
        assert!(same_fill(&bytes, &encode(&confirmed).unwrap()));
        let later = meta().created() + Duration::from_nanos(1);
        let header = meta().response_header_copy();
        let other = CacheMeta::new(meta().fresh_until(), later, 3, 4, header);
        assert!(!same_fill(&bytes, &encode(&other).unwrap()));
        assert!(!same_fill(&bytes, &[]));
        assert!(!same_fill(&[], &[]));
    }

    #[test]
    fn what_is_cut_short_is_no_meta_or_a_shorter_one() {
        let bytes = encode(&meta()).unwrap();
        let whole = (0..bytes.len()).filter(|end| decode(&bytes[..*end]).is_some());
        // The end of the fixed part, and of each field but the last.
        assert_eq!(whole.count(), 3);
    }
}
