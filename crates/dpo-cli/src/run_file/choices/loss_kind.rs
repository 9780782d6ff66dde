//! `loss.kind`, and what a word is told that names a loss which is not there.

use std::ffi::OsStr;

use clap::{
    Arg, Command, ValueEnum,
    builder::{EnumValueParser, PossibleValue, TypedValueParser},
    error::ErrorKind,
};
use serde::{Deserialize, Serialize};

/// A loss of the field that is not there, and why.
const TDPO: &str = "`tdpo` is not there: it compares the whole distributions of policy and reference at every token, and a \
                    reference says one number a token here; choose another loss";

/// `loss.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case", try_from = "String")]
#[value(rename_all = "snake_case")]
pub(crate) enum LossKind {
    /// DPO, or conservative DPO with `label_smoothing`: −ln σ(β·h)
    Sigmoid,
    /// Squared distance of the margin to 1/(2β)
    Ipo,
    /// SLiC and RSO: max(0, 1 − β·h)
    Hinge,
    /// DPO on log-ratios divided by the completion's length
    SigmoidNorm,
    /// DPO that takes back the effect of a known share of flipped labels, `label_smoothing`
    Robust,
    /// Reverse KL divergence from the label, smoothed by `label_smoothing`
    ExoPair,
    /// DPO that also keeps the chosen completion likely
    NcaPair,
    /// A classifier of single completions, shifted by `bco_delta`
    BcoPair,
    /// Squared distance of both log-ratios to ±1/(2β)
    SppoHard,
    /// Chosen completions up, rejected ones down; for chosen ones better than the model
    ApoZero,
    /// Both down, rejected ones more; for chosen ones worse than the model
    ApoDown,
    /// A loss found by a language model; it first lowers small margins
    Discopop,
    /// DPO that punishes a chosen completion that gets less likely, with `dpop_lambda`
    Dpop,
    /// DPO with rewards drawn to ±1/2
    CalDpo,
    /// DPO less `r_dpo_alpha` for each token that the chosen completion is longer
    RDpo,
    /// Supervised fine-tuning on the chosen completions; no reference
    Sft,
    /// Mean token log-probs apart by `simpo_gamma`, without a reference; AlphaPO with `simpo_alpha`
    Simpo,
    /// The chosen completion's likelihood, and `orpo_lambda` of the odds between both, without a reference
    Orpo,
    /// DPO without a reference, and `cpo_alpha` of the chosen completion's likelihood
    Cpo,
    /// Optimal transport between the margins of policy and reference over a batch, which is computed at once
    Aot,
    /// Optimal transport between chosen and rejected log-ratios over a batch, which is computed at once
    AotUnpaired,
    /// DPO whose β follows the mean margin of a batch, which is computed at once, by `beta_dpo_alpha`
    BetaDpo,
    /// DPO with the share of votes for the first completion as its label; a tie is half a vote for each
    SoftLabel,
    /// DPO with an offset, `odpo_alpha` times the logarithm of the gap of the scores
    Odpo,
    /// Squared distance of β·h to `rpo_eta` times the gap of the scores
    RpoSq,
    /// Backward divergence of the preference from the one that the scores imply
    RpoBwdKl,
    /// Forward divergence of the preference from the one that the scores imply
    RpoFwdKl,
    /// Ranked lists: the probability that the policy draws them in this order
    PlackettLuce,
    /// Ranked lists with scores: pairs weighted by what they matter in the order
    Lipo,
    /// Pairs and ties: margins within `rao_kupper_a` are ties
    RaoKupper,
    /// Pairs and ties: how common ties are is `davidson_nu`
    Davidson,
    /// Single completions that are good or bad
    Kto,
    /// DPO whose groups of rows count the more the worse they fare; the column `group` has to be named
    GroupRobust,
    /// DPO beside another reward, whose margin is the gap of the scores, with weight `modpo_weight`
    Modpo,
}

impl LossKind {
    /// The same word for the library.
    pub(crate) fn of_core(self) -> dpo_core::LossKind {
        match self {
            Self::Sigmoid => dpo_core::LossKind::Sigmoid,
            Self::Ipo => dpo_core::LossKind::Ipo,
            Self::Hinge => dpo_core::LossKind::Hinge,
            Self::SigmoidNorm => dpo_core::LossKind::SigmoidNorm,
            Self::Robust => dpo_core::LossKind::Robust,
            Self::ExoPair => dpo_core::LossKind::ExoPair,
            Self::NcaPair => dpo_core::LossKind::NcaPair,
            Self::BcoPair => dpo_core::LossKind::BcoPair,
            Self::SppoHard => dpo_core::LossKind::SppoHard,
            Self::ApoZero => dpo_core::LossKind::ApoZero,
            Self::ApoDown => dpo_core::LossKind::ApoDown,
            Self::Discopop => dpo_core::LossKind::Discopop,
            Self::Dpop => dpo_core::LossKind::Dpop,
            Self::CalDpo => dpo_core::LossKind::CalDpo,
            Self::RDpo => dpo_core::LossKind::RDpo,
            Self::Sft => dpo_core::LossKind::Sft,
            Self::Simpo => dpo_core::LossKind::Simpo,
            Self::Orpo => dpo_core::LossKind::Orpo,
            Self::Cpo => dpo_core::LossKind::Cpo,
            Self::Aot => dpo_core::LossKind::Aot,
            Self::AotUnpaired => dpo_core::LossKind::AotUnpaired,
            Self::BetaDpo => dpo_core::LossKind::BetaDpo,
            Self::SoftLabel => dpo_core::LossKind::SoftLabel,
            Self::Odpo => dpo_core::LossKind::Odpo,
            Self::RpoSq => dpo_core::LossKind::RpoSq,
            Self::RpoBwdKl => dpo_core::LossKind::RpoBwdKl,
            Self::RpoFwdKl => dpo_core::LossKind::RpoFwdKl,
            Self::PlackettLuce => dpo_core::LossKind::PlackettLuce,
            Self::Lipo => dpo_core::LossKind::Lipo,
            Self::RaoKupper => dpo_core::LossKind::RaoKupper,
            Self::Davidson => dpo_core::LossKind::Davidson,
            Self::Kto => dpo_core::LossKind::Kto,
            Self::GroupRobust => dpo_core::LossKind::GroupRobust,
            Self::Modpo => dpo_core::LossKind::Modpo,
        }
    }

    /// The word that selects it.
    pub(crate) fn name(self) -> &'static str {
        self.of_core().name()
    }
}

impl From<dpo_core::LossKind> for LossKind {
    fn from(kind: dpo_core::LossKind) -> Self {
        match kind {
            dpo_core::LossKind::Sigmoid => Self::Sigmoid,
            dpo_core::LossKind::Ipo => Self::Ipo,
            dpo_core::LossKind::Hinge => Self::Hinge,
            dpo_core::LossKind::SigmoidNorm => Self::SigmoidNorm,
            dpo_core::LossKind::Robust => Self::Robust,
            dpo_core::LossKind::ExoPair => Self::ExoPair,
            dpo_core::LossKind::NcaPair => Self::NcaPair,
            dpo_core::LossKind::BcoPair => Self::BcoPair,
            dpo_core::LossKind::SppoHard => Self::SppoHard,
            dpo_core::LossKind::ApoZero => Self::ApoZero,
            dpo_core::LossKind::ApoDown => Self::ApoDown,
            dpo_core::LossKind::Discopop => Self::Discopop,
            dpo_core::LossKind::Dpop => Self::Dpop,
            dpo_core::LossKind::CalDpo => Self::CalDpo,
            dpo_core::LossKind::RDpo => Self::RDpo,
            dpo_core::LossKind::Sft => Self::Sft,
            dpo_core::LossKind::Simpo => Self::Simpo,
            dpo_core::LossKind::Orpo => Self::Orpo,
            dpo_core::LossKind::Cpo => Self::Cpo,
            dpo_core::LossKind::Aot => Self::Aot,
            dpo_core::LossKind::AotUnpaired => Self::AotUnpaired,
            dpo_core::LossKind::BetaDpo => Self::BetaDpo,
            dpo_core::LossKind::SoftLabel => Self::SoftLabel,
            dpo_core::LossKind::Odpo => Self::Odpo,
            dpo_core::LossKind::RpoSq => Self::RpoSq,
            dpo_core::LossKind::RpoBwdKl => Self::RpoBwdKl,
            dpo_core::LossKind::RpoFwdKl => Self::RpoFwdKl,
            dpo_core::LossKind::PlackettLuce => Self::PlackettLuce,
            dpo_core::LossKind::Lipo => Self::Lipo,
            dpo_core::LossKind::RaoKupper => Self::RaoKupper,
            dpo_core::LossKind::Davidson => Self::Davidson,
            dpo_core::LossKind::Kto => Self::Kto,
            dpo_core::LossKind::GroupRobust => Self::GroupRobust,
            dpo_core::LossKind::Modpo => Self::Modpo,
        }
    }
}

impl TryFrom<String> for LossKind {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        Self::from_str(&word, false).map_err(|_| refusal(&word))
    }
}

fn refusal(word: &str) -> String {
    if word == "tdpo" {
        return TDPO.to_owned();
    }
    let known: Vec<String> =
        LossKind::value_variants().iter().map(|kind| format!("`{}`", kind.name())).collect();
    format!("unknown variant `{word}`, expected one of {}", known.join(", "))
}

/// As clap reads a choice, with the reason for a word that is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LossKindParser;

impl TypedValueParser for LossKindParser {
    type Value = LossKind;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<LossKind, clap::Error> {
        if value == "tdpo" {
            return Err(clap::Error::raw(ErrorKind::InvalidValue, format!("{TDPO}\n")).with_cmd(command));
        }
        EnumValueParser::<LossKind>::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = LossKind::value_variants().iter().filter_map(LossKind::to_possible_value);
        Some(Box::new(values))
    }
}
