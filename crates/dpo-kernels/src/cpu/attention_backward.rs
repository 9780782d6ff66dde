//! Backward of attention over trees. With `P` the weights: `dV = Pᵀ·g`, `dS = P∘(g·Vᵀ − rowsum(g∘out))·scale` (times
//! the slope of the cap), `dQ = dS·K`, `dK = dSᵀ·Q`.
//!
//! Each segment and query head is a task with gradients of its own, block after block: of what the segment sees, side by
//! side. These are then added in the order of the segments, and the query heads that share keys in theirs.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    attention::{scores, weighted},
    attention_block::{Block, Heads, Inputs, LANES, Visible, padded},
    bf16::{Operand, Side, multiply},
    buffer::{filled, no_sides, with_scratch},
    exp::exp,
    gemm::{Matrix, Target, Write},
    simd::{Arith, simd},
    tanh::cap_slope,
};
use crate::{AttentionSpec, Segment};

/// What the forward pass left, and the output's gradient.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub(super) inputs: Inputs<'a>,
    pub(super) output: Heads<'a>,
    /// `[n, n_heads]`.
    pub(super) log_sum_exp: &'a [f32],
    pub(super) grad: Heads<'a>,
}

/// Gradients of query, key and value, where wanted: of all rows; or, of one segment and query head, of its own rows and
/// of all that it sees.
type Grads = [Option<Vec<f32>>; 3];

/// Gradients of query, key and value, where wanted.
pub(super) fn backward(saved: Saved<'_>, spec: &AttentionSpec, wanted: [bool; 3]) -> Grads {
    let segments: Vec<Segment> = spec.layout.segments().collect();
    let each =
        |n_heads: usize| (0..segments.len()).flat_map(move |idx| (0..n_heads).map(move |head| (idx, head)));
    let kv_heads: Vec<(usize, usize)> = each(spec.n_kv_heads).collect();
    let sides: [&[Side]; 2] = [&[Side::Left, Side::Right], &[Side::Left]];
    let seen = |(idx, head): &(usize, usize)| {
        let segment = &segments[*idx];
        Visible::new(&saved.inputs, (segment, &(0..segment.n_seen())), *head, sides)
    };
    let visible: Vec<Visible> = kv_heads.par_iter().map(seen).collect();
    let heads: Vec<(usize, usize)> = each(spec.n_heads).collect();
    let of_head = |(idx, head): &(usize, usize)| {
        let visible = &visible[idx * spec.n_kv_heads + saved.inputs.kv_head(*head)];
        head_backward(&saved, spec, &segments[*idx], (visible, *head), wanted)
    };
    let parts: Vec<Grads> = heads.par_iter().map(of_head).collect();
    [0, 1, 2].map(|input| {
        wanted[input].then(|| {
            let n_heads = [spec.n_heads, spec.n_kv_heads, spec.n_kv_heads][input];
            let part = |idx: usize, head: usize| {
                parts[idx * spec.n_heads + head][input].as_deref().unwrap_or_default()
            };
            total(spec, &segments, n_heads, (input == 0, &part))
        })
    })
}

/// Rows of a total that are added up at a time.
const ROWS_ADDED: usize = 32;

/// `[n, heads · head_dim]` from the parts of each segment and query head: of the segment's own rows, or of all it sees.
fn total<'a>(
    spec: &AttentionSpec,
    segments: &[Segment],
    n_heads: usize,
    (is_of_own_rows, part): (bool, &(dyn Fn(usize, usize) -> &'a [f32] + Sync)),
) -> Vec<f32> {
    let (head_dim, width) = (spec.head_dim, n_heads * spec.head_dim);
    let len = spec.layout.n_rows() * width;
    let chunk = ROWS_ADDED * width;
    filled(len, chunk, no_sides(len, chunk), |chunk_idx, (), sums| {
        let first = chunk_idx * ROWS_ADDED;
        let rows = first..first + sums.len() / width;
        for (idx, segment) in segments.iter().enumerate() {
            for (row, place) in rows_of(segment, is_of_own_rows, &rows) {
                let sums = &mut sums[(row - first) * width..][..width];
                for query_head in 0..spec.n_heads {
                    let head = query_head / (spec.n_heads / n_heads);
                    let sums = sums[head * head_dim..][..head_dim].iter_mut();
                    let values = &part(idx, query_head)[place * head_dim..][..head_dim];
                    sums.zip(values).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    })
}

/// Those of `rows` that a part of a segment has, each with its place in it.
fn rows_of(
    segment: &Segment,
    is_of_own_rows: bool,
    rows: &Range<usize>,
) -> impl Iterator<Item = (usize, usize)> + use<> {
    let runs = if is_of_own_rows { [0..0, 0..0, segment.own.clone()] } else { segment.runs() };
    let rows = rows.clone();
    let mut end = 0;
    runs.into_iter().flat_map(move |run| {
        let start = end;
        end += run.len();
        let here = run.start.max(rows.start)..run.end.min(rows.end);
        here.map(move |row| (row, start + row - run.start))
    })
}

fn head_backward(
    saved: &Saved<'_>,
    spec: &AttentionSpec,
    segment: &Segment,
    (visible, head): (&Visible, usize),
    wanted: [bool; 3],
) -> Grads {
    let n_seen = padded(segment.n_seen());
    let n_rows = [segment.own.len(), n_seen, n_seen];
    let mut grads = [0, 1, 2].map(|input| wanted[input].then(|| vec![0.0; n_rows[input] * spec.head_dim]));
    for block in Block::of(segment, spec.window) {
        let first = block.rows.start - segment.own.start;
        block_backward(saved, spec, &block, (visible, head), first, &mut grads);
    }
    grads
}

/// Row `first` of the gradient of the queries is that of the block's first.
fn block_backward(
    saved: &Saved<'_>,
    spec: &AttentionSpec,
    block: &Block,
    (visible, head): (&Visible, usize),
    first: usize,
    grads: &mut Grads,
) {
    let (size, head_dim) = (block.n_visible() * block.lanes(), spec.head_dim);
    with_scratch(head_dim * block.lanes() + 2 * size, |scratch| {
        let (columns, tiles) = scratch.split_at_mut(head_dim * block.lanes());
        let (weights, slopes) = tiles.split_at_mut(size);
        let [dquery, dkey, dvalue] = grads;
        let slopes_wanted = (dquery.is_some() || dkey.is_some()).then_some(&mut *slopes);
        weights_and_slopes(saved, spec, (block, visible, head), columns, weights, slopes_wanted);
        if let Some(dvalue) = dvalue {
            add_products(dvalue, &saved.inputs, (block, head), weights, saved.grad);
        }
        if let Some(dkey) = dkey {
            add_products(dkey, &saved.inputs, (block, head), slopes, saved.inputs.query);
        }
        if let Some(dquery) = dquery {
            let target = &mut dquery[first * head_dim..];
            weighted(target, &saved.inputs, block, block.rows.len(), slopes, &visible.keys);
        }
    });
}

/// Weights of a block and, where there is memory for them, the slopes of its scores: `[visible, lanes]` each. `columns`
/// is room for `[lanes, head_dim]`.
fn weights_and_slopes(
    saved: &Saved<'_>,
    spec: &AttentionSpec,
    (block, visible, head): (&Block, &Visible, usize),
    columns: &mut [f32],
    weights: &mut [f32],
    slopes: Option<&mut [f32]>,
) {
    let inputs = &saved.inputs;
    scores(weights, inputs, (block, head), &visible.keys, spec, columns);
    block.mask(weights);
    let (log_sum_exp, dots) = row_numbers(saved, block, head);
    let Some(slopes) = slopes else {
        return exponentials(weights, &log_sum_exp);
    };
    let values = visible.values.at(&block.seen, Side::Left);
    inputs.products(slopes, (block, head), values, (saved.grad, 1.0), columns);
    let factors = Factors { scale: spec.scale as f32, softcap: spec.softcap.map(|softcap| softcap as f32) };
    slopes_of_scores(weights, slopes, [&log_sum_exp, &dots], factors);
}

/// Adds `tile · rows` to the rows of `sum` that the block sees.
fn add_products(
    sum: &mut [f32],
    inputs: &Inputs<'_>,
    (block, head): (&Block, usize),
    tile: &[f32],
    rows: Heads<'_>,
) {
    let factors = Matrix::new(tile, [block.n_visible(), block.rows.len()], block.lanes());
    let factors = Operand::new(inputs.unit, factors, Side::Left);
    let rows_of_head = Operand::new(inputs.unit, rows.rows(&block.rows, head), Side::Right);
    let data = &mut sum[block.seen.start * rows.head_dim..];
    let target = Target { data, stride: rows.head_dim, write: Write::Add };
    multiply(inputs.unit, target, factors.whole(), rows_of_head.whole());
}

/// Log-sum-exp and `g · out` of each lane; 0 in those that are left.
fn row_numbers(saved: &Saved<'_>, block: &Block, head: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut sums, mut dots) = (vec![0.0; block.lanes()], vec![0.0; block.lanes()]);
    let Heads { count: n_heads, head_dim, .. } = saved.grad;
    for (lane, row) in block.rows.clone().enumerate() {
        sums[lane] = saved.log_sum_exp[row * n_heads + head];
        let pairs = saved.grad.from(row, head)[..head_dim].iter().zip(saved.output.from(row, head));
        dots[lane] = pairs.map(|(&g, &out)| f64::from(g) * f64::from(out)).sum::<f64>() as f32;
    }
    (sums, dots)
}

simd! {
    /// Scores become weights.
    fn exponentials(scores: &mut [f32], log_sum_exp: &[f32]) = exponentials_body;
}

#[inline(always)]
fn exponentials_body<A: Arith>(scores: &mut [f32], log_sum_exp: &[f32]) {
    for scores in scores.chunks_exact_mut(log_sum_exp.len()) {
        for (score, &log_sum_exp) in scores.iter_mut().zip(log_sum_exp) {
            *score = exp::<A>(*score - log_sum_exp);
        }
    }
}

/// What lies between products of queries and keys, and scores.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    scale: f32,
    softcap: Option<f32>,
}

simd! {
    /// Scores become weights, and gradients of weights those of products of queries and keys; `numbers` are log-sum-exp
    /// and `g · out` of each lane.
    fn slopes_of_scores(scores: &mut [f32], slopes: &mut [f32], numbers: [&[f32]; 2], factors: Factors)
        = slopes_of_scores_body;
}

#[inline(always)]
fn slopes_of_scores_body<A: Arith>(
    scores: &mut [f32],
    slopes: &mut [f32],
    numbers: [&[f32]; 2],
    Factors { scale, softcap }: Factors,
) {
    match softcap {
        None => slopes_by::<A>(scores, slopes, numbers, |_| scale),
        Some(softcap) => slopes_by::<A>(scores, slopes, numbers, |score| cap_slope(score, softcap) * scale),
    }
}

/// `factor` gives the slope of a score.
#[inline(always)]
fn slopes_by<A: Arith>(
    scores: &mut [f32],
    slopes: &mut [f32],
    [log_sum_exp, dots]: [&[f32]; 2],
    factor: impl Fn(f32) -> f32,
) {
    let lanes = dots.len();
    let numbers = log_sum_exp.as_chunks::<LANES>().0.iter().zip(dots.as_chunks::<LANES>().0);
    for (group, (log_sum_exp, dots)) in numbers.enumerate() {
        for (scores, slopes) in scores.chunks_exact_mut(lanes).zip(slopes.chunks_exact_mut(lanes)) {
            let scores = scores.as_chunks_mut::<LANES>().0[group].iter_mut();
            let slopes = slopes.as_chunks_mut::<LANES>().0[group].iter_mut();
            for ((score, slope), (&log_sum_exp, &dot)) in scores.zip(slopes).zip(log_sum_exp.iter().zip(dots))
            {
                let weight = exp::<A>(*score - log_sum_exp);
                *slope = weight * (*slope - dot) * factor(*score);
                *score = weight;
            }
        }
    }
}
