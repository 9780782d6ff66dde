//! Layer norm, a few rows a task.

use rayon::prelude::*;

use super::{
    buffer::{filled, no_sides},
    rows::{ROWS, column_sums, elements, lane_sum},
    simd::{Arith, simd},
};

/// Mean and `1/std` of each row.
#[derive(Clone, Copy)]
pub(super) struct Statistics<'a> {
    pub(super) mean: &'a [f32],
    pub(super) inv_std: &'a [f32],
}

impl Statistics<'_> {
    /// Those of the rows from `start` on.
    fn from(self, start: usize) -> Self {
        Self { mean: &self.mean[start..], inv_std: &self.inv_std[start..] }
    }
}

/// Output, and mean and `1/std` of each row.
pub(super) fn forward(x: &[f32], [weight, bias]: [&[f32]; 2], epsilon: f64) -> [Vec<f32>; 3] {
    let width = weight.len();
    let (mut mean, mut inv_std) = (vec![0.0; x.len() / width], vec![0.0; x.len() / width]);
    let chunk = ROWS * width;
    let statistics = mean.par_chunks_mut(ROWS).zip(inv_std.par_chunks_mut(ROWS));
    let output = filled(x.len(), chunk, statistics, |index, (mean, inv_std), output| {
        normalise(&x[index * chunk..], [weight, bias], epsilon as f32, [mean, inv_std], output);
    });
    [output, mean, inv_std]
}

/// Gradients of the input, the weight and the bias, where wanted; `inputs` are the input, the weight and the gradient.
pub(super) fn backward(
    inputs: [&[f32]; 3],
    statistics: Statistics<'_>,
    [x_wanted, weight_wanted, bias_wanted]: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    let [_, weight, grad] = inputs;
    [
        x_wanted.then(|| input_gradient(inputs, statistics)),
        weight_wanted.then(|| weight_gradient(inputs, statistics)),
        bias_wanted.then(|| bias_gradient(grad, weight.len())),
    ]
}

fn input_gradient([x, weight, grad]: [&[f32]; 3], statistics: Statistics<'_>) -> Vec<f32> {
    let chunk = ROWS * weight.len();
    filled(x.len(), chunk, no_sides(x.len(), chunk), |index, (), dx| {
        let start = index * chunk;
        input_slopes([&x[start..], &grad[start..], weight], statistics.from(index * ROWS), dx);
    })
}

fn weight_gradient([x, weight, grad]: [&[f32]; 3], statistics: Statistics<'_>) -> Vec<f32> {
    let width = weight.len();
    column_sums([statistics.mean.len(), width], |rows, sums| {
        let inputs = [x, grad].map(|matrix| elements(matrix, rows.clone(), width));
        weight_slopes(inputs, statistics.from(rows.start), sums);
    })
}

fn bias_gradient(grad: &[f32], width: usize) -> Vec<f32> {
    column_sums([grad.len() / width, width], |rows, sums| {
        for row in elements(grad, rows, width).chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    })
}

simd! {
    /// Rows of `output`; `constants` are the weight and the bias, `statistics` become mean and `1/std`.
    fn normalise(
        x: &[f32], constants: [&[f32]; 2], epsilon: f32, statistics: [&mut [f32]; 2], output: &mut [f32],
    ) = normalise_body;
}

#[inline(always)]
fn normalise_body<A: Arith>(
    x: &[f32],
    [weight, bias]: [&[f32]; 2],
    epsilon: f32,
    [means, inv_stds]: [&mut [f32]; 2],
    output: &mut [f32],
) {
    let width = weight.len();
    let rows = x.chunks_exact(width).zip(output.chunks_exact_mut(width));
    for ((x, output), (row_mean, inv_std)) in rows.zip(means.iter_mut().zip(inv_stds)) {
        let mean = lane_sum(width, |i| x[i]) / width as f32;
        let variance = lane_sum(width, |i| (x[i] - mean) * (x[i] - mean)) / width as f32;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for (((output, &x), &weight), &bias) in output.iter_mut().zip(x).zip(weight).zip(bias) {
            *output = (x - mean) * scale * weight + bias;
        }
        (*row_mean, *inv_std) = (mean, scale);
    }
}

simd! {
    /// With `r = 1/std`, `y = r·(x − mean)` and `g` the gradient: `dx = r·(g∘w − mean(g∘w) − y·mean(g∘w∘y))`. `inputs`
    /// are the input, the gradient and the weight.
    fn input_slopes(inputs: [&[f32]; 3], statistics: Statistics<'_>, dx: &mut [f32]) = input_slopes_body;
}

#[inline(always)]
fn input_slopes_body<A: Arith>([x, grad, weight]: [&[f32]; 3], statistics: Statistics<'_>, dx: &mut [f32]) {
    let width = weight.len();
    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((x, grad), dx), (&mean, &scale)) in rows.zip(statistics.mean.iter().zip(statistics.inv_std)) {
        let shift = lane_sum(width, |i| grad[i] * weight[i]) / width as f32;
        let slope = lane_sum(width, |i| grad[i] * weight[i] * ((x[i] - mean) * scale)) / width as f32;
        for (((dx, &x), &grad), &weight) in dx.iter_mut().zip(x).zip(grad).zip(weight) {
            *dx = (grad * weight - shift - (x - mean) * scale * slope) * scale;
        }
    }
}

simd! {
    /// `g∘r·(x − mean)` of each row is added to `dweight`; `inputs` are the input and the gradient.
    fn weight_slopes(inputs: [&[f32]; 2], statistics: Statistics<'_>, dweight: &mut [f32]) = weight_slopes_body;
}

#[inline(always)]
fn weight_slopes_body<A: Arith>([x, grad]: [&[f32]; 2], statistics: Statistics<'_>, dweight: &mut [f32]) {
    let width = dweight.len();
    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
    for ((x, grad), (&mean, &scale)) in rows.zip(statistics.mean.iter().zip(statistics.inv_std)) {
        for ((dweight, &x), &grad) in dweight.iter_mut().zip(x).zip(grad) {
            *dweight += grad * ((x - mean) * scale);
        }
    }
}
