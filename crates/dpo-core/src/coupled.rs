//! Losses that couple the pairs of a batch.

use burn::tensor::Tensor;

use crate::{LossConfig, LossKind, PairLogps, aot_loss, aot_unpaired_loss};

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
}

impl CoupledLoss {
    /// Loss of each pair among those of the whole batch, `[n_pairs]`, not reduced.
    pub fn loss(&self, policy: &PairLogps, reference: &PairLogps) -> Tensor<1> {
        match *self {
            Self::Aot { beta, label_smoothing } => aot_loss(policy, reference, beta, label_smoothing),
            Self::AotUnpaired { beta, label_smoothing } => {
                aot_unpaired_loss(policy, reference, beta, label_smoothing)
            }
        }
    }

    /// `β`: implicit rewards are `β·Δ`.
    pub fn beta(&self) -> f64 {
        match *self {
            Self::Aot { beta, .. } | Self::AotUnpaired { beta, .. } => beta,
        }
    }

    pub(crate) fn label_smoothing(&self) -> f64 {
        match *self {
            Self::Aot { label_smoothing, .. } | Self::AotUnpaired { label_smoothing, .. } => label_smoothing,
        }
    }

    pub(crate) fn config(&self) -> LossConfig {
        let kind = match self {
            Self::Aot { .. } => LossKind::Aot,
            Self::AotUnpaired { .. } => LossKind::AotUnpaired,
        };
        LossConfig {
            kind,
            beta: Some(self.beta()),
            label_smoothing: Some(self.label_smoothing()),
            ..LossConfig::default()
        }
    }
}
