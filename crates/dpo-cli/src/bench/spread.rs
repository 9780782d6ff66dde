//! What many measurements of one thing come to.

use serde::{Deserialize, Serialize};

use crate::report::{quantile, sorted};

/// The middle of some measurements, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    /// Half of them are smaller.
    pub(super) median: f64,
    /// A quarter of them are smaller than the first, a quarter larger than the second.
    pub(super) quartiles: [f64; 2],
}

impl Spread {
    /// The spread of `values`, of which there is at least one.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let at = |share| quantile(&values, share);
        Self { median: at(0.5), quartiles: [at(0.25), at(0.75)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 1, 2, 3, 4, 5 the middle one is 3, and one is smaller than 2; between neighbours a straight line runs.
    #[test]
    fn quartiles_cut_off_a_quarter() {
        assert_eq!(Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]), Spread { median: 3.0, quartiles: [2.0, 4.0] });
        assert_eq!(Spread::of([1.0, 2.0]), Spread { median: 1.5, quartiles: [1.25, 1.75] });
        assert_eq!(Spread::of([7.0]), Spread { median: 7.0, quartiles: [7.0; 2] });
    }
}
