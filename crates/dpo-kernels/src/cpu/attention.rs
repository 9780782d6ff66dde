//! Attention over trees, a block of query rows and a head at a time.
//!
//! Scores of a block are `[visible, lanes]`, one query row a lane, in a buffer of the thread: never `[n, n]`, and
//! nothing but the rows of the same tree takes part, so that a tree gives the same bits in any batch.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    buffer::{transpose_into, with_scratch},
    exp::exp,
    gemm::{Matrix, Target, Write, multiply},
    simd::{Arith, simd},
};
use crate::{AttentionSpec, Segment, TreeLayout, TreeRange};

/// Query rows of a block, at most.
const ROWS: usize = 64;
/// Rows are padded to a multiple of this: the widest register.
const LANES: usize = 16;

/// `[n, heads · head_dim]`, read one head at a time.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    pub(super) values: &'a [f32],
    pub(super) count: usize,
    pub(super) head_dim: usize,
}

impl<'a> Heads<'a> {
    /// Distance of two rows.
    pub(super) fn stride(self) -> usize {
        self.count * self.head_dim
    }

    /// From row `row` of a head on.
    pub(super) fn from(self, row: usize, head: usize) -> &'a [f32] {
        &self.values[row * self.stride() + head * self.head_dim..]
    }

    /// Some rows of a head, `[rows, head_dim]`.
    pub(super) fn rows(self, rows: &Range<usize>, head: usize) -> Matrix<'a> {
        Matrix::new(self.from(rows.start, head), [rows.len(), self.head_dim], self.stride())
    }

    /// Some rows of a head times a factor, as `[head_dim, lanes]`.
    pub(super) fn lanes_into(self, target: &mut [f32], block: &Block, head: usize, factor: f32) {
        let size = [block.rows.len(), self.head_dim];
        transpose_into(target, self.from(block.rows.start, head), size, self.stride(), block.lanes(), factor);
    }
}

/// Query, key and value.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) query: Heads<'a>,
    pub(super) key: Heads<'a>,
    pub(super) value: Heads<'a>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(query: &'a [f32], key: &'a [f32], value: &'a [f32], spec: &AttentionSpec) -> Self {
        let heads = |values, count| Heads { values, count, head_dim: spec.head_dim };
        Self {
            query: heads(query, spec.n_heads),
            key: heads(key, spec.n_kv_heads),
            value: heads(value, spec.n_kv_heads),
        }
    }

    /// The key and value head of a query head.
    pub(super) fn kv_head(&self, head: usize) -> usize {
        head / (self.query.count / self.key.count)
    }
}

/// Query rows that are done together, and the keys that the last of them sees.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) rows: Range<usize>,
    /// The trunk, then the segment's own rows up to the last of the block.
    pub(super) visible: [Range<usize>; 2],
}

impl Block {
    /// The blocks of a tree, in the order of their rows.
    pub(super) fn of(tree: &TreeRange) -> impl Iterator<Item = Self> + '_ {
        TreeLayout::segments(tree).flat_map(|Segment { trunk, own }| {
            own.clone().step_by(ROWS).map(move |start| {
                let rows = start..(start + ROWS).min(own.end);
                Self { visible: [trunk.clone(), own.start..rows.end], rows }
            })
        })
    }

    pub(super) fn lanes(&self) -> usize {
        self.rows.len().next_multiple_of(LANES)
    }

    pub(super) fn n_visible(&self) -> usize {
        self.visible.iter().map(Range::len).sum()
    }

    /// Runs of visible rows, each with the row of a tile where it starts.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, &Range<usize>)> {
        let starts = [0, self.visible[0].len()];
        starts.into_iter().zip(&self.visible).filter(|(_, run)| !run.is_empty())
    }

    /// `keys · queriesᵀ`: `[visible, lanes]`.
    pub(super) fn products(&self, tile: &mut [f32], keys: Heads<'_>, head: usize, queries: &[f32]) {
        let lanes = self.lanes();
        for (start, run) in self.runs() {
            multiply(
                Target { data: &mut tile[start * lanes..], stride: lanes, write: Write::Replace },
                keys.rows(run, head),
                Matrix::new(queries, [keys.head_dim, lanes], lanes),
            );
        }
    }

    /// −∞ where a row would see one that comes after it.
    pub(super) fn mask(&self, tile: &mut [f32]) {
        let lanes = self.lanes();
        let diagonal = self.n_visible() - self.rows.len();
        for (row, scores) in
            tile[diagonal * lanes..].chunks_exact_mut(lanes).take(self.rows.len()).enumerate()
        {
            scores[..row].fill(f32::NEG_INFINITY);
        }
    }

    /// `weightsᵀ · values`, `[rows, head_dim]`, into rows of `target` that lie `stride` apart.
    pub(super) fn weighted(
        &self,
        target: &mut [f32],
        stride: usize,
        tile: &[f32],
        values: Heads<'_>,
        head: usize,
    ) {
        let lanes = self.lanes();
        let mut write = Write::Replace;
        for (start, run) in self.runs() {
            let weights = Matrix::new(&tile[start * lanes..], [run.len(), self.rows.len()], lanes);
            let target = Target { data: &mut *target, stride, write };
            multiply(target, weights.transposed(), values.rows(run, head));
            write = Write::Add;
        }
    }

    /// The block row by row: no row is then multiplied, even by a weight of 0, with one that comes after it.
    fn single_rows(&self) -> impl Iterator<Item = Self> + '_ {
        let [trunk, own] = &self.visible;
        self.rows.clone().map(|row| Self { rows: row..row + 1, visible: [trunk.clone(), own.start..row + 1] })
    }
}

/// Output, and log-sum-exp of each row and head.
pub(super) fn forward(inputs: Inputs<'_>, spec: &AttentionSpec) -> (Vec<f32>, Vec<f32>) {
    let n = spec.layout.n_rows();
    let width = inputs.query.stride();
    let (mut output, mut log_sum_exp) = (vec![0.0; n * width], vec![0.0; n * spec.n_heads]);
    let (mut output_left, mut sums_left) = (&mut output[..], &mut log_sum_exp[..]);
    let mut tasks = Vec::new();
    for block in spec.layout.trees().iter().flat_map(Block::of) {
        let (output, sums);
        (output, output_left) = output_left.split_at_mut(block.rows.len() * width);
        (sums, sums_left) = sums_left.split_at_mut(block.rows.len() * spec.n_heads);
        tasks.push((block, output, sums));
    }
    tasks
        .into_par_iter()
        .for_each(|(block, output, sums)| block_forward(&inputs, spec, &block, output, sums));
    (output, log_sum_exp)
}

fn block_forward(
    inputs: &Inputs<'_>,
    spec: &AttentionSpec,
    block: &Block,
    output: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    let width = inputs.value.stride();
    let own_values = &inputs.value.values[block.rows.start * width..block.rows.end * width];
    if block.rows.len() > 1 && !own_values.iter().all(|value| value.is_finite()) {
        let outputs = output.chunks_exact_mut(inputs.query.stride());
        for ((row, output), sums) in
            block.single_rows().zip(outputs).zip(log_sum_exp.chunks_exact_mut(spec.n_heads))
        {
            block_forward(inputs, spec, &row, output, sums);
        }
        return;
    }
    let (lanes, n_visible) = (block.lanes(), block.n_visible());
    with_scratch((spec.head_dim + n_visible) * lanes, |scratch| {
        let (queries, tile) = scratch.split_at_mut(spec.head_dim * lanes);
        for head in 0..spec.n_heads {
            inputs.query.lanes_into(queries, block, head, spec.scale as f32);
            block.products(tile, inputs.key, inputs.kv_head(head), queries);
            block.mask(tile);
            let (mut max, mut sum) = ([f32::MIN; ROWS], [0.0; ROWS]);
            exponentials(tile, &mut max[..lanes], &mut sum[..lanes]);
            let target = &mut output[head * spec.head_dim..];
            block.weighted(target, inputs.query.stride(), tile, inputs.value, inputs.kv_head(head));
            for row in 0..block.rows.len() {
                let start = row * inputs.query.stride();
                target[start..start + spec.head_dim].iter_mut().for_each(|value| *value /= sum[row]);
                log_sum_exp[row * spec.n_heads + head] = max[row] + sum[row].ln();
            }
        }
    });
}

simd! {
    /// Each value becomes `exp(value − max of its column)`; `sum` is what a column then adds up to.
    fn exponentials(tile: &mut [f32], max: &mut [f32], sum: &mut [f32]) = exponentials_body;
}

/// Values of a column that are added up before they join its sum: long sums lose fewer bits so.
const RUN: usize = 64;

#[inline(always)]
fn exponentials_body<A: Arith>(tile: &mut [f32], max: &mut [f32], sum: &mut [f32]) {
    let lanes = max.len();
    for row in tile.chunks_exact(lanes) {
        for (max, &value) in max.iter_mut().zip(row) {
            *max = if value > *max { value } else { *max };
        }
    }
    for run in tile.chunks_mut(RUN * lanes) {
        let mut run_sum = [0.0; ROWS];
        for row in run.chunks_exact_mut(lanes) {
            for ((value, &max), sum) in row.iter_mut().zip(&*max).zip(&mut run_sum[..lanes]) {
                *value = exp::<A>(*value - max);
                *sum += *value;
            }
        }
        sum.iter_mut().zip(&run_sum).for_each(|(sum, run)| *sum += run);
    }
}
