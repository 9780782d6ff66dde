//! Objectives made of several losses, or of one that is modified.

mod part;
mod sound;

use burn::tensor::Tensor;

pub use part::{Part, PartLoss};
pub(crate) use sound::no_divergence;

use crate::{
    BatchScale, CompletionLogps, CoupledLoss, InvalidLoss, LogRatios, TokenLogps, VoteShares,
    logps::every_other, mean_nll_loss, sft_loss,
};

/// A weighted sum of losses, `Σ_k w_k·L_k`, and what is done to all of them. Made by
/// [`Objective::combined`](crate::Objective::combined), which refuses what makes no sense together.
///
/// Mixed preference optimization, <https://arxiv.org/abs/2411.10442>, is 0.8 `sigmoid` + 0.2 `bco_pair` + 1.0 `sft`.
#[derive(Debug, Clone, PartialEq)]
pub struct Composite {
    parts: Vec<Part>,
    modifiers: Modifiers,
}

/// What is done to all losses of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Modifiers {
    /// LD-DPO's `α`, see [`TokenLogps::length_desensitised`].
    pub ld_alpha: Option<f64>,
    /// Weight of [`mean_nll_loss`] of the chosen completion beside the losses of pairs: RPO,
    /// <https://arxiv.org/abs/2404.19733>.
    pub sft_weight: Option<f64>,
    /// Whether a pair's loss is weighed by how likely the policy is to say its completions itself, `ω(y_w)·ω(y_l)` without a
    /// gradient, see [`TokenLogps::likelihoods`]: WPO. What is the likelihood of the chosen completion alone, `sft` and
    /// `sft_weight`, is not.
    pub wpo: bool,
}

/// What the models say of the pairs of a batch.
#[derive(Debug, Clone, Copy)]
pub struct PairTokens<'a> {
    /// The policy.
    pub policy: &'a TokenLogps,
    /// The reference, of the same tokens; `None` where the objective has none.
    pub reference: Option<&'a TokenLogps>,
    /// `ln Σ_v p_t(v)²` of the policy where it predicts each of these tokens, `[n_scored]`; `None` where it is not read.
    pub log_sum_squares: Option<&'a Tensor<1>>,
    /// `KL(π_ref ‖ π_θ)` over all words where each of these tokens is predicted, `[n_scored]` in nats; `None` where it is not read.
    pub kl: Option<&'a Tensor<1>>,
    /// `M₀` of β-DPO: the moving average of the mean margins of the batches before this one, in nats. `None` before the first
    /// batch, and where it is not read.
    pub moving_margin: Option<f64>,
    /// How people voted on each pair; empty where it is not read.
    pub votes: &'a [VoteShares],
    /// Score of the first completion of each pair less that of the second; empty where it is not read.
    pub gaps: &'a [f64],
}

impl Composite {
    pub(crate) fn new(parts: Vec<Part>, modifiers: Modifiers) -> Result<Self, InvalidLoss> {
        let composite = Self { parts, modifiers };
        composite.check()?;
        Ok(composite)
    }

    /// The losses with their weights, at least one.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What is done to all of them.
    pub fn modifiers(&self) -> &Modifiers {
        &self.modifiers
    }

    /// Loss of each pair, `[n_pairs]`, so that [`BatchScale::reduce`] gives the loss of the batch.
    ///
    /// # Panics
    /// If the reference, the sums of squares, the divergences, the votes or the gaps are needed and are not there.
    pub fn losses(&self, tokens: PairTokens<'_>, scale: &BatchScale) -> Tensor<1> {
        let plain = tokens.policy.completions().into_pairs();
        let held_against = tokens.reference.map(|reference| {
            (self.compared(tokens.policy).into_pairs(), self.compared(reference).into_pairs())
        });
        let models = || held_against.as_ref().expect("a loss with a reference is given one");
        let weights = self.modifiers.wpo.then(|| {
            let squares = tokens.log_sum_squares.expect("a weighted loss is given the sums of squares");
            let (chosen, rejected) = every_other(tokens.policy.likelihoods(squares.clone()));
            chosen * rejected
        });
        let kls = || {
            let per_token = tokens.kl.expect("a loss of whole distributions is given their divergences");
            let (chosen, rejected) = every_other(tokens.policy.sums_of(per_token.clone()));
            [chosen, rejected]
        };
        let ratios = |part: &PartLoss| {
            let (policy, reference) = models().clone();
            part.divergence().scores(&LogRatios::new(policy, reference), part.largest_exponent())
        };
        let of_part = |part: &Part| {
            let loss = match part.loss {
                PartLoss::Pairwise { loss, .. } => loss.loss(&ratios(&part.loss)),
                PartLoss::Voted { loss, .. } => loss.loss(&ratios(&part.loss), tokens.votes),
                PartLoss::Scored { loss, .. } => loss.loss(&ratios(&part.loss), tokens.gaps),
                PartLoss::TokenLevel(loss) => loss.loss(&ratios(&part.loss), kls()),
                PartLoss::Coupled(loss) => loss.loss(&models().0, &models().1, tokens.moving_margin),
                PartLoss::ReferenceFree(loss) => loss.loss(&plain),
                PartLoss::Sft => sft_loss(&plain.chosen) * scale.rows_per_token(),
                PartLoss::Ranked(_) | PartLoss::Unpaired(_) | PartLoss::GroupRobust(_) => {
                    unreachable!("`new` refuses what is no mean over pairs")
                }
            };
            let loss = match &weights {
                Some(weights) if part.loss != PartLoss::Sft => loss * weights.clone(),
                _ => loss,
            };
            loss * part.weight
        };
        let mut parts = self.parts.iter().map(of_part);
        let first = parts.next().expect("a composite has parts");
        let total = parts.fold(first, |total, loss| total + loss);
        match self.modifiers.sft_weight {
            None | Some(0.0) => total,
            Some(weight) => total + mean_nll_loss(&plain.chosen) * weight,
        }
    }

    /// Log-probs of completions as its losses hold them against the reference's.
    pub fn compared(&self, logps: &TokenLogps) -> CompletionLogps {
        match self.modifiers.ld_alpha {
            Some(alpha) => logps.length_desensitised(alpha),
            None => logps.completions(),
        }
    }

    /// The momentum with which the moving average of margins follows, where a loss reads it.
    pub fn margin_momentum(&self) -> Option<f64> {
        self.parts.iter().find_map(|part| match part.loss {
            PartLoss::Coupled(CoupledLoss::BetaDpo { momentum, .. }) => Some(momentum),
            _ => None,
        })
    }

    /// Whether the loss of a pair depends on the other pairs of its batch.
    pub fn couples_batch(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.loss, PartLoss::Coupled(_)))
    }

    /// Whether the reference's whole distributions enter, of every token: its log-probs are not enough.
    pub fn reads_distributions(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.loss, PartLoss::TokenLevel(_)))
    }

    /// Whether the reference's log-probs enter.
    pub fn needs_reference(&self) -> bool {
        self.parts.iter().any(|part| part.loss.needs_reference())
    }

    /// Loss of a pair whose policy equals its reference, where that is a number whatever the policy says, in the bits of
    /// `f32` on the processor.
    pub(crate) fn at_zero_margin(&self) -> Option<f64> {
        if self.modifiers.wpo || self.modifiers.sft_weight.is_some_and(|weight| weight != 0.0) {
            return None;
        }
        let of_part = |part: &Part| Some(part.loss.at_zero_margin()? as f32 * part.weight as f32);
        let parts: Vec<f32> = self.parts.iter().map(of_part).collect::<Option<_>>()?;
        parts.into_iter().reduce(|total, loss| total + loss).map(f64::from)
    }
}
