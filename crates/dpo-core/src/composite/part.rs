//! The losses that an objective is made of.

use crate::{
    CoupledLoss, FDivergence, GroupRobust, LossConfig, LossKind, PairwiseLoss, RankedLoss, ReferenceFreeLoss,
    ScoredLoss, TokenLevelLoss, UnpairedLoss, VotedLoss,
};

/// A loss and its weight in the sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// `w_k > 0`.
    pub weight: f64,
    /// `L_k`.
    pub loss: PartLoss,
}

/// A loss that can be a part of an objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PartLoss {
    /// Of the log-ratios of a pair.
    Pairwise {
        /// The loss.
        loss: PairwiseLoss,
        /// What a log-ratio counts for in it.
        divergence: FDivergence,
    },
    /// Of the log-ratios of a pair and of how people voted on it.
    Voted {
        /// The loss.
        loss: VotedLoss,
        /// What a log-ratio counts for in it.
        divergence: FDivergence,
    },
    /// Of the log-ratios of a pair and of its scores.
    Scored {
        /// The loss.
        loss: ScoredLoss,
        /// What a log-ratio counts for in it.
        divergence: FDivergence,
    },
    /// Of the log-ratios of a ranked list; always alone.
    Ranked(RankedLoss),
    /// Of the log-ratio of a single completion with a label; always alone.
    Unpaired(UnpairedLoss),
    /// Of the log-ratios of a pair and of how its group fares; always alone.
    GroupRobust(GroupRobust),
    /// Of the log-ratios of a pair and of how far the policy's distributions have moved at its tokens.
    TokenLevel(TokenLevelLoss),
    /// Of the log-ratios of all pairs of a batch.
    Coupled(CoupledLoss),
    /// Of the policy's log-probs of a pair.
    ReferenceFree(ReferenceFreeLoss),
    /// Of the log-probs of the chosen completion, the mean over the batch's tokens; see [`sft_loss`](crate::sft_loss).
    Sft,
}

impl PartLoss {
    /// What a run file says to get it, with every parameter.
    pub fn config(&self) -> LossConfig {
        match self {
            Self::Pairwise { loss, divergence } => loss.config().with_divergence(*divergence),
            Self::Voted { loss, divergence } => loss.config().with_divergence(*divergence),
            Self::Scored { loss, divergence } => loss.config().with_divergence(*divergence),
            Self::Ranked(loss) => loss.config(),
            Self::Unpaired(loss) => loss.config(),
            Self::GroupRobust(loss) => loss.config(),
            Self::TokenLevel(loss) => loss.config(),
            Self::Coupled(loss) => loss.config(),
            Self::ReferenceFree(loss) => loss.config(),
            Self::Sft => LossConfig { kind: LossKind::Sft, ..LossConfig::default() },
        }
    }

    /// The word that a run file has for it.
    pub fn kind(&self) -> LossKind {
        self.config().kind
    }

    /// `β`, where there is one.
    pub fn beta(&self) -> Option<f64> {
        match self {
            Self::Pairwise { loss, .. } => Some(loss.beta()),
            Self::Voted { loss, .. } => Some(loss.beta()),
            Self::Scored { loss, .. } => Some(loss.beta()),
            Self::Ranked(loss) => Some(loss.beta()),
            Self::Unpaired(loss) => Some(loss.beta()),
            Self::GroupRobust(loss) => Some(loss.beta),
            Self::TokenLevel(loss) => Some(loss.beta()),
            Self::Coupled(loss) => Some(loss.beta()),
            Self::ReferenceFree(loss) => loss.beta(),
            Self::Sft => None,
        }
    }

    /// Whether it is a function of the margin (and of what is known of the row), in which what both log-ratios have in common
    /// cancels.
    pub fn is_of_margin(&self) -> bool {
        match self {
            Self::Pairwise { loss, .. } => loss.is_of_margin(),
            Self::Voted { .. } | Self::Scored { .. } => true,
            _ => false,
        }
    }

    /// What a log-ratio counts for in it.
    pub(crate) fn divergence(&self) -> FDivergence {
        match self {
            Self::Pairwise { divergence, .. }
            | Self::Voted { divergence, .. }
            | Self::Scored { divergence, .. } => *divergence,
            _ => FDivergence::ReverseKl,
        }
    }

    /// Where an exponent of its divergence ends; a square of `e^40` is still a number in `f32`.
    pub(crate) fn largest_exponent(&self) -> f64 {
        match self {
            Self::Pairwise { loss: PairwiseLoss::Ipo { .. }, .. }
            | Self::Scored { loss: ScoredLoss::RpoSq { .. }, .. } => 40.0,
            _ => 80.0,
        }
    }

    /// Whether a batch's loss is not the mean over its pairs, so that nothing of pairs can be put beside it: what it reads
    /// instead.
    pub(crate) fn stands_alone(&self) -> Option<&'static str> {
        match self {
            Self::Ranked(_) => Some("reads ranked lists"),
            Self::Unpaired(_) => Some("reads single completions"),
            Self::GroupRobust(_) => Some("counts rows by how their groups fare"),
            _ => None,
        }
    }

    /// Whether it learns from pairs of which neither completion is preferred.
    pub(crate) fn models_ties(&self) -> bool {
        matches!(self, Self::Voted { loss: VotedLoss::RaoKupper { .. } | VotedLoss::Davidson { .. }, .. })
    }

    /// Whether one completion of a pair has to be the better one.
    pub fn needs_a_choice(&self) -> bool {
        match self {
            Self::Pairwise { .. }
            | Self::TokenLevel(_)
            | Self::Coupled(_)
            | Self::ReferenceFree(_)
            | Self::GroupRobust(_)
            | Self::Sft => true,
            Self::Scored { loss, .. } => loss.needs_a_winner(),
            Self::Voted { .. } | Self::Ranked(_) | Self::Unpaired(_) => false,
        }
    }

    pub(crate) fn needs_reference(&self) -> bool {
        !matches!(self, Self::ReferenceFree(_) | Self::Sft)
    }

    /// `s(0) = 0` for every divergence.
    pub(super) fn at_zero_margin(&self) -> Option<f64> {
        match self {
            Self::Pairwise { loss, .. } => Some(loss.at_zero_margin()),
            Self::Coupled(loss) => {
                let (beta, label_smoothing) = (loss.beta(), loss.label_smoothing());
                Some(PairwiseLoss::Sigmoid { beta, label_smoothing }.at_zero_margin())
            }
            Self::TokenLevel(loss) => {
                let (beta, label_smoothing) = (loss.beta(), 0.0);
                Some(PairwiseLoss::Sigmoid { beta, label_smoothing }.at_zero_margin())
            }
            _ => None,
        }
    }
}
