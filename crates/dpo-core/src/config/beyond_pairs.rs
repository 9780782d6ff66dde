//! Objectives of lists, votes, scores, labels and groups.

use super::{InvalidLoss, LossConfig, LossKind, in_range, not_negative};
use crate::{GroupRobust, Objective, RankedLoss, ScoredLoss, UnpairedLoss, VotedLoss};

impl LossConfig {
    /// The objective of a kind that reads more of a row than which of two completions is better.
    pub(super) fn beyond_pairs(&self) -> Result<Objective, InvalidLoss> {
        let beta = self.beta(0.1)?;
        let eta = || positive("rpo_eta", self.rpo_eta.unwrap_or(1.0), "a number above 0, such as 1");
        Ok(match self.kind {
            LossKind::PlackettLuce => Objective::Ranked(RankedLoss::PlackettLuce { beta }),
            LossKind::Lipo => Objective::Ranked(RankedLoss::Lipo { beta }),
            LossKind::Odpo => {
                let alpha = not_negative("odpo_alpha", self.odpo_alpha.unwrap_or(1.0))?;
                Objective::Scored(ScoredLoss::Odpo { beta, alpha })
            }
            LossKind::RpoSq => Objective::Scored(ScoredLoss::RpoSq { beta, eta: eta()? }),
            LossKind::RpoBwdKl => Objective::Scored(ScoredLoss::RpoBwdKl { beta, eta: eta()? }),
            LossKind::RpoFwdKl => Objective::Scored(ScoredLoss::RpoFwdKl { beta, eta: eta()? }),
            LossKind::RaoKupper => {
                let a = self.rao_kupper_a.unwrap_or_else(|| 3f64.ln());
                let a = positive("rao_kupper_a", a, "a number above 0, such as 1.1")?;
                Objective::Voted(VotedLoss::RaoKupper { beta, a })
            }
            LossKind::Davidson => {
                let nu =
                    positive("davidson_nu", self.davidson_nu.unwrap_or(1.0), "a number above 0, such as 1")?;
                Objective::Voted(VotedLoss::Davidson { beta, nu })
            }
            LossKind::Kto => Objective::Unpaired(UnpairedLoss::Kto {
                beta,
                desirable: not_negative("kto_desirable", self.kto_desirable.unwrap_or(1.0))?,
                undesirable: not_negative("kto_undesirable", self.kto_undesirable.unwrap_or(1.0))?,
            }),
            LossKind::Modpo => {
                let weight = self.modpo_weight.unwrap_or(0.5);
                let is_usable = (weight as f32) > 0.0 && weight <= 1.0;
                let weight = in_range("modpo_weight", weight, is_usable, "a number above 0 and not above 1")?;
                Objective::Scored(ScoredLoss::Modpo { beta, weight })
            }
            LossKind::GroupRobust => Objective::GroupRobust(GroupRobust {
                beta,
                eta: not_negative("group_robust_eta", self.group_robust_eta.unwrap_or(0.01))?,
            }),
            // Those of pairs alone never come here.
            _ => Objective::Voted(VotedLoss::SoftLabel { beta }),
        })
    }
}

/// It must survive in `f32`, where tensors live.
fn positive(parameter: &'static str, found: f64, expected: &'static str) -> Result<f64, InvalidLoss> {
    in_range(parameter, found, (found as f32) > 0.0 && (found as f32).is_finite(), expected)
}
