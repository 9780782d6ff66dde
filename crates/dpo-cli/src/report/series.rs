//! Numbers over steps: thinned to what a page can show, and smoothed.

/// A line of values over steps.
pub(super) type Points = Vec<(f64, f64)>;

/// A bounded record of rows of `N` values: when it is full, neighbours become their mean.
#[derive(Debug, Clone)]
pub(super) struct Thinned<const N: usize> {
    rows: Vec<[f64; N]>,
    /// Rows that one kept row stands for.
    stride: usize,
    pending: Vec<[f64; N]>,
}

impl<const N: usize> Thinned<N> {
    const MOST: usize = 2048;

    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), stride: 1, pending: Vec::new() }
    }

    /// Adds a row; a value that is not there is NaN and counts in no mean.
    pub(super) fn push(&mut self, row: [f64; N]) {
        self.pending.push(row);
        if self.pending.len() < self.stride {
            return;
        }
        self.rows.push(mean(&self.pending));
        self.pending.clear();
        if self.rows.len() >= Self::MOST {
            self.rows = self.rows.chunks(2).map(mean).collect();
            self.stride *= 2;
        }
    }

    /// What was kept, and how many rows each stands for.
    pub(super) fn finish(mut self) -> (Vec<[f64; N]>, usize) {
        if !self.pending.is_empty() {
            self.rows.push(mean(&self.pending));
        }
        (self.rows, self.stride)
    }
}

fn mean<const N: usize>(rows: &[[f64; N]]) -> [f64; N] {
    std::array::from_fn(|column| {
        let values = rows.iter().map(|row| row[column]).filter(|value| value.is_finite());
        let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
        if n > 0.0 { sum / n } else { f64::NAN }
    })
}

/// A moving average that weighs its neighbours by a bell curve, about a twentieth of the line wide.
///
/// It looks both ways, so that it does not lag behind; at the ends only one way is left.
pub(super) fn smooth(points: &[(f64, f64)]) -> Points {
    let width = (points.len() as f64 / 40.0).clamp(1.0, 40.0);
    let reach = (2.5 * width).ceil() as usize;
    let at = |idx: usize| {
        let (first, last) = (idx.saturating_sub(reach), (idx + reach).min(points.len() - 1));
        let (mut sum, mut weights) = (0.0, 0.0);
        for (other, &(_, y)) in points.iter().enumerate().take(last + 1).skip(first) {
            let distance = other.abs_diff(idx) as f64 / width;
            let weight = (-0.5 * distance * distance).exp();
            sum += weight * y;
            weights += weight;
        }
        (points[idx].0, sum / weights)
    };
    (0..points.len()).map(at).collect()
}

/// The value below which the share `q` of the sorted `values` lies; `values` is not empty.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let at = q * (values.len() - 1) as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The finite ones of `values`, in order of size.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10,000 rows of the line y = x keep their mean and stay in order, in at most 2,048 rows.
    #[test]
    fn thinning_keeps_means() {
        let mut thinned = Thinned::<2>::new();
        (0..10_000)
            .for_each(|x| thinned.push([f64::from(x), if x % 2 == 0 { f64::from(x) } else { f64::NAN }]));
        let (rows, stride) = thinned.finish();
        assert_eq!((rows.len(), stride), (1250, 8));
        assert_eq!((rows[0][0], rows[0][1]), (3.5, 3.0));
    }

    /// A constant stays what it is, and so does the middle of a straight line.
    #[test]
    fn smoothing_has_no_bias() {
        let constant: Points = (0..50).map(|x| (f64::from(x), 2.5)).collect();
        assert!(smooth(&constant).iter().all(|&(_, y)| (y - 2.5).abs() < 1e-12));
        let slope: Points = (0..400).map(|x| (f64::from(x), f64::from(x))).collect();
        assert!((smooth(&slope)[200].1 - 200.0).abs() < 1e-9);
    }

    #[test]
    fn quantiles_interpolate() {
        let values = sorted([4.0, f64::NAN, 1.0, 3.0, 2.0]);
        assert_eq!([0.0, 0.5, 1.0].map(|q| quantile(&values, q).to_string()), ["1", "2.5", "4"]);
    }
}
