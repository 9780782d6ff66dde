//! What the head says of rows.

use burn::{
    backend::Dispatch,
    tensor::{Int, Tensor},
};

use crate::{DivergenceSpec, FusedOps, LogitSpec};

/// Log-probability of each row's target under `softmax(hidden · headᵀ)`, in nats.
///
/// Logits are made as `spec` says. They exist for one chunk of rows at a time, forward and backward.
///
/// # Shapes
/// - `hidden`: `[n, d_model]`
/// - `head`: `[vocab, d_model]`
/// - `targets`: `[n]`, ids below `vocab`
/// - output: `[n]`
pub fn completion_logps(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: Tensor<1, Int>,
    spec: LogitSpec,
) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::completion_logps(
        hidden.into_dispatch(),
        head.into_dispatch(),
        targets.into_dispatch(),
        spec,
    ))
}

/// What another model's head reads of each row, `[n, d]`, and that head, `[vocab, d]`, for words in the same order: constants.
#[derive(Debug, Clone)]
pub struct ReferenceRows {
    /// What its head reads.
    pub hidden: Tensor<2>,
    /// Its head.
    pub head: Tensor<2>,
}

/// What [`completion_logps_and_kl`] says of each row, `[n]`.
#[derive(Debug, Clone)]
pub struct LogpsAndKl {
    /// Log-probability of the target.
    pub logps: Tensor<1>,
    /// `KL(p_ref ‖ p) = Σ_v p_ref(v)·ln(p_ref(v)/p(v))` over all words, in nats.
    pub kl: Tensor<1>,
}

/// As [`completion_logps`], and of the same pass how far the distribution of each row is from that of a reference, as TDPO
/// wants it: <https://arxiv.org/abs/2404.11999>. Both have gradients; the first is the same to the last bit as it is alone.
///
/// # Shapes
/// Those of [`completion_logps`]; as many rows and words in `reference`.
pub fn completion_logps_and_kl(
    hidden: Tensor<2>,
    head: Tensor<2>,
    reference: ReferenceRows,
    targets: Tensor<1, Int>,
    spec: DivergenceSpec,
) -> LogpsAndKl {
    assert_eq!(reference.hidden.dims()[0], hidden.dims()[0], "as many rows of the reference");
    assert_eq!(reference.head.dims()[0], head.dims()[0], "as many words of the reference");
    let constant = |x: Tensor<2>| if hidden.is_autodiff() && !x.is_autodiff() { x.autodiff() } else { x };
    let (reference_hidden, reference_head) = (constant(reference.hidden), constant(reference.head));
    let both = Tensor::<2>::from_dispatch(<Dispatch as FusedOps>::completion_logps_and_kl(
        hidden.into_dispatch(),
        head.into_dispatch(),
        reference_hidden.into_dispatch(),
        reference_head.into_dispatch(),
        targets.into_dispatch(),
        spec,
    ));
    let row = |idx: usize| both.clone().narrow(0, idx, 1).squeeze_dim::<1>(0);
    LogpsAndKl { logps: row(0), kl: row(1) }
}

/// What [`completion_logps_and_squares`] says of each row, `[n]`.
#[derive(Debug, Clone)]
pub struct LogpsAndSquares {
    /// Log-probability of the target.
    pub logps: Tensor<1>,
    /// `ln Σ_v p(v)²` over all words, without a gradient.
    pub log_sum_squares: Tensor<1>,
}

/// As [`completion_logps`], and of the same pass how concentrated each row's distribution is, as WPO wants it:
/// <https://arxiv.org/abs/2406.11827>.
///
/// # Shapes
/// Those of [`completion_logps`].
pub fn completion_logps_and_squares(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: Tensor<1, Int>,
    spec: LogitSpec,
) -> LogpsAndSquares {
    let (logps, squares) = <Dispatch as FusedOps>::completion_logps_and_squares(
        hidden.into_dispatch(),
        head.into_dispatch(),
        targets.into_dispatch(),
        spec,
    );
    LogpsAndSquares {
        logps: Tensor::from_dispatch(logps),
        log_sum_squares: Tensor::<1>::from_dispatch(squares).inner(),
    }
}
