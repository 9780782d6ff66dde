//! `[loss]` of a run file.

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
    /// Supervised fine-tuning on the chosen completions.
    Sft,
}

impl LossKind {
    /// Every loss, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Sigmoid, Self::Ipo, Self::Hinge, Self::SigmoidNorm, Self::Sft];

    /// Its name in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Ipo => "ipo",
            Self::Hinge => "hinge",
            Self::SigmoidNorm => "sigmoid_norm",
            Self::Sft => "sft",
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
    /// Share of labels taken to be wrong, `0 ≤ ε < 0.5`; `sigmoid` only, by default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// `mean` or `sum` over a completion's tokens; `ipo` only, by default `mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipo_reduction: Option<IpoReduction>,
}

/// Why a [`LossConfig`] is not one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLoss {
    /// No loss has this name.
    #[error("there is no loss `{found}`; choose sigmoid, ipo, hinge, sigmoid_norm or sft")]
    UnknownKind {
        /// The name given.
        found: String,
    },
    /// β is zero, negative or not a number.
    #[error("`loss.beta` is {found}; give a number above 0, such as 0.1")]
    Beta {
        /// The value given.
        found: f64,
    },
    /// ε is outside [0, ½).
    #[error("`loss.label_smoothing` is {found}; give a number from 0 up to, not including, 0.5")]
    LabelSmoothing {
        /// The value given.
        found: f64,
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
        Ok(Objective::Pairwise(match self.kind {
            LossKind::Sft => return Ok(Objective::Sft),
            LossKind::Sigmoid => {
                PairwiseLoss::Sigmoid { beta: self.beta_or(0.1)?, label_smoothing: self.smoothing()? }
            }
            LossKind::Ipo => PairwiseLoss::Ipo {
                beta: self.beta_or(0.1)?,
                reduction: self.ipo_reduction.unwrap_or_default(),
            },
            LossKind::Hinge => PairwiseLoss::Hinge { beta: self.beta_or(0.1)? },
            LossKind::SigmoidNorm => PairwiseLoss::SigmoidNorm { beta: self.beta_or(5.0)? },
        }))
    }

    fn refuse_foreign_parameters(&self) -> Result<(), InvalidLoss> {
        let kind = self.kind;
        let given = [
            ("beta", self.beta.is_some(), kind != LossKind::Sft),
            ("label_smoothing", self.label_smoothing.is_some(), kind == LossKind::Sigmoid),
            ("ipo_reduction", self.ipo_reduction.is_some(), kind == LossKind::Ipo),
        ];
        match given.into_iter().find(|&(_, is_set, belongs)| is_set && !belongs) {
            Some((parameter, ..)) => Err(InvalidLoss::NotAParameter { parameter, kind }),
            None => Ok(()),
        }
    }

    /// β must survive in `f32`, where tensors live: neither it nor 1/(2β) may become 0 or infinite there.
    fn beta_or(&self, default: f64) -> Result<f64, InvalidLoss> {
        let beta = self.beta.unwrap_or(default);
        let is_usable = (beta as f32) > 0.0 && (beta as f32).is_finite() && ((0.5 / beta) as f32).is_finite();
        if is_usable { Ok(beta) } else { Err(InvalidLoss::Beta { found: beta }) }
    }

    fn smoothing(&self) -> Result<f64, InvalidLoss> {
        let found = self.label_smoothing.unwrap_or(0.0);
        if (0.0..0.5).contains(&found) { Ok(found) } else { Err(InvalidLoss::LabelSmoothing { found }) }
    }
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
        assert_eq!(
            error.to_string(),
            "there is no loss `dpo`; choose sigmoid, ipo, hinge, sigmoid_norm or sft"
        );
    }

    #[test]
    fn parameters_are_read() {
        let objective = parse(r#"{"kind":"ipo","beta":0.2,"ipo_reduction":"sum"}"#).unwrap().init().unwrap();
        let expected = PairwiseLoss::Ipo { beta: 0.2, reduction: IpoReduction::Sum };
        assert_eq!(objective, Objective::Pairwise(expected));
        assert_eq!(parse(r#"{"kind":"sft"}"#).unwrap().init(), Ok(Objective::Sft));
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
        ] {
            let error = parse(json).unwrap().init().unwrap_err();
            assert!(
                matches!(error, InvalidLoss::NotAParameter { parameter: found, .. } if found == parameter)
            );
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for beta in [0.0, -0.1, f64::NAN, f64::INFINITY, 1e-60, 1e60] {
            let config = LossConfig { beta: Some(beta), ..LossConfig::default() };
            assert!(matches!(config.init(), Err(InvalidLoss::Beta { .. })), "{beta}");
        }
        for smoothing in [-0.1, 0.5, f64::NAN] {
            let config = LossConfig { label_smoothing: Some(smoothing), ..LossConfig::default() };
            assert!(matches!(config.init(), Err(InvalidLoss::LabelSmoothing { .. })), "{smoothing}");
        }
    }
}
