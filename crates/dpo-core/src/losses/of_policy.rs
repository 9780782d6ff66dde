//! Functions of the policy alone: no reference enters.

use burn::tensor::Tensor;

use super::{conservative_dpo_loss, dpo_loss, log_sigmoid};
use crate::{CompletionLogps, PairLogps, divergence::exp_minus_1};

/// SimPO of each pair, `−ln σ(β(p̄_w − p̄_l) − γ)` with the mean token log-prob `p̄ = log π(y|x)/|y|` of a completion for its
/// reward: Eq. 6 of <https://arxiv.org/abs/2405.14734>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `p̄_w − p̄_l`, see [`PairLogps::margin_per_token`], or that of other rewards
/// - output: `[n_pairs]`, not reduced
pub fn simpo_loss(margin: Tensor<1>, beta: f64, gamma: f64) -> Tensor<1> {
    -log_sigmoid(margin * beta - gamma)
}

/// As [`simpo_loss`] for labels that are wrong with probability `ε`: `(1−ε)(−ln σ(z)) + ε(−ln σ(−z))` with
/// `z = β·margin − γ`.
///
/// # Shapes
/// - `margin`: `[n_pairs]`
/// - output: `[n_pairs]`, not reduced
pub fn conservative_simpo_loss(margin: Tensor<1>, beta: f64, gamma: f64, label_smoothing: f64) -> Tensor<1> {
    conservative_dpo_loss(margin * beta - gamma, 1.0, label_smoothing)
}

/// Reward of AlphaPO, `(1 − e^{−αp̄})/α`, which has the shape of SimPO's `p̄` for `α → 0`:
/// <https://arxiv.org/abs/2501.03884>. The exponent ends at 80.
///
/// # Shapes
/// - `mean_logps`: `[n_completions]`, `p̄` in nats, see [`CompletionLogps::means`]
/// - output: `[n_completions]`
pub fn alphapo_reward(mean_logps: Tensor<1>, alpha: f64) -> Tensor<1> {
    exp_minus_1(mean_logps * -alpha, 80.0) / -alpha
}

/// Log-odds of a completion, `ln(p/(1−p)) = p̄ − ln(1 − e^{p̄})` with its mean token log-prob `p̄`: Eq. 4 of
/// <https://arxiv.org/abs/2403.07691>. A `p̄` above −1e-6, whose odds have no bound, counts as −1e-6.
///
/// # Shapes
/// - `mean_logps`: `[n_completions]`, `p̄` in nats, see [`CompletionLogps::means`]
/// - output: `[n_completions]`
pub fn log_odds(mean_logps: Tensor<1>) -> Tensor<1> {
    let mean_logps = mean_logps.clamp_max(-1e-6);
    // 1 − e^p = −tanh(p/2)·(e^p + 1), which keeps its digits where p is almost 0.
    let complement = (mean_logps.clone() * -0.5).tanh() * (mean_logps.clone().exp() + 1.0);
    mean_logps - complement.log()
}

/// Odds-ratio loss of each pair, `−ln σ(lo_w − lo_l)`: the part of ORPO that tells the sides apart, Eq. 7 of
/// <https://arxiv.org/abs/2403.07691>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn odds_ratio_loss(policy: &PairLogps) -> Tensor<1> {
    dpo_loss(log_odds(policy.chosen.means()) - log_odds(policy.rejected.means()), 1.0)
}

/// ORPO of each pair, `−log π(y_w)/|w| + λ·(−ln σ(lo_w − lo_l))`: Eq. 6 of <https://arxiv.org/abs/2403.07691>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn orpo_loss(policy: &PairLogps, lambda: f64) -> Tensor<1> {
    mean_nll_loss(&policy.chosen) + odds_ratio_loss(policy) * lambda
}

/// CPO of each pair, `−ln σ(β(log π(y_w) − log π(y_l))) + α·(−log π(y_w)/|w|)`, the first part for labels that are wrong with
/// probability `ε`: <https://arxiv.org/abs/2401.08417>.
///
/// # Shapes
/// - output: `[n_pairs]`, not reduced
pub fn cpo_loss(policy: &PairLogps, beta: f64, alpha: f64, label_smoothing: f64) -> Tensor<1> {
    let preference = match label_smoothing {
        0.0 => dpo_loss(policy.margin(), beta),
        label_smoothing => conservative_dpo_loss(policy.margin(), beta, label_smoothing),
    };
    preference + mean_nll_loss(&policy.chosen) * alpha
}

/// Negative log-likelihood of each completion per token, `−log π(y|x)/|y|`: what RPO adds to a preference loss,
/// <https://arxiv.org/abs/2404.19733>.
///
/// # Shapes
/// - `chosen`, output: `[n_completions]`, not reduced
pub fn mean_nll_loss(chosen: &CompletionLogps) -> Tensor<1> {
    -chosen.means()
}
