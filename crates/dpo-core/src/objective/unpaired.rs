//! Losses of single completions that are good or bad.

use burn::tensor::Tensor;

use super::constants;
use crate::{LossConfig, LossKind, kto_loss};

/// A loss of completions with a label each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UnpairedLoss {
    /// [`kto_loss`].
    Kto {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Weight of desirable completions, `λ_D ≥ 0`.
        desirable: f64,
        /// Weight of undesirable completions, `λ_U ≥ 0`.
        undesirable: f64,
    },
}

/// The verdict on a single completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// More of this.
    Desirable,
    /// Less of this.
    Undesirable,
}

/// `z₀ = max(0, mean Δ)` over completions that answer another prompt than the one they stand behind.
///
/// It has no gradient and belongs to a whole batch, not to its micro-batches.
pub fn kto_drift(mismatched: &[f64]) -> f64 {
    let mean = mismatched.iter().sum::<f64>() / mismatched.len().max(1) as f64;
    mean.max(0.0)
}

impl UnpairedLoss {
    /// Loss of each completion, `[n_completions]`, not reduced; `drift` is [`kto_drift`] of the batch.
    ///
    /// # Shapes
    /// - `log_ratios`: `[n_completions]`, `Δ` in nats
    pub fn loss(&self, log_ratios: Tensor<1>, labels: &[Label], drift: f64) -> Tensor<1> {
        let Self::Kto { beta, desirable, undesirable } = *self;
        let of = |good: f64, bad: f64| {
            let value = move |label: &Label| match label {
                Label::Desirable => good,
                Label::Undesirable => bad,
            };
            constants(labels.iter().map(value), &log_ratios)
        };
        let (signs, weights) = (of(1.0, -1.0), of(desirable, undesirable));
        kto_loss(log_ratios, signs, weights, beta, drift)
    }

    /// `β`.
    pub fn beta(&self) -> f64 {
        let Self::Kto { beta, .. } = *self;
        beta
    }

    pub(crate) fn config(&self) -> LossConfig {
        let Self::Kto { beta, desirable, undesirable } = *self;
        LossConfig {
            kind: LossKind::Kto,
            beta: Some(beta),
            kto_desirable: Some(desirable),
            kto_undesirable: Some(undesirable),
            ..LossConfig::default()
        }
    }
}
