//! Losses of pairs with scores.

use burn::tensor::Tensor;

use super::constants;
use crate::{
    LogRatios, LossConfig, LossKind, modpo_loss, odpo_loss, rpo_bwd_kl_loss, rpo_fwd_kl_loss, rpo_sq_loss,
};

/// A loss of how far the scores of a pair lie apart, `s_w − s_l`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScoredLoss {
    /// [`odpo_loss`] with the offset `α·ln(s_w − s_l)`; the gap has to be above 0.
    Odpo {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Weight of the offset, `α ≥ 0`; 0 is DPO.
        alpha: f64,
    },
    /// [`rpo_sq_loss`] with `d = η(s_w − s_l)`.
    RpoSq {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Reward of a point of the scores, `η > 0`.
        eta: f64,
    },
    /// [`rpo_bwd_kl_loss`] with `d = η(s_w − s_l)`.
    RpoBwdKl {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Reward of a point of the scores, `η > 0`.
        eta: f64,
    },
    /// [`rpo_fwd_kl_loss`] with `d = η(s_w − s_l)`.
    RpoFwdKl {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Reward of a point of the scores, `η > 0`.
        eta: f64,
    },
    /// [`modpo_loss`], where the gap is the margin of another reward.
    Modpo {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Weight of what is learnt beside the other reward, `0 < w ≤ 1`.
        weight: f64,
    },
}

impl ScoredLoss {
    /// Loss of each pair, `[n_pairs]`, not reduced; `gaps` are the pairs' `s_w − s_l`.
    pub fn loss(&self, ratios: &LogRatios, gaps: &[f64]) -> Tensor<1> {
        let margin = ratios.margin();
        assert_shape!(margin, [gaps.len()]);
        let of_gaps = |of: &dyn Fn(f64) -> f64| constants(gaps.iter().map(|gap| of(*gap)), &margin);
        match *self {
            // No weight is exactly no offset, whatever the gap.
            Self::Odpo { beta, alpha: 0.0 } => odpo_loss(margin.clone(), of_gaps(&|_| 0.0), beta),
            Self::Odpo { beta, alpha } => odpo_loss(margin.clone(), of_gaps(&|gap| alpha * gap.ln()), beta),
            Self::RpoSq { beta, eta } => rpo_sq_loss(margin.clone(), of_gaps(&|gap| eta * gap), beta),
            Self::RpoBwdKl { beta, eta } => rpo_bwd_kl_loss(margin.clone(), of_gaps(&|gap| eta * gap), beta),
            Self::RpoFwdKl { beta, eta } => rpo_fwd_kl_loss(margin.clone(), of_gaps(&|gap| eta * gap), beta),
            Self::Modpo { beta, weight } => modpo_loss(margin.clone(), of_gaps(&|gap| gap), beta, weight),
        }
    }

    /// `β`.
    pub fn beta(&self) -> f64 {
        match *self {
            Self::Odpo { beta, .. }
            | Self::RpoSq { beta, .. }
            | Self::RpoBwdKl { beta, .. }
            | Self::RpoFwdKl { beta, .. }
            | Self::Modpo { beta, .. } => beta,
        }
    }

    /// Whether the gap has to be above 0.
    pub fn needs_a_winner(&self) -> bool {
        matches!(self, Self::Odpo { .. })
    }

    pub(crate) fn config(&self) -> LossConfig {
        let of = |kind| LossConfig { kind, beta: Some(self.beta()), ..LossConfig::default() };
        match *self {
            Self::Odpo { alpha, .. } => LossConfig { odpo_alpha: Some(alpha), ..of(LossKind::Odpo) },
            Self::RpoSq { eta, .. } => LossConfig { rpo_eta: Some(eta), ..of(LossKind::RpoSq) },
            Self::RpoBwdKl { eta, .. } => LossConfig { rpo_eta: Some(eta), ..of(LossKind::RpoBwdKl) },
            Self::RpoFwdKl { eta, .. } => LossConfig { rpo_eta: Some(eta), ..of(LossKind::RpoFwdKl) },
            Self::Modpo { weight, .. } => LossConfig { modpo_weight: Some(weight), ..of(LossKind::Modpo) },
        }
    }
}
