//! Metrics of pairs, with the names that the Python trainers made common.

use serde::{Deserialize, Serialize};

use crate::{Label, PolicyScore, ReferenceFreeLoss};

/// Summed log-probs of one pair, in nats, as read from the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairScore {
    /// `log π_θ(y_w|x)`.
    pub policy_chosen: f64,
    /// `log π_θ(y_l|x)`.
    pub policy_rejected: f64,
    /// `log π_ref(y_w|x)`.
    pub reference_chosen: f64,
    /// `log π_ref(y_l|x)`.
    pub reference_rejected: f64,
}

impl PairScore {
    /// `βΔ_w`.
    pub fn chosen_reward(&self, beta: f64) -> f64 {
        beta * (self.policy_chosen - self.reference_chosen)
    }

    /// `βΔ_l`.
    pub fn rejected_reward(&self, beta: f64) -> f64 {
        beta * (self.policy_rejected - self.reference_rejected)
    }
}

/// Summed log-probs of one completion, in nats, as read from the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompletionScore {
    /// `log π_θ(y|x)`.
    pub policy: f64,
    /// `log π_ref(y|x)`.
    pub reference: f64,
}

impl CompletionScore {
    /// `βΔ`.
    pub fn reward(&self, beta: f64) -> f64 {
        beta * (self.policy - self.reference)
    }
}

/// The means of completions with a label: the desirable ones are the chosen, the undesirable ones the rejected, and accuracy
/// is the share of all pairs of one of each whose desirable one has strictly the higher reward. `None` if there are none of
/// a kind.
pub fn label_means(completions: &[(Label, CompletionScore)], beta: f64) -> Option<MetricMeans> {
    let of = |wanted: Label| {
        let found = completions.iter().filter(move |(label, _)| *label == wanted);
        found.map(|(_, score)| *score).collect::<Vec<CompletionScore>>()
    };
    let (good, bad) = (of(Label::Desirable), of(Label::Undesirable));
    let mean = |of: &[CompletionScore], value: &dyn Fn(&CompletionScore) -> f64| {
        (!of.is_empty()).then(|| of.iter().map(value).sum::<f64>() / of.len() as f64)
    };
    let reward = |score: &CompletionScore| score.reward(beta);
    let mut bad_rewards: Vec<f64> = bad.iter().map(reward).collect();
    bad_rewards.sort_unstable_by(f64::total_cmp);
    let beaten: usize =
        good.iter().map(|score| bad_rewards.partition_point(|bad| *bad < score.reward(beta))).sum();
    let (rewards_chosen, rewards_rejected) = (mean(&good, &reward)?, mean(&bad, &reward)?);
    Some(MetricMeans {
        rewards_chosen,
        rewards_rejected,
        rewards_accuracies: beaten as f64 / (good.len() * bad.len()) as f64,
        rewards_margins: rewards_chosen - rewards_rejected,
        logps_chosen: mean(&good, &|score| score.policy)?,
        logps_rejected: mean(&bad, &|score| score.policy)?,
    })
}

/// Adds up pairs, and micro-batches of them, to the means that are logged.
///
/// Every pair counts once, whatever its weight in the loss. Rewards are taken from the plain log-ratios,
/// whatever the loss makes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairMetrics {
    n_pairs: u64,
    chosen_reward: f64,
    rejected_reward: f64,
    n_correct: u64,
    chosen_logps: f64,
    rejected_logps: f64,
}

impl PairMetrics {
    /// Adds a pair.
    pub fn push(&mut self, score: &PairScore, beta: f64) {
        let rewards = [score.chosen_reward(beta), score.rejected_reward(beta)];
        self.add(rewards, [score.policy_chosen, score.policy_rejected]);
    }

    /// Adds a pair that has no reference: its rewards are those of the loss, see [`ReferenceFreeLoss::rewards`].
    pub fn push_policy(&mut self, score: &PolicyScore, loss: &ReferenceFreeLoss) {
        self.add(loss.rewards(score), [score.chosen, score.rejected]);
    }

    fn add(&mut self, [chosen, rejected]: [f64; 2], logps: [f64; 2]) {
        self.n_pairs += 1;
        self.chosen_reward += chosen;
        self.rejected_reward += rejected;
        self.n_correct += u64::from(chosen > rejected);
        self.chosen_logps += logps[0];
        self.rejected_logps += logps[1];
    }

    /// Pairs added so far.
    pub fn n_pairs(&self) -> u64 {
        self.n_pairs
    }

    /// The means; `None` before the first pair.
    pub fn means(&self) -> Option<MetricMeans> {
        let n = (self.n_pairs > 0).then_some(self.n_pairs as f64)?;
        Some(MetricMeans {
            rewards_chosen: self.chosen_reward / n,
            rewards_rejected: self.rejected_reward / n,
            rewards_accuracies: self.n_correct as f64 / n,
            rewards_margins: (self.chosen_reward - self.rejected_reward) / n,
            logps_chosen: self.chosen_logps / n,
            logps_rejected: self.rejected_logps / n,
        })
    }
}

/// Means over pairs, under the names of a run's `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricMeans {
    /// Mean of `βΔ_w`.
    #[serde(rename = "rewards/chosen")]
    pub rewards_chosen: f64,
    /// Mean of `βΔ_l`.
    #[serde(rename = "rewards/rejected")]
    pub rewards_rejected: f64,
    /// Share of pairs whose chosen reward is strictly the greater: 0 where policy = reference.
    #[serde(rename = "rewards/accuracies")]
    pub rewards_accuracies: f64,
    /// Mean of `βh`.
    #[serde(rename = "rewards/margins")]
    pub rewards_margins: f64,
    /// Mean of `log π_θ(y_w|x)`.
    #[serde(rename = "logps/chosen")]
    pub logps_chosen: f64,
    /// Mean of `log π_θ(y_l|x)`.
    #[serde(rename = "logps/rejected")]
    pub logps_rejected: f64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const RIGHT: PairScore = PairScore {
        policy_chosen: -12.0,
        policy_rejected: -15.0,
        reference_chosen: -13.0,
        reference_rejected: -14.5,
    };
    const TIED: PairScore = PairScore {
        policy_chosen: -4.0,
        policy_rejected: -7.0,
        reference_chosen: -4.0,
        reference_rejected: -7.0,
    };

    /// With β = 0.5: rewards 0.5 and −0.25 for the one pair, 0 and 0 for the other, which is no success.
    #[test]
    fn means_are_over_pairs_and_a_tie_is_not_accurate() {
        let mut metrics = PairMetrics::default();
        assert_eq!(metrics.means(), None);
        metrics.push(&RIGHT, 0.5);
        metrics.push(&TIED, 0.5);
        let expected = MetricMeans {
            rewards_chosen: 0.25,
            rewards_rejected: -0.125,
            rewards_accuracies: 0.5,
            rewards_margins: 0.375,
            logps_chosen: -8.0,
            logps_rejected: -11.0,
        };
        assert_eq!(metrics.means(), Some(expected));
        assert_eq!(metrics.n_pairs(), 2);
    }

    /// With β = 1: rewards 1 and −1 of desirable ones, 0 and −1 of undesirable ones. 1 beats both, −1 neither, for −1 is no more
    /// than −1: 2 of 4.
    #[test]
    fn labelled_completions_are_compared_across_labels() {
        let of = |label, reward| (label, CompletionScore { policy: reward - 5.0, reference: -5.0 });
        let good = [of(Label::Desirable, 1.0), of(Label::Desirable, -1.0)];
        let bad = [of(Label::Undesirable, 0.0), of(Label::Undesirable, -1.0)];
        let expected = MetricMeans {
            rewards_chosen: 0.0,
            rewards_rejected: -0.5,
            rewards_accuracies: 0.5,
            rewards_margins: 0.5,
            logps_chosen: -5.0,
            logps_rejected: -5.5,
        };
        assert_eq!(label_means(&[good, bad].concat(), 1.0), Some(expected));
        assert_eq!(label_means(&good, 1.0), None);
    }

    #[test]
    fn the_names_are_those_of_the_python_trainers() {
        let mut metrics = PairMetrics::default();
        metrics.push(&RIGHT, 0.1);
        let json = serde_json::to_value(metrics.means().unwrap()).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "rewards/chosen",
            "rewards/rejected",
            "rewards/accuracies",
            "rewards/margins",
            "logps/chosen",
            "logps/rejected",
        ];
        assert_eq!(names, expected);
    }
}
