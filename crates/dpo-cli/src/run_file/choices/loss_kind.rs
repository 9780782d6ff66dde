//! `loss.kind`: what the words mean.

use std::{ffi::OsStr, str::FromStr};

use clap::{
    Arg, Command,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
pub(crate) use dpo_core::LossKind;
use serde::{Deserialize, Deserializer, de::Error};

/// A line on each for help and documentation.
fn help(kind: LossKind) -> &'static str {
    match kind {
        LossKind::Sigmoid => "DPO, or conservative DPO with `label_smoothing`: −ln σ(β·h)",
        LossKind::Ipo => "Squared distance of the margin to 1/(2β)",
        LossKind::Hinge => "SLiC and RSO: max(0, 1 − β·h)",
        LossKind::SigmoidNorm => "DPO on log-ratios divided by the completion's length",
        LossKind::Robust => {
            "DPO that takes back the effect of a known share of flipped labels, `label_smoothing`"
        }
        LossKind::ExoPair => "Reverse KL divergence from the label, smoothed by `label_smoothing`",
        LossKind::NcaPair => "DPO that also keeps the chosen completion likely",
        LossKind::BcoPair => "A classifier of single completions, shifted by `bco_delta`",
        LossKind::SppoHard => "Squared distance of both log-ratios to ±1/(2β)",
        LossKind::ApoZero => {
            "Chosen completions up, rejected ones down; for chosen ones better than the model"
        }
        LossKind::ApoDown => "Both down, rejected ones more; for chosen ones worse than the model",
        LossKind::Discopop => "A loss found by a language model; it first lowers small margins",
        LossKind::Dpop => "DPO that punishes a chosen completion that gets less likely, with `dpop_lambda`",
        LossKind::CalDpo => "DPO with rewards drawn to ±1/2",
        LossKind::RDpo => "DPO less `r_dpo_alpha` for each token that the chosen completion is longer",
        LossKind::Tdpo => {
            "DPO less `tdpo_alpha` times what the policy's whole distributions moved along the rejected completion beyond the \
             chosen one; the reference stays in memory"
        }
        LossKind::Sft => "Supervised fine-tuning on the chosen completions; no reference",
        LossKind::Simpo => {
            "Mean token log-probs apart by `simpo_gamma`, without a reference; AlphaPO with `simpo_alpha`"
        }
        LossKind::Orpo => {
            "The chosen completion's likelihood, and `orpo_lambda` of the odds between both, without a reference"
        }
        LossKind::Cpo => "DPO without a reference, and `cpo_alpha` of the chosen completion's likelihood",
        LossKind::Aot => {
            "Optimal transport between the margins of policy and reference over a batch, which is computed at once"
        }
        LossKind::AotUnpaired => {
            "Optimal transport between chosen and rejected log-ratios over a batch, which is computed at once"
        }
        LossKind::BetaDpo => {
            "DPO whose β follows the mean margin of a batch, which is computed at once, by `beta_dpo_alpha`"
        }
        LossKind::SoftLabel => {
            "DPO with the share of votes for the first completion as its label; a tie is half a vote for each"
        }
        LossKind::Odpo => "DPO with an offset, `odpo_alpha` times the logarithm of the gap of the scores",
        LossKind::RpoSq => "Squared distance of β·h to `rpo_eta` times the gap of the scores",
        LossKind::RpoBwdKl => "Backward divergence of the preference from the one that the scores imply",
        LossKind::RpoFwdKl => "Forward divergence of the preference from the one that the scores imply",
        LossKind::PlackettLuce => "Ranked lists: the probability that the policy draws them in this order",
        LossKind::Lipo => "Ranked lists with scores: pairs weighted by what they matter in the order",
        LossKind::RaoKupper => "Pairs and ties: margins within `rao_kupper_a` are ties",
        LossKind::Davidson => "Pairs and ties: how common ties are is `davidson_nu`",
        LossKind::Kto => "Single completions that are good or bad",
        LossKind::GroupRobust => {
            "DPO whose groups of rows count the more the worse they fare; the column `group` has to be named"
        }
        LossKind::Modpo => {
            "DPO beside another reward, whose margin is the gap of the scores, with weight `modpo_weight`"
        }
    }
}

/// A word of a run file.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LossKind>, D::Error> {
    let word = String::deserialize(deserializer)?;
    LossKind::from_str(&word).map(Some).map_err(|_| D::Error::custom(refusal(&word)))
}

fn refusal(word: &str) -> String {
    let known: Vec<String> = LossKind::ALL.iter().map(|kind| format!("`{kind}`")).collect();
    format!("unknown variant `{word}`, expected one of {}", known.join(", "))
}

/// As clap reads a choice.
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
        PossibleValuesParser::new(possible_values())
            .try_map(|word| LossKind::from_str(&word))
            .parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(possible_values()))
    }
}

fn possible_values() -> impl Iterator<Item = PossibleValue> {
    LossKind::ALL.into_iter().map(|kind| PossibleValue::new(kind.name()).help(help(kind)))
}
