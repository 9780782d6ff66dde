//! Completions of the starting model, and what judges make of them.

use anyhow::Result;
use dpo_model::Decoder;
use serde_json::{Value, json};

use crate::{
    experiment::{
        Rng, corpus,
        pairs::{Judge, reward},
        sampling::sample,
    },
    model_source::ModelSource,
};

/// Of the prompts and of the samples: other ones than those of the built-in pairs and of the measurement.
const PROMPT_SEED: u64 = 31;
const SAMPLE_SEED: u64 = 32;
const ANNOTATORS: u32 = 5;
const FLIPPED: f64 = 0.2;
/// True rewards of completions that are called excellent, mediocre and poor.
const EXCELLENT: f64 = 2.0;
const MEDIOCRE: f64 = 0.75;
const POOR: f64 = -2.0;

/// The one of the built-in pairs.
fn judge() -> Judge {
    Judge::default()
}

/// A prompt and different completions of it, with their true rewards.
struct Judged {
    prompt: String,
    completions: Vec<(String, f64)>,
}

/// What judgments are made on.
pub(super) struct Pool(Vec<Judged>);

impl Pool {
    /// Completions a prompt.
    pub(super) const SAMPLES: u64 = 4;

    pub(super) fn sampled(base: &Decoder, source: &ModelSource, n_prompts: usize) -> Result<Self> {
        let prompts = corpus::prompts(PROMPT_SEED, n_prompts);
        let empty = |prompt: &String| Judged { prompt: prompt.clone(), completions: Vec::new() };
        let mut pool: Vec<Judged> = prompts.iter().map(empty).collect();
        for round in 0..Self::SAMPLES {
            for (judged, drawn) in pool.iter_mut().zip(sample(base, source, &prompts, SAMPLE_SEED + round)?) {
                judged.add(drawn.completion);
            }
        }
        Ok(Self(pool))
    }

    /// Prompts of which all completions differ: lists of one length.
    fn lists(&self) -> impl Iterator<Item = (u64, &Judged)> {
        let whole = |judged: &&Judged| judged.completions.len() == Self::SAMPLES as usize;
        (0..).zip(self.0.iter().filter(whole))
    }

    /// Two completions of each prompt that has them: the first two that were sampled.
    fn pairs(&self) -> impl Iterator<Item = (u64, &Judged)> {
        (0..).zip(self.0.iter().filter(|judged| judged.completions.len() >= 2))
    }

    /// Lists in the order of Plackett and Luce at the judge's temperature: by true reward and Gumbel noise.
    pub(super) fn ranked(&self, seed: u64) -> Vec<Value> {
        let row = |(idx, judged): (u64, &Judged)| {
            let texts: Vec<String> = judged.noisy(seed, idx).into_iter().map(|(text, _)| text).collect();
            json!({ "prompt": judged.prompt, "completions": texts })
        };
        self.lists().map(row).collect()
    }

    /// The same lists with the scores that order them, as grades between 0 and 1, which is what LiPO reads: its gains are
    /// powers of 2.
    pub(super) fn graded(&self, seed: u64) -> Vec<Value> {
        let mut rows = self.scored(seed);
        for row in &mut rows {
            let scores = row["scores"].as_array_mut().into_iter().flatten();
            for score in scores {
                *score = json!(judge().preference(score.as_f64().unwrap_or_default(), 0.0));
            }
        }
        rows
    }

    /// The same lists with the scores that order them.
    pub(super) fn scored(&self, seed: u64) -> Vec<Value> {
        let row = |(idx, judged): (u64, &Judged)| {
            let (texts, scores): (Vec<String>, Vec<f64>) = judged.noisy(seed, idx).into_iter().unzip();
            json!({ "prompt": judged.prompt, "completions": texts, "scores": scores })
        };
        self.lists().map(row).collect()
    }

    /// Pairs with the votes of five annotators.
    pub(super) fn voted(&self, seed: u64) -> Vec<Value> {
        let row = |(idx, judged): (u64, &Judged)| {
            let votes = judged.votes(seed, idx);
            judged.pair(0, 1, &json!({ "votes": [votes, ANNOTATORS - votes] }))
        };
        self.pairs().map(row).collect()
    }

    /// What most of the same five annotators say.
    pub(super) fn majority(&self, seed: u64) -> Vec<Value> {
        let row = |(idx, judged): (u64, &Judged)| judged.ordered(2 * judged.votes(seed, idx) > ANNOTATORS);
        self.pairs().map(row).collect()
    }

    /// What the first of the same five annotators says.
    pub(super) fn one_voice(&self, seed: u64) -> Vec<Value> {
        let row = |(idx, judged): (u64, &Judged)| judged.ordered(judged.says(&mut Rng::new(seed, idx)));
        self.pairs().map(row).collect()
    }

    /// Pairs in the order of the true reward, of which a fifth was turned round.
    pub(super) fn flipped(&self, seed: u64) -> Vec<Value> {
        let row = |(idx, judged): (u64, &Judged)| {
            let is_flipped = Rng::new(seed, idx).unit() < FLIPPED;
            judged.ordered((judged.gap() > 0.0) != is_flipped)
        };
        self.pairs().filter(|(_, judged)| judged.gap() != 0.0).map(row).collect()
    }

    /// The same before it was.
    pub(super) fn unflipped(&self, _seed: u64) -> Vec<Value> {
        let clear = self.pairs().filter(|(_, judged)| judged.gap() != 0.0);
        clear.map(|(_, judged)| judged.ordered(judged.gap() > 0.0)).collect()
    }

    pub(super) fn excellent_and_poor(&self, _seed: u64) -> Vec<Value> {
        self.contrasts().map(|(judged, [best, _, worst])| judged.pair(best, worst, &json!({}))).collect()
    }

    pub(super) fn excellent_and_mediocre(&self, _seed: u64) -> Vec<Value> {
        self.contrasts().map(|(judged, [best, middle, _])| judged.pair(best, middle, &json!({}))).collect()
    }

    /// Prompts that have an excellent, a mediocre and a poor completion, and where these are.
    fn contrasts(&self) -> impl Iterator<Item = (&Judged, [usize; 3])> {
        self.0.iter().filter_map(|judged| {
            let find = |is: fn(f64) -> bool| judged.completions.iter().position(|(_, reward)| is(*reward));
            let places = [
                find(|reward| reward >= EXCELLENT)?,
                find(|reward| reward.abs() <= MEDIOCRE)?,
                find(|reward| reward <= POOR)?,
            ];
            Some((judged, places))
        })
    }
}

impl Judged {
    /// Another completion, unless it is empty or was there.
    fn add(&mut self, completion: String) {
        let is_new = self.completions.iter().all(|(text, _)| *text != completion);
        if is_new && !completion.trim().is_empty() {
            let reward = reward(&self.prompt, &completion);
            self.completions.push((completion, reward));
        }
    }

    /// True reward of the first completion less that of the second.
    fn gap(&self) -> f64 {
        self.completions[0].1 - self.completions[1].1
    }

    /// Whether an annotator prefers the first of the two: Bradley and Terry.
    fn says(&self, rng: &mut Rng) -> bool {
        rng.unit() < judge().preference(self.gap(), 0.0)
    }

    /// Votes for the first of two.
    fn votes(&self, seed: u64, idx: u64) -> u32 {
        let mut rng = Rng::new(seed, idx);
        (0..ANNOTATORS).map(|_| u32::from(self.says(&mut rng))).sum()
    }

    /// Completions with noisy scores, the best first: `r + T·Gumbel`, whose order is Plackett and Luce's of `r / T`.
    fn noisy(&self, seed: u64, idx: u64) -> Vec<(String, f64)> {
        let mut rng = Rng::new(seed, idx);
        let mut scored: Vec<(String, f64)> = self
            .completions
            .iter()
            .map(|(text, reward)| {
                // 1 − u is above 0.
                let gumbel = -(-(1.0 - rng.unit()).ln()).max(f64::MIN_POSITIVE).ln();
                (text.clone(), reward + judge().temperature * gumbel)
            })
            .collect();
        scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        scored
    }

    fn ordered(&self, first_is_better: bool) -> Value {
        let [better, worse] = if first_is_better { [0, 1] } else { [1, 0] };
        self.pair(better, worse, &json!({}))
    }

    fn pair(&self, better: usize, worse: usize, more: &Value) -> Value {
        let mut row = json!({
            "prompt": self.prompt,
            "chosen": self.completions[better].0,
            "rejected": self.completions[worse].0,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            row[key] = value.clone();
        }
        row
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pool(n: usize) -> Pool {
        let judged = |idx: usize| {
            let mut judged = Judged { prompt: format!("It {idx} was"), completions: Vec::new() };
            for text in [" superb.", " a film.", " awful.", " good.", " good."] {
                judged.add(text.to_owned());
            }
            judged
        };
        Pool((0..n).map(judged).collect())
    }

    #[test]
    fn a_completion_counts_once() {
        assert_eq!(pool(1).0[0].completions.len(), 4);
    }

    /// P(first) = σ((r₀ − r₁) / 2) for each of five: within four standard deviations over 4,000 prompts.
    #[test]
    fn votes_follow_bradley_and_terry() {
        let pool = pool(4_000);
        let gap = reward("It", " superb.") - reward("It", " a film.");
        let share: f64 = pool
            .voted(3)
            .iter()
            .map(|row| row["votes"][0].as_f64().unwrap() / f64::from(ANNOTATORS) / 4_000.0)
            .sum();
        let expected = 1.0 / (1.0 + (-gap / 2.0).exp());
        assert!((share - expected).abs() < 4.0 * (expected * (1.0 - expected) / 20_000.0).sqrt(), "{share}");
    }

    /// The first place of a Plackett–Luce draw is the softmax of r / T.
    #[test]
    fn rankings_follow_plackett_and_luce() {
        let pool = pool(4_000);
        let first = pool.ranked(5).iter().filter(|row| row["completions"][0] == " superb.").count();
        let weights: Vec<f64> =
            pool.0[0].completions.iter().map(|(_, reward)| (reward / judge().temperature).exp()).collect();
        let expected = weights[0] / weights.iter().sum::<f64>();
        assert!((first as f64 / 4_000.0 - expected).abs() < 0.032, "{first}");
    }

    #[test]
    fn scores_fall_along_a_list_and_order_it_as_ranks_do() {
        let pool = pool(20);
        for (scored, ranked) in pool.scored(7).iter().zip(pool.ranked(7)) {
            let scores: Vec<f64> =
                scored["scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
            assert!(scores.is_sorted_by(|a, b| a >= b), "{scored}");
            assert_eq!(scored["completions"], ranked["completions"]);
        }
        let grades = pool.graded(7).into_iter().flat_map(|row| row["scores"].as_array().unwrap().clone());
        assert!(grades.map(|grade| grade.as_f64().unwrap()).all(|grade| 0.0 < grade && grade < 1.0));
    }

    #[test]
    fn a_fifth_is_flipped_and_the_rest_is_as_it_was() {
        let pool = pool(4_000);
        let (flipped, clean) = (pool.flipped(9), pool.unflipped(9));
        let n = flipped.iter().zip(&clean).filter(|(a, b)| a["chosen"] != b["chosen"]).count();
        assert!((n as f64 / 4_000.0 - FLIPPED).abs() < 0.026, "{n}");
        assert!(clean.iter().all(|row| row["chosen"] == " superb."));
    }

    #[test]
    fn contrasts_share_their_prompt_and_their_excellent_side() {
        let pool = pool(3);
        let (poor, mediocre) = (pool.excellent_and_poor(0), pool.excellent_and_mediocre(0));
        assert_eq!(poor.len(), 3);
        assert_eq!((&poor[0]["chosen"], &mediocre[0]["chosen"]), (&json!(" superb."), &json!(" superb.")));
        assert_eq!((&poor[0]["rejected"], &mediocre[0]["rejected"]), (&json!(" awful."), &json!(" a film.")));
    }
}
