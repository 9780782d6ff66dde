//! Norms of rows, and sums over rows.

use cubecl::prelude::*;

use super::sums::{sum_of_cube, sum_of_vector};

/// Units that go through a row, or through as many columns.
pub(super) const UNITS: usize = 128;
/// Rows that a unit adds up.
pub(super) const ROWS: usize = 64;

/// The row of a cube; cubes beyond the last row have that one.
#[cube]
fn own_row(n_rows: u32) -> usize {
    let mut row = CUBE_POS;
    if row >= n_rows as usize {
        row = n_rows as usize - 1;
    }
    row
}

/// A row a cube: `output = x·w/rms` and `1/rms`. Rows of `x` begin `pitch` vectors apart.
#[cube(launch_unchecked)]
pub(super) fn rms_norm_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    weight: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<f32, N>>,
    inv_rms: &mut Tensor<f32>,
    n_rows: u32,
    pitch: u32,
    epsilon: f32,
    #[comptime] vectors: usize,
) {
    let row = own_row(n_rows);
    let at = row * pitch as usize;
    let unit = UNIT_POS as usize;
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut idx = UNIT_POS as usize;
    while idx < vectors {
        let vector = x[at + idx];
        squares += vector * vector;
        idx += comptime!(UNITS);
    }
    let mut sums = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let sum = sum_of_cube(sum_of_vector::<N>(squares), &mut sums);
    let width = comptime!(vectors as f32) * N::value() as f32;
    let inverse = 1.0f32 / (sum / width + epsilon).sqrt();
    let mut idx = UNIT_POS as usize;
    while idx < vectors {
        output[row * vectors + idx] = x[at + idx] * Vector::<f32, N>::new(inverse) * weight[idx];
        idx += comptime!(UNITS);
    }
    if unit == 0 {
        inv_rms[row] = inverse;
    }
}

/// A row a cube, with `r = 1/rms`: `dx = r·(g∘w − x·r·mean(g∘w∘x·r))`.
#[cube(launch_unchecked)]
pub(super) fn rms_norm_input_gradient_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    weight: &Tensor<Vector<f32, N>>,
    inv_rms: &Tensor<f32>,
    grad: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<f32, N>>,
    n_rows: u32,
    pitch: u32,
    grad_pitch: u32,
    #[comptime] vectors: usize,
) {
    let row = own_row(n_rows);
    let at = row * pitch as usize;
    let grad_at = row * grad_pitch as usize;
    let inverse = inv_rms[row];
    let mut products = Vector::<f32, N>::new(0.0f32);
    let mut idx = UNIT_POS as usize;
    while idx < vectors {
        products += grad[grad_at + idx] * weight[idx] * x[at + idx];
        idx += comptime!(UNITS);
    }
    let mut sums = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let sum = sum_of_cube(sum_of_vector::<N>(products), &mut sums);
    let width = comptime!(vectors as f32) * N::value() as f32;
    let share = Vector::<f32, N>::new(sum / width * inverse * inverse);
    let mut idx = UNIT_POS as usize;
    while idx < vectors {
        let slope = grad[grad_at + idx] * weight[idx] - x[at + idx] * share;
        output[row * vectors + idx] = slope * Vector::<f32, N>::new(inverse);
        idx += comptime!(UNITS);
    }
}

/// A vector of the width a unit, [`ROWS`] rows a cube: `parts[y] = Σ_rows g∘x·r`.
#[cube(launch_unchecked)]
pub(super) fn rms_norm_weight_gradient_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    inv_rms: &Tensor<f32>,
    grad: &Tensor<Vector<f32, N>>,
    parts: &mut Tensor<Vector<f32, N>>,
    pitch: u32,
    grad_pitch: u32,
    n_rows: u32,
    #[comptime] vectors: usize,
) {
    let idx = CUBE_POS_X as usize * comptime!(UNITS) + UNIT_POS as usize;
    let first = CUBE_POS_Y as usize * comptime!(ROWS);
    let mut end = first + comptime!(ROWS);
    if end > n_rows as usize {
        end = n_rows as usize;
    }
    if idx < vectors {
        let mut sum = Vector::<f32, N>::new(0.0f32);
        for row in first..end {
            let slope = grad[row * grad_pitch as usize + idx] * x[row * pitch as usize + idx];
            sum += slope * Vector::<f32, N>::new(inv_rms[row]);
        }
        parts[CUBE_POS_Y as usize * vectors + idx] = sum;
    }
}

/// `output[i, h] = Σ_d a[i, h, d]·b[i, h, d]`, a row and a head a unit.
#[cube(launch_unchecked)]
pub(super) fn head_products_kernel<N: Size>(
    a: &Tensor<Vector<f32, N>>,
    b: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<f32>,
    n_products: u32,
    #[comptime] vectors: usize,
) {
    let at = ABSOLUTE_POS;
    if at < n_products as usize {
        let mut products = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for idx in 0..vectors {
            products += a[at * vectors + idx] * b[at * vectors + idx];
        }
        output[at] = sum_of_vector::<N>(products);
    }
}

/// A span a cube: `output[i] = Σ x[ends[i−1]..ends[i]]`.
#[cube(launch_unchecked)]
pub(super) fn span_sums_kernel(x: &Tensor<f32>, ends: &Tensor<u32>, output: &mut Tensor<f32>) {
    let span = CUBE_POS_X as usize;
    let mut start = 0usize;
    if span > 0 {
        start = ends[span - 1] as usize;
    }
    let mut sum = 0.0f32;
    let mut at = start + UNIT_POS as usize;
    while at < ends[span] as usize {
        sum += x[at];
        at += comptime!(UNITS);
    }
    let mut sums = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let total = sum_of_cube(sum, &mut sums);
    if UNIT_POS == 0 {
        output[span] = total;
    }
}

/// A part a cube: `parts[x] = Σ v²` of the vectors that are its turn.
#[cube(launch_unchecked)]
pub(super) fn sum_of_squares_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    parts: &mut Tensor<f32>,
    n_vectors: u32,
    n_parts: u32,
) {
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut idx = CUBE_POS_X as usize * comptime!(UNITS) + UNIT_POS as usize;
    while idx < n_vectors as usize {
        let vector = x[idx];
        squares += vector * vector;
        idx += n_parts as usize * comptime!(UNITS);
    }
    let mut sums = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let sum = sum_of_cube(sum_of_vector::<N>(squares), &mut sums);
    if UNIT_POS == 0 {
        parts[CUBE_POS_X as usize] = sum;
    }
}

/// The scalars of an update, see [`AdamWStep`](crate::AdamWStep).
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Numbers {
    grad_scale: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    second_correction_root: f32,
    epsilon: f32,
    decay_factor: f32,
    step_size: f32,
}

/// AdamW where the numbers are: parameter, first and second moment.
#[cube(launch_unchecked)]
pub(super) fn adamw_kernel<N: Size>(
    param: &mut Tensor<Vector<f32, N>>,
    grad: &Tensor<Vector<f32, N>>,
    first: &mut Tensor<Vector<f32, N>>,
    second: &mut Tensor<Vector<f32, N>>,
    n_vectors: u32,
    numbers: Numbers,
) {
    let at = ABSOLUTE_POS;
    if at < n_vectors as usize {
        let slope = grad[at] * Vector::<f32, N>::new(numbers.grad_scale);
        let mean =
            first[at] * Vector::<f32, N>::new(numbers.beta1) + slope * Vector::<f32, N>::new(numbers.rest1);
        let square = second[at] * Vector::<f32, N>::new(numbers.beta2)
            + slope * slope * Vector::<f32, N>::new(numbers.rest2);
        let root = square.sqrt() / Vector::<f32, N>::new(numbers.second_correction_root);
        let direction = mean / (root + Vector::<f32, N>::new(numbers.epsilon));
        first[at] = mean;
        second[at] = square;
        param[at] = param[at] * Vector::<f32, N>::new(numbers.decay_factor)
            - direction * Vector::<f32, N>::new(numbers.step_size);
    }
}
