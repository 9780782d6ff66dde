//! Rows of a matrix by their numbers.

use burn::{
    backend::{
        Backend, TensorMetadata,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{IndexingUpdateOp, Shape},
};

pub(crate) fn forward<B: Backend>(matrix: FloatTensor<B>, rows: IntTensor<B>) -> FloatTensor<B> {
    B::float_select(matrix, 0, rows)
}

/// Each row of the gradient is added to the row it was taken from.
pub(crate) fn backward<B: Backend>(
    rows: IntTensor<B>,
    grad: FloatTensor<B>,
    n_rows: usize,
) -> FloatTensor<B> {
    let dims = Shape::new([n_rows, grad.shape()[1]]);
    let zeros = B::float_zeros(dims, &grad.device(), grad.dtype().into());
    add::<B>(zeros, rows, grad)
}

/// Each row of the gradient is added to the row of the matrix that it was taken from.
pub(crate) fn add<B: Backend>(
    matrix: FloatTensor<B>,
    rows: IntTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_select_assign(matrix, 0, rows, grad, IndexingUpdateOp::Add)
}
