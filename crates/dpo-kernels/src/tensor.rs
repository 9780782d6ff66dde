//! The operations on burn tensors.

use burn::{
    backend::Dispatch,
    tensor::{Int, Tensor},
};

use crate::{AttentionSpec, FusedOps};

/// `x · Wᵀ`, with the weight laid out as checkpoints have it.
///
/// # Shapes
/// - `x`: `[n, d_in]`
/// - `weight`: `[d_out, d_in]`
/// - output: `[n, d_out]`
pub fn linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::linear(x.into_dispatch(), weight.into_dispatch()))
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

/// Rotary position embedding with half-split pairs, as Hugging Face models have it: <https://arxiv.org/abs/2104.09864>.
///
/// # Shapes
/// - `x`, output: `[n, n_heads · head_dim]`
/// - `cos`, `sin`: `[n, head_dim / 2]`, of each row's position; no gradient flows to them
pub fn rotary(x: Tensor<2>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::rotary(
        x.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
    ))
}

/// Gated activation `silu(gate) · up`: <https://arxiv.org/abs/2002.05202>.
///
/// # Shapes
/// - all: `[n, d_ff]`
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

/// Softmax attention in which a row sees its trunk and its own branch up to itself, and nothing else.
///
/// # Shapes
/// - `query`, output: `[n, n_heads · head_dim]`
/// - `key`, `value`: `[n, n_kv_heads · head_dim]`
pub fn tree_attention(query: Tensor<2>, key: Tensor<2>, value: Tensor<2>, spec: AttentionSpec) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::tree_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        spec,
    ))
}

/// Log-probability of each row's target under `softmax(hidden · headᵀ)`, in nats.
///
/// Logits exist for one chunk of rows at a time, forward and backward.
///
/// # Shapes
/// - `hidden`: `[n, d_model]`
/// - `head`: `[vocab, d_model]`
/// - `targets`: `[n]`, ids below `vocab`
/// - output: `[n]`
pub fn completion_logps(hidden: Tensor<2>, head: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::completion_logps(
        hidden.into_dispatch(),
        head.into_dispatch(),
        targets.into_dispatch(),
    ))
}
