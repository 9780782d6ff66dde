//! `silu(gate) · up`, with the logistic function once an element.

use rayon::prelude::*;

use super::{
    buffer::{filled, no_sides},
    exp::exp,
    simd::{Arith, simd},
};

/// Elements a task.
const CHUNK: usize = 8192;

pub(super) fn forward(gate: &[f32], up: &[f32]) -> Vec<f32> {
    filled(gate.len(), CHUNK, no_sides(gate.len(), CHUNK), |chunk, (), output| {
        let place = chunk * CHUNK..chunk * CHUNK + output.len();
        activate(&gate[place.clone()], &up[place], output);
    })
}

/// Gradients of `gate` and `up`.
pub(super) fn backward(gate: &[f32], up: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut dgate = vec![0.0; gate.len()];
    let dup = filled(gate.len(), CHUNK, dgate.par_chunks_mut(CHUNK), |chunk, dgate, dup| {
        let place = chunk * CHUNK..chunk * CHUNK + dup.len();
        slopes([&gate[place.clone()], &up[place.clone()], &grad[place]], dgate, dup);
    });
    (dgate, dup)
}

/// `σ(x) = 1 / (1 + e^{−x})`.
#[inline(always)]
fn logistic<A: Arith>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

simd! {
    fn activate(gate: &[f32], up: &[f32], output: &mut [f32]) = activate_body;
}

#[inline(always)]
fn activate_body<A: Arith>(gate: &[f32], up: &[f32], output: &mut [f32]) {
    for ((output, &gate), &up) in output.iter_mut().zip(gate).zip(up) {
        *output = gate * logistic::<A>(gate) * up;
    }
}

simd! {
    /// With `s = σ(gate)`: `dgate = g·up·s·(1 + gate·(1 − s))`, `dup = g·gate·s`.
    fn slopes(inputs: [&[f32]; 3], dgate: &mut [f32], dup: &mut [f32]) = slopes_body;
}

#[inline(always)]
fn slopes_body<A: Arith>([gate, up, grad]: [&[f32]; 3], dgate: &mut [f32], dup: &mut [f32]) {
    let outputs = dgate.iter_mut().zip(dup);
    for ((((dgate, dup), &gate), &up), &grad) in outputs.zip(gate).zip(up).zip(grad) {
        let s = logistic::<A>(gate);
        let silu = gate * s;
        *dup = grad * silu;
        *dgate = grad * up * (s * (1.0 + (gate - silu)));
    }
}
