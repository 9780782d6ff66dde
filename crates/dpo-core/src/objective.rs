//! What training minimises.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{LogRatios, conservative_dpo_loss, dpo_loss, hinge_loss, ipo_loss};

/// A checked objective: each variant carries its own parameters and no others.
///
/// The variant says what its loss is a function of, so that a trainer that has no reference cannot ask for a
/// loss that wants one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Of the log-ratios of a pair.
    Pairwise(PairwiseLoss),
    /// Of the log-probs of the chosen completion alone, see [`sft_loss`](crate::sft_loss).
    Sft,
}

impl Objective {
    /// Whether the reference's log-probs enter.
    pub fn needs_reference(&self) -> bool {
        matches!(self, Self::Pairwise(_))
    }

    /// Whether the loss of a pair depends on the other pairs of its batch, so that accumulating micro-batches is
    /// another objective than the whole batch. None of those here does.
    pub fn couples_batch(&self) -> bool {
        match self {
            Self::Pairwise(_) | Self::Sft => false,
        }
    }

    /// Loss of a pair whose policy equals its reference, see [`PairwiseLoss::at_zero_margin`]; `None` without a
    /// reference.
    pub fn at_zero_margin(&self) -> Option<f64> {
        match self {
            Self::Pairwise(loss) => Some(loss.at_zero_margin()),
            Self::Sft => None,
        }
    }
}

/// A loss of the log-ratios of a pair with a reference. `h` is the margin, `h̄` the margin per token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PairwiseLoss {
    /// [`dpo_loss`], or [`conservative_dpo_loss`] when labels are smoothed.
    Sigmoid {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Share of labels taken to be wrong, `0 ≤ ε < ½`.
        label_smoothing: f64,
    },
    /// [`ipo_loss`].
    Ipo {
        /// The paper's `τ > 0`.
        beta: f64,
        /// What becomes of the tokens' log-ratios.
        reduction: IpoReduction,
    },
    /// [`hinge_loss`].
    Hinge {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
    /// [`dpo_loss`] of the margin per token.
    SigmoidNorm {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
}

/// How IPO makes one number of a completion's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpoReduction {
    /// Their mean, `h̄`, as the paper's authors recommend and trainers do.
    #[default]
    Mean,
    /// Their sum, `h`, as the paper writes it.
    Sum,
}

impl PairwiseLoss {
    /// Loss of each pair, `[n_pairs]`, not reduced.
    pub fn loss(&self, ratios: &LogRatios) -> Tensor<1> {
        match *self {
            // Zero is said exactly or not at all, and then no rounding may tell cDPO from DPO.
            Self::Sigmoid { beta, label_smoothing: 0.0 } => dpo_loss(ratios.margin(), beta),
            Self::Sigmoid { beta, label_smoothing } => {
                conservative_dpo_loss(ratios.margin(), beta, label_smoothing)
            }
            Self::Ipo { beta, reduction: IpoReduction::Mean } => ipo_loss(ratios.normalised_margin(), beta),
            Self::Ipo { beta, reduction: IpoReduction::Sum } => ipo_loss(ratios.margin(), beta),
            Self::Hinge { beta } => hinge_loss(ratios.margin(), beta),
            Self::SigmoidNorm { beta } => dpo_loss(ratios.normalised_margin(), beta),
        }
    }

    /// `β`: implicit rewards are `β·Δ`, see [`LogRatios::rewards`].
    pub fn beta(&self) -> f64 {
        match *self {
            Self::Sigmoid { beta, .. }
            | Self::Ipo { beta, .. }
            | Self::Hinge { beta }
            | Self::SigmoidNorm { beta } => beta,
        }
    }

    /// Loss of a pair whose policy equals its reference, to the last bit of what [`PairwiseLoss::loss`] gives
    /// for it in `f32` on the processor: the sums are done here in `f32` and in the same order.
    pub fn at_zero_margin(&self) -> f64 {
        let ln_2 = 1f32.ln_1p();
        let value = match *self {
            Self::Sigmoid { label_smoothing: 0.0, .. } | Self::SigmoidNorm { .. } => ln_2,
            Self::Sigmoid { label_smoothing, .. } => {
                ln_2 * (1.0 - label_smoothing) as f32 + ln_2 * label_smoothing as f32
            }
            Self::Ipo { beta, .. } => {
                let error = (0.5 / beta) as f32;
                error * error
            }
            Self::Hinge { .. } => 1.0,
        };
        f64::from(value)
    }
}
