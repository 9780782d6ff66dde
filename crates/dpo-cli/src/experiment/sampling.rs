//! Reviews sampled from a model, and how far it has moved.

use std::num::NonZeroUsize;

use anyhow::Result;
use dpo_data::{SpecialText, Text, TextEncoder, TokenTree};
use dpo_model::{Decoder, GenerateConfig, SampleConfig, Sampling, generate::Next};

use crate::{
    divergence::{answer_logps, tree},
    model_source::ModelSource,
};

/// Longest review, in tokens; the corpus has none longer.
const MAX_TOKENS: usize = 80;

/// A prompt and what a model made of it.
pub(crate) struct Sample {
    pub(crate) prompt: String,
    /// Without the token that ends it.
    pub(crate) completion: String,
    prompt_ids: Vec<u32>,
    completion_ids: Vec<u32>,
}

impl Sample {
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.prompt, self.completion)
    }

    fn tree(&self) -> TokenTree {
        tree(self.prompt_ids.clone(), self.completion_ids.clone())
    }
}

/// One completion a prompt, drawn from the model's own distribution.
pub(crate) fn sample(
    model: &Decoder,
    source: &ModelSource,
    prompts: &[String],
    seed: u64,
) -> Result<Vec<Sample>> {
    let encoder = &source.encoder;
    let ids = prompts.iter().map(|prompt| encode(encoder, prompt)).collect::<Result<Vec<_>>>()?;
    let config = GenerateConfig {
        max_new_tokens: MAX_TOKENS,
        sampling: Sampling::Sample(SampleConfig { seed, ..SampleConfig::default() }),
        stop_ids: source.stop_ids(),
        max_workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        ..GenerateConfig::default()
    };
    let generations = model.generate(&ids, &config, |_| Next::Continue)?;
    let review = |((prompt, prompt_ids), completion_ids): ((&String, Vec<u32>), Vec<u32>)| {
        let completion = encoder.decode(&completion_ids)?;
        Ok(Sample { prompt: prompt.clone(), completion, prompt_ids, completion_ids })
    };
    prompts.iter().zip(ids).zip(generations.into_iter().map(|g| g.tokens)).map(review).collect()
}

/// Monte-Carlo estimate of `KL(policy ‖ reference)` per review, in nats: the mean over the policy's own samples of
/// `log π(y|x) − log π_ref(y|x)`.
pub(crate) fn kl(policy: &Decoder, reference: &Decoder, samples: &[Sample]) -> f64 {
    let trees: Vec<TokenTree> = samples.iter().map(Sample::tree).collect();
    let trees: Vec<&TokenTree> = trees.iter().filter(|tree| !tree.completions[0].is_empty()).collect();
    let sum = |model: &Decoder| answer_logps(model, &trees).into_iter().sum::<f64>();
    (sum(policy) - sum(reference)) / samples.len() as f64
}

fn encode(encoder: &TextEncoder, prompt: &str) -> Result<Vec<u32>> {
    let text = Text::Plain(prompt.to_owned());
    Ok(encoder.encode_prompt(&text, &serde_json::Map::new(), SpecialText::Literal)?)
}
