//! Likelihood displacement: the chosen answers become less likely while the loss improves,
//! <https://arxiv.org/abs/2410.08847>.

use std::collections::VecDeque;

use dpo_core::PairScore;
use serde::{Deserialize, Serialize};

/// Steps that are looked at together.
const WINDOW: usize = 20;
/// Mean fall of the chosen log-probs, in nats, from which it is worth a warning.
const FALL: f64 = 1.0;

/// Watches the chosen log-ratios of the last steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DisplacementWatch {
    recent: VecDeque<StepMean>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct StepMean {
    chosen: f64,
    margin: f64,
}

impl DisplacementWatch {
    /// Adds a step's pairs; a message when over the window the chosen log-probs lie below the reference's by a
    /// nat on average although the margin grew.
    pub(crate) fn push(&mut self, pairs: &[PairScore]) -> Option<String> {
        if pairs.is_empty() {
            return None;
        }
        let n = pairs.len() as f64;
        let chosen = pairs.iter().map(|pair| pair.chosen_reward(1.0)).sum::<f64>() / n;
        let rejected = pairs.iter().map(|pair| pair.rejected_reward(1.0)).sum::<f64>() / n;
        self.recent.push_back(StepMean { chosen, margin: chosen - rejected });
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        let mean = |part: fn(&StepMean) -> f64| self.recent.iter().map(part).sum::<f64>() / WINDOW as f64;
        let (chosen, margin) = (mean(|step| step.chosen), mean(|step| step.margin));
        let displaced = self.recent.len() == WINDOW && chosen < -FALL && margin > 0.0;
        displaced.then(|| {
            format!(
                "the chosen answers became less likely while the loss improved: over the last {WINDOW} steps their \
                 log-probs lie {:.1} nats below the reference's on average, at a margin of {margin:.1}; a higher \
                 beta, a lower learning rate, or pairs whose sides differ more would help",
                -chosen
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(chosen: f64, rejected: f64) -> [PairScore; 1] {
        [PairScore {
            policy_chosen: chosen,
            policy_rejected: rejected,
            reference_chosen: 0.0,
            reference_rejected: 0.0,
        }]
    }

    /// Chosen −2, rejected −5: the margin is +3 and the chosen answer lost two nats.
    #[test]
    fn falling_chosen_with_growing_margin_is_noticed_after_a_full_window() {
        let mut watch = DisplacementWatch::default();
        assert!((1..WINDOW).all(|_| watch.push(&pair(-2.0, -5.0)).is_none()));
        assert!(watch.push(&pair(-2.0, -5.0)).is_some_and(|message| message.contains("2.0 nats")));
    }

    #[test]
    fn rising_chosen_is_no_displacement() {
        let mut watch = DisplacementWatch::default();
        assert!((0..3 * WINDOW).all(|_| watch.push(&pair(1.0, -5.0)).is_none()));
    }
}
