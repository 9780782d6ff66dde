//! What makes no sense together.

use super::{Composite, Modifiers, PartLoss};
use crate::{FDivergence, InvalidLoss, LossKind};

impl Composite {
    /// Refuses parts and modifiers that make no sense together.
    pub(super) fn check(&self) -> Result<(), InvalidLoss> {
        self.check_parts()?;
        self.check_alone()?;
        self.check_ties()?;
        self.check_modifiers()
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
        let coupling = self.parts.iter().find(|part| part.loss.kind().couples_batch());
        if let Some(coupling) = coupling.filter(|_| self.reads_distributions()) {
            let kind = coupling.loss.kind();
            let why = format!(
                "has `tdpo`, which reads the distribution at every token, and `{kind}`, which reads all pairs of a batch at \
                 once; remove one of them"
            );
            return unsound("mix", why);
        }
        let diverges = |loss: &PartLoss| loss.divergence() != FDivergence::ReverseKl && !loss.is_of_margin();
        match self.parts.iter().find(|part| diverges(&part.loss)) {
            Some(part) => Err(no_divergence(part.loss.kind())),
            None => Ok(()),
        }
    }

    /// A loss that is no mean over pairs has nothing beside it.
    fn check_alone(&self) -> Result<(), InvalidLoss> {
        let alone = |loss: &PartLoss| loss.stands_alone().map(|how| (loss.kind(), how));
        let Some((kind, how)) = self.parts.iter().find_map(|part| alone(&part.loss)) else { return Ok(()) };
        let Modifiers { ld_alpha, sft_weight, wpo } = self.modifiers;
        let set = [("ld_alpha", ld_alpha.is_some()), ("sft_weight", sft_weight.is_some()), ("wpo", wpo)];
        match set.into_iter().find(|(_, is_set)| *is_set) {
            Some((parameter, _)) if self.parts.len() == 1 => unsound(
                parameter,
                format!("is set, but `{kind}` {how}, and this is for a mean over pairs; remove it"),
            ),
            _ => unsound(
                "mix",
                format!(
                    "has `{kind}`, which {how}, and a mixture is a mean over pairs; choose it alone, as `kind`"
                ),
            ),
        }
    }

    /// A model of ties learns from pairs that have no chosen completion, and others have no use for those.
    fn check_ties(&self) -> Result<(), InvalidLoss> {
        let Some(model) = self.parts.iter().find(|part| part.loss.models_ties()) else { return Ok(()) };
        let model = model.loss.kind();
        if let Some(other) = self.parts.iter().find(|part| part.loss.needs_a_choice()) {
            let other = other.loss.kind();
            return unsound(
                "mix",
                format!(
                    "has `{model}`, which learns from ties, and `{other}`, which needs a chosen completion; remove one of \
                     them, or take `soft_label` for votes"
                ),
            );
        }
        match self.modifiers.sft_weight {
            Some(_) => unsound(
                "sft_weight",
                format!(
                    "is set, but `{model}` learns from ties, which have no chosen completion; remove it, or take \
                     `soft_label` for votes"
                ),
            ),
            None => Ok(()),
        }
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
            if self.reads_distributions() {
                let why = "is set, but `tdpo` adds up divergences over whole completions; remove it";
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

/// Why `f_divergence` is no setting of a loss.
pub(crate) fn no_divergence(kind: LossKind) -> InvalidLoss {
    let reason = match kind {
        LossKind::Sft | LossKind::Simpo | LossKind::Orpo | LossKind::Cpo => {
            format!("is set, but `{kind}` has no reference to diverge from; remove it")
        }
        LossKind::BetaDpo => {
            format!("is set, but `{kind}` follows the margin of plain log-ratios; remove it")
        }
        LossKind::Tdpo => {
            format!("is set, but `{kind}` has a divergence of its own, at every token; remove it")
        }
        LossKind::Aot | LossKind::AotUnpaired => {
            format!(
                "is set, but `{kind}` compares log-ratios of different prompts, whose constants do not cancel; remove it"
            )
        }
        LossKind::PlackettLuce | LossKind::Lipo => {
            format!("is set, but `{kind}` reads ranked lists, and this is for losses of pairs; remove it")
        }
        LossKind::GroupRobust => {
            format!("is set, but `{kind}` follows how groups fare by DPO's own loss; remove it")
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
