//! Matrices that stay in ggml's blocks: the frozen base below an adapter (QLoRA, <https://arxiv.org/abs/2305.14314>).

use std::ops::Range;

use dpo_kernels::{Frozen, FrozenMatrix};

use crate::{ModelError, ParameterInfo, WeightSource, gguf::GgmlType};

/// A matrix in blocks.
#[derive(Debug)]
struct Blocks {
    ggml_type: GgmlType,
    dims: [usize; 2],
    bytes: Vec<u8>,
}

impl FrozenMatrix for Blocks {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }

    fn rows(&self, rows: Range<usize>, values: &mut [f32]) {
        let row_bytes = self.bytes.len() / self.dims[0].max(1);
        let mut unpacked = Vec::with_capacity(values.len());
        self.ggml_type.decode(&self.bytes[rows.start * row_bytes..rows.end * row_bytes], &mut unpacked);
        values.copy_from_slice(&unpacked);
    }
}

/// The matrix in the blocks it came in, or else in blocks of `ggml_type`; `None` where its rows are no whole blocks.
pub(crate) fn frozen(
    source: &dyn WeightSource,
    info: &ParameterInfo,
    ggml_type: GgmlType,
) -> Result<Option<Frozen>, ModelError> {
    let &[d_out, d_in] = info.shape.as_slice() else { return Ok(None) };
    let dims = [d_out, d_in];
    if let Some((ggml_type, bytes)) = source.read_blocks(&info.name)? {
        return Ok(Some(Frozen::new(Blocks { ggml_type, dims, bytes })));
    }
    if !d_in.is_multiple_of(ggml_type.block_len()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    ggml_type.encode(&info.from_stored(source.read_f32(&info.name)?), &mut bytes)?;
    Ok(Some(Frozen::new(Blocks { ggml_type, dims, bytes })))
}
