//! Backward of attention over trees. With `P` the weights: `dV = Pᵀ·g`, `dS = P∘(g·Vᵀ − rowsum(g∘out))·scale`,
//! `dQ = dS·K`, `dK = dSᵀ·Q`.
//!
//! Each tree and query head is a task with gradients of its own, segment after segment; those of the query heads that
//! share keys are then added in the order of the heads.

use rayon::prelude::*;

use super::{
    attention::{Block, Heads, Inputs},
    buffer::with_scratch,
    exp::exp,
    gemm::{Matrix, Target, Write, multiply},
    simd::{Arith, simd},
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

/// Gradients of the rows of one tree for one query head, `[rows, head_dim]` each.
struct HeadGrads {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
}

/// Gradients of query, key and value.
pub(super) fn backward(saved: Saved<'_>, spec: &AttentionSpec) -> [Vec<f32>; 3] {
    let trees = spec.layout.trees();
    let tasks: Vec<(&TreeRange, usize)> =
        trees.iter().flat_map(|tree| (0..spec.n_heads).map(move |head| (tree, head))).collect();
    let parts: Vec<HeadGrads> =
        tasks.par_iter().map(|(tree, head)| head_backward(&saved, spec, tree, *head)).collect();
    let n = spec.layout.n_rows();
    let kv_width = spec.n_kv_heads * spec.head_dim;
    let mut query = vec![0.0; n * spec.n_heads * spec.head_dim];
    let (mut key, mut value) = (vec![0.0; n * kv_width], vec![0.0; n * kv_width]);
    for ((tree, head), part) in tasks.into_iter().zip(&parts) {
        let kv_head = saved.inputs.kv_head(head);
        let first = tree.rows().start;
        add_head(&mut query, &part.query, first, [spec.n_heads, head], spec.head_dim);
        add_head(&mut key, &part.key, first, [spec.n_kv_heads, kv_head], spec.head_dim);
        add_head(&mut value, &part.value, first, [spec.n_kv_heads, kv_head], spec.head_dim);
    }
    [query, key, value]
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

fn head_backward(saved: &Saved<'_>, spec: &AttentionSpec, tree: &TreeRange, head: usize) -> HeadGrads {
    let size = tree.rows().len() * spec.head_dim;
    let mut grads = HeadGrads { query: vec![0.0; size], key: vec![0.0; size], value: vec![0.0; size] };
    for block in Block::of(tree) {
        block_backward(saved, spec, &block, (tree.rows().start, head), &mut grads);
    }
    grads
}

fn block_backward(
    saved: &Saved<'_>,
    spec: &AttentionSpec,
    block: &Block,
    (first, head): (usize, usize),
    grads: &mut HeadGrads,
) {
    let (lanes, head_dim) = (block.lanes(), spec.head_dim);
    let Inputs { query, key, value } = saved.inputs;
    let kv_head = saved.inputs.kv_head(head);
    with_scratch((head_dim + 2 * block.n_visible()) * lanes, |scratch| {
        let (columns, tiles) = scratch.split_at_mut(head_dim * lanes);
        let (weights, slopes) = tiles.split_at_mut(block.n_visible() * lanes);
        query.lanes_into(columns, block, head, spec.scale as f32);
        block.products(weights, key, kv_head, columns);
        block.mask(weights);
        saved.grad.lanes_into(columns, block, head, 1.0);
        block.products(slopes, value, kv_head, columns);
        let (log_sum_exp, dots) = row_numbers(saved, block, head);
        slopes_of_scores(weights, slopes, &log_sum_exp, &dots, spec.scale as f32);
        for (start, run) in block.runs() {
            let place = (run.start - first) * head_dim;
            for (tile, other, sum) in
                [(&*weights, saved.grad, &mut grads.value), (&*slopes, query, &mut grads.key)]
            {
                let factors = Matrix::new(&tile[start * lanes..], [run.len(), block.rows.len()], lanes);
                let target = Target { data: &mut sum[place..], stride: head_dim, write: Write::Add };
                multiply(target, factors, other.rows(&block.rows, head));
            }
        }
        let target = &mut grads.query[(block.rows.start - first) * head_dim..];
        block.weighted(target, head_dim, slopes, key, kv_head);
    });
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
    /// Scores become weights, and gradients of weights those of scores.
    fn slopes_of_scores(scores: &mut [f32], slopes: &mut [f32], log_sum_exp: &[f32], dots: &[f32], scale: f32)
        = slopes_of_scores_body;
}

#[inline(always)]
fn slopes_of_scores_body<A: Arith>(
    scores: &mut [f32],
    slopes: &mut [f32],
    log_sum_exp: &[f32],
    dots: &[f32],
    scale: f32,
) {
    let lanes = dots.len();
    for (scores, slopes) in scores.chunks_exact_mut(lanes).zip(slopes.chunks_exact_mut(lanes)) {
        let numbers = log_sum_exp.iter().zip(dots);
        for ((score, slope), (&log_sum_exp, &dot)) in scores.iter_mut().zip(slopes).zip(numbers) {
            let weight = exp::<A>(*score - log_sum_exp);
            *score = weight;
            *slope = weight * (*slope - dot) * scale;
        }
    }
}
