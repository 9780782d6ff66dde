//! AdamW in one pass over memory, and sums of squares.

use rayon::prelude::*;

use super::simd::{Arith, simd};
use crate::AdamWStep;

/// Elements a task.
const CHUNK: usize = 16384;
/// Partial sums of a chunk.
const LANES: usize = 16;

/// The numbers of a step, rounded as burn rounds scalars, so that the bits are those of the portable body.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    grad_scale: f32,
    beta1: f32,
    one_less_beta1: f32,
    beta2: f32,
    one_less_beta2: f32,
    second_correction_root: f32,
    epsilon: f32,
    decay_factor: f32,
    step_size: f32,
}

impl Numbers {
    fn new(step: &AdamWStep) -> Self {
        let numbers = step.numbers();
        Self {
            grad_scale: step.grad_scale as f32,
            beta1: step.beta1 as f32,
            one_less_beta1: (1.0 - step.beta1) as f32,
            beta2: step.beta2 as f32,
            one_less_beta2: (1.0 - step.beta2) as f32,
            second_correction_root: numbers.second_correction_root as f32,
            epsilon: step.epsilon as f32,
            decay_factor: numbers.decay_factor as f32,
            step_size: numbers.step_size as f32,
        }
    }
}

/// Updates the parameter and its moments where they lie.
pub(super) fn update(param: &mut [f32], grad: &[f32], [first, second]: [&mut [f32]; 2], step: &AdamWStep) {
    let numbers = Numbers::new(step);
    let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
    param
        .par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK))
        .zip(moments)
        .for_each(|((param, grad), (first, second))| update_chunk(param, grad, first, second, numbers));
}

simd! {
    fn update_chunk(param: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32], numbers: Numbers)
        = update_body;
}

#[inline(always)]
fn update_body<A: Arith>(
    param: &mut [f32],
    grad: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    numbers: Numbers,
) {
    let moments = first.iter_mut().zip(second);
    for ((param, &grad), (first, second)) in param.iter_mut().zip(grad).zip(moments) {
        let grad = grad * numbers.grad_scale;
        *first = *first * numbers.beta1 + grad * numbers.one_less_beta1;
        *second = *second * numbers.beta2 + grad * grad * numbers.one_less_beta2;
        let root = second.sqrt() / numbers.second_correction_root;
        let direction = *first / (root + numbers.epsilon);
        *param = *param * numbers.decay_factor - direction * numbers.step_size;
    }
}

/// `Σ x²` in f64: lanes of a chunk, then the chunks in order.
pub(super) fn sum_of_squares(x: &[f32]) -> f32 {
    let parts: Vec<f64> = x.par_chunks(CHUNK).map(chunk_squares).collect();
    parts.iter().sum::<f64>() as f32
}

simd! {
    fn chunk_squares(x: &[f32]) -> f64 = chunk_squares_body;
}

#[inline(always)]
fn chunk_squares_body<A: Arith>(x: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    let whole = x.chunks_exact(LANES);
    let rest = whole.remainder();
    for values in whole {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(value) * f64::from(value);
    }
    sums.iter().sum()
}
