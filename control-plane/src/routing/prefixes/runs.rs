//! Runs of addresses that each have one answer.

use super::Fault;

/// A site's prefix as two addresses, and the line that says it.
pub(super) struct Prefix<T> {
    pub(super) first: T,
    pub(super) last: T,
    pub(super) whose: Whose,
    pub(super) line: usize,
}

/// Whose addresses they are, and how long the prefix is that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) site: u32,
    pub(super) length: u8,
}

/// Where runs of addresses begin, ascending, and whose they are.
#[derive(Debug)]
pub(super) struct Runs<T> {
    starts: Vec<T>,
    sites: Vec<u32>,
    lengths: Vec<u8>,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            sites: Vec::new(),
            lengths: Vec::new(),
        }
    }
}

impl<T: Copy + Ord> Runs<T> {
    /// The runs that prefixes cut the addresses into: within a prefix those of the longer ones, and around them its
    /// own. `after` is the address after one, if there is one.
    pub(super) fn of(
        mut prefixes: Vec<Prefix<T>>,
        after: impl Fn(T) -> Option<T>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        prefixes.sort_unstable_by(|a, b| (a.first, b.last, a.line).cmp(&(b.first, a.last, b.line)));
        let mut runs = Self::default();
        let mut open: Vec<(T, Whose)> = Vec::new();
        for (at, prefix) in prefixes.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| prefixes.get(before));
            if let Some(same) = before.filter(|b| (b.first, b.last) == (prefix.first, prefix.last))
            {
                let what = format!("the prefix stands in line {} too", same.line);
                let line = prefix.line;
                faults.push(Fault { line, what });
            }
            runs.close(&mut open, &after, |last| last < prefix.first);
            runs.begin(prefix.first, prefix.whose);
            open.push((prefix.last, prefix.whose));
        }
        runs.close(&mut open, &after, |_| true);
        runs.starts.shrink_to_fit();
        runs.sites.shrink_to_fit();
        runs.lengths.shrink_to_fit();
        runs
    }

    /// Ends the innermost open prefixes for as long as `over` says so of their last address.
    fn close(
        &mut self,
        open: &mut Vec<(T, Whose)>,
        after: impl Fn(T) -> Option<T>,
        over: impl Fn(T) -> bool,
    ) {
        while let Some((last, _)) = open.pop_if(|(last, _)| over(*last)) {
            let around = open.last().map_or(NOWHERE, |(_, whose)| *whose);
            if let Some(next) = after(last) {
                self.begin(next, around);
            }
        }
    }

    fn begin(&mut self, start: T, whose: Whose) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.sites.pop();
            self.lengths.pop();
        }
        let before = (self.sites.last(), self.lengths.last());
        if before != (Some(&whose.site), Some(&whose.length)) {
            self.starts.push(start);
            self.sites.push(whose.site);
            self.lengths.push(whose.length);
        }
    }

    pub(super) fn find(&self, address: T) -> Option<Whose> {
        let after = self.starts.partition_point(|start| *start <= address);
        let at = after.checked_sub(1)?;
        let (site, length) = (*self.sites.get(at)?, *self.lengths.get(at)?);
        let whose = Whose { site, length };
        (whose != NOWHERE).then_some(whose)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<T>()
            + self.sites.capacity() * size_of::<u32>()
            + self.lengths.capacity()
    }
}

/// No prefix holds these addresses.
const NOWHERE: Whose = Whose {
    site: u32::MAX,
    length: 0,
};
