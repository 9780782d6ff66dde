//! Tensors as kernels read and make them.

use burn::{
    backend::TensorMetadata,
    tensor::{DType, Shape},
};
use burn_cubecl::{kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor};
use cubecl::prelude::*;

use super::VECTOR;

/// A matrix whose rows are numbers side by side, each row `pitch` numbers behind the one before.
pub(super) struct Rows {
    pub(super) tensor: CubeTensor,
    pub(super) pitch: usize,
}

impl Rows {
    /// `tensor` as it lies, or a copy if its rows do not.
    pub(super) fn of(tensor: CubeTensor) -> Self {
        let strides = tensor.meta.strides();
        let (pitch, is_side_by_side) = (strides[0], strides[1] == 1);
        let width = tensor.shape()[1];
        if is_side_by_side && pitch >= width {
            return Self { tensor, pitch };
        }
        Self { tensor: into_contiguous(tensor), pitch: width }
    }

    /// How many rows, and numbers of one.
    pub(super) fn dims(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.tensor.shape()[axis])
    }

    /// Numbers that can be read at a time: [`VECTOR`], or one.
    pub(super) fn vector(&self) -> usize {
        let width = self.tensor.shape()[1];
        if width.is_multiple_of(VECTOR) && self.pitch.is_multiple_of(VECTOR) { VECTOR } else { 1 }
    }
}

/// Whether the numbers of a column, and not those of a row, lie side by side: what is transposed.
pub(super) fn lies_by_columns(tensor: &CubeTensor) -> bool {
    let strides = tensor.meta.strides();
    strides[0] == 1 && strides[1] > 1
}

/// A tensor of f32 on the same device, of which nothing is written yet.
pub(super) fn empty<const D: usize>(like: &CubeTensor, dims: [usize; D]) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::new(dims), DType::F32)
}

/// A tensor that no one else reads, its numbers side by side: the one that came, or a copy.
pub(super) fn own(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    // A copy may have padded rows.
    if tensor.can_mut() { tensor } else { into_contiguous(tensor.copy()) }
}

/// Numbers beside a tensor.
pub(super) fn numbers(like: &CubeTensor, numbers: &[u32]) -> CubeTensor {
    let handle = like.client.create_from_slice(u32::as_bytes(numbers));
    let shape = Shape::new([numbers.len()]);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::U32)
}
