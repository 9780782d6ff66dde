//! Bodies on burn's own primitives: they run on every backend and are what the faster ones are tested against.

pub(crate) mod activation;
pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod attention_layer;
pub(crate) mod divergence;
pub(crate) mod feed_forward;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod logps;
pub(crate) mod lora;
pub(crate) mod norm;
pub(crate) mod rotary;
pub(crate) mod rows;
pub(crate) mod softcap;
pub(crate) mod spans;

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{Shape, Slice},
};

/// The slice `start..end` of a dimension.
pub(crate) fn slice(range: std::ops::Range<usize>) -> Slice {
    Slice::new(range.start as isize, Some(range.end as isize), 1)
}

/// Rows and columns of a matrix.
pub(crate) fn dims2<B: Backend>(x: &FloatTensor<B>) -> [usize; 2] {
    let shape = x.shape();
    [shape[0], shape[1]]
}

pub(crate) fn reshape<B: Backend, const D: usize>(x: FloatTensor<B>, dims: [usize; D]) -> FloatTensor<B> {
    B::float_reshape(x, Shape::new(dims))
}

/// A row of a matrix.
pub(crate) fn row_of<B: Backend>(matrix: &FloatTensor<B>, idx: usize) -> FloatTensor<B> {
    let [_, width] = dims2::<B>(matrix);
    reshape::<B, 1>(B::float_slice(matrix.clone(), &[slice(idx..idx + 1), slice(0..width)]), [width])
}
