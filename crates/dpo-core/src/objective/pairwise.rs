//! Losses of the log-ratios of a pair.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{
    LogRatios, LossConfig, LossKind, apo_down_loss, apo_zero_loss, bco_pair_loss, cal_dpo_loss,
    conservative_dpo_loss, discopop_loss, dpo_loss, dpop_loss, exo_pair_loss, hinge_loss, ipo_loss,
    nca_pair_loss, r_dpo_loss, robust_dpo_loss, sppo_hard_loss,
};

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
    /// [`robust_dpo_loss`].
    Robust {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Share of labels that are flipped, `0 ≤ ε < ½`.
        label_smoothing: f64,
    },
    /// [`exo_pair_loss`].
    ExoPair {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Share of labels taken to be wrong, `0 < ε < ½`.
        label_smoothing: f64,
    },
    /// [`nca_pair_loss`].
    NcaPair {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
    /// [`bco_pair_loss`].
    BcoPair {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Reward that counts as neither good nor bad, `δ`.
        delta: f64,
    },
    /// [`sppo_hard_loss`].
    SppoHard {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
    /// [`apo_zero_loss`].
    ApoZero {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
    /// [`apo_down_loss`].
    ApoDown {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
    /// [`discopop_loss`].
    Discopop {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// How far from 0 the two parts change over, `0 < τ ≤ 1`.
        tau: f64,
    },
    /// [`dpop_loss`].
    Dpop {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Weight of what the chosen completion lost, `λ ≥ 0`.
        lambda: f64,
    },
    /// [`cal_dpo_loss`].
    CalDpo {
        /// The rewards' scale: `Δ_w` is drawn to `1/(2β)`, `β > 0`.
        beta: f64,
    },
    /// [`r_dpo_loss`].
    RDpo {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Weight of a token more in the chosen completion than in the rejected one, `α ≥ 0`.
        alpha: f64,
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
            // Zero is said exactly or not at all, and then no rounding may tell these from DPO.
            Self::Sigmoid { beta, label_smoothing: 0.0 } | Self::Robust { beta, label_smoothing: 0.0 } => {
                dpo_loss(ratios.margin(), beta)
            }
            Self::Sigmoid { beta, label_smoothing } => {
                conservative_dpo_loss(ratios.margin(), beta, label_smoothing)
            }
            Self::Ipo { beta, reduction: IpoReduction::Mean } => ipo_loss(ratios.normalised_margin(), beta),
            Self::Ipo { beta, reduction: IpoReduction::Sum } => ipo_loss(ratios.margin(), beta),
            Self::Hinge { beta } => hinge_loss(ratios.margin(), beta),
            Self::SigmoidNorm { beta } => dpo_loss(ratios.normalised_margin(), beta),
            Self::Robust { beta, label_smoothing } => robust_dpo_loss(ratios.margin(), beta, label_smoothing),
            Self::ExoPair { beta, label_smoothing } => exo_pair_loss(ratios.margin(), beta, label_smoothing),
            Self::NcaPair { beta } => nca_pair_loss(ratios, beta),
            Self::BcoPair { beta, delta } => bco_pair_loss(ratios, beta, delta),
            Self::SppoHard { beta } => sppo_hard_loss(ratios, beta),
            Self::ApoZero { beta } => apo_zero_loss(ratios, beta),
            Self::ApoDown { beta } => apo_down_loss(ratios, beta),
            Self::Discopop { beta, tau } => discopop_loss(ratios.margin(), beta, tau),
            Self::Dpop { beta, lambda } => dpop_loss(ratios, beta, lambda),
            Self::CalDpo { beta } => cal_dpo_loss(ratios, beta),
            Self::RDpo { beta, alpha } => r_dpo_loss(ratios, beta, alpha),
        }
    }

    /// `β`: implicit rewards are `β·Δ`, see [`LogRatios::rewards`].
    pub fn beta(&self) -> f64 {
        match *self {
            Self::Sigmoid { beta, .. }
            | Self::Ipo { beta, .. }
            | Self::Hinge { beta }
            | Self::SigmoidNorm { beta }
            | Self::Robust { beta, .. }
            | Self::ExoPair { beta, .. }
            | Self::NcaPair { beta }
            | Self::BcoPair { beta, .. }
            | Self::SppoHard { beta }
            | Self::ApoZero { beta }
            | Self::ApoDown { beta }
            | Self::Discopop { beta, .. }
            | Self::Dpop { beta, .. }
            | Self::CalDpo { beta }
            | Self::RDpo { beta, .. } => beta,
        }
    }

    /// Whether it is a function of the margin (and of lengths), in which what both log-ratios have in common cancels.
    pub fn is_of_margin(&self) -> bool {
        match self {
            Self::Sigmoid { .. }
            | Self::Ipo { .. }
            | Self::Hinge { .. }
            | Self::SigmoidNorm { .. }
            | Self::Robust { .. }
            | Self::ExoPair { .. }
            | Self::Discopop { .. }
            | Self::RDpo { .. } => true,
            Self::NcaPair { .. }
            | Self::BcoPair { .. }
            | Self::SppoHard { .. }
            | Self::ApoZero { .. }
            | Self::ApoDown { .. }
            | Self::Dpop { .. }
            | Self::CalDpo { .. } => false,
        }
    }

    /// The word that a run file has for it.
    pub fn kind(&self) -> LossKind {
        self.config().kind
    }

    pub(crate) fn config(&self) -> LossConfig {
        let of = |kind| LossConfig { kind, beta: Some(self.beta()), ..LossConfig::default() };
        match *self {
            Self::Sigmoid { label_smoothing, .. } => {
                LossConfig { label_smoothing: Some(label_smoothing), ..of(LossKind::Sigmoid) }
            }
            Self::Ipo { reduction, .. } => LossConfig { ipo_reduction: Some(reduction), ..of(LossKind::Ipo) },
            Self::Hinge { .. } => of(LossKind::Hinge),
            Self::SigmoidNorm { .. } => of(LossKind::SigmoidNorm),
            Self::Robust { label_smoothing, .. } => {
                LossConfig { label_smoothing: Some(label_smoothing), ..of(LossKind::Robust) }
            }
            Self::ExoPair { label_smoothing, .. } => {
                LossConfig { label_smoothing: Some(label_smoothing), ..of(LossKind::ExoPair) }
            }
            Self::NcaPair { .. } => of(LossKind::NcaPair),
            Self::BcoPair { delta, .. } => LossConfig { bco_delta: Some(delta), ..of(LossKind::BcoPair) },
            Self::SppoHard { .. } => of(LossKind::SppoHard),
            Self::ApoZero { .. } => of(LossKind::ApoZero),
            Self::ApoDown { .. } => of(LossKind::ApoDown),
            Self::Discopop { tau, .. } => LossConfig { discopop_tau: Some(tau), ..of(LossKind::Discopop) },
            Self::Dpop { lambda, .. } => LossConfig { dpop_lambda: Some(lambda), ..of(LossKind::Dpop) },
            Self::CalDpo { .. } => of(LossKind::CalDpo),
            Self::RDpo { alpha, .. } => LossConfig { r_dpo_alpha: Some(alpha), ..of(LossKind::RDpo) },
        }
    }

    /// Loss of a pair whose policy equals its reference (for `r_dpo` one whose completions are equally long), to the
    /// last bit of what [`PairwiseLoss::loss`] gives for it in `f32` on the processor: the sums are done here in `f32`
    /// and in the same order.
    pub fn at_zero_margin(&self) -> f64 {
        let ln_2 = 1f32.ln_1p();
        let square = |error: f64| error as f32 * error as f32;
        let value = match *self {
            Self::Sigmoid { label_smoothing: 0.0, .. }
            | Self::Robust { label_smoothing: 0.0, .. }
            | Self::SigmoidNorm { .. }
            | Self::Dpop { .. }
            | Self::RDpo { .. } => ln_2,
            Self::Sigmoid { label_smoothing, .. } => {
                ln_2 * (1.0 - label_smoothing) as f32 + ln_2 * label_smoothing as f32
            }
            Self::Robust { label_smoothing, .. } => {
                let clean = 1.0 - 2.0 * label_smoothing;
                ln_2 * ((1.0 - label_smoothing) / clean) as f32 - ln_2 * (label_smoothing / clean) as f32
            }
            Self::ExoPair { label_smoothing, .. } => {
                let prefers = |label: f64| 0.5 * (-ln_2 - label.ln() as f32);
                prefers(1.0 - label_smoothing) + prefers(label_smoothing)
            }
            Self::NcaPair { .. } => ln_2 + ln_2 * 0.5 + ln_2 * 0.5,
            Self::BcoPair { delta, .. } => softplus(delta as f32) + softplus(-delta as f32),
            Self::Ipo { beta, .. } => square(0.5 / beta),
            Self::SppoHard { beta } => square(0.5 / beta) + square(0.5 / beta),
            Self::CalDpo { beta } => ln_2 + (square(0.5 / beta) + square(0.5 / beta)),
            Self::Hinge { .. } | Self::ApoZero { .. } | Self::ApoDown { .. } => 1.0,
            Self::Discopop { .. } => 0.5 * ln_2 + (-ln_2).exp(),
        };
        f64::from(value)
    }
}

/// `ln(1 + e^z)` in the steps of `−ln σ(−z)` in burn.
fn softplus(z: f32) -> f32 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}
