//! Backward of attention over trees. With `P` the weights: `dV = Pᵀ·g`, `dS = P∘(g·Vᵀ − rowsum(g∘out))·scale` (times
//! the slope of the cap), `dQ = dS·K`, `dK = dSᵀ·Q`.
//!
//! Each tree and query head is a task with gradients of its own, segment after segment; those of the query heads that
//! share keys are then added in the order of the heads.

use rayon::prelude::*;

use super::{
    attention_block::{Block, Heads, Inputs},
    buffer::with_scratch,
    exp::exp,
    gemm::{Matrix, Target, Write, multiply},
    simd::{Arith, simd},
    tanh::cap_slope,
};
use crate::{AttentionSpec, TreeRange};

/// What the forward pass left, and the output's gradient.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub(super) inputs: Inputs<'a>,
    pub(super) output: Heads<'a>,
    /// `[n, n_heads]`.
    pub(super) log_sum_exp: &'a [f32],
    pub(super) grad: Heads<'a>,
}

/// Gradients of query, key and value, where wanted: of all rows, or `[rows, head_dim]` of one tree and query head.
type Grads = [Option<Vec<f32>>; 3];

/// Gradients of query, key and value, where wanted.
pub(super) fn backward(saved: Saved<'_>, spec: &AttentionSpec, wanted: [bool; 3]) -> Grads {
    let trees = spec.layout.trees();
    let tasks: Vec<(&TreeRange, usize)> =
        trees.iter().flat_map(|tree| (0..spec.n_heads).map(move |head| (tree, head))).collect();
    let parts: Vec<Grads> =
        tasks.par_iter().map(|(tree, head)| head_backward(&saved, spec, tree, *head, wanted)).collect();
    let n_heads = [spec.n_heads, spec.n_kv_heads, spec.n_kv_heads];
    let size = spec.layout.n_rows() * spec.head_dim;
    let mut totals = zeros(n_heads.map(|n_heads| n_heads * size), wanted);
    for ((tree, head), part) in tasks.into_iter().zip(&parts) {
        let kv_head = saved.inputs.kv_head(head);
        let places = n_heads.into_iter().zip([head, kv_head, kv_head]);
        for ((total, part), (n_heads, head)) in totals.iter_mut().zip(part).zip(places) {
            if let (Some(total), Some(part)) = (total, part) {
                add_head(total, part, tree.rows().start, [n_heads, head], spec.head_dim);
            }
        }
    }
    totals
}

fn zeros(sizes: [usize; 3], wanted: [bool; 3]) -> Grads {
    [0, 1, 2].map(|i| wanted[i].then(|| vec![0.0; sizes[i]]))
}

/// Adds `[rows, head_dim]` to one head of `[n, heads · head_dim]`, from row `first` on.
fn add_head(total: &mut [f32], part: &[f32], first: usize, [n_heads, head]: [usize; 2], head_dim: usize) {
    let width = n_heads * head_dim;
    let rows = total[first * width..].chunks_exact_mut(width);
    for (total, part) in rows.zip(part.chunks_exact(head_dim)) {
        let total = &mut total[head * head_dim..(head + 1) * head_dim];
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
}

fn head_backward(
    saved: &Saved<'_>,
    spec: &AttentionSpec,
    tree: &TreeRange,
    head: usize,
    wanted: [bool; 3],
) -> Grads {
    let mut grads = zeros([tree.rows().len() * spec.head_dim; 3], wanted);
    for block in Block::of(tree, spec.window) {
        block_backward(saved, spec, &block, (tree.rows().start, head), &mut grads);
    }
    grads
}

fn block_backward(
    saved: &Saved<'_>,
    spec: &AttentionSpec,
    block: &Block,
    (first, head): (usize, usize),
    grads: &mut Grads,
) {
    let size = block.n_visible() * block.lanes();
    let Inputs { query, key, .. } = saved.inputs;
    with_scratch(spec.head_dim * block.lanes() + 2 * size, |scratch| {
        let (columns, tiles) = scratch.split_at_mut(spec.head_dim * block.lanes());
        let (weights, slopes) = tiles.split_at_mut(size);
        let [dquery, dkey, dvalue] = grads;
        let slopes_wanted = dquery.is_some() || dkey.is_some();
        weights_and_slopes(
            saved,
            spec,
            (block, head),
            columns,
            weights,
            slopes_wanted.then_some(&mut *slopes),
        );
        if let Some(dvalue) = dvalue {
            add_products(dvalue, first, (block, head), weights, saved.grad);
        }
        if let Some(dkey) = dkey {
            add_products(dkey, first, (block, head), slopes, query);
        }
        if let Some(dquery) = dquery {
            let target = &mut dquery[(block.rows.start - first) * spec.head_dim..];
            block.weighted(target, spec.head_dim, slopes, key, saved.inputs.kv_head(head));
        }
    });
}

/// Weights of a block and, where there is memory for them, the slopes of its scores: `[visible, lanes]` each. `columns`
/// is for `[head_dim, lanes]`.
fn weights_and_slopes(
    saved: &Saved<'_>,
    spec: &AttentionSpec,
    (block, head): (&Block, usize),
    columns: &mut [f32],
    weights: &mut [f32],
    slopes: Option<&mut [f32]>,
) {
    let Inputs { query, key, value } = saved.inputs;
    let kv_head = saved.inputs.kv_head(head);
    query.lanes_into(columns, block, head, spec.scale as f32);
    block.scores(weights, key, kv_head, columns, spec.softcap);
    block.mask(weights);
    let (log_sum_exp, dots) = row_numbers(saved, block, head);
    let Some(slopes) = slopes else {
        return exponentials(weights, &log_sum_exp);
    };
    saved.grad.lanes_into(columns, block, head, 1.0);
    block.products(slopes, value, kv_head, columns);
    let factors = Factors { scale: spec.scale as f32, softcap: spec.softcap.map(|softcap| softcap as f32) };
    slopes_of_scores(weights, slopes, [&log_sum_exp, &dots], factors);
}

/// Adds `tile · rows` to the rows of `sum` that the block sees; row `first` of all is the first of `sum`.
fn add_products(
    sum: &mut [f32],
    first: usize,
    (block, head): (&Block, usize),
    tile: &[f32],
    rows: Heads<'_>,
) {
    let lanes = block.lanes();
    for (start, run) in block.runs() {
        let factors = Matrix::new(&tile[start * lanes..], [run.len(), block.rows.len()], lanes);
        let data = &mut sum[(run.start - first) * rows.head_dim..];
        let target = Target { data, stride: rows.head_dim, write: Write::Add };
        multiply(target, factors, rows.rows(&block.rows, head));
    }
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
    for (scores, slopes) in scores.chunks_exact_mut(lanes).zip(slopes.chunks_exact_mut(lanes)) {
        let numbers = log_sum_exp.iter().zip(dots);
        for ((score, slope), (&log_sum_exp, &dot)) in scores.iter_mut().zip(slopes).zip(numbers) {
            let weight = exp::<A>(*score - log_sum_exp);
            *slope = weight * (*slope - dot) * factor(*score);
            *score = weight;
        }
    }
}
