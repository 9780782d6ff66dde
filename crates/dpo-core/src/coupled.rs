//! Losses that couple the pairs of a batch.

use burn::tensor::Tensor;

use crate::{LogRatios, LossConfig, LossKind, PairLogps, aot_loss, aot_unpaired_loss, beta_dpo_loss};

/// A loss of all pairs of a batch together: a part of a batch has another loss than its rows have in the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CoupledLoss {
    /// [`aot_loss`].
    Aot {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Share of labels taken to be wrong, `0 ≤ ε < ½`.
        label_smoothing: f64,
    },
    /// [`aot_unpaired_loss`].
    AotUnpaired {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Share of labels taken to be wrong, `0 ≤ ε < ½`.
        label_smoothing: f64,
    },
    /// [`beta_dpo_loss`].
    BetaDpo {
        /// Strength of the pull towards the reference at the moving average, `β₀ > 0`.
        beta: f64,
        /// How much it follows the margin, `a ≥ 0`, in 1/nats.
        alpha: f64,
        /// What of the moving average stays at a batch, `0 ≤ m < 1`.
        momentum: f64,
    },
}

impl CoupledLoss {
    /// Loss of each pair among those of the whole batch, `[n_pairs]`, not reduced. `moving_margin` is read by
    /// [`BetaDpo`](Self::BetaDpo) alone.
    pub fn loss(&self, policy: &PairLogps, reference: &PairLogps, moving_margin: Option<f64>) -> Tensor<1> {
        match *self {
            Self::Aot { beta, label_smoothing } => aot_loss(policy, reference, beta, label_smoothing),
            Self::AotUnpaired { beta, label_smoothing } => {
                aot_unpaired_loss(policy, reference, beta, label_smoothing)
            }
            Self::BetaDpo { beta, alpha, .. } => {
                let margin = LogRatios::new(policy.clone(), reference.clone()).margin();
                beta_dpo_loss(margin, beta, alpha, moving_margin)
            }
        }
    }

    /// `β`: implicit rewards are `β·Δ`.
    pub fn beta(&self) -> f64 {
        match *self {
            Self::Aot { beta, .. } | Self::AotUnpaired { beta, .. } | Self::BetaDpo { beta, .. } => beta,
        }
    }

    pub(crate) fn label_smoothing(&self) -> f64 {
        match *self {
            Self::Aot { label_smoothing, .. } | Self::AotUnpaired { label_smoothing, .. } => label_smoothing,
            Self::BetaDpo { .. } => 0.0,
        }
    }

    pub(crate) fn config(&self) -> LossConfig {
        let kind = match self {
            Self::Aot { .. } => LossKind::Aot,
            Self::AotUnpaired { .. } => LossKind::AotUnpaired,
            Self::BetaDpo { alpha, momentum, .. } => {
                return LossConfig {
                    kind: LossKind::BetaDpo,
                    beta: Some(self.beta()),
                    beta_dpo_alpha: Some(*alpha),
                    beta_dpo_momentum: Some(*momentum),
                    ..LossConfig::default()
                };
            }
        };
        LossConfig {
            kind,
            beta: Some(self.beta()),
            label_smoothing: Some(self.label_smoothing()),
            ..LossConfig::default()
        }
    }
}
