//! Activations, alone and as a gate.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::backend::{Backend, tensor::FloatTensor};

use crate::Activation;

/// Factor on `x³` in [`Activation::GeluTanh`].
const CUBIC: f64 = 0.044_715;

pub(crate) fn gated<B: Backend>(
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    B::float_mul(forward::<B>(gate, activation), up)
}

/// `dgate = g·up·act′(gate)`, `dup = g·act(gate)`.
pub(crate) fn gated_backward<B: Backend>(
    [gate, up]: [FloatTensor<B>; 2],
    grad: FloatTensor<B>,
    activation: Activation,
    [gate_wanted, up_wanted]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let dup = up_wanted.then(|| B::float_mul(grad.clone(), forward::<B>(gate.clone(), activation)));
    let dgate = gate_wanted.then(|| backward::<B>(gate, B::float_mul(grad, up), activation));
    [dgate, dup]
}

pub(crate) fn forward<B: Backend>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::Silu => B::float_mul(x.clone(), logistic::<B>(x)),
        Activation::GeluTanh => B::float_mul(x.clone(), logistic::<B>(twice_inner::<B>(x))),
        Activation::GeluErf => B::float_mul(x.clone(), normal_cdf::<B>(x)),
        Activation::Relu => B::relu(x),
    }
}

/// `g·act′(x)`.
pub(crate) fn backward<B: Backend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let slope = match activation {
        Activation::Silu => silu_slope::<B>(x),
        Activation::GeluTanh => gelu_tanh_slope::<B>(x),
        Activation::GeluErf => gelu_erf_slope::<B>(x),
        Activation::Relu => return B::relu_backward(x, grad),
    };
    B::float_mul(grad, slope)
}

/// `σ(x) = 1 / (1 + e^{−x})`.
fn logistic<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_recip(B::float_add_scalar(B::float_exp(B::float_neg(x)), 1.0.into()))
}

/// With `s = σ(x)`: `s·(1 + x·(1 − s))`.
fn silu_slope<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let s = logistic::<B>(x.clone());
    let silu = B::float_mul(x.clone(), s.clone());
    let rest = B::float_sub(x, silu); // x·(1 − s)
    B::float_mul(s, B::float_add_scalar(rest, 1.0.into()))
}

/// `2√(2/π)·(x + 0.044715·x³)`: `½(1 + tanh u)` is `σ(2u)`.
fn twice_inner<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let factor = B::float_add_scalar(B::float_mul_scalar(square, CUBIC.into()), 1.0.into());
    B::float_mul_scalar(B::float_mul(x, factor), (2.0 * (2.0 / PI).sqrt()).into())
}

/// With `s = σ(v)` and `v` from [`twice_inner`]: `s + x·s·(1 − s)·v′`.
fn gelu_tanh_slope<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let twice = twice_inner::<B>(x.clone());
    let s = logistic::<B>(twice.clone());
    // `1 − s` is `σ(−v)`, which loses no bits where `s` is nearly 1.
    let spread = B::float_mul(s.clone(), logistic::<B>(B::float_neg(twice)));
    let square = B::float_mul(x.clone(), x.clone());
    let inner = B::float_add_scalar(B::float_mul_scalar(square, (3.0 * CUBIC).into()), 1.0.into());
    let inner = B::float_mul_scalar(inner, (2.0 * (2.0 / PI).sqrt()).into());
    B::float_add(s, B::float_mul(B::float_mul(x, spread), inner))
}

/// `Φ(x) = ½(1 + erf(x/√2))`.
fn normal_cdf<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let erf = B::float_erf(B::float_mul_scalar(x, FRAC_1_SQRT_2.into()));
    B::float_mul_scalar(B::float_add_scalar(erf, 1.0.into()), 0.5.into())
}

/// `Φ(x) + x·φ(x)` with `φ(x) = e^{−x²/2}/√(2π)`.
fn gelu_erf_slope<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let density = B::float_exp(B::float_mul_scalar(square, (-0.5).into()));
    let density = B::float_mul_scalar(density, (1.0 / (2.0 * PI).sqrt()).into());
    B::float_add(normal_cdf::<B>(x.clone()), B::float_mul(x, density))
}
