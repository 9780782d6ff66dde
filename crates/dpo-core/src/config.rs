//! `[loss]` of a run file.

mod beyond_pairs;
mod kind;

use serde::{Deserialize, Serialize};

use crate::{
    CoupledLoss, DivergenceKind, FDivergence, IpoReduction, Modifiers, Objective, PairwiseLoss, Part,
    PartLoss, ReferenceFreeLoss, TokenLevelLoss, composite::no_divergence,
};

pub use kind::LossKind;

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
    /// Weight `α ≥ 0` of the divergence along the rejected completion beyond that along the chosen one; `tdpo` only, by
    /// default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tdpo_alpha: Option<f64>,
    /// Margin `γ ≥ 0` that is asked for; `simpo` only, by default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simpo_gamma: Option<f64>,
    /// AlphaPO's `α`, 0 or at least 0.001 away from it; `simpo` only, by default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simpo_alpha: Option<f64>,
    /// Weight `λ > 0` of the odds ratio; `orpo` only, by default 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orpo_lambda: Option<f64>,
    /// Weight `α ≥ 0` of the chosen completion's likelihood; `cpo` only, by default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpo_alpha: Option<f64>,
    /// How much the strength follows the margin, `a ≥ 0` in 1/nats; `beta_dpo` only, by default 0.6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_dpo_alpha: Option<f64>,
    /// What of the moving average of margins stays at a step, `0 ≤ m < 1`; `beta_dpo` only, by default 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_dpo_momentum: Option<f64>,
    /// What the policy is held to its reference by; losses of the margin only, by default the reverse KL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_divergence: Option<DivergenceKind>,
    /// `α` of the α-divergence, 1 or at least 0.001 away from it; by default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_alpha: Option<f64>,
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
    /// A setting that makes no sense with the others.
    #[error("`loss.{parameter}` {reason}")]
    Unsound {
        /// The setting's name.
        parameter: &'static str,
        /// What is wrong with it, and what to do.
        reason: String,
    },
}

impl LossConfig {
    /// Checks the values and fills in the defaults.
    pub fn init(&self) -> Result<Objective, InvalidLoss> {
        let part = Part { weight: 1.0, loss: self.part()? };
        Objective::combined(vec![part], Modifiers::default())
    }

    /// As [`init`](Self::init), for an objective of several parts.
    pub fn part(&self) -> Result<PartLoss, InvalidLoss> {
        self.refuse_foreign_parameters()?;
        let divergence = self.divergence()?;
        let loss = self.part_by_kind(divergence)?;
        match loss.is_of_margin() || self.f_divergence.is_none() {
            true => Ok(loss),
            false => Err(no_divergence(self.kind)),
        }
    }

    fn part_by_kind(&self, divergence: FDivergence) -> Result<PartLoss, InvalidLoss> {
        let beta = || {
            self.beta(match self.kind {
                LossKind::SigmoidNorm => 5.0,
                LossKind::Simpo => 2.0,
                _ => 0.1,
            })
        };
        let loss = match self.kind {
            LossKind::Sft => return Ok(PartLoss::Sft),
            LossKind::Simpo | LossKind::Orpo | LossKind::Cpo => {
                return self.reference_free(beta).map(PartLoss::ReferenceFree);
            }
            LossKind::BetaDpo => return self.beta_dpo(beta()?),
            LossKind::Tdpo => {
                let alpha = not_negative("tdpo_alpha", self.tdpo_alpha.unwrap_or(0.5))?;
                return Ok(PartLoss::TokenLevel(TokenLevelLoss::Tdpo { beta: beta()?, alpha }));
            }
            LossKind::Aot => {
                let (beta, label_smoothing) = (beta()?, self.smoothing(0.0)?);
                return Ok(PartLoss::Coupled(CoupledLoss::Aot { beta, label_smoothing }));
            }
            LossKind::AotUnpaired => {
                let (beta, label_smoothing) = (beta()?, self.smoothing(0.0)?);
                return Ok(PartLoss::Coupled(CoupledLoss::AotUnpaired { beta, label_smoothing }));
            }
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
            | LossKind::Modpo => return self.beyond_pairs(divergence),
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
        };
        Ok(PartLoss::Pairwise { loss, divergence })
    }

    fn beta_dpo(&self, beta: f64) -> Result<PartLoss, InvalidLoss> {
        let alpha = not_negative("beta_dpo_alpha", self.beta_dpo_alpha.unwrap_or(0.6))?;
        let momentum = self.beta_dpo_momentum.unwrap_or(0.9);
        let is_share = (0.0..1.0).contains(&momentum);
        let momentum = in_range("beta_dpo_momentum", momentum, is_share, "a share from 0 to below 1")?;
        Ok(PartLoss::Coupled(CoupledLoss::BetaDpo { beta, alpha, momentum }))
    }

    fn reference_free(
        &self,
        beta: impl Fn() -> Result<f64, InvalidLoss>,
    ) -> Result<ReferenceFreeLoss, InvalidLoss> {
        match self.kind {
            LossKind::Orpo => {
                let lambda = self.orpo_lambda.unwrap_or(0.1);
                let is_usable = (lambda as f32) > 0.0 && (lambda as f32).is_finite();
                let lambda = in_range("orpo_lambda", lambda, is_usable, "a number above 0, such as 0.1")?;
                Ok(ReferenceFreeLoss::Orpo { lambda })
            }
            LossKind::Cpo => Ok(ReferenceFreeLoss::Cpo {
                beta: beta()?,
                alpha: not_negative("cpo_alpha", self.cpo_alpha.unwrap_or(1.0))?,
                label_smoothing: self.smoothing(0.0)?,
            }),
            _ => Ok(ReferenceFreeLoss::Simpo {
                beta: beta()?,
                gamma: not_negative("simpo_gamma", self.simpo_gamma.unwrap_or(1.0))?,
                alpha: self.simpo_alpha()?,
                label_smoothing: self.smoothing(0.0)?,
            }),
        }
    }

    fn divergence(&self) -> Result<FDivergence, InvalidLoss> {
        if self.f_alpha.is_some() && self.f_divergence != Some(DivergenceKind::Alpha) {
            let reason = "is set, but `f_divergence` is not `alpha`; remove it".to_owned();
            return Err(InvalidLoss::Unsound { parameter: "f_alpha", reason });
        }
        Ok(match self.f_divergence {
            None | Some(DivergenceKind::ReverseKl) => FDivergence::ReverseKl,
            Some(DivergenceKind::ForwardKl) => FDivergence::ForwardKl,
            Some(DivergenceKind::Js) => FDivergence::Js,
            Some(DivergenceKind::Alpha) => match self.f_alpha.unwrap_or(0.5) {
                1.0 => FDivergence::ReverseKl,
                alpha => {
                    let is_usable = (alpha as f32).is_finite() && (alpha - 1.0).abs() >= LEAST_EXPONENT;
                    let expected = "1, or a number that is at least 0.001 away from it, such as 0.5";
                    FDivergence::Alpha(in_range("f_alpha", alpha, is_usable, expected)?)
                }
            },
        })
    }

    pub(crate) fn with_divergence(self, divergence: FDivergence) -> Self {
        let (kind, f_alpha) = match divergence {
            FDivergence::ReverseKl => return self,
            FDivergence::ForwardKl => (DivergenceKind::ForwardKl, None),
            FDivergence::Js => (DivergenceKind::Js, None),
            FDivergence::Alpha(alpha) => (DivergenceKind::Alpha, Some(alpha)),
        };
        Self { f_divergence: Some(kind), f_alpha, ..self }
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
            ("tdpo_alpha", self.tdpo_alpha.is_some()),
            ("simpo_gamma", self.simpo_gamma.is_some()),
            ("simpo_alpha", self.simpo_alpha.is_some()),
            ("orpo_lambda", self.orpo_lambda.is_some()),
            ("cpo_alpha", self.cpo_alpha.is_some()),
            ("beta_dpo_alpha", self.beta_dpo_alpha.is_some()),
            ("beta_dpo_momentum", self.beta_dpo_momentum.is_some()),
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

    fn simpo_alpha(&self) -> Result<f64, InvalidLoss> {
        let found = self.simpo_alpha.unwrap_or(0.0);
        let is_usable = found == 0.0 || (found as f32).is_finite() && found.abs() >= LEAST_EXPONENT;
        in_range("simpo_alpha", found, is_usable, "0, or a number that is at least 0.001 away from it")
    }

    /// Above 1 the loss would grow exponentially with a margin that falls.
    fn discopop_tau(&self) -> Result<f64, InvalidLoss> {
        let found = self.discopop_tau.unwrap_or(0.05);
        let is_usable = (found as f32) > 0.0 && found <= 1.0;
        in_range("discopop_tau", found, is_usable, "a number above 0 and not above 1, such as 0.05")
    }
}

/// `(e^{ax} − 1)/a` has no digits left in `f32` for a smaller `a`.
const LEAST_EXPONENT: f64 = 1e-3;

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
            assert_eq!(objective.name(), kind.name());
            let config = objective.parts()[0].loss.config();
            assert_eq!(config.kind, kind);
            assert_eq!(config.init().as_ref(), Ok(&objective));
            assert_eq!(objective.beta(), config.beta);
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
            refused(LossConfig { tdpo_alpha: Some(weight), ..of(LossKind::Tdpo) }, "tdpo_alpha");
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
