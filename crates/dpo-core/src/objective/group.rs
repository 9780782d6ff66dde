//! DPO for the group that fares worst.

use burn::tensor::Tensor;

use crate::{LogRatios, LossConfig, LossKind, dpo_loss};

/// Group-robust preference optimization: DPO whose batch loss is `Σ_g q_g L_g`, where `L_g` is the mean over the rows of group
/// `g` and `q` grows for groups that fare badly, see [`group_shares`]: <https://arxiv.org/abs/2405.20304>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupRobust {
    /// Strength of the pull towards the reference, `β > 0`.
    pub beta: f64,
    /// How fast the shares follow the losses, `η ≥ 0`.
    pub eta: f64,
}

impl GroupRobust {
    /// Loss of each pair, `[n_pairs]`, not reduced.
    pub fn loss(&self, ratios: &LogRatios) -> Tensor<1> {
        dpo_loss(ratios.margin(), self.beta)
    }

    pub(crate) fn config(&self) -> LossConfig {
        LossConfig {
            kind: LossKind::GroupRobust,
            beta: Some(self.beta),
            group_robust_eta: Some(self.eta),
            ..LossConfig::default()
        }
    }
}

/// The shares after a step, `q_g ← q_g·e^{ηL_g}/Z`; a group without rows in the step, `None`, has no loss to follow.
///
/// # Shapes
/// - `shares`, `losses`, output: one number a group; the shares add up to 1
pub fn group_shares(shares: &[f64], losses: &[Option<f64>], eta: f64) -> Vec<f64> {
    assert_eq!(shares.len(), losses.len(), "a loss for each group");
    // Only differences matter; the largest exponent becomes 0.
    let exponents = losses.iter().map(|loss| eta * loss.unwrap_or(0.0));
    let largest = exponents.clone().fold(f64::NEG_INFINITY, f64::max);
    let grown: Vec<f64> = shares.iter().zip(exponents).map(|(q, x)| q * (x - largest).exp()).collect();
    let all: f64 = grown.iter().sum();
    grown.into_iter().map(|q| q / all).collect()
}
