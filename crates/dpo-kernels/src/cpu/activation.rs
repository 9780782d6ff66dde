//! Activations, alone and as a gate, in one pass over memory.

use rayon::prelude::*;

use super::{
    buffer::{filled, no_sides},
    curves::{gelu_erf, gelu_tanh, relu, silu},
    simd::{Arith, simd},
};
use crate::Activation;

/// Elements a task.
const CHUNK: usize = 8192;

/// `$body` with `$curve` the function of an activation: a loop for each, chosen outside of it.
macro_rules! with_curve {
    ($activation:expr, $arith:ident, |$curve:ident| $body:expr) => {
        match $activation {
            Activation::Silu => {
                let $curve = silu::<$arith>;
                $body
            }
            Activation::GeluTanh => {
                let $curve = gelu_tanh::<$arith>;
                $body
            }
            Activation::GeluErf => {
                let $curve = gelu_erf::<$arith>;
                $body
            }
            Activation::Relu => {
                let $curve = relu;
                $body
            }
        }
    };
}

/// `act(x)`.
pub(super) fn forward(x: &[f32], activation: Activation) -> Vec<f32> {
    by_chunk([x], |[x], output| activate(x, activation, output))
}

/// `g·act′(x)`.
pub(super) fn backward(x: &[f32], grad: &[f32], activation: Activation) -> Vec<f32> {
    by_chunk([x, grad], |inputs, dx| slopes(inputs, activation, dx))
}

/// `act(gate)·up`.
pub(super) fn gated(gate: &[f32], up: &[f32], activation: Activation) -> Vec<f32> {
    by_chunk([gate, up], |inputs, output| gate_up(inputs, activation, output))
}

/// Gradients of `gate` and `up`, where wanted.
pub(super) fn gated_backward(
    inputs: [&[f32]; 3],
    activation: Activation,
    wanted: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    let [gate, _, grad] = inputs;
    match wanted {
        [true, true] => both_gradients(inputs, activation).map(Some),
        [true, false] => {
            [Some(by_chunk(inputs, |inputs, dgate| gate_slopes(inputs, activation, dgate))), None]
        }
        [false, true] => [None, Some(gated(gate, grad, activation))], // `dup = g·act(gate)`.
        [false, false] => [None, None],
    }
}

fn both_gradients(inputs: [&[f32]; 3], activation: Activation) -> [Vec<f32>; 2] {
    let len = inputs[0].len();
    let mut dgate = vec![0.0; len];
    let dup = filled(len, CHUNK, dgate.par_chunks_mut(CHUNK), |chunk, dgate, dup| {
        both_slopes(part(inputs, chunk, dup.len()), activation, dgate, dup);
    });
    [dgate, dup]
}

/// One output from inputs of its size.
fn by_chunk<const N: usize>(inputs: [&[f32]; N], fill: impl Fn([&[f32]; N], &mut [f32]) + Sync) -> Vec<f32> {
    let len = inputs[0].len();
    filled(len, CHUNK, no_sides(len, CHUNK), |chunk, (), output| {
        fill(part(inputs, chunk, output.len()), output);
    })
}

/// Elements of a chunk.
fn part<const N: usize>(inputs: [&[f32]; N], chunk: usize, len: usize) -> [&[f32]; N] {
    inputs.map(|input| &input[chunk * CHUNK..chunk * CHUNK + len])
}

simd! {
    fn activate(x: &[f32], activation: Activation, output: &mut [f32]) = activate_body;
}

#[inline(always)]
fn activate_body<A: Arith>(x: &[f32], activation: Activation, output: &mut [f32]) {
    with_curve!(activation, A, |curve| for (output, &x) in output.iter_mut().zip(x) {
        *output = curve(x).value;
    });
}

simd! {
    /// `g·act′(x)`; `inputs` are `x` and the gradient.
    fn slopes(inputs: [&[f32]; 2], activation: Activation, dx: &mut [f32]) = slopes_body;
}

#[inline(always)]
fn slopes_body<A: Arith>([x, grad]: [&[f32]; 2], activation: Activation, dx: &mut [f32]) {
    with_curve!(activation, A, |curve| for ((dx, &x), &grad) in dx.iter_mut().zip(x).zip(grad) {
        *dx = grad * curve(x).slope;
    });
}

simd! {
    /// `act(gate)·up`; `inputs` are those two.
    fn gate_up(inputs: [&[f32]; 2], activation: Activation, output: &mut [f32]) = gate_up_body;
}

#[inline(always)]
fn gate_up_body<A: Arith>([gate, up]: [&[f32]; 2], activation: Activation, output: &mut [f32]) {
    with_curve!(activation, A, |curve| for ((output, &gate), &up) in output.iter_mut().zip(gate).zip(up) {
        *output = curve(gate).value * up;
    });
}

simd! {
    /// `dgate = g·up·act′(gate)`; `inputs` are gate, up and the gradient.
    fn gate_slopes(inputs: [&[f32]; 3], activation: Activation, dgate: &mut [f32]) = gate_slopes_body;
}

#[inline(always)]
fn gate_slopes_body<A: Arith>([gate, up, grad]: [&[f32]; 3], activation: Activation, dgate: &mut [f32]) {
    let inputs = gate.iter().zip(up).zip(grad);
    with_curve!(activation, A, |curve| for (dgate, ((&gate, &up), &grad)) in dgate.iter_mut().zip(inputs) {
        *dgate = grad * up * curve(gate).slope;
    });
}

simd! {
    /// `dgate = g·up·act′(gate)` and `dup = g·act(gate)`; `inputs` are gate, up and the gradient.
    fn both_slopes(inputs: [&[f32]; 3], activation: Activation, dgate: &mut [f32], dup: &mut [f32])
        = both_slopes_body;
}

#[inline(always)]
fn both_slopes_body<A: Arith>(
    [gate, up, grad]: [&[f32]; 3],
    activation: Activation,
    dgate: &mut [f32],
    dup: &mut [f32],
) {
    let outputs = dgate.iter_mut().zip(dup);
    let inputs = gate.iter().zip(up).zip(grad);
    with_curve!(activation, A, |curve| for ((dgate, dup), ((&gate, &up), &grad)) in outputs.zip(inputs) {
        let point = curve(gate);
        *dup = grad * point.value;
        *dgate = grad * up * point.slope;
    });
}
