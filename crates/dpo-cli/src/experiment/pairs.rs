//! Preference pairs: two samples, ordered by the true reward with Bradley–Terry noise.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::corpus::write_rows;
use super::reward::sentiment;
use super::rng::Rng;

/// What a model wrote after a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Samples {
    /// The first words.
    pub(crate) prompt: String,
    /// Independent samples: two are compared, more allow a redraw.
    pub(crate) completions: Vec<String>,
}

/// A row of `pairs/*.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// The first words.
    pub(crate) prompt: String,
    /// The completion that the noisy judge preferred.
    pub(crate) chosen: String,
    /// The other one.
    pub(crate) rejected: String,
}

/// The judge: prefers `a` with probability `σ((r(a) − r(b)) / temperature)`, Bradley and Terry 1952.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judge {
    /// Above 0, in units of the reward: the larger, the more labels are wrong.
    pub(crate) temperature: f64,
    /// Two samples whose rewards lie closer than this are not shown to the judge: the next sample is drawn.
    pub(crate) min_gap: f64,
    /// Which labels are wrong.
    pub(crate) seed: u64,
}

impl Default for Judge {
    fn default() -> Self {
        Self { temperature: 2.0, min_gap: 2.0, seed: 1952 }
    }
}

/// What [`Judge::label`] made of the samples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Labelled {
    /// One pair for each prompt that had two samples to compare.
    pub(crate) pairs: Vec<Pair>,
    /// Samples passed over because they repeated the first one, or were empty.
    pub(crate) n_identical: usize,
    /// Samples passed over because their reward was too close to the first one's.
    pub(crate) n_close: usize,
    /// Prompts left out because no sample could be compared with the first one.
    pub(crate) n_dropped: usize,
}

/// How far any model can agree with the noisy labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ceiling {
    /// The mean of `max(p, 1 − p)`: what knowing the true reward gives on average over labels.
    pub(crate) expected: f64,
    /// The share of these very labels that the true reward agrees with; a tie counts one half.
    pub(crate) realised: f64,
    /// How many pairs these are.
    pub(crate) n_pairs: usize,
}

impl Judge {
    /// Pairs the first sample of each prompt with the first later one that can be compared, and labels them.
    pub(crate) fn label(&self, samples: &[Samples]) -> Labelled {
        let mut labelled = Labelled::default();
        for (idx, samples) in samples.iter().enumerate() {
            let mut rng = Rng::new(self.seed, idx as u64);
            match self.compare(samples, &mut labelled) {
                Some((a, b)) => labelled.pairs.push(self.order(&samples.prompt, a, b, &mut rng)),
                None => labelled.n_dropped += 1,
            }
        }
        labelled
    }

    /// The probability that the judge prefers a text of reward `first` to one of reward `second`.
    pub(crate) fn preference(&self, first: f64, second: f64) -> f64 {
        1.0 / (1.0 + (-(first - second) / self.temperature).exp())
    }

    /// The ceiling on labelled pairs; the rewards are read from the texts again. `None` without pairs.
    pub(crate) fn ceiling(&self, pairs: &[Pair]) -> Option<Ceiling> {
        if pairs.is_empty() {
            return None;
        }
        let gaps = pairs
            .iter()
            .map(|pair| reward(&pair.prompt, &pair.chosen) - reward(&pair.prompt, &pair.rejected));
        let (mut expected, mut realised) = (0.0, 0.0);
        for gap in gaps {
            expected += self.preference(gap.abs(), 0.0);
            realised += if gap > 0.0 {
                1.0
            } else if gap < 0.0 {
                0.0
            } else {
                0.5
            };
        }
        let n_pairs = pairs.len();
        Some(Ceiling { expected: expected / n_pairs as f64, realised: realised / n_pairs as f64, n_pairs })
    }

    fn compare<'a>(&self, samples: &'a Samples, labelled: &mut Labelled) -> Option<(&'a str, &'a str)> {
        let mut completions =
            samples.completions.iter().map(String::as_str).filter(|text| !text.trim().is_empty());
        let first = completions.next()?;
        let first_reward = reward(&samples.prompt, first);
        for second in completions {
            if second == first {
                labelled.n_identical += 1;
            } else if (first_reward - reward(&samples.prompt, second)).abs() < self.min_gap {
                labelled.n_close += 1;
            } else {
                return Some((first, second));
            }
        }
        None
    }

    fn order(&self, prompt: &str, first: &str, second: &str, rng: &mut Rng) -> Pair {
        let p = self.preference(reward(prompt, first), reward(prompt, second));
        let (chosen, rejected) = if rng.unit() < p { (first, second) } else { (second, first) };
        Pair { prompt: prompt.to_owned(), chosen: chosen.to_owned(), rejected: rejected.to_owned() }
    }
}

/// Writes `train.jsonl` and `heldout.jsonl` into `folder`.
pub(crate) fn write(folder: &Path, train: &[Pair], heldout: &[Pair]) -> anyhow::Result<()> {
    write_rows(&folder.join("train.jsonl"), train.iter())?;
    write_rows(&folder.join("heldout.jsonl"), heldout.iter())
}

/// The true reward of a completion, read with its prompt.
pub(crate) fn reward(prompt: &str, completion: &str) -> f64 {
    sentiment(&format!("{prompt}{completion}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::experiment::grammar::Review;

    fn samples(n: u64) -> Vec<Samples> {
        let tell = |idx| {
            let completions = (0..4).map(|telling| Review::retell(6, idx, telling).completion).collect();
            Samples { prompt: Review::retell(6, idx, 0).prompt, completions }
        };
        (0..n).map(tell).collect()
    }

    /// σ((2 − (−1)) / 1.5) = σ(2) = 0.880797…, and equal rewards are a coin.
    #[test]
    fn the_judge_follows_bradley_and_terry() {
        let judge = Judge { temperature: 1.5, min_gap: 0.0, seed: 1 };
        assert!((judge.preference(2.0, -1.0) - 0.880_797_077_977_882_3).abs() < 1e-15);
        assert!((judge.preference(1.0, 1.0) - 0.5).abs() < 1e-15);
        assert!((judge.preference(-9e9, 9e9)).abs() < 1e-15);
    }

    /// Realised and expected ceilings agree within 4 standard deviations, √(0.1 / 4000) = 0.005.
    #[test]
    fn labels_are_as_noisy_as_they_should_be() {
        let judge = Judge::default();
        let labelled = judge.label(&samples(4_000));
        let ceiling = judge.ceiling(&labelled.pairs).unwrap();
        assert!((ceiling.expected - ceiling.realised).abs() < 0.02, "{ceiling:?}");
        assert!((0.94..0.99).contains(&ceiling.expected), "{ceiling:?}");
        assert_eq!(judge.label(&samples(4_000)), labelled);
        assert_eq!(labelled.pairs.len() + labelled.n_dropped, 4_000);
    }

    #[test]
    fn identical_and_close_samples_are_passed_over_and_counted() {
        let completions =
            [" was good.", " was good.", " was great.", "", " was bad."].map(str::to_owned).to_vec();
        let alone = Samples { prompt: "It".to_owned(), completions: vec![" was good.".to_owned()] };
        let none = Samples { prompt: "It".to_owned(), completions: Vec::new() };
        let judge = Judge { temperature: 1e-9, min_gap: 1.0, seed: 1 };
        let labelled = judge.label(&[Samples { prompt: "It".to_owned(), completions }, alone, none]);
        assert_eq!((labelled.n_identical, labelled.n_close, labelled.n_dropped), (1, 1, 2));
        let [pair] = labelled.pairs.as_slice() else { panic!("{labelled:?}") };
        assert_eq!((pair.chosen.as_str(), pair.rejected.as_str()), (" was good.", " was bad."));
        assert_eq!(judge.ceiling(&[]), None);
    }

    /// Three pairs: the reward agrees with one, not with one, and is silent on one.
    #[test]
    fn a_tie_counts_half() {
        let pair = |chosen: &str, rejected: &str| Pair {
            prompt: "It was".to_owned(),
            chosen: format!(" {chosen}"),
            rejected: format!(" {rejected}"),
        };
        let ceiling =
            Judge::default().ceiling(&[pair("good", "bad"), pair("bad", "good"), pair("good", "great")]);
        assert!((ceiling.unwrap().realised - 0.5).abs() < 1e-15);
    }
}
