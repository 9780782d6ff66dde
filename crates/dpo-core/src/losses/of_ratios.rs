//! Functions of both log-ratios.

use burn::tensor::{Tensor, activation};

use super::{dpo_loss, log_sigmoid};
use crate::LogRatios;

/// NCA of each pair, which also keeps the chosen completion from getting less likely:
/// `−ln σ(βΔ_w) − ½ ln σ(−βΔ_w) − ½ ln σ(−βΔ_l)`: Eq. 12 of <https://arxiv.org/abs/2402.05369>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn nca_pair_loss(ratios: &LogRatios, beta: f64) -> Tensor<1> {
    let rewards = ratios.rewards(beta);
    -log_sigmoid(rewards.chosen.clone())
        - log_sigmoid(-rewards.chosen) * 0.5
        - log_sigmoid(-rewards.rejected) * 0.5
}

/// BCO of each pair, a classifier of single completions: `−ln σ(βΔ_w − δ) − ln σ(−(βΔ_l − δ))` with a fixed shift `δ` for
/// the paper's moving mean of the rewards: Eq. 9 of <https://arxiv.org/abs/2404.04656>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn bco_pair_loss(ratios: &LogRatios, beta: f64, delta: f64) -> Tensor<1> {
    let rewards = ratios.rewards(beta);
    -log_sigmoid(rewards.chosen - delta) - log_sigmoid(-(rewards.rejected - delta))
}

/// SPPO with hard labels, of each pair: `(Δ_w − 1/(2β))² + (Δ_l + 1/(2β))²`: Eq. 4.7 of
/// <https://arxiv.org/abs/2405.00675>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn sppo_hard_loss(ratios: &LogRatios, beta: f64) -> Tensor<1> {
    let square = |error: Tensor<1>| error.clone() * error;
    square(ratios.chosen.clone() - 0.5 / beta) + square(ratios.rejected.clone() + 0.5 / beta)
}

/// Anchored preference optimization, APO-zero, of each pair: `1 − σ(βΔ_w) + σ(βΔ_l)`, for chosen completions that are
/// better than what the model says itself: <https://arxiv.org/abs/2408.06266>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn apo_zero_loss(ratios: &LogRatios, beta: f64) -> Tensor<1> {
    let rewards = ratios.rewards(beta);
    -activation::sigmoid(rewards.chosen) + 1.0 + activation::sigmoid(rewards.rejected)
}

/// APO-down of each pair: `σ(βΔ_w) + 1 − σ(βh)`, for chosen completions that are worse than what the model says itself:
/// <https://arxiv.org/abs/2408.06266>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn apo_down_loss(ratios: &LogRatios, beta: f64) -> Tensor<1> {
    let rewards = ratios.rewards(beta);
    activation::sigmoid(rewards.chosen.clone()) + 1.0 - activation::sigmoid(ratios.margin() * beta)
}

/// DPO-positive of each pair, `−ln σ(β(h − λ·max(0, −Δ_w)))`, which punishes a chosen completion that gets less likely:
/// Eq. 3 of <https://arxiv.org/abs/2402.13228>. With `λ = 0` it is [`dpo_loss`].
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn dpop_loss(ratios: &LogRatios, beta: f64, lambda: f64) -> Tensor<1> {
    let loss_of_chosen = activation::relu(-ratios.chosen.clone());
    dpo_loss(ratios.margin() - loss_of_chosen * lambda, beta)
}

/// Cal-DPO of each pair, which fixes the scale of the rewards: `−ln σ(h) + (Δ_w − 1/(2β))² + (Δ_l + 1/(2β))²`:
/// <https://arxiv.org/abs/2412.14516>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn cal_dpo_loss(ratios: &LogRatios, beta: f64) -> Tensor<1> {
    dpo_loss(ratios.margin(), 1.0) + sppo_hard_loss(ratios, beta)
}

/// Length-regularised DPO of each pair, `−ln σ(βh + α(|w| − |l|))`: Eq. 9 of <https://arxiv.org/abs/2403.19159>. With `α = 0`
/// it is [`dpo_loss`].
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn r_dpo_loss(ratios: &LogRatios, beta: f64, alpha: f64) -> Tensor<1> {
    let longer = ratios.chosen_len.clone() - ratios.rejected_len.clone();
    -log_sigmoid(ratios.margin() * beta + longer * alpha)
}
