//! Products of whole tensors.

use burn::backend::{TensorMetadata, flex::FlexTensor};

use super::{
    bf16,
    buffer::{contiguous, dims2, strided, tensor, values},
    gemm::{self, Matrix},
    round,
};
use crate::Precision;

/// The operands of products in `precision`: rounded here, unless what multiplies them rounds them itself.
pub(super) fn operands<const N: usize>(tensors: [FlexTensor; N], precision: Precision) -> [FlexTensor; N] {
    let is_rounded_here = precision == Precision::Bf16 && !bf16::is_fast();
    tensors.map(|operand| if is_rounded_here { rounded(operand) } else { strided(operand) })
}

/// The product of two of [`operands`].
pub(super) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>, precision: Precision) -> FlexTensor {
    let dims = [lhs.dims()[0], rhs.dims()[1]];
    let unit = bf16::Unit::here().filter(|_| precision == Precision::Bf16);
    tensor(unit.map_or_else(|| gemm::product(lhs, rhs), |unit| unit.product(lhs, rhs)), dims)
}

/// A tensor's matrix, wherever its rows and columns lie.
pub(super) fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let layout = tensor.layout();
    let strides = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
    Matrix::strided(&tensor.storage()[layout.start_offset()..], dims2(tensor), strides)
}

/// Numbers of a matrix as bfloat16 has them, in f32.
pub(super) fn rounded(x: FlexTensor) -> FlexTensor {
    let shape = x.shape();
    tensor(round::rounded(values(&contiguous(x))), [shape[0], shape[1]])
}
