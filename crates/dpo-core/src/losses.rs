//! The losses of one pair, as functions of its margin. None of them is reduced over the batch.

use burn::tensor::{Tensor, activation};

use crate::CompletionLogps;

/// `ln σ(z)` that neither overflows nor rounds to zero: `min(z, 0) − ln(1 + e^{−|z|})`.
///
/// It is burn's fused operation, whose gradient is `σ(−z)` everywhere. The formula written with `abs` and `min`
/// would differentiate to 0 or 1 at `z = 0`, where every run with policy = reference begins, instead of ½.
///
/// # Shapes
/// - `z`, output: `[n_pairs]`
pub fn log_sigmoid(z: Tensor<1>) -> Tensor<1> {
    activation::log_sigmoid(z)
}

/// DPO loss of each pair, `−ln σ(β·h)`: Eq. 7 of <https://arxiv.org/abs/2305.18290>.
///
/// With the margin per token, [`LogRatios::normalised_margin`](crate::LogRatios::normalised_margin), it is
/// `sigmoid_norm`, the length-normalised DPO of <https://arxiv.org/abs/2411.15124>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats, see [`LogRatios::margin`](crate::LogRatios::margin)
/// - output: `[n_pairs]`, not reduced
pub fn dpo_loss(margin: Tensor<1>, beta: f64) -> Tensor<1> {
    -log_sigmoid(margin * beta) // `sigmoid(x).log()` is −∞ once x ≤ −104.
}

/// Conservative DPO of each pair, for labels that are wrong with probability `ε`:
/// `(1−ε)(−ln σ(βh)) + ε(−ln σ(−βh))`, <https://ericmitchell.ai/cdpo.pdf>. With `ε = 0` it is [`dpo_loss`].
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - output: `[n_pairs]`, not reduced
pub fn conservative_dpo_loss(margin: Tensor<1>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    let as_labelled = dpo_loss(margin.clone(), beta);
    let as_flipped = dpo_loss(-margin, beta);
    as_labelled * (1.0 - label_smoothing) + as_flipped * label_smoothing
}

/// IPO loss of each pair, `(h − 1/(2β))²`, with β for the paper's τ: Eq. 17 of <https://arxiv.org/abs/2310.12036>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` summed or per token, in nats
/// - output: `[n_pairs]`, not reduced
pub fn ipo_loss(margin: Tensor<1>, beta: f64) -> Tensor<1> {
    let error = margin - 0.5 / beta;
    error.clone() * error
}

/// Hinge loss of each pair, `max(0, 1 − β·h)`: SLiC-HF, <https://arxiv.org/abs/2305.10425>, on the margin of RSO,
/// <https://arxiv.org/abs/2309.06657>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - output: `[n_pairs]`, not reduced
pub fn hinge_loss(margin: Tensor<1>, beta: f64) -> Tensor<1> {
    activation::relu(-(margin * beta) + 1.0)
}

/// Negative log-likelihood of each completion, `−Σ_t ℓ_t`; a batch divides the sum by its number of tokens, see
/// [`BatchScale`](crate::BatchScale).
///
/// # Shapes
/// - `chosen`: `[n_completions]`
/// - output: `[n_completions]`, not reduced
pub fn sft_loss(chosen: &CompletionLogps) -> Tensor<1> {
    -chosen.sums.clone()
}
