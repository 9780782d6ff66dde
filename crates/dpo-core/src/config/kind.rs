//! The names of losses.

use serde::{Deserialize, Serialize};

use super::InvalidLoss;

/// The losses by the name a run file gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// DPO, and cDPO when labels are smoothed.
    #[default]
    Sigmoid,
    /// IPO.
    Ipo,
    /// SLiC and RSO.
    Hinge,
    /// DPO on the margin per token.
    SigmoidNorm,
    /// Robust DPO: an unbiased estimate from flipped labels.
    Robust,
    /// EXO.
    ExoPair,
    /// NCA.
    NcaPair,
    /// BCO.
    BcoPair,
    /// SPPO.
    SppoHard,
    /// APO-zero.
    ApoZero,
    /// APO-down.
    ApoDown,
    /// DiscoPOP.
    Discopop,
    /// DPO-positive.
    Dpop,
    /// Cal-DPO.
    CalDpo,
    /// Length-regularised DPO.
    RDpo,
    /// Token-level DPO.
    Tdpo,
    /// Supervised fine-tuning on the chosen completions.
    Sft,
    /// SimPO, and AlphaPO.
    Simpo,
    /// ORPO.
    Orpo,
    /// CPO.
    Cpo,
    /// AOT: alignment by optimal transport.
    Aot,
    /// AOT of unpaired completions.
    AotUnpaired,
    /// DPO with a strength that follows the margin.
    BetaDpo,
    /// DPO with the share of votes as label.
    SoftLabel,
    /// DPO with an offset that grows with the gap of the scores.
    Odpo,
    /// Reward-aware preference optimization, squared distance.
    RpoSq,
    /// Reward-aware preference optimization, backward divergence.
    RpoBwdKl,
    /// Reward-aware preference optimization, forward divergence.
    RpoFwdKl,
    /// Plackett–Luce on ranked lists.
    PlackettLuce,
    /// LiPO-λ on scored lists.
    Lipo,
    /// Rao and Kupper's model of ties.
    RaoKupper,
    /// Davidson's model of ties.
    Davidson,
    /// KTO on labelled completions.
    Kto,
    /// DPO for the group that fares worst.
    GroupRobust,
    /// Multi-objective DPO beside a frozen reward.
    Modpo,
}

impl LossKind {
    /// Every loss, in the order of the documentation.
    pub const ALL: [Self; 35] = [
        Self::Sigmoid,
        Self::Ipo,
        Self::Hinge,
        Self::SigmoidNorm,
        Self::Robust,
        Self::ExoPair,
        Self::NcaPair,
        Self::BcoPair,
        Self::SppoHard,
        Self::ApoZero,
        Self::ApoDown,
        Self::Discopop,
        Self::Dpop,
        Self::CalDpo,
        Self::RDpo,
        Self::Tdpo,
        Self::Sft,
        Self::Simpo,
        Self::Orpo,
        Self::Cpo,
        Self::Aot,
        Self::AotUnpaired,
        Self::BetaDpo,
        Self::SoftLabel,
        Self::Odpo,
        Self::RpoSq,
        Self::RpoBwdKl,
        Self::RpoFwdKl,
        Self::PlackettLuce,
        Self::Lipo,
        Self::RaoKupper,
        Self::Davidson,
        Self::Kto,
        Self::GroupRobust,
        Self::Modpo,
    ];

    /// Its name in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Ipo => "ipo",
            Self::Hinge => "hinge",
            Self::SigmoidNorm => "sigmoid_norm",
            Self::Robust => "robust",
            Self::ExoPair => "exo_pair",
            Self::NcaPair => "nca_pair",
            Self::BcoPair => "bco_pair",
            Self::SppoHard => "sppo_hard",
            Self::ApoZero => "apo_zero",
            Self::ApoDown => "apo_down",
            Self::Discopop => "discopop",
            Self::Dpop => "dpop",
            Self::CalDpo => "cal_dpo",
            Self::RDpo => "r_dpo",
            Self::Tdpo => "tdpo",
            Self::Sft => "sft",
            Self::Simpo => "simpo",
            Self::Orpo => "orpo",
            Self::Cpo => "cpo",
            Self::Aot => "aot",
            Self::AotUnpaired => "aot_unpaired",
            Self::BetaDpo => "beta_dpo",
            Self::SoftLabel => "soft_label",
            Self::Odpo => "odpo",
            Self::RpoSq => "rpo_sq",
            Self::RpoBwdKl => "rpo_bwd_kl",
            Self::RpoFwdKl => "rpo_fwd_kl",
            Self::PlackettLuce => "plackett_luce",
            Self::Lipo => "lipo",
            Self::RaoKupper => "rao_kupper",
            Self::Davidson => "davidson",
            Self::Kto => "kto",
            Self::GroupRobust => "group_robust",
            Self::Modpo => "modpo",
        }
    }

    /// Whether it has a parameter of this name, a field of [`LossConfig`].
    pub fn reads(self, parameter: &str) -> bool {
        match parameter {
            "beta" => !matches!(self, Self::Sft | Self::Orpo),
            "label_smoothing" => matches!(
                self,
                Self::Sigmoid
                    | Self::Robust
                    | Self::ExoPair
                    | Self::Simpo
                    | Self::Cpo
                    | Self::Aot
                    | Self::AotUnpaired
            ),
            "ipo_reduction" => self == Self::Ipo,
            "bco_delta" => self == Self::BcoPair,
            "discopop_tau" => self == Self::Discopop,
            "dpop_lambda" => self == Self::Dpop,
            "r_dpo_alpha" => self == Self::RDpo,
            "tdpo_alpha" => self == Self::Tdpo,
            "simpo_gamma" | "simpo_alpha" => self == Self::Simpo,
            "orpo_lambda" => self == Self::Orpo,
            "cpo_alpha" => self == Self::Cpo,
            "beta_dpo_alpha" | "beta_dpo_momentum" => self == Self::BetaDpo,
            "odpo_alpha" => self == Self::Odpo,
            "rpo_eta" => matches!(self, Self::RpoSq | Self::RpoBwdKl | Self::RpoFwdKl),
            "rao_kupper_a" => self == Self::RaoKupper,
            "davidson_nu" => self == Self::Davidson,
            "kto_desirable" | "kto_undesirable" => self == Self::Kto,
            "group_robust_eta" => self == Self::GroupRobust,
            "modpo_weight" => self == Self::Modpo,
            _ => false,
        }
    }

    /// Whether what a pair costs depends on the others of its batch.
    pub fn couples_batch(self) -> bool {
        matches!(self, Self::Aot | Self::AotUnpaired | Self::BetaDpo)
    }

    /// Whether it is a loss of pairs that has no reference.
    pub fn is_reference_free(self) -> bool {
        matches!(self, Self::Simpo | Self::Orpo | Self::Cpo)
    }
}

impl std::fmt::Display for LossKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for LossKind {
    type Err = InvalidLoss;

    fn from_str(name: &str) -> Result<Self, InvalidLoss> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| InvalidLoss::UnknownKind { found: name.to_owned() })
    }
}
