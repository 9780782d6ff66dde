//! The policy against its reference.

use burn::tensor::Tensor;

use crate::PairLogps;

/// Log-ratios `Δ = log π_θ(y|x) − log π_ref(y|x)` of both completions of each pair, `[n_pairs]` each.
#[derive(Debug, Clone)]
pub struct LogRatios {
    /// `Δ_w` in nats.
    pub chosen: Tensor<1>,
    /// `Δ_l` in nats.
    pub rejected: Tensor<1>,
    /// `|w|`, completion tokens.
    pub chosen_len: Tensor<1>,
    /// `|l|`, completion tokens.
    pub rejected_len: Tensor<1>,
}

impl LogRatios {
    /// Policy less reference; the lengths are the policy's, for both read the same tokens.
    ///
    /// # Shapes
    /// - all four: `[n_pairs]`
    pub fn new(policy: PairLogps, reference: PairLogps) -> Self {
        let shape = policy.chosen.sums.dims();
        assert_shape!(policy.rejected.sums, shape);
        assert_shape!(reference.chosen.sums, shape);
        assert_shape!(reference.rejected.sums, shape);
        Self {
            chosen: policy.chosen.sums - reference.chosen.sums,
            rejected: policy.rejected.sums - reference.rejected.sums,
            chosen_len: policy.chosen.token_counts,
            rejected_len: policy.rejected.token_counts,
        }
    }

    /// Margin `h = Δ_w − Δ_l` of each pair in nats, `[n_pairs]`.
    pub fn margin(&self) -> Tensor<1> {
        self.chosen.clone() - self.rejected.clone()
    }

    /// Margin per token, `h̄ = Δ_w/|w| − Δ_l/|l|`, `[n_pairs]`; an empty completion counts as one token.
    pub fn normalised_margin(&self) -> Tensor<1> {
        let chosen = self.chosen.clone() / self.chosen_len.clone().clamp_min(1.0);
        let rejected = self.rejected.clone() / self.rejected_len.clone().clamp_min(1.0);
        chosen - rejected
    }

    /// Implicit rewards of both completions.
    pub fn rewards(&self, beta: f64) -> Rewards {
        Rewards { chosen: self.chosen.clone() * beta, rejected: self.rejected.clone() * beta }
    }
}

/// Implicit rewards `β·Δ` of both completions of each pair, up to a constant of the prompt:
/// §4 of <https://arxiv.org/abs/2305.18290>.
#[derive(Debug, Clone)]
pub struct Rewards {
    /// `βΔ_w`, `[n_pairs]`.
    pub chosen: Tensor<1>,
    /// `βΔ_l`, `[n_pairs]`.
    pub rejected: Tensor<1>,
}

impl Rewards {
    /// `β·h` of each pair, `[n_pairs]`.
    pub fn margins(&self) -> Tensor<1> {
        self.chosen.clone() - self.rejected.clone()
    }
}
