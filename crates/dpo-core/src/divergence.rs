//! What a log-ratio counts for when the policy is held to its reference by another divergence than the reverse KL.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{LogRatios, log_sigmoid};

/// The divergence that pulls the policy towards its reference: f-DPO, <https://arxiv.org/abs/2309.16240>. The reward is
/// `β·f'(π_θ/π_ref)`, so that `s(Δ) = f'(e^Δ)`, less a constant that cancels in a margin, takes the place of the log-ratio `Δ`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum FDivergence {
    /// Reverse KL: `s = Δ`. DPO.
    #[default]
    ReverseKl,
    /// Forward KL: `s = 1 − e^{−Δ}`.
    ForwardKl,
    /// Jensen–Shannon: `s = ln 2 + ln σ(Δ)`.
    Js,
    /// α-divergence: `s = (e^{(α−1)Δ} − 1)/(α−1)`, `α ≠ 1`. 0 is the forward KL, and 1 would be the reverse KL.
    Alpha(f64),
}

/// The divergences by the name a run file gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DivergenceKind {
    /// Reverse KL, which is DPO's own.
    ReverseKl,
    /// Forward KL.
    ForwardKl,
    /// Jensen–Shannon.
    Js,
    /// α-divergence.
    Alpha,
}

impl FDivergence {
    /// `s(Δ)` of each log-ratio. Exponents end at `largest_exponent`: beyond it the gradient is 0.
    ///
    /// # Shapes
    /// - `log_ratios`, output: `[n_completions]`
    pub fn score(&self, log_ratios: Tensor<1>, largest_exponent: f64) -> Tensor<1> {
        match *self {
            Self::ReverseKl => log_ratios,
            Self::ForwardKl => -exp_minus_1(-log_ratios, largest_exponent),
            Self::Js => log_sigmoid(log_ratios) + std::f64::consts::LN_2,
            Self::Alpha(alpha) => exp_minus_1(log_ratios * (alpha - 1.0), largest_exponent) / (alpha - 1.0),
        }
    }

    /// Pairs with `s(Δ)` for each `Δ`, see [`score`](Self::score).
    pub fn scores(&self, ratios: &LogRatios, largest_exponent: f64) -> LogRatios {
        LogRatios {
            chosen: self.score(ratios.chosen.clone(), largest_exponent),
            rejected: self.score(ratios.rejected.clone(), largest_exponent),
            chosen_len: ratios.chosen_len.clone(),
            rejected_len: ratios.rejected_len.clone(),
        }
    }
}

/// `e^x − 1`, with an exponent that ends at `largest`.
pub(crate) fn exp_minus_1(x: Tensor<1>, largest: f64) -> Tensor<1> {
    x.clamp_max(largest).exp() - 1.0
}
