//! `silu(gate) · up`.

use burn::backend::{Backend, tensor::FloatTensor};

/// `σ(x) = 1 / (1 + e^{−x})`.
fn logistic<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_recip(B::float_add_scalar(B::float_exp(B::float_neg(x)), 1.0.into()))
}

pub(crate) fn forward<B: Backend>(gate: FloatTensor<B>, up: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(B::float_mul(gate.clone(), logistic::<B>(gate)), up)
}

/// With `s = σ(gate)`: `dgate = g·up·s·(1 + gate·(1 − s))`, `dup = g·gate·s`.
pub(crate) fn backward<B: Backend>(
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let s = logistic::<B>(gate.clone());
    let silu = B::float_mul(gate.clone(), s.clone());
    let dup = B::float_mul(grad.clone(), silu.clone());
    let rest = B::float_sub(gate, silu); // gate·(1 − s)
    let slope = B::float_mul(s, B::float_add_scalar(rest, 1.0.into()));
    let dgate = B::float_mul(B::float_mul(grad, up), slope);
    (dgate, dup)
}
