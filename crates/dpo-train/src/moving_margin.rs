//! The moving average of the batches' mean margins, which β-DPO follows: <https://arxiv.org/abs/2407.08639>.

use dpo_core::PairScore;
use serde::{Deserialize, Serialize};

/// A moving average in nats; nothing before the first batch.
///
/// A checkpoint has its bits, so that a resumed run goes on from the same number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MovingMargin {
    bits: Option<u64>,
}

impl MovingMargin {
    /// The average; `None` before the first batch.
    pub fn value(self) -> Option<f64> {
        self.bits.map(f64::from_bits)
    }

    /// Takes in a batch's mean margin: `M₀ ← m·M₀ + (1 − m)·M_b`; the first one is the average.
    pub(crate) fn follow(&mut self, pairs: &[PairScore], momentum: f64) {
        if pairs.is_empty() {
            return;
        }
        let margin = |pair: &PairScore| pair.chosen_reward(1.0) - pair.rejected_reward(1.0);
        let mean = pairs.iter().map(margin).sum::<f64>() / pairs.len() as f64;
        let average = self.value().map_or(mean, |average| momentum * average + (1.0 - momentum) * mean);
        self.bits = Some(average.to_bits());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pairs(margins: &[f64]) -> Vec<PairScore> {
        let pair = |margin: &f64| PairScore {
            policy_chosen: *margin,
            policy_rejected: 1.0,
            reference_chosen: 0.0,
            reference_rejected: 1.0,
        };
        margins.iter().map(pair).collect()
    }

    /// Means 2 and 4: 0.75·2 + 0.25·4 = 2.5. Written and read it has the same bits, also where its digits do not end.
    #[test]
    fn it_follows_the_mean_and_survives_a_checkpoint() {
        let mut margin = MovingMargin::default();
        assert_eq!(margin.value(), None);
        margin.follow(&pairs(&[1.0, 3.0]), 0.75);
        assert_eq!(margin.value(), Some(2.0));
        margin.follow(&pairs(&[4.0]), 0.75);
        assert_eq!(margin.value(), Some(2.5));
        margin.follow(&pairs(&[0.1]), 1.0 / 3.0);
        let again: MovingMargin = serde_json::from_str(&serde_json::to_string(&margin).unwrap()).unwrap();
        assert_eq!(again, margin);
    }
}
