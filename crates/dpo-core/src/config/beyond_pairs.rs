//! Objectives of lists, votes, scores, labels and groups.

use super::{InvalidLoss, LossConfig, LossKind, in_range, not_negative};
use crate::{FDivergence, GroupRobust, PartLoss, RankedLoss, ScoredLoss, UnpairedLoss, VotedLoss};

impl LossConfig {
    /// The loss of a kind that reads more of a row than which of two completions is better.
    pub(super) fn beyond_pairs(&self, divergence: FDivergence) -> Result<PartLoss, InvalidLoss> {
        let beta = self.beta(0.1)?;
        let scored = |loss| PartLoss::Scored { loss, divergence };
        let voted = |loss| PartLoss::Voted { loss, divergence };
        let eta = || positive("rpo_eta", self.rpo_eta.unwrap_or(1.0), "a number above 0, such as 1");
        Ok(match self.kind {
            LossKind::PlackettLuce => PartLoss::Ranked(RankedLoss::PlackettLuce { beta }),
            LossKind::Lipo => PartLoss::Ranked(RankedLoss::Lipo { beta }),
            LossKind::Odpo => {
                let alpha = not_negative("odpo_alpha", self.odpo_alpha.unwrap_or(1.0))?;
                scored(ScoredLoss::Odpo { beta, alpha })
            }
            LossKind::RpoSq => scored(ScoredLoss::RpoSq { beta, eta: eta()? }),
            LossKind::RpoBwdKl => scored(ScoredLoss::RpoBwdKl { beta, eta: eta()? }),
            LossKind::RpoFwdKl => scored(ScoredLoss::RpoFwdKl { beta, eta: eta()? }),
            LossKind::RaoKupper => {
                let a = self.rao_kupper_a.unwrap_or_else(|| 3f64.ln());
                let a = positive("rao_kupper_a", a, "a number above 0, such as 1.1")?;
                voted(VotedLoss::RaoKupper { beta, a })
            }
            LossKind::Davidson => {
                let nu =
                    positive("davidson_nu", self.davidson_nu.unwrap_or(1.0), "a number above 0, such as 1")?;
                voted(VotedLoss::Davidson { beta, nu })
            }
            LossKind::Kto => PartLoss::Unpaired(UnpairedLoss::Kto {
                beta,
                desirable: not_negative("kto_desirable", self.kto_desirable.unwrap_or(1.0))?,
                undesirable: not_negative("kto_undesirable", self.kto_undesirable.unwrap_or(1.0))?,
            }),
            LossKind::Modpo => {
                let weight = self.modpo_weight.unwrap_or(0.5);
                let is_usable = (weight as f32) > 0.0 && weight <= 1.0;
                let weight = in_range("modpo_weight", weight, is_usable, "a number above 0 and not above 1")?;
                scored(ScoredLoss::Modpo { beta, weight })
            }
            LossKind::GroupRobust => PartLoss::GroupRobust(GroupRobust {
                beta,
                eta: not_negative("group_robust_eta", self.group_robust_eta.unwrap_or(0.01))?,
            }),
            // Those of pairs alone never come here.
            _ => voted(VotedLoss::SoftLabel { beta }),
        })
    }
}

/// It must survive in `f32`, where tensors live.
fn positive(parameter: &'static str, found: f64, expected: &'static str) -> Result<f64, InvalidLoss> {
    in_range(parameter, found, (found as f32) > 0.0 && (found as f32).is_finite(), expected)
}
