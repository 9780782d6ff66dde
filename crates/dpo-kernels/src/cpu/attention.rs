//! Attention over trees, a block of query rows at a time.
//!
//! Scores of a block and a head are `[visible, lanes]`, one query row a lane, in a buffer of the thread: never `[n, n]`. What
//! a row sees lies side by side before it is multiplied, and nothing else takes part, so that a text gives the same bits
//! whatever it shares with others, and in any batch.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    attention_block::{Block, Inputs, LANES, ROWS, RUN, Seen, Visible},
    bf16::{Operand, Side, multiply},
    buffer::with_scratch,
    exp::exp,
    gemm::{Matrix, Target, Write},
    simd::{Arith, simd},
    tanh::cap,
};
use crate::{AttentionSpec, Segment};

/// What a segment sees, for each head of keys.
fn visible(inputs: &Inputs<'_>, segment: &Segment, places: &Range<usize>) -> Vec<Visible> {
    let sides: [&[Side]; 2] = [&[Side::Left], &[Side::Right]];
    (0..inputs.key.count).map(|head| Visible::new(inputs, (segment, places), head, sides)).collect()
}

/// Output, and log-sum-exp of each row and head.
pub(super) fn forward(inputs: Inputs<'_>, spec: &AttentionSpec) -> (Vec<f32>, Vec<f32>) {
    let n = spec.layout.n_rows();
    let width = inputs.query.stride();
    let segments: Vec<Segment> = spec.layout.segments().collect();
    let all = |segment: &Segment| visible(&inputs, segment, &(0..segment.n_seen()));
    let seen: Vec<Vec<Visible>> = segments.par_iter().map(all).collect();
    let (mut output, mut log_sum_exp) = (vec![0.0; n * width], vec![0.0; n * spec.n_heads]);
    let (mut output_left, mut sums_left) = (&mut output[..], &mut log_sum_exp[..]);
    let mut tasks = Vec::new();
    for (segment, seen) in segments.iter().zip(&seen) {
        for block in Block::of(segment, spec.window) {
            let (output, sums);
            (output, output_left) = output_left.split_at_mut(block.rows.len() * width);
            (sums, sums_left) = sums_left.split_at_mut(block.rows.len() * spec.n_heads);
            tasks.push((segment, seen, block, output, sums));
        }
    }
    tasks.into_par_iter().for_each(|(segment, seen, block, output, sums)| {
        let hides = |head| block.hides_what_is_not_finite(segment, inputs.value, head);
        if !(0..inputs.value.count).any(hides) {
            return block_forward(&inputs, spec, seen, &block, output, sums);
        }
        let outputs = output.chunks_exact_mut(width).zip(sums.chunks_exact_mut(spec.n_heads));
        for ((row, places), (output, sums)) in block.single_rows().zip(outputs) {
            block_forward(&inputs, spec, &visible(&inputs, segment, &places), &row, output, sums);
        }
    });
    (output, log_sum_exp)
}

fn block_forward(
    inputs: &Inputs<'_>,
    spec: &AttentionSpec,
    seen: &[Visible],
    block: &Block,
    output: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    let (lanes, n_visible, head_dim) = (block.lanes(), block.n_visible(), spec.head_dim);
    let width = inputs.query.stride();
    with_scratch((2 * head_dim + n_visible) * lanes, |scratch| {
        let (columns, rest) = scratch.split_at_mut(head_dim * lanes);
        let (sums_of_values, tile) = rest.split_at_mut(head_dim * lanes);
        for head in 0..spec.n_heads {
            let Visible { keys, values } = &seen[inputs.kv_head(head)];
            scores(tile, inputs, (block, head), keys, spec, columns);
            block.mask(tile);
            let (mut max, mut sum) = ([f32::MIN; ROWS], [0.0; ROWS]);
            exponentials(tile, &mut max[..lanes], &mut sum[..lanes]);
            weighted(sums_of_values, inputs, block, lanes, tile, values);
            for (row, values) in sums_of_values.chunks_exact(head_dim).take(block.rows.len()).enumerate() {
                let target = &mut output[row * width + head * head_dim..][..head_dim];
                target.iter_mut().zip(values).for_each(|(target, value)| *target = value / sum[row]);
                log_sum_exp[row * spec.n_heads + head] = max[row] + sum[row].ln();
            }
        }
    });
}

/// What becomes of the products of keys and queries before the mask; `columns` is room for `[lanes, head_dim]`.
pub(super) fn scores(
    tile: &mut [f32],
    inputs: &Inputs<'_>,
    (block, head): (&Block, usize),
    keys: &Seen,
    spec: &AttentionSpec,
    columns: &mut [f32],
) {
    let queries = (inputs.query, spec.scale as f32);
    inputs.products(tile, (block, head), keys.at(&block.seen, Side::Left), queries, columns);
    if let Some(softcap) = spec.softcap {
        cap(tile, softcap as f32);
    }
}

/// `tileᵀ · rows`, `[n_rows, head_dim]`, of the first rows of a tile `[visible, lanes]` and what a block sees,
/// `[visible, head_dim]`.
pub(super) fn weighted(
    target: &mut [f32],
    inputs: &Inputs<'_>,
    block: &Block,
    n_rows: usize,
    tile: &[f32],
    seen: &Seen,
) {
    let lanes = block.lanes();
    for (start, places) in block.runs() {
        let weights = Matrix::new(&tile[start * lanes..], [places.len(), n_rows], lanes).transposed();
        let weights = Operand::new(inputs.unit, weights, Side::Left);
        let write = if start == 0 { Write::Replace } else { Write::Add };
        let target = Target { data: &mut *target, stride: inputs.query.head_dim, write };
        multiply(inputs.unit, target, weights.whole(), seen.at(&places, Side::Right));
    }
}

simd! {
    /// Each value becomes `exp(value − max of its column)`; `sum` is what a column then adds up to.
    fn exponentials(tile: &mut [f32], max: &mut [f32], sum: &mut [f32]) = exponentials_body;
}

#[inline(always)]
fn exponentials_body<A: Arith>(tile: &mut [f32], max: &mut [f32], sum: &mut [f32]) {
    let lanes = max.len();
    // A register of lanes at a time, so that what is known of them stays in registers.
    let groups = max.as_chunks_mut::<LANES>().0.iter_mut().zip(sum.as_chunks_mut::<LANES>().0);
    for (group, (max, sum)) in groups.enumerate() {
        for row in tile.chunks_exact(lanes) {
            for (max, &value) in max.iter_mut().zip(&row.as_chunks::<LANES>().0[group]) {
                *max = if value > *max { value } else { *max };
            }
        }
        // Long sums lose fewer bits when they are sums of sums.
        for run in tile.chunks_mut(RUN * lanes) {
            let mut run_sum = [0.0; LANES];
            for row in run.chunks_exact_mut(lanes) {
                let values = row.as_chunks_mut::<LANES>().0[group].iter_mut();
                for ((value, &max), sum) in values.zip(&*max).zip(&mut run_sum) {
                    *value = exp::<A>(*value - max);
                    *sum += *value;
                }
            }
            sum.iter_mut().zip(&run_sum).for_each(|(sum, run)| *sum += run);
        }
    }
}
