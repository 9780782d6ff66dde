//! Functions of the margin.

use burn::tensor::{Tensor, activation};

use super::log_sigmoid;

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

/// Robust DPO of each pair, an unbiased estimate of [`dpo_loss`] on clean labels when a share `ε < ½` of those seen is
/// flipped: `[(1−ε)(−ln σ(βh)) − ε(−ln σ(−βh))]/(1−2ε)`, Eq. 12 of <https://arxiv.org/abs/2403.00409>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - output: `[n_pairs]`, not reduced
pub fn robust_dpo_loss(margin: Tensor<1>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    let as_labelled = dpo_loss(margin.clone(), beta);
    let as_flipped = dpo_loss(-margin, beta);
    let clean = 1.0 - 2.0 * label_smoothing;
    as_labelled * ((1.0 - label_smoothing) / clean) - as_flipped * (label_smoothing / clean)
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

/// EXO of each pair: the reverse KL divergence of the policy's preference `q = σ(βh)` from the label smoothed by `ε`,
/// `q[ln q − ln(1−ε)] + (1−q)[ln(1−q) − ln ε]`: Eq. 17 of <https://arxiv.org/abs/2402.00856>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - output: `[n_pairs]`, not reduced
pub fn exo_pair_loss(margin: Tensor<1>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    let logit = margin * beta;
    let prefers =
        |logit: Tensor<1>, label: f64| activation::sigmoid(logit.clone()) * (log_sigmoid(logit) - label.ln());
    prefers(logit.clone(), 1.0 - label_smoothing) + prefers(-logit, label_smoothing)
}

/// DiscoPOP of each pair, the loss that a language model found: with `z = βh` and `m = σ(z/τ)`,
/// `(1−m)(−ln σ(z)) + m·e^{−z}`: <https://arxiv.org/abs/2406.08414>. At `z = 0` its slope is positive: it first lowers the
/// margin.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - output: `[n_pairs]`, not reduced
pub fn discopop_loss(margin: Tensor<1>, beta: f64, tau: f64) -> Tensor<1> {
    let logit = margin * beta;
    let gate = logit.clone() / tau;
    let logistic = activation::sigmoid(-gate.clone()) * -log_sigmoid(logit.clone());
    // `m·e^{−z}` in one exponential: its factors alone are 0 and ∞ for a large negative `z`.
    logistic + (log_sigmoid(gate) - logit).exp()
}
