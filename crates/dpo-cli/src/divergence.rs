//! How far a model has moved from another: their KL divergence, estimated from answers of the one.

use std::num::NonZeroUsize;

use anyhow::Result;
use dpo_data::{Relation, RowId, TokenTree};
use dpo_model::{Decoder, GenerateConfig, SampleConfig, Sampling, generate::Next};
use dpo_train::{INFERENCE_TOKENS, token_logps_in_parts};
use serde::Serialize;

/// Longest answer, in tokens.
const MAX_TOKENS: usize = 64;

/// Prompts with an answer each, drawn from a model's own distribution.
pub(crate) struct Answers(Vec<TokenTree>);

/// An estimate of `KL(π ‖ π_ref)` per answer, in nats: the mean over answers `y` of `π` to prompts `x` of
/// `log π(y|x) − log π_ref(y|x)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Divergence {
    /// The mean.
    pub(crate) kl: f64,
    /// Standard error of the mean; of a single answer it is no number, and `null` in JSON.
    pub(crate) kl_standard_error: f64,
    /// Answers it is the mean of.
    pub(crate) kl_samples: usize,
}

impl Answers {
    /// Answers of `model` to these prompts; each has random numbers of its own, by its place in the list.
    pub(crate) fn of(model: &Decoder, prompts: &[Vec<u32>], stop_ids: Vec<u32>, seed: u64) -> Result<Self> {
        if prompts.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let config = GenerateConfig {
            max_new_tokens: MAX_TOKENS,
            sampling: Sampling::Sample(SampleConfig { seed, ..SampleConfig::default() }),
            stop_ids,
            max_workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            ..GenerateConfig::default()
        };
        let generations = model.generate(prompts, &config, |_| Next::Continue)?;
        let answers = prompts.iter().zip(generations).filter(|(_, answer)| !answer.tokens.is_empty());
        Ok(Self(answers.map(|(prompt, answer)| tree(prompt.clone(), answer.tokens)).collect()))
    }

    /// Log-probability of each answer under `model`, in nats.
    pub(crate) fn logps(&self, model: &Decoder) -> Vec<f64> {
        answer_logps(model, &self.0.iter().collect::<Vec<_>>())
    }
}

impl Divergence {
    /// From the log-probs of the same answers under both models.
    pub(crate) fn of(policy: &[f64], reference: &[f64]) -> Self {
        let ratios: Vec<f64> = policy.iter().zip(reference).map(|(a, b)| a - b).collect();
        let n = ratios.len() as f64;
        let kl = ratios.iter().sum::<f64>() / n;
        let squares: f64 = ratios.iter().map(|x| (x - kl).powi(2)).sum();
        let kl_standard_error = (squares / (n - 1.0).max(0.0) / n).sqrt();
        Self { kl, kl_standard_error, kl_samples: ratios.len() }
    }
}

/// A prompt with one answer.
pub(crate) fn tree(prompt: Vec<u32>, answer: Vec<u32>) -> TokenTree {
    TokenTree {
        row: RowId { file: 0, row: 0 },
        prompt,
        completions: vec![answer],
        relation: Relation::Demonstration,
        weight: 1.0,
        group: None,
    }
}

/// Log-probability of each tree's completions together, in nats.
pub(crate) fn answer_logps(model: &Decoder, trees: &[&TokenTree]) -> Vec<f64> {
    let logps = token_logps_in_parts(model, trees, INFERENCE_TOKENS).into_iter();
    logps.map(|completions| completions.into_iter().flatten().map(f64::from).sum()).collect()
}

/// The first `n` prompts of `trees`, each once; rows without a prompt have none.
pub(crate) fn prompts<'a>(trees: impl IntoIterator<Item = &'a TokenTree>, n: usize) -> Vec<Vec<u32>> {
    let mut prompts: Vec<Vec<u32>> = Vec::new();
    for tree in trees.into_iter().filter(|tree| !tree.prompt.is_empty()) {
        if prompts.len() == n {
            break;
        }
        if !prompts.contains(&tree.prompt) {
            prompts.push(tree.prompt.clone());
        }
    }
    prompts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratios 1, 2 and 6: mean 3, variance (4 + 1 + 9) / 2 = 7, standard error √(7/3).
    #[test]
    fn a_divergence_is_the_mean_log_ratio() {
        let found = Divergence::of(&[-1.0, -2.0, -3.0], &[-2.0, -4.0, -9.0]);
        assert_eq!((found.kl, found.kl_samples), (3.0, 3));
        assert!((found.kl_standard_error - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
