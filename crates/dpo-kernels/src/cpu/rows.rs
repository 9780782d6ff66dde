//! Sums along a row and over all rows, each in one order whatever the number of threads.

use std::ops::Range;

use rayon::prelude::*;

/// Rows a task.
pub(super) const ROWS: usize = 16;
/// Partial sums of a row.
const LANES: usize = 16;

/// `Σ value(i)` in fixed lanes, so that it vectorises and has one order.
#[inline(always)]
pub(super) fn lane_sum(len: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += value(start + lane);
        }
    }
    for (lane, i) in (whole..len).enumerate() {
        sums[lane] += value(i);
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0]
}

/// What `add(rows, sums)` adds up in the columns of a task's rows, summed over the tasks in order.
pub(super) fn column_sums(
    [n_rows, width]: [usize; 2],
    add: impl Fn(Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = (0..n_rows.div_ceil(ROWS))
        .into_par_iter()
        .map(|task| {
            let mut sums = vec![0.0; width];
            add(task * ROWS..((task + 1) * ROWS).min(n_rows), &mut sums);
            sums
        })
        .collect();
    let mut total = vec![0.0; width];
    for part in &parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}

/// The elements of some rows.
pub(super) fn elements(matrix: &[f32], rows: Range<usize>, width: usize) -> &[f32] {
    &matrix[rows.start * width..rows.end * width]
}
