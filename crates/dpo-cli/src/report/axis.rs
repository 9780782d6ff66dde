//! An axis: a range of values, where they lie on the page, and ticks at round numbers.

use super::html::{count, exponent};

/// A linear map from values to the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// Maps `low` to `start` and `high` to `end`; an empty range is widened around its value.
    pub(crate) fn new((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        let is_empty = (high - low) <= f64::EPSILON * low.abs().max(high.abs()).max(f64::MIN_POSITIVE);
        let room = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
        let (low, high) = if is_empty { (low - room, high + room) } else { (low, high) };
        Self { low, high, start, end }
    }

    /// Where `value` lies.
    pub(crate) fn at(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    /// Whether `value` lies within the range.
    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// About `n` round numbers within the range, each with its label.
    pub(crate) fn ticks(&self, n: usize) -> Vec<(f64, String)> {
        let step = nice_step((self.high - self.low) / n as f64);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        // A range of 2n steps at most: `nice_step` rounds down by no more than that.
        (first..=last.min(first.saturating_add(4 * n as i64)))
            .map(|tick| tick as f64 * step)
            .map(|value| (value, label(value, step)))
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten, the closest above `rough`.
pub(crate) fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(1e-300).log10().floor());
    let nice = [1.0, 2.0, 5.0].into_iter().find(|m| m * power >= rough * 0.999);
    nice.unwrap_or(10.0) * power
}

/// A tick's label, with as many decimals as its neighbours need.
fn label(value: f64, step: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if size < step / 2.0 => return "0".to_owned(),
        _ if step < 1e-4 => exponent(size),
        _ if step >= 1e6 => format!("{}M", count(size / 1e6)),
        _ if step >= 1e3 => format!("{}k", count(size / 1e3)),
        _ => format!("{size:.*}", (-step.log10().floor()).max(0.0) as usize),
    };
    if value < 0.0 { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        Axis::new((low, high), (0.0, 1.0)).ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-130.0, -97.0), ["−130", "−120", "−110", "−100"]);
        assert_eq!(labels(0.0, 1e-6), ["0", "2e−7", "4e−7", "6e−7", "8e−7", "1e−6"]);
        assert_eq!(labels(0.0, 10_000.0), ["0", "2k", "4k", "6k", "8k", "10k"]);
    }

    /// A constant, a zero and huge or tiny values have an axis, too.
    #[test]
    fn every_finite_range_has_an_axis() {
        for (low, high) in [(3.0, 3.0), (0.0, 0.0), (-1e300, 1e300), (1e-300, 2e-300), (-5.0, -5.0)] {
            let axis = Axis::new((low, high), (0.0, 100.0));
            assert!((0.0..=100.0).contains(&axis.at(low)), "{low}");
            assert!((1..=24).contains(&axis.ticks(5).len()), "{low}: {:?}", axis.ticks(5));
        }
    }
}
