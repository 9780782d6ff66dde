//! Root-mean-square norm, a few rows a task.

use rayon::prelude::*;

use super::{
    buffer::{filled, no_sides},
    rows::{ROWS, column_sums, elements, lane_sum},
    simd::{Arith, simd},
};

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

/// Gradients of the input and the weight, where wanted; `inputs` are the input, the weight, `1/rms` and the gradient.
pub(super) fn backward(inputs: [&[f32]; 4], [x_wanted, weight_wanted]: [bool; 2]) -> [Option<Vec<f32>>; 2] {
    [x_wanted.then(|| input_gradient(inputs)), weight_wanted.then(|| weight_gradient(inputs))]
}

fn input_gradient([x, weight, inv_rms, grad]: [&[f32]; 4]) -> Vec<f32> {
    let chunk = ROWS * weight.len();
    filled(x.len(), chunk, no_sides(x.len(), chunk), |index, (), dx| {
        input_slopes([&x[index * chunk..], &grad[index * chunk..], weight, &inv_rms[index * ROWS..]], dx);
    })
}

fn weight_gradient([x, weight, inv_rms, grad]: [&[f32]; 4]) -> Vec<f32> {
    let width = weight.len();
    column_sums([inv_rms.len(), width], |rows, sums| {
        let [x, grad] = [x, grad].map(|matrix| elements(matrix, rows.clone(), width));
        weight_slopes(x, grad, &inv_rms[rows], sums);
    })
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
    /// With `r = 1/rms` and `g` the gradient: `dx = r·(g∘w − x·r·mean(g∘w∘x·r))`. `inputs` are the input, the gradient,
    /// the weight and `1/rms`.
    fn input_slopes(inputs: [&[f32]; 4], dx: &mut [f32]) = input_slopes_body;
}

#[inline(always)]
fn input_slopes_body<A: Arith>([x, grad, weight, inv_rms]: [&[f32]; 4], dx: &mut [f32]) {
    let width = weight.len();
    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((x, grad), dx), &scale) in rows.zip(inv_rms) {
        let mean = lane_sum(width, |i| grad[i] * weight[i] * (x[i] * scale)) / width as f32;
        for (((dx, &x), &grad), &weight) in dx.iter_mut().zip(x).zip(grad).zip(weight) {
            let normed = x * scale;
            *dx = (grad * weight - normed * mean) * scale;
        }
    }
}

simd! {
    /// `g∘x·r` of each row is added to `dweight`.
    fn weight_slopes(x: &[f32], grad: &[f32], inv_rms: &[f32], dweight: &mut [f32]) = weight_slopes_body;
}

#[inline(always)]
fn weight_slopes_body<A: Arith>(x: &[f32], grad: &[f32], inv_rms: &[f32], dweight: &mut [f32]) {
    let width = dweight.len();
    for ((x, grad), &scale) in x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(inv_rms) {
        for ((dweight, &x), &grad) in dweight.iter_mut().zip(x).zip(grad) {
            *dweight += grad * (x * scale);
        }
    }
}
