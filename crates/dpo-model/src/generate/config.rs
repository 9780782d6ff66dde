//! Settings of generation.

use std::num::NonZeroUsize;

use crate::ModelError;

/// How to continue prompts.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateConfig {
    /// Most tokens after a prompt.
    pub max_new_tokens: usize,
    /// How a token is chosen.
    pub sampling: Sampling,
    /// Scores of tokens that the sequence (prompt included) already has are divided by it where positive and
    /// multiplied where negative; 1 for none: <https://arxiv.org/abs/1909.05858>.
    pub repetition_penalty: f64,
    /// Tokens that end a sequence, usually [`DecoderConfig::eos_token_ids`](crate::DecoderConfig::eos_token_ids).
    pub stop_ids: Vec<u32>,
    /// Most sequences at a time.
    pub max_batch: NonZeroUsize,
    /// Most tokens of all sequences of a batch, each counted at its longest; a longer sequence is alone.
    ///
    /// Bounds the cache, which is `2 · n_layers · n_kv_heads · head_dim` numbers a token.
    pub max_batch_tokens: NonZeroUsize,
    /// Most batches at the same time, each on a thread of its own and with a cache of its own. More than one make use of a processor's cores,
    /// above all with small models; on a GPU they gain little.
    pub max_workers: NonZeroUsize,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        let number = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            max_new_tokens: 256,
            sampling: Sampling::Greedy,
            repetition_penalty: 1.0,
            stop_ids: Vec::new(),
            max_batch: number(128),
            max_batch_tokens: number(65_536),
            max_workers: number(1),
        }
    }
}

/// How a token is chosen from its scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The best one; of equal ones the lowest id.
    Greedy,
    /// At random.
    Sample(SampleConfig),
}

/// Which tokens may be drawn, and how likely each is. The cuts are made in this order, as in transformers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleConfig {
    /// Scores are divided by it: below 1 likely tokens become likelier.
    pub temperature: f64,
    /// Only this many best tokens, and those that equal the last of them.
    pub top_k: Option<NonZeroUsize>,
    /// Only the likeliest tokens that together reach this probability; 1 for all: <https://arxiv.org/abs/1904.09751>.
    pub top_p: f64,
    /// Only tokens at least this likely relative to the likeliest; 0 for all: <https://arxiv.org/abs/2407.01082>.
    pub min_p: f64,
    /// Start of the random numbers; each sequence has its own, by its index.
    pub seed: u64,
}

impl Default for SampleConfig {
    /// Draws from the model's own distribution.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

impl GenerateConfig {
    pub(super) fn check(&self) -> Result<(), ModelError> {
        above_0("repetition_penalty", self.repetition_penalty)?;
        match &self.sampling {
            Sampling::Greedy => Ok(()),
            Sampling::Sample(sample) => sample.check(),
        }
    }
}

impl SampleConfig {
    fn check(&self) -> Result<(), ModelError> {
        above_0("temperature", self.temperature)?;
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(wrong("top_p", self.top_p, "a probability above 0, up to 1"));
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return Err(wrong("min_p", self.min_p, "a probability from 0 to 1"));
        }
        Ok(())
    }
}

fn above_0(setting: &'static str, value: f64) -> Result<(), ModelError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(wrong(setting, value, "a number above 0")) }
}

fn wrong(setting: &'static str, found: f64, expected: &'static str) -> ModelError {
    ModelError::BadSetting { setting, found: found.to_string(), expected }
}
