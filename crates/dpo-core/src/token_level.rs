//! Losses of pairs that read what both models say of every word at every token.

use burn::tensor::Tensor;

use crate::{LogRatios, LossConfig, LossKind, tdpo_loss};

/// A loss of the log-ratios of a pair and of how far the policy's distributions have moved at its tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TokenLevelLoss {
    /// [`tdpo_loss`].
    Tdpo {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Weight of the divergence along the rejected completion beyond that along the chosen one, `α ≥ 0`.
        alpha: f64,
    },
}

impl TokenLevelLoss {
    /// Loss of each pair, `[n_pairs]`, not reduced; `kls` are `D_w` and `D_l`, see [`tdpo_loss`].
    pub fn loss(&self, ratios: &LogRatios, [chosen_kl, rejected_kl]: [Tensor<1>; 2]) -> Tensor<1> {
        let Self::Tdpo { beta, alpha } = *self;
        tdpo_loss(ratios.margin(), chosen_kl, rejected_kl, beta, alpha)
    }

    /// `β`: implicit rewards are `β·Δ`.
    pub fn beta(&self) -> f64 {
        let Self::Tdpo { beta, .. } = *self;
        beta
    }

    pub(crate) fn config(&self) -> LossConfig {
        let Self::Tdpo { beta, alpha } = *self;
        LossConfig {
            kind: LossKind::Tdpo,
            beta: Some(beta),
            tdpo_alpha: Some(alpha),
            ..LossConfig::default()
        }
    }
}
