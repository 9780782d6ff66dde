//! What training minimises.

mod group;
mod pairwise;
mod ranked;
mod scored;
mod unpaired;
mod voted;

use burn::tensor::Tensor;

pub use group::{GroupRobust, group_shares};
pub use pairwise::{IpoReduction, PairwiseLoss};
pub use ranked::{ListRatios, RankedLoss};
pub use scored::ScoredLoss;
pub use unpaired::{Label, UnpairedLoss, kto_drift};
pub use voted::{VoteShares, VotedLoss};

use crate::{Composite, FDivergence, InvalidLoss, Modifiers, Part, PartLoss, ReferenceFreeLoss};

/// A checked objective: each variant carries its own parameters and no others.
///
/// The variant says what its loss is a function of, so that a trainer that has no reference cannot ask for a
/// loss that wants one.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// Of the log-ratios of a pair.
    Pairwise(PairwiseLoss),
    /// Of the log-probs of the chosen completion alone, see [`sft_loss`](crate::sft_loss).
    Sft,
    /// Of the log-ratios of a ranked list.
    Ranked(RankedLoss),
    /// Of the log-ratios of a pair and of how people voted on it.
    Voted(VotedLoss),
    /// Of the log-ratios of a pair and of its scores.
    Scored(ScoredLoss),
    /// Of the log-ratio of a single completion with a label.
    Unpaired(UnpairedLoss),
    /// Of the log-ratios of a pair and of how its group fares.
    GroupRobust(GroupRobust),
    /// Of several losses of pairs, of one that is modified, of the policy alone, of whole distributions, or of a batch as a
    /// whole.
    Composite(Composite),
}

impl Objective {
    /// The weighted sum of these losses; a single one that nothing is done to stays what it is. Refused where the parts or
    /// what is done to them make no sense together.
    pub fn combined(parts: Vec<Part>, modifiers: Modifiers) -> Result<Self, InvalidLoss> {
        let single = match parts.as_slice() {
            [Part { weight: 1.0, loss }] if modifiers == Modifiers::default() => Self::of_single(*loss),
            _ => None,
        };
        match single {
            Some(objective) => Ok(objective),
            None => Composite::new(parts, modifiers).map(Self::Composite),
        }
    }

    /// A loss by itself, where there is a variant for it.
    fn of_single(loss: PartLoss) -> Option<Self> {
        match loss {
            PartLoss::Pairwise { loss, divergence: FDivergence::ReverseKl } => Some(Self::Pairwise(loss)),
            PartLoss::Voted { loss, divergence: FDivergence::ReverseKl } => Some(Self::Voted(loss)),
            PartLoss::Scored { loss, divergence: FDivergence::ReverseKl } => Some(Self::Scored(loss)),
            PartLoss::Ranked(loss) => Some(Self::Ranked(loss)),
            PartLoss::Unpaired(loss) => Some(Self::Unpaired(loss)),
            PartLoss::GroupRobust(loss) => Some(Self::GroupRobust(loss)),
            PartLoss::Sft => Some(Self::Sft),
            PartLoss::Pairwise { .. }
            | PartLoss::Voted { .. }
            | PartLoss::Scored { .. }
            | PartLoss::TokenLevel(_)
            | PartLoss::Coupled(_)
            | PartLoss::ReferenceFree(_) => None,
        }
    }

    /// The losses that it is the weighted sum of.
    pub fn parts(&self) -> Vec<Part> {
        let divergence = FDivergence::ReverseKl;
        let loss = match self {
            Self::Pairwise(loss) => PartLoss::Pairwise { loss: *loss, divergence },
            Self::Voted(loss) => PartLoss::Voted { loss: *loss, divergence },
            Self::Scored(loss) => PartLoss::Scored { loss: *loss, divergence },
            Self::Ranked(loss) => PartLoss::Ranked(*loss),
            Self::Unpaired(loss) => PartLoss::Unpaired(*loss),
            Self::GroupRobust(loss) => PartLoss::GroupRobust(*loss),
            Self::Sft => PartLoss::Sft,
            Self::Composite(composite) => return composite.parts().to_vec(),
        };
        vec![Part { weight: 1.0, loss }]
    }

    /// What is done to all of them.
    pub fn modifiers(&self) -> Modifiers {
        match self {
            Self::Composite(composite) => *composite.modifiers(),
            _ => Modifiers::default(),
        }
    }

    /// Its name: the word that a run file has for its loss, or `mix`.
    pub fn name(&self) -> &'static str {
        match self.parts().as_slice() {
            [part] => part.loss.kind().name(),
            _ => "mix",
        }
    }

    /// The loss whose rewards are shown where there is no reference.
    pub fn reference_free(&self) -> Option<ReferenceFreeLoss> {
        if self.needs_reference() {
            return None;
        }
        self.parts().iter().find_map(|part| match part.loss {
            PartLoss::ReferenceFree(loss) => Some(loss),
            _ => None,
        })
    }

    /// `β`, where there is one; of several parts that of the first.
    pub fn beta(&self) -> Option<f64> {
        self.parts().iter().find_map(|part| part.loss.beta())
    }

    /// Whether the reference's log-probs enter.
    pub fn needs_reference(&self) -> bool {
        self.parts().iter().any(|part| part.loss.needs_reference())
    }

    /// Whether the reference's whole distributions enter, of every token, so that the reference itself has to be there.
    pub fn reads_distributions(&self) -> bool {
        matches!(self, Self::Composite(composite) if composite.reads_distributions())
    }

    /// Whether all that it reads of a row beside log-probs is which of two completions is better.
    pub fn is_of_plain_pairs(&self) -> bool {
        let is_of_plain_pairs = |loss: &PartLoss| match loss {
            PartLoss::Pairwise { .. }
            | PartLoss::TokenLevel(_)
            | PartLoss::Coupled(_)
            | PartLoss::ReferenceFree(_)
            | PartLoss::Sft => true,
            PartLoss::Voted { .. }
            | PartLoss::Scored { .. }
            | PartLoss::Ranked(_)
            | PartLoss::Unpaired(_)
            | PartLoss::GroupRobust(_) => false,
        };
        !matches!(self, Self::Sft) && self.parts().iter().all(|part| is_of_plain_pairs(&part.loss))
    }

    /// Whether the loss of a pair depends on the other pairs of its batch, so that accumulating micro-batches is
    /// another objective than the whole batch. What rows share otherwise, [`kto_drift`] and the shares of groups, is known
    /// before the first of them is computed.
    pub fn couples_batch(&self) -> bool {
        matches!(self, Self::Composite(composite) if composite.couples_batch())
    }

    /// Loss of a pair whose policy equals its reference, see [`PairwiseLoss::at_zero_margin`]; `None` without a
    /// reference, and where it depends on the row: on its votes, its scores, its label, the length of its list, or what the
    /// policy says of its chosen completion.
    pub fn at_zero_margin(&self) -> Option<f64> {
        match self {
            Self::Pairwise(loss) => Some(loss.at_zero_margin()),
            Self::GroupRobust(_) => Some(f64::from(1f32.ln_1p())),
            Self::Sft | Self::Ranked(_) | Self::Voted(_) | Self::Scored(_) | Self::Unpaired(_) => None,
            Self::Composite(composite) => composite.at_zero_margin(),
        }
    }
}

/// What is known of each row, as a constant of the kind of `like`.
fn constants(values: impl Iterator<Item = f64>, like: &Tensor<1>) -> Tensor<1> {
    let values: Vec<f64> = values.collect();
    Tensor::from_data(values.as_slice(), (&like.device().inner(), like.dtype()))
}
