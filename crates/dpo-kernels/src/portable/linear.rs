//! `x · Wᵀ`.

use burn::backend::{Backend, tensor::FloatTensor};

pub(crate) fn forward<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(x, B::float_transpose(weight))
}

pub(crate) fn backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    [x_wanted, weight_wanted]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let dx = x_wanted.then(|| B::float_matmul(grad.clone(), weight));
    let dweight = weight_wanted.then(|| B::float_matmul(B::float_transpose(grad), x));
    [dx, dweight]
}
