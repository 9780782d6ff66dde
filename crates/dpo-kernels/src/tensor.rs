//! The operations on burn tensors.

mod head;

use burn::{
    backend::Dispatch,
    tensor::{Int, Tensor},
};

pub use head::{
    LogpsAndKl, LogpsAndSquares, ReferenceRows, completion_logps, completion_logps_and_kl,
    completion_logps_and_squares,
};

use crate::{Activation, AttentionSpec, FeedForwardSpec, Frozen, FusedOps, LoraSpec, Precision};

/// `x · Wᵀ`, with the weight laid out as checkpoints have it.
///
/// # Shapes
/// - `x`: `[n, d_in]`
/// - `weight`: `[d_out, d_in]`
/// - output: `[n, d_out]`
pub fn linear(x: Tensor<2>, weight: Tensor<2>, precision: Precision) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        precision,
    ))
}

/// As [`linear`] with a weight that has no gradient: nothing but the weight is kept for the backward pass.
///
/// # Shapes
/// Those of [`linear`].
pub fn linear_constant(x: Tensor<2>, weight: Tensor<2>, precision: Precision) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::linear_constant(
        x.into_dispatch(),
        weight.into_dispatch(),
        precision,
    ))
}

/// As [`linear_constant`] with a weight that is unpacked where it is used, forward and backward, and is in memory as
/// numbers only then.
///
/// # Shapes
/// Those of [`linear`].
pub fn linear_frozen(x: Tensor<2>, weight: &Frozen, precision: Precision) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::linear_frozen(x.into_dispatch(), weight.clone(), precision))
}

/// `x · Wᵀ + s·(x · Aᵀ) · Bᵀ`, a matrix that is not trained and the low-rank adapter beside it:
/// <https://arxiv.org/abs/2106.09685>.
///
/// # Shapes
/// - `x`: `[n, d_in]`
/// - `weight`: `[d_out, d_in]`, `W`
/// - `down`, `up`: `[rank, d_in]` and `[d_out, rank]`, `A` and `B`
/// - output: `[n, d_out]`
pub fn lora_linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    down: Tensor<2>,
    up: Tensor<2>,
    spec: LoraSpec,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::lora_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        down.into_dispatch(),
        up.into_dispatch(),
        spec,
    ))
}

/// [`lora_linear`] of [`gated`]`(gate, up)`, which is not kept for the backward pass but made again.
///
/// # Shapes
/// - `gate`, `up`: `[n, d_ff]`
/// - `weight`: `[d_out, d_ff]`
/// - `lora_down`, `lora_up`: `[rank, d_ff]` and `[d_out, rank]`
/// - output: `[n, d_out]`
pub fn gated_lora_linear(
    [gate, up]: [Tensor<2>; 2],
    weight: Tensor<2>,
    [lora_down, lora_up]: [Tensor<2>; 2],
    activation: Activation,
    spec: LoraSpec,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::gated_lora_linear(
        gate.into_dispatch(),
        up.into_dispatch(),
        weight.into_dispatch(),
        lora_down.into_dispatch(),
        lora_up.into_dispatch(),
        activation,
        spec,
    ))
}

/// As [`lora_linear`] with a weight that is unpacked where it is used.
///
/// # Shapes
/// Those of [`lora_linear`].
pub fn lora_linear_frozen(
    x: Tensor<2>,
    weight: &Frozen,
    down: Tensor<2>,
    up: Tensor<2>,
    spec: LoraSpec,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::lora_linear_frozen(
        x.into_dispatch(),
        weight.clone(),
        down.into_dispatch(),
        up.into_dispatch(),
        spec,
    ))
}

/// Sums over spans that lie one behind the other: those of completions over their tokens.
///
/// # Shapes
/// - `x`: `[n]`
/// - `lengths`: numbers that add up to `n`; 0 gives a sum of 0
/// - output: `[n_spans]`
pub fn span_sums(x: Tensor<1>, lengths: &[usize]) -> Tensor<1> {
    assert_eq!(lengths.iter().sum::<usize>(), x.dims()[0], "spans that lie one behind the other");
    Tensor::from_dispatch(<Dispatch as FusedOps>::span_sums(x.into_dispatch(), lengths.to_vec()))
}

/// Rows of a matrix, in any order and as often as wanted: an embedding's, or those that are scored.
///
/// # Shapes
/// - `matrix`: `[n_rows, width]`
/// - `rows`: `[n]`, numbers below `n_rows`
/// - output: `[n, width]`
pub fn select_rows(matrix: Tensor<2>, rows: Tensor<1, Int>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::select_rows(matrix.into_dispatch(), rows.into_dispatch()))
}

/// Root-mean-square norm, `x / √(mean(x²) + ε) · w`: <https://arxiv.org/abs/1910.07467>.
///
/// # Shapes
/// - `x`, output: `[n, d]`
/// - `weight`: `[d]`
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, epsilon: f64) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::rms_norm(
        x.into_dispatch(),
        weight.into_dispatch(),
        epsilon,
    ))
}

/// Layer norm, `(x − mean(x)) / √(var(x) + ε) · w + b`, with the mean square deviation as the variance:
/// <https://arxiv.org/abs/1607.06450>.
///
/// # Shapes
/// - `x`, output: `[n, d]`
/// - `weight`, `bias`: `[d]`
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::layer_norm(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
    ))
}

/// Rotary position embedding with half-split pairs, as Hugging Face models have it: <https://arxiv.org/abs/2104.09864>.
///
/// Only the first `rotary_dim` numbers of each head turn; the others pass through, as in GPT-NeoX and Phi.
///
/// # Shapes
/// - `x`, output: `[n, n_heads · head_dim]`
/// - `cos`, `sin`: `[n, rotary_dim / 2]`, of each row's position; no gradient flows to them
///
/// # Panics
/// If `rotary_dim` is more than `head_dim`, or heads of that width do not fill the rows.
pub fn rotary(x: Tensor<2>, cos: Tensor<2>, sin: Tensor<2>, head_dim: usize) -> Tensor<2> {
    let ([_, width], [_, half]) = (x.dims(), cos.dims());
    assert!(2 * half <= head_dim, "{half} angles are too many for heads of {head_dim}");
    assert!(width.is_multiple_of(head_dim), "rows of {width} are not heads of {head_dim}");
    Tensor::from_dispatch(<Dispatch as FusedOps>::rotary(
        x.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
        head_dim,
    ))
}

/// Gated activation `act(gate) · up`: <https://arxiv.org/abs/2002.05202>.
///
/// # Shapes
/// - all: `[n, d_ff]`
pub fn gated(gate: Tensor<2>, up: Tensor<2>, activation: Activation) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::gated(gate.into_dispatch(), up.into_dispatch(), activation))
}

/// Activation `act(x)` of each number.
///
/// # Shapes
/// - all: `[n, d_ff]`
pub fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::activate(x.into_dispatch(), activation))
}

/// Gated feed-forward layer `(act(x · Gᵀ) ∘ (x · Uᵀ)) · Dᵀ`: <https://arxiv.org/abs/2002.05202>. What lies in the middle is made
/// again on the way back.
///
/// # Shapes
/// - `x`, output: `[n, d_model]`
/// - `gate`, `up`: `[d_ff, d_model]`, `G` and `U`
/// - `down`: `[d_model, d_ff]`, `D`
pub fn gated_feed_forward(
    x: Tensor<2>,
    gate: Tensor<2>,
    up: Tensor<2>,
    down: Tensor<2>,
    spec: FeedForwardSpec,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::gated_feed_forward(
        x.into_dispatch(),
        gate.into_dispatch(),
        up.into_dispatch(),
        down.into_dispatch(),
        spec,
    ))
}

/// Softmax attention in which a row sees its trunk and its own branch up to itself, and nothing else.
///
/// What it sees may be narrowed further, and scores may be capped: see [`AttentionSpec`].
///
/// # Shapes
/// - `query`, output: `[n, n_heads · head_dim]`
/// - `key`, `value`: `[n, n_kv_heads · head_dim]`
///
/// # Panics
/// If the window is 0: a row sees at least itself.
pub fn tree_attention(query: Tensor<2>, key: Tensor<2>, value: Tensor<2>, spec: AttentionSpec) -> Tensor<2> {
    assert!(spec.window != Some(0), "a window of 0 leaves a row nothing to see");
    Tensor::from_dispatch(<Dispatch as FusedOps>::tree_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        spec,
    ))
}

/// [`tree_attention`] with the matrices around it: queries and keys are turned by their rows' angles ([`rotary`]), what comes
/// out goes through the last matrix.
///
/// # Shapes
/// - `x`, output: `[n, d_model]`
/// - `query`: `[n_heads · head_dim, d_model]`
/// - `key`, `value`: `[n_kv_heads · head_dim, d_model]`
/// - `output`: `[d_model, n_heads · head_dim]`
/// - `cos`, `sin`: `[n, rotary_dim / 2]`
///
/// # Panics
/// As [`tree_attention`] and [`rotary`].
pub fn attention_layer(
    x: Tensor<2>,
    [query, key, value, output]: [Tensor<2>; 4],
    [cos, sin]: [Tensor<2>; 2],
    spec: AttentionSpec,
) -> Tensor<2> {
    assert!(spec.window != Some(0), "a window of 0 leaves a row nothing to see");
    let half = cos.dims()[1];
    assert!(2 * half <= spec.head_dim, "{half} angles are too many for heads of {}", spec.head_dim);
    Tensor::from_dispatch(<Dispatch as FusedOps>::attention_layer(
        x.into_dispatch(),
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        output.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
        spec,
    ))
}
