//! Answers before and after, and margins before and after.

use std::path::Path;

use anyhow::Result;
use dpo_data::TextEncoder;
use dpo_model::{Decoder, GenerateConfig, Sampling, generate::Next};
use dpo_train::{Evaluation, TrainData, write_atomically};
use serde_json::json;

use crate::{divergence, model_source::ModelSource};

/// Token ids of the first prompts of the held-out rows, or of the training rows where nothing is held out.
pub(crate) fn prompts(data: &TrainData, n: usize) -> Vec<Vec<u32>> {
    let trees = data.eval_sets.first().map_or(&data.trees, |set| &set.trees);
    divergence::prompts(trees, n)
}

/// Answers prompts greedily.
pub(crate) struct Sampler {
    config: GenerateConfig,
}

impl Sampler {
    pub(crate) fn new(source: &ModelSource, max_new_tokens: usize) -> Self {
        let config = GenerateConfig {
            max_new_tokens,
            sampling: Sampling::Greedy,
            stop_ids: source.stop_ids(),
            ..GenerateConfig::default()
        };
        Self { config }
    }

    /// One answer a prompt, as token ids.
    pub(crate) fn answer(&self, model: &Decoder, prompts: &[Vec<u32>]) -> Result<Vec<Vec<u32>>> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let generations = model.generate(prompts, &self.config, |_| Next::Continue)?;
        Ok(generations.into_iter().map(|generation| generation.tokens).collect())
    }
}

/// Writes `samples.jsonl`.
pub(crate) fn write(
    dir: &Path,
    encoder: &TextEncoder,
    prompts: &[Vec<u32>],
    before: &[Vec<u32>],
    after: &[Vec<u32>],
) -> Result<()> {
    let mut lines = String::new();
    for ((prompt, before), after) in prompts.iter().zip(before).zip(after) {
        let line = json!({
            "prompt": encoder.decode(prompt)?,
            "before": encoder.decode(before)?,
            "after": encoder.decode(after)?,
        });
        lines += &format!("{line}\n");
    }
    Ok(write_atomically(&dir.join("samples.jsonl"), lines.as_bytes())?)
}

/// Writes `margins.json`: every held-out pair's margin in nats, before and after, of the first set.
pub(crate) fn write_margins(dir: &Path, evaluations: &[Evaluation]) -> Result<()> {
    let Some(first) = evaluations.first() else { return Ok(()) };
    let of_set = |evaluation: &&Evaluation| evaluation.metrics.set == first.metrics.set;
    let margins = |evaluation: Option<&Evaluation>| -> Vec<f64> {
        let pairs = evaluation.map_or(&[][..], |evaluation| &evaluation.scores.pairs);
        pairs.iter().map(|pair| pair.chosen_reward(1.0) - pair.rejected_reward(1.0)).collect()
    };
    let (before, after) = (margins(Some(first)), margins(evaluations.iter().rev().find(of_set)));
    let json = json!({ "before": before, "after": after });
    Ok(write_atomically(&dir.join("margins.json"), &serde_json::to_vec(&json)?)?)
}
