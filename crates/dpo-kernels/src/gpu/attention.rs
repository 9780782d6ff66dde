//! Launches of the attention kernels.

use std::sync::{Arc, Mutex, PoisonError};

use burn::{backend::TensorMetadata, tensor::Shape};
use burn_cubecl::{
    CubeDevice, kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor,
};
use cubecl::prelude::*;

use super::{
    VECTOR,
    attention_kernels::{
        BLOCK, Heads, LANES, forward_kernel, key_and_value_gradients_kernel, query_gradient_kernel,
    },
    blocks::Blocks,
};
use crate::{AttentionSpec, TreeLayout};

/// The blocks of a layout on a device.
#[derive(Clone)]
struct Table {
    blocks: Arc<Blocks>,
    numbers: CubeTensor,
}

/// A table and what it was made of.
struct Kept {
    layout: Arc<TreeLayout>,
    device: CubeDevice,
    table: Table,
}

/// All layers of a pass share a layout: the last few are kept.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
const N_KEPT: usize = 4;

impl Table {
    fn of(layout: &Arc<TreeLayout>, like: &CubeTensor) -> Self {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |kept: &&Kept| Arc::ptr_eq(&kept.layout, layout) && kept.device == like.device;
        if let Some(found) = kept.iter().find(is_same) {
            return found.table.clone();
        }
        let table = Self::made(layout, like);
        if kept.len() == N_KEPT {
            kept.remove(0);
        }
        kept.push(Kept { layout: layout.clone(), device: like.device.clone(), table: table.clone() });
        table
    }

    fn made(layout: &TreeLayout, like: &CubeTensor) -> Self {
        let blocks = Blocks::of(layout);
        let handle = like.client.create_from_slice(u32::as_bytes(&blocks.numbers));
        let shape = Shape::new([blocks.numbers.len()]);
        let numbers = CubeTensor::new_contiguous(
            like.client.clone(),
            like.device.clone(),
            shape,
            handle,
            burn::tensor::DType::U32,
        );
        Self { blocks: Arc::new(blocks), numbers }
    }
}

fn empty(like: &CubeTensor, shape: Shape) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, like.dtype)
}

fn heads(spec: &AttentionSpec) -> Heads {
    Heads {
        n: spec.n_heads,
        n_kv: spec.n_kv_heads,
        vectors: spec.head_dim / VECTOR,
        is_capped: spec.softcap.is_some(),
    }
}

/// The scalars of a kernel: scale, cap, window.
fn scalars(spec: &AttentionSpec) -> (f32, f32, u32) {
    let window = spec.window.map_or(u32::MAX, |window| u32::try_from(window).unwrap_or(u32::MAX));
    (spec.scale as f32, spec.softcap.unwrap_or(1.0) as f32, window)
}

fn cubes(n_blocks: usize, n_heads: usize) -> CubeCount {
    CubeCount::Static(n_blocks as u32, n_heads as u32, 1)
}

const CUBE: u32 = (BLOCK * LANES) as u32;

pub(super) fn forward(inputs: [CubeTensor; 3], spec: &AttentionSpec) -> (CubeTensor, CubeTensor) {
    let [query, key, value] = inputs.map(into_contiguous);
    let table = Table::of(&spec.layout, &query);
    let output = empty(&query, query.shape());
    let log_sums = empty(&query, Shape::new([query.shape()[0], spec.n_heads]));
    let (scale, softcap, window) = scalars(spec);
    forward_kernel::launch(
        &output.client,
        cubes(table.blocks.n_row_blocks, spec.n_heads),
        CubeDim::new_1d(CUBE),
        VECTOR,
        query.into_tensor_arg(),
        key.into_tensor_arg(),
        value.into_tensor_arg(),
        table.numbers.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        log_sums.clone().into_tensor_arg(),
        scale,
        softcap,
        window,
        heads(spec),
    );
    (output, log_sums)
}

pub(super) fn query_gradient(inputs: [CubeTensor; 5], spec: &AttentionSpec) -> CubeTensor {
    let [query, key, value, grad, stats] = inputs.map(into_contiguous);
    let table = Table::of(&spec.layout, &query);
    let output = empty(&query, query.shape());
    let (scale, softcap, window) = scalars(spec);
    query_gradient_kernel::launch(
        &output.client,
        cubes(table.blocks.n_row_blocks, spec.n_heads),
        CubeDim::new_1d(CUBE),
        VECTOR,
        query.into_tensor_arg(),
        key.into_tensor_arg(),
        value.into_tensor_arg(),
        grad.into_tensor_arg(),
        stats.into_tensor_arg(),
        table.numbers.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        scale,
        softcap,
        window,
        heads(spec),
    );
    output
}

pub(super) fn key_and_value_gradients(inputs: [CubeTensor; 5], spec: &AttentionSpec) -> CubeTensor {
    let [query, key, value, grad, stats] = inputs.map(into_contiguous);
    let table = Table::of(&spec.layout, &query);
    let (n_rows, width) = (key.shape()[0], key.shape()[1]);
    let output = empty(&key, Shape::new([2, n_rows, width]));
    let (scale, softcap, window) = scalars(spec);
    key_and_value_gradients_kernel::launch(
        &output.client,
        cubes(table.blocks.n_key_blocks, spec.n_kv_heads),
        CubeDim::new_1d(CUBE),
        VECTOR,
        query.into_tensor_arg(),
        key.into_tensor_arg(),
        value.into_tensor_arg(),
        grad.into_tensor_arg(),
        stats.into_tensor_arg(),
        table.numbers.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        table.blocks.keys_at() as u32,
        table.blocks.positions_at() as u32,
        n_rows as u32,
        scale,
        softcap,
        window,
        heads(spec),
    );
    output
}
