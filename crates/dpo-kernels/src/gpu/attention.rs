//! Launches of the attention kernels.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::TensorMetadata;
use burn_cubecl::{CubeDevice, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    VECTOR,
    attention_backward::{key_and_value_gradients_kernel, query_gradient_kernel},
    attention_forward::forward_kernel,
    attention_rows::Heads,
    blocks::{Blocks, n_parts_of_start},
    sums::sum_of_parts,
    tensors::{empty, numbers},
    tiles::SIDE,
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
        let numbers = numbers(like, &blocks.numbers);
        Self { blocks: Arc::new(blocks), numbers }
    }
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

/// Cubes for blocks, heads, and so many parts of a head that one adds up at a time.
fn cubes(n_blocks: usize, n_heads: usize, n_parts: usize) -> CubeCount {
    CubeCount::Static(n_blocks as u32, n_heads as u32, n_parts as u32)
}

/// Cubes a head for its gradients.
fn n_parts(heads: Heads) -> usize {
    heads.parts().div_ceil(heads.own_parts())
}

const CUBE: u32 = (SIDE * SIDE) as u32;

pub(super) fn forward(inputs: [CubeTensor; 3], spec: &AttentionSpec) -> (CubeTensor, CubeTensor) {
    let [query, key, value] = inputs.map(into_contiguous);
    let table = Table::of(&spec.layout, &query);
    let output = empty(&query, [query.shape()[0], query.shape()[1]]);
    let log_sums = empty(&query, [query.shape()[0], spec.n_heads]);
    let (scale, softcap, window) = scalars(spec);
    #[allow(unsafe_code)]
    // SAFETY: rows and keys are those of the layout's table, which are rows of the tensors; units that have none write nothing.
    unsafe {
        forward_kernel::launch_unchecked(
            &output.client,
            cubes(table.blocks.n_of_rows, spec.n_heads, 1),
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
    }
    (output, log_sums)
}

pub(super) fn query_gradient(inputs: [CubeTensor; 6], spec: &AttentionSpec) -> CubeTensor {
    let [query, key, value, grad, log_sums, shares] = inputs.map(into_contiguous);
    let table = Table::of(&spec.layout, &query);
    let output = empty(&query, [query.shape()[0], query.shape()[1]]);
    let (scale, softcap, window) = scalars(spec);
    #[allow(unsafe_code)]
    // SAFETY: rows and keys are those of the layout's table, which are rows of the tensors; units that have none write nothing.
    unsafe {
        query_gradient_kernel::launch_unchecked(
            &output.client,
            cubes(table.blocks.n_of_rows, spec.n_heads, n_parts(heads(spec))),
            CubeDim::new_1d(CUBE),
            VECTOR,
            query.into_tensor_arg(),
            key.into_tensor_arg(),
            value.into_tensor_arg(),
            grad.into_tensor_arg(),
            log_sums.into_tensor_arg(),
            shares.into_tensor_arg(),
            table.numbers.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            scale,
            softcap,
            window,
            heads(spec),
        );
    }
    output
}

/// Rows that [`key_and_value_gradients`] gives: those of the batch, then what later parts add to its start.
pub(super) fn rows_of_gradients(layout: &TreeLayout) -> usize {
    layout.n_rows() + layout.shared().len() * n_parts_of_start(layout).saturating_sub(1)
}

pub(super) fn key_and_value_gradients(
    inputs: [CubeTensor; 6],
    spec: &AttentionSpec,
) -> (CubeTensor, CubeTensor) {
    let [query, key, value, grad, log_sums, shares] = inputs.map(into_contiguous);
    let table = Table::of(&spec.layout, &query);
    let width = key.shape()[1];
    let n_out = rows_of_gradients(&spec.layout);
    let n_members = spec.n_heads / spec.n_kv_heads;
    let [key_gradient, value_gradient] = [(); 2].map(|()| empty(&key, [n_members * n_out, width]));
    let (scale, softcap, window) = scalars(spec);
    #[allow(unsafe_code)]
    // SAFETY: rows and keys are those of the layout's table, which are rows of the tensors; units that have none write nothing.
    unsafe {
        key_and_value_gradients_kernel::launch_unchecked(
            &key_gradient.client,
            cubes(table.blocks.n_of_keys, spec.n_heads, n_parts(heads(spec))),
            CubeDim::new_1d(CUBE),
            VECTOR,
            query.into_tensor_arg(),
            key.into_tensor_arg(),
            value.into_tensor_arg(),
            grad.into_tensor_arg(),
            log_sums.into_tensor_arg(),
            shares.into_tensor_arg(),
            table.numbers.into_tensor_arg(),
            key_gradient.clone().into_tensor_arg(),
            value_gradient.clone().into_tensor_arg(),
            table.blocks.keys_at() as u32,
            table.blocks.positions_at() as u32,
            n_out as u32,
            scale,
            softcap,
            window,
            heads(spec),
        );
    }
    if n_members == 1 {
        return (key_gradient, value_gradient);
    }
    let of_group = |gradients| sum_of_parts(gradients, [n_out, width], n_members);
    (of_group(key_gradient), of_group(value_gradient))
}
