//! What ffmpeg tells of how far it has come.

use std::time::Duration;

/// Reads what `-progress` writes.
pub(super) struct Progress {
    whole: Option<Duration>,
    line: Vec<u8>,
    thousandths: u16,
}

impl Progress {
    pub(super) const fn new(whole: Option<Duration>) -> Self {
        Self {
            whole,
            line: Vec::new(),
            thousandths: 0,
        }
    }

    /// The progress after these bytes, if they moved it on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<u16> {
        let before = self.thousandths;
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.take(&line);
            } else if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            }
        }
        (self.thousandths > before).then_some(self.thousandths)
    }

    fn take(&mut self, line: &[u8]) {
        let micros = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix("out_time_us="))
            .and_then(|value| value.trim().parse::<u128>().ok());
        let whole = self.whole.map_or(0, |whole| whole.as_micros());
        if let Some(thousandths) = micros.and_then(|micros| (micros * 1000).checked_div(whole)) {
            let thousandths = u16::try_from(thousandths.min(1000)).unwrap_or(1000);
            self.thousandths = self.thousandths.max(thousandths);
        }
    }
}

const MAX_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_rises_through_broken_lines_and_never_falls() {
        let mut progress = Progress::new(Some(Duration::from_secs(10)));
        assert_eq!(progress.read(b"frame=1\nout_time_us=N/A\nout_ti"), None);
        assert_eq!(progress.read(b"me_us=2500000\n"), Some(250));
        assert_eq!(progress.read(b"out_time_us=100\n"), None);
        assert_eq!(progress.read(b"out_time_us=99000000\n"), Some(1000));
        let mut unknown = Progress::new(None);
        assert_eq!(unknown.read(b"out_time_us=99000000\n"), None);
    }
}
