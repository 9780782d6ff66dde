//! Objectives made of several losses, or of one that is modified.

use burn::tensor::Tensor;

use crate::{
    BatchScale, CompletionLogps, CoupledLoss, FDivergence, InvalidLoss, LogRatios, LossConfig, LossKind,
    PairwiseLoss, ReferenceFreeLoss, TokenLogps, logps::every_other, mean_nll_loss, sft_loss,
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
    /// Of the log-ratios of all pairs of a batch.
    Coupled(CoupledLoss),
    /// Of the policy's log-probs of a pair.
    ReferenceFree(ReferenceFreeLoss),
    /// Of the log-probs of the chosen completion, the mean over the batch's tokens; see [`sft_loss`].
    Sft,
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
    /// `M₀` of β-DPO: the moving average of the mean margins of the batches before this one, in nats. `None` before the first
    /// batch, and where it is not read.
    pub moving_margin: Option<f64>,
}

impl Composite {
    pub(crate) fn new(parts: Vec<Part>, modifiers: Modifiers) -> Result<Self, InvalidLoss> {
        let composite = Self { parts, modifiers };
        composite.check_parts()?;
        composite.check_modifiers()?;
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
    /// If the reference or the sums of squares are needed and are not there.
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
        let of_part = |part: &Part| {
            let loss = match part.loss {
                PartLoss::Pairwise { loss, divergence } => {
                    let (policy, reference) = models().clone();
                    let ratios = LogRatios::new(policy, reference);
                    loss.loss(&divergence.scores(&ratios, largest_exponent(&loss)))
                }
                PartLoss::Coupled(loss) => loss.loss(&models().0, &models().1, tokens.moving_margin),
                PartLoss::ReferenceFree(loss) => loss.loss(&plain),
                PartLoss::Sft => sft_loss(&plain.chosen) * scale.rows_per_token(),
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

    fn check_parts(&self) -> Result<(), InvalidLoss> {
        if self.parts.iter().all(|part| part.loss == PartLoss::Sft) {
            return unsound("mix", "has no loss of pairs; add one, or choose the loss `sft`");
        }
        if self.parts.iter().any(|part| !(part.weight > 0.0 && (part.weight as f32).is_finite())) {
            return unsound(
                "mix",
                "has a weight that is not a number above 0; correct it or remove that loss",
            );
        }
        let followers = self.parts.iter().filter(|part| part.loss.kind() == LossKind::BetaDpo);
        if followers.count() > 1 {
            return unsound("mix", "has `beta_dpo` twice, and there is one moving average; remove one");
        }
        for part in &self.parts {
            if let PartLoss::Pairwise { loss, divergence } = part.loss
                && divergence != FDivergence::ReverseKl
                && !loss.is_of_margin()
            {
                return Err(no_divergence(loss.kind()));
            }
        }
        Ok(())
    }

    fn check_modifiers(&self) -> Result<(), InvalidLoss> {
        let Modifiers { ld_alpha, sft_weight, wpo } = self.modifiers;
        let kinds = || self.parts.iter().map(|part| part.loss.kind());
        if let Some(alpha) = ld_alpha {
            if let Some(kind) = kinds().find(|kind| kind.is_reference_free()) {
                let why = format!(
                    "is set, but `{kind}` has no reference for it, and weighs lengths in its own way; remove it"
                );
                return unsound("ld_alpha", why);
            }
            if !(0.0..=1.0).contains(&alpha) {
                return unsound("ld_alpha", format!("is {alpha}; give a number from 0 to 1, such as 0.5"));
            }
        }
        if let Some(weight) = sft_weight {
            let has_term = |kind: &LossKind| matches!(kind, LossKind::Sft | LossKind::Orpo | LossKind::Cpo);
            if let Some(kind) = kinds().find(has_term) {
                let why =
                    format!("is set, but `{kind}` has the chosen completion's likelihood in it; remove it");
                return unsound("sft_weight", why);
            }
            if !(weight >= 0.0 && (weight as f32).is_finite()) {
                return unsound("sft_weight", format!("is {weight}; give a number that is not negative"));
            }
        }
        match kinds().find(|kind| kind.couples_batch()) {
            Some(kind) if wpo => {
                let why = format!("is set, but `{kind}` reads all pairs of a batch alike; remove it");
                unsound("wpo", why)
            }
            _ => Ok(()),
        }
    }
}

impl PartLoss {
    /// What a run file says to get it, with every parameter.
    pub fn config(&self) -> LossConfig {
        match self {
            Self::Pairwise { loss, divergence } => loss.config().with_divergence(*divergence),
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
            Self::Coupled(loss) => Some(loss.beta()),
            Self::ReferenceFree(loss) => loss.beta(),
            Self::Sft => None,
        }
    }

    fn needs_reference(&self) -> bool {
        matches!(self, Self::Pairwise { .. } | Self::Coupled(_))
    }

    /// `s(0) = 0` for every divergence.
    fn at_zero_margin(&self) -> Option<f64> {
        match self {
            Self::Pairwise { loss, .. } => Some(loss.at_zero_margin()),
            Self::Coupled(loss) => {
                let (beta, label_smoothing) = (loss.beta(), loss.label_smoothing());
                Some(PairwiseLoss::Sigmoid { beta, label_smoothing }.at_zero_margin())
            }
            Self::ReferenceFree(_) | Self::Sft => None,
        }
    }
}

/// A square of `e^40` is still a number in `f32`.
fn largest_exponent(loss: &PairwiseLoss) -> f64 {
    match loss {
        PairwiseLoss::Ipo { .. } => 40.0,
        _ => 80.0,
    }
}

/// Why `f_divergence` is no setting of a loss.
pub(crate) fn no_divergence(kind: LossKind) -> InvalidLoss {
    let reason = match kind {
        LossKind::Sft | LossKind::Simpo | LossKind::Orpo | LossKind::Cpo => {
            format!("is set, but `{kind}` has no reference to diverge from; remove it")
        }
        LossKind::BetaDpo => {
            format!("is set, but `{kind}` follows the margin of plain log-ratios; remove it")
        }
        LossKind::Aot | LossKind::AotUnpaired => {
            format!(
                "is set, but `{kind}` compares log-ratios of different prompts, whose constants do not cancel; remove it"
            )
        }
        _ => format!(
            "is set, but `{kind}` reads each log-ratio by itself, where the constant of a divergence does not cancel; remove \
             it, or choose a loss of the margin"
        ),
    };
    InvalidLoss::Unsound { parameter: "f_divergence", reason }
}

fn unsound<T>(parameter: &'static str, reason: impl Into<String>) -> Result<T, InvalidLoss> {
    Err(InvalidLoss::Unsound { parameter, reason: reason.into() })
}
