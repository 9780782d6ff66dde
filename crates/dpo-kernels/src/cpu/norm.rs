//! Root-mean-square norm, a few rows a task.

use rayon::prelude::*;

use super::{
    buffer::filled,
    simd::{Arith, simd},
};

/// Rows a task. The weight's gradient is summed over the rows of a task, then over the tasks in order.
const ROWS: usize = 16;
/// Partial sums of a row.
const LANES: usize = 16;

/// Output and `1/rms` of each row.
pub(super) fn forward(x: &[f32], weight: &[f32], epsilon: f64) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut inv_rms = vec![0.0; x.len() / width];
    let chunk = ROWS * width;
    let output = filled(x.len(), chunk, inv_rms.par_chunks_mut(ROWS), |index, inv_rms, output| {
        normalise(&x[index * chunk..], [weight, &[epsilon as f32]], inv_rms, output);
    });
    (output, inv_rms)
}

/// Gradients of the input and the weight.
pub(super) fn backward(x: &[f32], weight: &[f32], inv_rms: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut parts = vec![0.0; inv_rms.len().div_ceil(ROWS) * width];
    let chunk = ROWS * width;
    let dx = filled(x.len(), chunk, parts.par_chunks_mut(width), |index, part, dx| {
        let inv_rms = &inv_rms[index * ROWS..];
        slopes([&x[index * chunk..], &grad[index * chunk..], weight, inv_rms], part, dx);
    });
    let mut dweight = vec![0.0; width];
    for part in parts.chunks_exact(width) {
        dweight.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    (dx, dweight)
}

/// `Σ value(i)` in fixed lanes, so that it vectorises and has one order.
#[inline(always)]
fn lane_sum(len: usize, value: impl Fn(usize) -> f32) -> f32 {
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

simd! {
    /// Rows of `output`; `constants` are the weight and the epsilon.
    fn normalise(x: &[f32], constants: [&[f32]; 2], inv_rms: &mut [f32], output: &mut [f32]) = normalise_body;
}

#[inline(always)]
fn normalise_body<A: Arith>(
    x: &[f32],
    [weight, epsilon]: [&[f32]; 2],
    inv_rms: &mut [f32],
    output: &mut [f32],
) {
    let width = weight.len();
    let rows = x.chunks_exact(width).zip(output.chunks_exact_mut(width));
    for ((x, output), inv_rms) in rows.zip(inv_rms) {
        let mean_square = lane_sum(width, |i| x[i] * x[i]) / width as f32;
        let scale = 1.0 / (mean_square + epsilon[0]).sqrt();
        for ((output, &x), &weight) in output.iter_mut().zip(x).zip(weight) {
            *output = x * scale * weight;
        }
        *inv_rms = scale;
    }
}

simd! {
    /// With `r = 1/rms` and `g` the gradient: `dx = r·(g∘w − x·r·mean(g∘w∘x·r))`; `g∘x·r` is added to `dweight`.
    /// `inputs` are the input, the gradient, the weight and `1/rms`.
    fn slopes(inputs: [&[f32]; 4], dweight: &mut [f32], dx: &mut [f32]) = slopes_body;
}

#[inline(always)]
fn slopes_body<A: Arith>([x, grad, weight, inv_rms]: [&[f32]; 4], dweight: &mut [f32], dx: &mut [f32]) {
    let width = weight.len();
    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((x, grad), dx), &scale) in rows.zip(inv_rms) {
        let mean = lane_sum(width, |i| grad[i] * weight[i] * (x[i] * scale)) / width as f32;
        let inputs = x.iter().zip(grad).zip(weight);
        for (((&x, &grad), &weight), (dx, dweight)) in inputs.zip(dx.iter_mut().zip(&mut *dweight)) {
            let normed = x * scale;
            *dweight += grad * normed;
            *dx = (grad * weight - normed * mean) * scale;
        }
    }
}
