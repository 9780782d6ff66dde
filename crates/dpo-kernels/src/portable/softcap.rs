//! Soft caps on scores and logits: `y = c·tanh(x/c)`.

use burn::backend::{Backend, tensor::FloatTensor};

pub(crate) fn forward<B: Backend>(x: FloatTensor<B>, softcap: f64) -> FloatTensor<B> {
    B::float_mul_scalar(B::float_tanh(B::float_div_scalar(x, softcap.into())), softcap.into())
}

/// `dy/dx = 1 − (y/c)²`, from `y`.
pub(crate) fn slope<B: Backend>(capped: FloatTensor<B>, softcap: f64) -> FloatTensor<B> {
    let tanh = B::float_div_scalar(capped, softcap.into());
    B::float_add_scalar(B::float_neg(B::float_mul(tanh.clone(), tanh)), 1.0.into())
}
