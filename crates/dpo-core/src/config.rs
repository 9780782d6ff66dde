//! `[loss]` of a run file.

mod beyond_pairs;
mod kind;
mod ranges;

use serde::{Deserialize, Serialize};

use crate::{
    CoupledLoss, DivergenceKind, FDivergence, IpoReduction, Modifiers, Objective, PairwiseLoss, Part,
    PartLoss, ReferenceFreeLoss, TokenLevelLoss, composite::no_divergence,
};

pub use kind::LossKind;
use ranges::{LEAST_EXPONENT, in_range, not_negative};

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
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
