//! `[loss]`.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::super::{
    choices::{
        Divergence, IpoReduction, TieModel,
        loss_kind::{self, LossKind, LossKindParser},
    },
    mix::MixPart,
};

/// `[loss]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Loss")]
pub(crate) struct LossSection {
    /// Objective; h is the margin, the chosen log-ratio less the rejected one
    ///
    /// Without it the loss follows the training rows, and the run says so: ranked lists train with plackett_luce, labelled
    /// completions with kto, pairs on which votes are divided with soft_label, with ties with rao_kupper, with scores with
    /// odpo, and all others with sigmoid.
    #[arg(long = "loss", value_name = "LOSS", value_parser = LossKindParser)]
    #[serde(deserialize_with = "loss_kind::read")]
    pub(crate) kind: Option<LossKind>,
    /// Strength β of the pull towards the reference, above 0; with `sigmoid_norm` the default is 5, with `simpo` 2
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub(crate) beta: Option<f64>,
    /// Share of labels taken to be wrong, from 0 to below 0.5; `sigmoid`, `robust`, `exo_pair`, `simpo`, `cpo`, `aot` and
    /// `aot_unpaired` only, `exo_pair` with 0.001 by default and never 0
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) label_smoothing: Option<f64>,
    /// What the margin is made of; `ipo` only
    #[arg(long)]
    pub(crate) ipo_reduction: Option<IpoReduction>,
    /// Reward that counts as neither good nor bad; `bco_pair` only
    #[arg(long, value_name = "DELTA", allow_negative_numbers = true)]
    pub(crate) bco_delta: Option<f64>,
    /// Width of the change from one part of the loss to the other, above 0 and at most 1; `discopop` only
    #[arg(long, value_name = "TAU", allow_negative_numbers = true)]
    pub(crate) discopop_tau: Option<f64>,
    /// Weight of what the chosen completion lost, not negative; `dpop` only
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true)]
    pub(crate) dpop_lambda: Option<f64>,
    /// Weight of each token that the chosen completion is longer, not negative; `r_dpo` only
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) r_dpo_alpha: Option<f64>,
    /// Weight of the divergence along the rejected completion beyond that along the chosen one, not negative; `tdpo` only
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) tdpo_alpha: Option<f64>,
    /// Margin that is asked for, not negative; `simpo` only
    #[arg(long, value_name = "GAMMA", allow_negative_numbers = true)]
    pub(crate) simpo_gamma: Option<f64>,
    /// Shape of the reward, AlphaPO's α; 0 is SimPO; `simpo` only
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) simpo_alpha: Option<f64>,
    /// Weight of the odds ratio, above 0; `orpo` only
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true)]
    pub(crate) orpo_lambda: Option<f64>,
    /// Weight of the chosen completion's likelihood, not negative; `cpo` only
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) cpo_alpha: Option<f64>,
    /// How much β follows the margin of a batch, per nat, not negative; `beta_dpo` only
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) beta_dpo_alpha: Option<f64>,
    /// What of the moving average of margins stays at a step, from 0 to below 1; `beta_dpo` only
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) beta_dpo_momentum: Option<f64>,
    /// Weight of the logarithm of the gap of the scores, not negative; `odpo` only
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) odpo_alpha: Option<f64>,
    /// Reward of a point of the scores, above 0; `rpo_sq`, `rpo_bwd_kl` and `rpo_fwd_kl` only
    #[arg(long, value_name = "ETA", allow_negative_numbers = true)]
    pub(crate) rpo_eta: Option<f64>,
    /// How ties are modelled: the loss of this name, which `kind` need not name then; no other loss reads ties
    #[arg(long, value_name = "MODEL")]
    pub(crate) ties: Option<TieModel>,
    /// Half the width of the margins that are ties, above 0; `rao_kupper` only
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub(crate) rao_kupper_a: Option<f64>,
    /// How common ties are, above 0; `davidson` only
    #[arg(long, value_name = "NU", allow_negative_numbers = true)]
    pub(crate) davidson_nu: Option<f64>,
    /// Weight of desirable completions, not negative; `kto` only
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true)]
    pub(crate) kto_desirable: Option<f64>,
    /// Weight of undesirable completions, not negative; `kto` only
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true)]
    pub(crate) kto_undesirable: Option<f64>,
    /// How fast the groups' shares follow their losses, not negative; `group_robust` only
    #[arg(long, value_name = "ETA", allow_negative_numbers = true)]
    pub(crate) group_robust_eta: Option<f64>,
    /// Weight of what is learnt beside the other reward, above 0 and at most 1; `modpo` only
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub(crate) modpo_weight: Option<f64>,
    /// What holds the policy to its reference; losses of the margin only: `sigmoid`, `ipo`, `hinge`, `sigmoid_norm`, `robust`,
    /// `exo_pair`, `discopop`, `r_dpo`, `soft_label`, `rao_kupper`, `davidson`, `odpo`, `rpo_sq`, `rpo_bwd_kl`, `rpo_fwd_kl` and
    /// `modpo`. Without it, the reverse KL divergence
    #[arg(long)]
    pub(crate) f_divergence: Option<Divergence>,
    /// α of the α-divergence; 1 would be the reverse KL divergence, 0 is the forward one. Without it, 0.5
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) f_alpha: Option<f64>,
    /// Weight, from 0 to 1, of the tokens that a completion has beyond the length of the other one of its pair, for policy and
    /// reference (LD-DPO); losses of pairs with a reference only, and not `group_robust`
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) ld_alpha: Option<f64>,
    /// Weight of the chosen completion's negative log-likelihood per token beside the loss (RPO), not negative; losses of pairs
    /// only, but not `sft`, `orpo` and `cpo`, which have it, `rao_kupper` and `davidson`, whose ties have none, and `group_robust`
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    pub(crate) sft_weight: Option<f64>,
    /// Weigh each pair by how likely the policy is to say both completions itself (WPO); losses of pairs only, but not those that
    /// couple a batch and `group_robust`
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) wpo: Option<bool>,
    /// Several losses at once, each with its weight and its own settings, instead of `kind`; as a flag, once for each:
    /// KIND=WEIGHT or KIND=WEIGHT,SETTING=VALUE
    ///
    /// In a run file, a table for each: `[[loss.mix]]` with `kind`, `weight` (1 unless it is given) and settings. Mixed
    /// preference optimization is `--mix sigmoid=0.8 --mix bco_pair=0.2 --mix sft=1`. `ld_alpha`, `sft_weight` and
    /// `wpo` are for all of them.
    #[arg(long, value_name = "KIND=WEIGHT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mix: Option<Vec<MixPart>>,
}
