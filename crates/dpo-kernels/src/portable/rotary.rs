//! Rotary position embedding, half-split pairs.

use burn::backend::{Backend, tensor::FloatTensor};

use super::{dims2, reshape, slice};
use crate::backend::Rotation;

pub(crate) fn rotate<B: Backend>(
    x: FloatTensor<B>,
    [cos, sin]: [FloatTensor<B>; 2],
    head_dim: usize,
    direction: Rotation,
) -> FloatTensor<B> {
    let [n, width] = dims2::<B>(&x);
    let [_, half] = dims2::<B>(&cos);
    let n_heads = width / head_dim;
    let cos = reshape::<B, 3>(cos, [n, 1, half]);
    let sin = reshape::<B, 3>(sin, [n, 1, half]);
    let sin = match direction {
        Rotation::Forward => sin,
        Rotation::Backward => B::float_neg(sin),
    };
    let x = reshape::<B, 3>(x, [n, n_heads, head_dim]);
    let part = |range| B::float_slice(x.clone(), &[slice(0..n), slice(0..n_heads), slice(range)]);
    let (first, second) = (part(0..half), part(half..2 * half));
    let turned_first =
        B::float_sub(B::float_mul(first.clone(), cos.clone()), B::float_mul(second.clone(), sin.clone()));
    let turned_second = B::float_add(B::float_mul(second, cos), B::float_mul(first, sin));
    let mut parts = vec![turned_first, turned_second];
    if 2 * half < head_dim {
        parts.push(part(2 * half..head_dim));
    }
    reshape::<B, 2>(B::float_cat(parts, 2), [n, width])
}
