//! Attention over trees, a block of query rows and a head at a time.
//!
//! Scores of a block are `[visible, lanes]`, one query row a lane, in a buffer of the thread: never `[n, n]`, and
//! nothing but the rows of the same tree takes part, so that a tree gives the same bits in any batch.

use rayon::prelude::*;

use super::{
    attention_block::{Block, Inputs, ROWS},
    buffer::with_scratch,
    exp::exp,
    simd::{Arith, simd},
};
use crate::AttentionSpec;

/// Output, and log-sum-exp of each row and head.
pub(super) fn forward(inputs: Inputs<'_>, spec: &AttentionSpec) -> (Vec<f32>, Vec<f32>) {
    let n = spec.layout.n_rows();
    let width = inputs.query.stride();
    let (mut output, mut log_sum_exp) = (vec![0.0; n * width], vec![0.0; n * spec.n_heads]);
    let (mut output_left, mut sums_left) = (&mut output[..], &mut log_sum_exp[..]);
    let mut tasks = Vec::new();
    for block in spec.layout.trees().iter().flat_map(|tree| Block::of(tree, spec.window)) {
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
    if block.hides_what_is_not_finite(inputs.value) {
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
            block.scores(tile, inputs.key, inputs.kv_head(head), queries, spec.softcap);
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
