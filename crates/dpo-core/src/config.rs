//! `[loss]` of a run file.

mod beyond_pairs;

use serde::{Deserialize, Serialize};

use crate::{IpoReduction, Objective, PairwiseLoss};

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
    /// Supervised fine-tuning on the chosen completions.
    Sft,
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
    pub const ALL: [Self; 28] = [
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
        Self::Sft,
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
            Self::Sft => "sft",
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
            "beta" => self != Self::Sft,
            "label_smoothing" => matches!(self, Self::Sigmoid | Self::Robust | Self::ExoPair),
            "ipo_reduction" => self == Self::Ipo,
            "bco_delta" => self == Self::BcoPair,
            "discopop_tau" => self == Self::Discopop,
            "dpop_lambda" => self == Self::Dpop,
            "r_dpo_alpha" => self == Self::RDpo,
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

/// `[loss]` of a run file. A missing field takes its default, an unknown one is an error, and so is a parameter
/// that the chosen loss does not have: it would be ignored.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// Which loss.
    pub kind: LossKind,
    /// Strength of the pull towards the reference, `β`; 0.1 to 0.5 in the paper. By default 0.1, and 5 for
    /// `sigmoid_norm`, whose margin is per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Share of labels taken to be wrong, `0 ≤ ε < 0.5`; `sigmoid` and `robust`, by default 0, and `exo_pair`, by default
    /// 0.001 and never 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// `mean` or `sum` over a completion's tokens; `ipo` only, by default `mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipo_reduction: Option<IpoReduction>,
    /// Reward that counts as neither good nor bad; `bco_pair` only, by default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bco_delta: Option<f64>,
    /// Width `0 < τ ≤ 1` of the change-over; `discopop` only, by default 0.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discopop_tau: Option<f64>,
    /// Weight `λ ≥ 0` of what the chosen completion lost; `dpop` only, by default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_lambda: Option<f64>,
    /// Weight `α ≥ 0` of a token of length; `r_dpo` only, by default 0.01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r_dpo_alpha: Option<f64>,
    /// Weight `α ≥ 0` of the logarithm of the gap of the scores; `odpo` only, by default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odpo_alpha: Option<f64>,
    /// Reward `η > 0` of a point of the scores; `rpo_sq`, `rpo_bwd_kl` and `rpo_fwd_kl`, by default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo_eta: Option<f64>,
    /// Half the width `a > 0` of the margins that are ties; `rao_kupper` only, by default ln 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rao_kupper_a: Option<f64>,
    /// How common ties are, `ν > 0`; `davidson` only, by default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub davidson_nu: Option<f64>,
    /// Weight `λ_D ≥ 0` of desirable completions; `kto` only, by default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kto_desirable: Option<f64>,
    /// Weight `λ_U ≥ 0` of undesirable completions; `kto` only, by default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kto_undesirable: Option<f64>,
    /// How fast the groups' shares follow their losses, `η ≥ 0`; `group_robust` only, by default 0.01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_robust_eta: Option<f64>,
    /// Weight `0 < w ≤ 1` of what is learnt beside the other reward; `modpo` only, by default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modpo_weight: Option<f64>,
}

/// Why a [`LossConfig`] is not one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLoss {
    /// No loss has this name.
    #[error("there is no loss `{found}`; choose one of {}", LossKind::ALL.map(LossKind::name).join(", "))]
    UnknownKind {
        /// The name given.
        found: String,
    },
    /// A parameter's value is out of its range.
    #[error("`loss.{parameter}` is {found}; give {expected}")]
    Value {
        /// The parameter's name.
        parameter: &'static str,
        /// The value given.
        found: f64,
        /// What it can be.
        expected: &'static str,
    },
    /// A parameter of another loss.
    #[error("`loss.{parameter}` is set, but the loss `{kind}` has no such parameter; remove it")]
    NotAParameter {
        /// The parameter's name.
        parameter: &'static str,
        /// The loss chosen.
        kind: LossKind,
    },
}

impl LossConfig {
    /// Checks the values and fills in the defaults.
    pub fn init(&self) -> Result<Objective, InvalidLoss> {
        self.refuse_foreign_parameters()?;
        let beta = || self.beta(if self.kind == LossKind::SigmoidNorm { 5.0 } else { 0.1 });
        Ok(Objective::Pairwise(match self.kind {
            LossKind::Sft => return Ok(Objective::Sft),
            LossKind::SoftLabel
            | LossKind::Odpo
            | LossKind::RpoSq
            | LossKind::RpoBwdKl
            | LossKind::RpoFwdKl
            | LossKind::PlackettLuce
            | LossKind::Lipo
            | LossKind::RaoKupper
            | LossKind::Davidson
            | LossKind::Kto
            | LossKind::GroupRobust
            | LossKind::Modpo => return self.beyond_pairs(),
            LossKind::Sigmoid => {
                PairwiseLoss::Sigmoid { beta: beta()?, label_smoothing: self.smoothing(0.0)? }
            }
            LossKind::Ipo => {
                PairwiseLoss::Ipo { beta: beta()?, reduction: self.ipo_reduction.unwrap_or_default() }
            }
            LossKind::Hinge => PairwiseLoss::Hinge { beta: beta()? },
            LossKind::SigmoidNorm => PairwiseLoss::SigmoidNorm { beta: beta()? },
            LossKind::Robust => PairwiseLoss::Robust { beta: beta()?, label_smoothing: self.smoothing(0.0)? },
            LossKind::ExoPair => {
                PairwiseLoss::ExoPair { beta: beta()?, label_smoothing: self.exo_smoothing()? }
            }
            LossKind::NcaPair => PairwiseLoss::NcaPair { beta: beta()? },
            LossKind::BcoPair => PairwiseLoss::BcoPair { beta: beta()?, delta: self.bco_delta()? },
            LossKind::SppoHard => PairwiseLoss::SppoHard { beta: beta()? },
            LossKind::ApoZero => PairwiseLoss::ApoZero { beta: beta()? },
            LossKind::ApoDown => PairwiseLoss::ApoDown { beta: beta()? },
            LossKind::Discopop => PairwiseLoss::Discopop { beta: beta()?, tau: self.discopop_tau()? },
            LossKind::Dpop => {
                let lambda = not_negative("dpop_lambda", self.dpop_lambda.unwrap_or(5.0))?;
                PairwiseLoss::Dpop { beta: beta()?, lambda }
            }
            LossKind::CalDpo => PairwiseLoss::CalDpo { beta: beta()? },
            LossKind::RDpo => {
                let alpha = not_negative("r_dpo_alpha", self.r_dpo_alpha.unwrap_or(0.01))?;
                PairwiseLoss::RDpo { beta: beta()?, alpha }
            }
        }))
    }

    fn refuse_foreign_parameters(&self) -> Result<(), InvalidLoss> {
        let kind = self.kind;
        let given = [
            ("beta", self.beta.is_some()),
            ("label_smoothing", self.label_smoothing.is_some()),
            ("ipo_reduction", self.ipo_reduction.is_some()),
            ("bco_delta", self.bco_delta.is_some()),
            ("discopop_tau", self.discopop_tau.is_some()),
            ("dpop_lambda", self.dpop_lambda.is_some()),
            ("r_dpo_alpha", self.r_dpo_alpha.is_some()),
            ("odpo_alpha", self.odpo_alpha.is_some()),
            ("rpo_eta", self.rpo_eta.is_some()),
            ("rao_kupper_a", self.rao_kupper_a.is_some()),
            ("davidson_nu", self.davidson_nu.is_some()),
            ("kto_desirable", self.kto_desirable.is_some()),
            ("kto_undesirable", self.kto_undesirable.is_some()),
            ("group_robust_eta", self.group_robust_eta.is_some()),
            ("modpo_weight", self.modpo_weight.is_some()),
        ];
        match given.into_iter().find(|&(parameter, is_set)| is_set && !kind.reads(parameter)) {
            Some((parameter, _)) => Err(InvalidLoss::NotAParameter { parameter, kind }),
            None => Ok(()),
        }
    }

    /// β must survive in `f32`, where tensors live: neither it nor 1/(2β) may become 0 or infinite there, nor the square
    /// of the latter where there is one.
    pub(crate) fn beta(&self, default: f64) -> Result<f64, InvalidLoss> {
        let beta = self.beta.unwrap_or(default);
        let target = (0.5 / beta) as f32;
        let has_square = matches!(self.kind, LossKind::Ipo | LossKind::SppoHard | LossKind::CalDpo);
        let largest = if has_square { target * target } else { target };
        let is_usable = (beta as f32) > 0.0 && (beta as f32).is_finite() && largest.is_finite();
        in_range("beta", beta, is_usable, "a number above 0, such as 0.1")
    }

    fn smoothing(&self, default: f64) -> Result<f64, InvalidLoss> {
        let found = self.label_smoothing.unwrap_or(default);
        let expected = "a number from 0 to below 0.5";
        in_range("label_smoothing", found, (0.0..0.5).contains(&found), expected)
    }

    /// `ln ε` has to be a number.
    fn exo_smoothing(&self) -> Result<f64, InvalidLoss> {
        let found = self.smoothing(1e-3)?;
        in_range("label_smoothing", found, found > 0.0, "a number between 0 and 0.5, such as 0.001")
    }

    fn bco_delta(&self) -> Result<f64, InvalidLoss> {
        let found = self.bco_delta.unwrap_or(0.0);
        in_range("bco_delta", found, (found as f32).is_finite(), "a number")
    }

    /// Above 1 the loss would grow exponentially with a margin that falls.
    fn discopop_tau(&self) -> Result<f64, InvalidLoss> {
        let found = self.discopop_tau.unwrap_or(0.05);
        let is_usable = (found as f32) > 0.0 && found <= 1.0;
        in_range("discopop_tau", found, is_usable, "a number above 0 and not above 1, such as 0.05")
    }
}

pub(crate) fn not_negative(parameter: &'static str, found: f64) -> Result<f64, InvalidLoss> {
    in_range(parameter, found, found >= 0.0 && (found as f32).is_finite(), "a number that is not negative")
}

pub(crate) fn in_range(
    parameter: &'static str,
    found: f64,
    is_usable: bool,
    expected: &'static str,
) -> Result<f64, InvalidLoss> {
    if is_usable { Ok(found) } else { Err(InvalidLoss::Value { parameter, found, expected }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<LossConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn nothing_said_is_dpo_with_beta_one_tenth() {
        let objective = parse("{}").unwrap().init().unwrap();
        assert_eq!(objective, Objective::Pairwise(PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 }));
    }

    #[test]
    fn every_name_reads_back_and_is_the_one_serde_uses() {
        for kind in LossKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        let error = "dpo".parse::<LossKind>().unwrap_err();
        assert!(error.to_string().starts_with("there is no loss `dpo`; choose one of sigmoid, ipo, hinge, "));
    }

    #[test]
    fn parameters_are_read() {
        let objective = parse(r#"{"kind":"ipo","beta":0.2,"ipo_reduction":"sum"}"#).unwrap().init().unwrap();
        let expected = PairwiseLoss::Ipo { beta: 0.2, reduction: IpoReduction::Sum };
        assert_eq!(objective, Objective::Pairwise(expected));
        assert_eq!(parse(r#"{"kind":"sft"}"#).unwrap().init(), Ok(Objective::Sft));
    }

    /// What an objective says of itself makes the same objective.
    #[test]
    fn every_objective_can_be_written_down() {
        for kind in LossKind::ALL {
            let objective = LossConfig { kind, ..LossConfig::default() }.init().unwrap();
            assert_eq!(objective.kind(), kind);
            assert_eq!(objective.config().init(), Ok(objective));
            assert_eq!(objective.beta(), objective.config().beta);
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(parse(r#"{"betta":0.2}"#).is_err());
    }

    #[test]
    fn a_parameter_of_another_loss_is_refused() {
        for (json, parameter) in [
            (r#"{"kind":"hinge","label_smoothing":0.1}"#, "label_smoothing"),
            (r#"{"kind":"sft","beta":0.1}"#, "beta"),
            (r#"{"ipo_reduction":"sum"}"#, "ipo_reduction"),
            (r#"{"kind":"dpop","r_dpo_alpha":0.1}"#, "r_dpo_alpha"),
            (r#"{"kind":"apo_zero","label_smoothing":0.1}"#, "label_smoothing"),
            (r#"{"bco_delta":0}"#, "bco_delta"),
            (r#"{"kind":"plackett_luce","odpo_alpha":1}"#, "odpo_alpha"),
            (r#"{"kind":"rao_kupper","davidson_nu":1}"#, "davidson_nu"),
        ] {
            let error = parse(json).unwrap().init().unwrap_err();
            assert!(
                matches!(error, InvalidLoss::NotAParameter { parameter: found, .. } if found == parameter)
            );
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let refused = |config: LossConfig, name: &str| {
            let error = config.init().unwrap_err();
            assert!(matches!(error, InvalidLoss::Value { parameter, .. } if parameter == name), "{error}");
        };
        let of = |kind| LossConfig { kind, ..LossConfig::default() };
        for beta in [0.0, -0.1, f64::NAN, f64::INFINITY, 1e-60, 1e60] {
            refused(LossConfig { beta: Some(beta), ..LossConfig::default() }, "beta");
        }
        refused(LossConfig { beta: Some(1e-30), ..of(LossKind::SppoHard) }, "beta");
        for smoothing in [-0.1, 0.5, f64::NAN] {
            for kind in [LossKind::Sigmoid, LossKind::Robust, LossKind::ExoPair] {
                refused(LossConfig { label_smoothing: Some(smoothing), ..of(kind) }, "label_smoothing");
            }
        }
        refused(LossConfig { label_smoothing: Some(0.0), ..of(LossKind::ExoPair) }, "label_smoothing");
        for tau in [0.0, 1.01, f64::NAN] {
            refused(LossConfig { discopop_tau: Some(tau), ..of(LossKind::Discopop) }, "discopop_tau");
        }
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            refused(LossConfig { dpop_lambda: Some(weight), ..of(LossKind::Dpop) }, "dpop_lambda");
            refused(LossConfig { r_dpo_alpha: Some(weight), ..of(LossKind::RDpo) }, "r_dpo_alpha");
            refused(LossConfig { odpo_alpha: Some(weight), ..of(LossKind::Odpo) }, "odpo_alpha");
            refused(LossConfig { kto_desirable: Some(weight), ..of(LossKind::Kto) }, "kto_desirable");
            refused(
                LossConfig { group_robust_eta: Some(weight), ..of(LossKind::GroupRobust) },
                "group_robust_eta",
            );
            refused(LossConfig { kto_undesirable: Some(weight), ..of(LossKind::Kto) }, "kto_undesirable");
        }
        refused(LossConfig { bco_delta: Some(f64::NAN), ..of(LossKind::BcoPair) }, "bco_delta");
        for weight in [0.0, 1.1, f64::NAN] {
            refused(LossConfig { modpo_weight: Some(weight), ..of(LossKind::Modpo) }, "modpo_weight");
        }
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            refused(LossConfig { rpo_eta: Some(width), ..of(LossKind::RpoSq) }, "rpo_eta");
            refused(LossConfig { rao_kupper_a: Some(width), ..of(LossKind::RaoKupper) }, "rao_kupper_a");
            refused(LossConfig { davidson_nu: Some(width), ..of(LossKind::Davidson) }, "davidson_nu");
        }
    }
}
