//! A packed batch as the model takes it.

use burn::tensor::{Device, Tensor};
use dpo_core::CompletionLogps;
use dpo_data::{PackedBatch, TreeSpan};
use dpo_kernels::{TreeLayout, TreeRange};
use dpo_model::{Decoder, PackedInput, ScoredRows};

/// A batch on a device, with what is scored of it.
#[derive(Debug, Clone)]
pub struct DeviceBatch {
    /// Tokens, positions, layout.
    pub input: PackedInput,
    /// Rows that predict completion tokens.
    pub scored: ScoredRows,
    /// Scored tokens of each completion, in order.
    pub n_scored: Vec<usize>,
    /// Tokens of each completion, in order: one more than scored where nothing comes before the first.
    pub n_tokens: Vec<usize>,
}

impl DeviceBatch {
    /// Puts a packed batch on `device`.
    pub fn new(batch: &PackedBatch, device: &Device) -> Self {
        let tree =
            |span: &TreeSpan| TreeRange { trunk: span.prompt.clone(), branches: span.completions.clone() };
        let layout = TreeLayout::new(batch.trees.iter().map(tree).collect());
        let scores = batch.score_rows();
        let counts = |numbers: &[u32]| numbers.iter().map(|n| *n as usize).collect();
        Self {
            input: PackedInput::new(&batch.ids, batch.positions.clone(), layout, device),
            scored: ScoredRows::new(&scores.rows, &scores.targets, device),
            n_scored: counts(&scores.n_scored),
            n_tokens: counts(&scores.n_tokens),
        }
    }

    /// As torch's `padding_idx`: see [`PackedInput::with_constant_token`].
    #[must_use]
    pub fn with_constant_token(mut self, batch: &PackedBatch, id: u32) -> Self {
        self.input = self.input.with_constant_token(&batch.ids, id);
        self
    }

    /// Log-probability of every scored token, `[n_scored]` in nats.
    pub fn token_logps(&self, model: &Decoder) -> Tensor<1> {
        model.logps(&self.input, &self.scored)
    }

    /// Sums of token log-probs over each completion.
    pub fn completion_logps(&self, token_logps: Tensor<1>) -> CompletionLogps {
        CompletionLogps::from_scored_tokens(token_logps, &self.n_scored, &self.n_tokens)
    }
}
