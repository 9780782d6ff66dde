//! Attention over trees, one segment at a time with dense scores.

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{Shape, TensorData},
};

use super::{reshape, slice, softcap};
use crate::{AttentionSpec, Segment, saved::AttentionSaved};

/// Rows `range` of `[n, heads · head_dim]` as `[heads, rows, head_dim]`.
fn heads_of<B: Backend>(
    x: &FloatTensor<B>,
    range: &std::ops::Range<usize>,
    n_heads: usize,
    head_dim: usize,
) -> FloatTensor<B> {
    let rows = B::float_slice(x.clone(), &[slice(range.clone())]);
    B::float_swap_dims(reshape::<B, 3>(rows, [range.len(), n_heads, head_dim]), 0, 1)
}

/// `[heads, rows, head_dim]` back to `[rows, heads · head_dim]`.
fn rows_of<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    reshape::<B, 2>(B::float_swap_dims(x, 0, 1), [shape[1], shape[0] * shape[2]])
}

/// Keys or values that a segment sees, repeated so that each query head has its own: `[n_heads, visible, head_dim]`.
fn visible<B: Backend>(x: &FloatTensor<B>, segment: &Segment, spec: &AttentionSpec) -> FloatTensor<B> {
    let runs = segment.runs().into_iter().filter(|run| !run.is_empty());
    let mut parts: Vec<_> = runs.map(|run| heads_of::<B>(x, &run, spec.n_kv_heads, spec.head_dim)).collect();
    let all = if parts.len() == 1 { parts.remove(0) } else { B::float_cat(parts, 1) };
    let n_visible = segment.n_seen();
    let group = spec.n_heads / spec.n_kv_heads;
    let all = reshape::<B, 4>(all, [spec.n_kv_heads, 1, n_visible, spec.head_dim]);
    let all = B::float_expand(all, Shape::new([spec.n_kv_heads, group, n_visible, spec.head_dim]));
    reshape::<B, 3>(all, [spec.n_heads, n_visible, spec.head_dim])
}

/// 0 where a row of the segment may look, −10³⁰ where it may not: `[1, own, visible]`.
fn bias<B: Backend>(segment: &Segment, window: Option<usize>, like: &FloatTensor<B>) -> FloatTensor<B> {
    let (n_before, n_own, n_visible) = (segment.n_before(), segment.own.len(), segment.n_seen());
    let sees = |row: usize, col: usize| {
        let position = n_before + row;
        col <= position && window.is_none_or(|window| position - col < window)
    };
    let values: Vec<f32> = (0..n_own)
        .flat_map(|row| (0..n_visible).map(move |col| if sees(row, col) { 0.0 } else { -1e30 }))
        .collect();
    let data = TensorData::new(values, [1, n_own, n_visible]).convert_dtype(like.dtype());
    B::float_from_data(data, &like.device())
}

/// Scores of a segment before the mask: `[n_heads, own, visible]`.
fn scores<B: Backend>(
    query: &FloatTensor<B>,
    keys: &FloatTensor<B>,
    segment: &Segment,
    spec: &AttentionSpec,
) -> FloatTensor<B> {
    let q = heads_of::<B>(query, &segment.own, spec.n_heads, spec.head_dim);
    let products = B::float_matmul(q, B::float_swap_dims(keys.clone(), 1, 2));
    let scores = B::float_mul_scalar(products, spec.scale.into());
    match spec.softcap {
        Some(softcap) => softcap::forward::<B>(scores, softcap),
        None => scores,
    }
}

pub(crate) fn forward<B: Backend>(
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    spec: &AttentionSpec,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (mut outputs, mut sums) = (Vec::new(), Vec::new());
    for segment in spec.layout.segments() {
        let keys = visible::<B>(&key, &segment, spec);
        let values = visible::<B>(&value, &segment, spec);
        let scores = scores::<B>(&query, &keys, &segment, spec);
        let scores = B::float_add(scores, bias::<B>(&segment, spec.window, &query));
        let max = B::float_max_dim(scores.clone(), 2);
        let sum = B::float_sum_dim(B::float_exp(B::float_sub(scores.clone(), max.clone())), 2);
        let log_sum_exp = B::float_add(B::float_log(sum), max);
        let weights = B::float_exp(B::float_sub(scores, log_sum_exp.clone()));
        outputs.push(rows_of::<B>(B::float_matmul(weights, values)));
        sums.push(rows_of::<B>(log_sum_exp));
    }
    (B::float_cat(outputs, 0), B::float_cat(sums, 0))
}

/// Adds `[n_heads, visible, head_dim]` to rows of `[n, n_kv_heads · head_dim]`, summed over each group of heads.
fn add_visible<B: Backend>(
    total: FloatTensor<B>,
    part: FloatTensor<B>,
    segment: &Segment,
    spec: &AttentionSpec,
) -> FloatTensor<B> {
    let n_visible = segment.n_seen();
    let group = spec.n_heads / spec.n_kv_heads;
    let part = reshape::<B, 4>(part, [spec.n_kv_heads, group, n_visible, spec.head_dim]);
    let part = reshape::<B, 3>(B::float_sum_dim(part, 1), [spec.n_kv_heads, n_visible, spec.head_dim]);
    let rows = rows_of::<B>(part);
    let (mut total, mut start) = (total, 0);
    for target in segment.runs() {
        let source = start..start + target.len();
        start = source.end;
        if target.is_empty() {
            continue;
        }
        let place = [slice(target.clone()), slice(0..spec.n_kv_heads * spec.head_dim)];
        let sum = B::float_add(
            B::float_slice(total.clone(), &place),
            B::float_slice(rows.clone(), &[slice(source), place[1]]),
        );
        total = B::float_slice_assign(total, &place, sum);
    }
    total
}

/// Slopes of the scores of a segment: what all gradients are products with.
struct Slopes<B: Backend> {
    /// `P`: `[n_heads, own, visible]`.
    weights: FloatTensor<B>,
    /// `dS`, of the same shape.
    scores: FloatTensor<B>,
}

/// With `P` the weights and `g` the gradient: `dS = P∘(g·Vᵀ − rowsum(g∘out))·scale`, times the slope of the cap.
fn slopes<B: Backend>(
    saved: &AttentionSaved<B>,
    [g, keys, values]: [&FloatTensor<B>; 3],
    segment: &Segment,
    spec: &AttentionSpec,
) -> Slopes<B> {
    let sums = heads_of::<B>(&saved.log_sum_exp, &segment.own, spec.n_heads, 1);
    let scores = scores::<B>(&saved.query, keys, segment, spec);
    let masked = B::float_add(scores.clone(), bias::<B>(segment, spec.window, &saved.query));
    let weights = B::float_exp(B::float_sub(masked, sums));
    let out = heads_of::<B>(&saved.output, &segment.own, spec.n_heads, spec.head_dim);
    let dot = B::float_sum_dim(B::float_mul(g.clone(), out), 2);
    let dweights = B::float_matmul(g.clone(), B::float_swap_dims(values.clone(), 1, 2));
    let dscores =
        B::float_mul_scalar(B::float_mul(weights.clone(), B::float_sub(dweights, dot)), spec.scale.into());
    let dscores = match spec.softcap {
        Some(softcap) => B::float_mul(dscores, softcap::slope::<B>(scores, softcap)),
        None => dscores,
    };
    Slopes { weights, scores: dscores }
}

/// With [`Slopes`] `P` and `dS`: `dV = Pᵀ·g`, `dQ = dS·K`, `dK = dSᵀ·Q`.
pub(crate) fn backward<B: Backend>(
    saved: AttentionSaved<B>,
    grad: FloatTensor<B>,
    spec: &AttentionSpec,
    [query_wanted, key_wanted, value_wanted]: [bool; 3],
) -> [Option<FloatTensor<B>>; 3] {
    let zeros = |like: &FloatTensor<B>| B::float_zeros(like.shape(), &like.device(), like.dtype().into());
    let mut dkey = key_wanted.then(|| zeros(&saved.key));
    let mut dvalue = value_wanted.then(|| zeros(&saved.value));
    let mut dquery = Vec::new();
    let of_heads =
        |x: &FloatTensor<B>, segment: &Segment| heads_of::<B>(x, &segment.own, spec.n_heads, spec.head_dim);
    for segment in spec.layout.segments() {
        let keys = visible::<B>(&saved.key, &segment, spec);
        let values = visible::<B>(&saved.value, &segment, spec);
        let g = of_heads(&grad, &segment);
        let slopes = slopes::<B>(&saved, [&g, &keys, &values], &segment, spec);
        if query_wanted {
            dquery.push(rows_of::<B>(B::float_matmul(slopes.scores.clone(), keys)));
        }
        dkey = dkey.map(|sum| {
            let part =
                B::float_matmul(B::float_swap_dims(slopes.scores, 1, 2), of_heads(&saved.query, &segment));
            add_visible::<B>(sum, part, &segment, spec)
        });
        dvalue = dvalue.map(|sum| {
            let part = B::float_matmul(B::float_swap_dims(slopes.weights, 1, 2), g);
            add_visible::<B>(sum, part, &segment, spec)
        });
    }
    [query_wanted.then(|| B::float_cat(dquery, 0)), dkey, dvalue]
}
