//! Losses of pairs on which people voted.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::constants;
use crate::{
    LogRatios, LossConfig, LossKind, VerdictLosses, davidson_losses, rao_kupper_losses, soft_label_loss,
};

/// A loss of how people voted on a pair, one of them with a plain preference, or many, with ties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VotedLoss {
    /// [`soft_label_loss`]; a tie is half a vote for each.
    SoftLabel {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
    /// [`rao_kupper_losses`], each verdict by its share.
    RaoKupper {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// Half the width of the margins that are ties, `a > 0`.
        a: f64,
    },
    /// [`davidson_losses`], each verdict by its share.
    Davidson {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
        /// How common ties are, `ν > 0`.
        nu: f64,
    },
}

/// Shares of the votes on a pair; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VoteShares {
    /// For the first completion.
    pub first: f64,
    /// For neither.
    pub tie: f64,
    /// For the second.
    pub second: f64,
}

impl VoteShares {
    /// Everybody prefers the first.
    pub const FIRST: Self = Self { first: 1.0, tie: 0.0, second: 0.0 };

    /// Share of the first completion when a tie is half a vote for each.
    pub fn soft_label(&self) -> f64 {
        self.first + 0.5 * self.tie
    }
}

impl VotedLoss {
    /// Loss of each pair, `[n_pairs]`, not reduced; the votes are those of each pair.
    pub fn loss(&self, ratios: &LogRatios, votes: &[VoteShares]) -> Tensor<1> {
        let margin = ratios.margin();
        assert_shape!(margin, [votes.len()]);
        let shares = |of: fn(&VoteShares) -> f64| constants(votes.iter().map(of), &margin);
        match *self {
            Self::SoftLabel { beta } => {
                let share = shares(VoteShares::soft_label);
                soft_label_loss(margin, share, beta)
            }
            Self::RaoKupper { beta, a } => mean(rao_kupper_losses(margin.clone(), beta, a), shares),
            Self::Davidson { beta, nu } => mean(davidson_losses(margin.clone(), beta, nu), shares),
        }
    }

    /// `β`.
    pub fn beta(&self) -> f64 {
        match *self {
            Self::SoftLabel { beta } | Self::RaoKupper { beta, .. } | Self::Davidson { beta, .. } => beta,
        }
    }

    pub(crate) fn config(&self) -> LossConfig {
        let of = |kind| LossConfig { kind, beta: Some(self.beta()), ..LossConfig::default() };
        match *self {
            Self::SoftLabel { .. } => of(LossKind::SoftLabel),
            Self::RaoKupper { a, .. } => LossConfig { rao_kupper_a: Some(a), ..of(LossKind::RaoKupper) },
            Self::Davidson { nu, .. } => LossConfig { davidson_nu: Some(nu), ..of(LossKind::Davidson) },
        }
    }
}

/// The verdicts' losses, each by its share.
fn mean(losses: VerdictLosses, shares: impl Fn(fn(&VoteShares) -> f64) -> Tensor<1>) -> Tensor<1> {
    losses.win * shares(|votes| votes.first)
        + losses.tie * shares(|votes| votes.tie)
        + losses.loss * shares(|votes| votes.second)
}
