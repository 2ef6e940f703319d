//! Medians, spreads and percentiles.

use serde::Serialize;

/// The middle of some measurements, and the least and the greatest of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figure {
    /// Sums measurements up; none when there are none.
    pub(crate) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        Some(Self {
            median: percentile(&samples, 50)?,
            least: *samples.first()?,
            most: *samples.last()?,
        })
    }

    /// How far the rounds lie apart, in hundredths of the median.
    pub(crate) fn spread(&self) -> f64 {
        ratio(self.most - self.least, self.median) * 100.0
    }
}

/// The value below or at which `hundredths` of the sorted samples lie, between two neighbours in proportion.
pub(crate) fn percentile(sorted: &[f64], hundredths: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = last * hundredths.min(100);
    let (below, rest) = (place / 100, count(place % 100) / 100.0);
    let low = *sorted.get(below)?;
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    Some(low + (high - low) * rest)
}

/// `a / b`, and 0 where there is nothing to divide by.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// A count as a real number; counts here are far below 2^53.
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_whatever_the_order_of_the_rounds() {
        let figure = Figure::of(vec![9.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!(
            figure,
            Figure {
                median: 3.0,
                least: 1.0,
                most: 9.0
            }
        );
        assert!((figure.spread() - 800.0 / 3.0).abs() < 1e-9);
        assert_eq!(Figure::of(Vec::new()), None);
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let samples = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(percentile(&samples, 0), Some(1.0));
        assert_eq!(percentile(&samples, 50), Some(2.5));
        assert_eq!(percentile(&samples, 100), Some(4.0));
        assert_eq!(percentile(&samples, 200), Some(4.0));
        assert!((percentile(&samples, 99).unwrap() - 3.97).abs() < 1e-9);
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(ratio(5.0, 0.0), 0.0);
        assert_eq!(ratio(6.0, 3.0), 2.0);
    }
}
