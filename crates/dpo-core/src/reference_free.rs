//! Losses of pairs that have no reference.

use burn::tensor::Tensor;

use crate::{
    LossConfig, LossKind, PairLogps, PolicyScore, alphapo_reward, conservative_simpo_loss, cpo_loss,
    orpo_loss, simpo_loss,
};

/// A loss of the policy's log-probs of a pair. `p̄` is the mean token log-prob of a completion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReferenceFreeLoss {
    /// [`simpo_loss`], or [`conservative_simpo_loss`] when labels are smoothed; with `α ≠ 0` of [`alphapo_reward`]s.
    Simpo {
        /// Scale of the rewards, `β > 0`.
        beta: f64,
        /// Margin that is asked for, `γ ≥ 0`.
        gamma: f64,
        /// AlphaPO's `α`; 0 is SimPO.
        alpha: f64,
        /// Share of labels taken to be wrong, `0 ≤ ε < ½`.
        label_smoothing: f64,
    },
    /// [`orpo_loss`].
    Orpo {
        /// Weight of the odds ratio, `λ > 0`.
        lambda: f64,
    },
    /// [`cpo_loss`].
    Cpo {
        /// Scale of the log-probs, `β > 0`.
        beta: f64,
        /// Weight of the chosen completion's likelihood, `α ≥ 0`.
        alpha: f64,
        /// Share of labels taken to be wrong, `0 ≤ ε < ½`.
        label_smoothing: f64,
    },
}

impl ReferenceFreeLoss {
    /// Loss of each pair, `[n_pairs]`, not reduced.
    pub fn loss(&self, policy: &PairLogps) -> Tensor<1> {
        match *self {
            Self::Simpo { beta, gamma, alpha, label_smoothing } => {
                let reward = |means: Tensor<1>| match alpha {
                    0.0 => means,
                    alpha => alphapo_reward(means, alpha),
                };
                let margin = reward(policy.chosen.means()) - reward(policy.rejected.means());
                match label_smoothing {
                    0.0 => simpo_loss(margin, beta, gamma),
                    label_smoothing => conservative_simpo_loss(margin, beta, gamma, label_smoothing),
                }
            }
            Self::Orpo { lambda } => orpo_loss(policy, lambda),
            Self::Cpo { beta, alpha, label_smoothing } => cpo_loss(policy, beta, alpha, label_smoothing),
        }
    }

    /// `β`, where there is one.
    pub fn beta(&self) -> Option<f64> {
        match *self {
            Self::Simpo { beta, .. } | Self::Cpo { beta, .. } => Some(beta),
            Self::Orpo { .. } => None,
        }
    }

    /// What a pair's completions are worth to it, chosen and rejected: `β·p̄` for SimPO, `β(1 − e^{−αp̄})/α` for AlphaPO, `λ·p̄`
    /// for ORPO, `β·log π` for CPO.
    pub fn rewards(&self, score: &PolicyScore) -> [f64; 2] {
        let means = [score.chosen_mean(), score.rejected_mean()];
        match *self {
            Self::Simpo { beta, alpha: 0.0, .. } => means.map(|mean| beta * mean),
            Self::Simpo { beta, alpha, .. } => {
                means.map(|mean| beta * -(-alpha * mean).min(80.0).exp_m1() / alpha)
            }
            Self::Orpo { lambda } => means.map(|mean| lambda * mean),
            Self::Cpo { beta, .. } => [beta * score.chosen, beta * score.rejected],
        }
    }

    pub(crate) fn config(&self) -> LossConfig {
        let of = |kind| LossConfig { kind, beta: self.beta(), ..LossConfig::default() };
        match *self {
            Self::Simpo { gamma, alpha, label_smoothing, .. } => LossConfig {
                simpo_gamma: Some(gamma),
                simpo_alpha: Some(alpha),
                label_smoothing: Some(label_smoothing),
                ..of(LossKind::Simpo)
            },
            Self::Orpo { lambda } => LossConfig { orpo_lambda: Some(lambda), ..of(LossKind::Orpo) },
            Self::Cpo { alpha, label_smoothing, .. } => LossConfig {
                cpo_alpha: Some(alpha),
                label_smoothing: Some(label_smoothing),
                ..of(LossKind::Cpo)
            },
        }
    }
}
