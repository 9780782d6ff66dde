//! A packed batch as the model takes it.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use dpo_core::{CompletionLogps, TokenLogps};
use dpo_data::{PackedBatch, TokenTree, TreeSpan, pack};
use dpo_kernels::{EXACT_ROWS, TreeLayout, TreeRange, span_sums};
use dpo_model::{
    Decoder, Distributions, PackedInput, RecomputedLogps, ScoredRows, ScoredTokens, TokenOutputs,
};

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

/// A tree of its own that nobody reads, where the matrix products of so few rows would round otherwise than those of more.
fn padding(n_tokens: usize) -> Option<Range<usize>> {
    (1..EXACT_ROWS).contains(&n_tokens).then_some(n_tokens..EXACT_ROWS)
}

/// Trees end to end; with a start in common laid once, if it may be.
pub(crate) fn packed(trees: &[&TokenTree], shares_start: bool) -> PackedBatch {
    let batch = pack(trees);
    if shares_start { batch.with_shared_start() } else { batch }
}

impl DeviceBatch {
    /// Puts trees on the device of `model`, packed; what all of their prompts begin with is computed once, unless the model has
    /// to tell trees apart there.
    pub fn of_trees(trees: &[&TokenTree], model: &Decoder) -> Self {
        Self::new(&packed(trees, model.shares_starts()), &model.device())
    }

    /// Puts a packed batch on `device`.
    pub fn new(batch: &PackedBatch, device: &Device) -> Self {
        let tree =
            |span: &TreeSpan| TreeRange { trunk: span.prompt.clone(), branches: span.completions.clone() };
        let mut trees: Vec<TreeRange> = batch.trees.iter().map(tree).collect();
        let (mut ids, mut positions) = (batch.ids.clone(), batch.positions.clone());
        if let Some(padding) = padding(ids.len()) {
            ids.resize(padding.end, 0);
            positions.extend(0..padding.len() as u32);
            trees.push(TreeRange { trunk: padding, branches: Vec::new() });
        }
        let layout = TreeLayout::with_shared_start(batch.shared, trees);
        let scores = batch.score_rows();
        let counts = |numbers: &[u32]| numbers.iter().map(|n| *n as usize).collect();
        Self {
            input: PackedInput::new(&ids, positions, layout, device),
            scored: ScoredRows::new(&scores.rows, &scores.targets, device),
            n_scored: counts(&scores.n_scored),
            n_tokens: counts(&scores.n_tokens),
        }
    }

    /// As torch's `padding_idx`: see [`PackedInput::with_constant_token`].
    #[must_use]
    pub fn with_constant_token(mut self, batch: &PackedBatch, id: u32) -> Self {
        let mut ids = batch.ids.clone();
        ids.resize(self.input.n_tokens(), 0);
        self.input = self.input.with_constant_token(&ids, id);
        self
    }

    /// Lets adapters drop what they read, see [`PackedInput::with_dropout`]; one key a tree of the packed batch.
    #[must_use]
    pub fn with_dropout(mut self, mut tree_keys: Vec<u64>) -> Self {
        tree_keys.resize(self.input.n_trees(), 0);
        self.input = self.input.with_dropout(&tree_keys);
        self
    }

    /// Log-probability of every scored token, `[n_scored]` in nats.
    pub fn token_logps(&self, model: &Decoder) -> Tensor<1> {
        model.logps(&self.input, &self.scored)
    }

    /// As [`token_logps`](Self::token_logps), with what `outputs` asks for beside it.
    pub fn scored_tokens(&self, model: &Decoder, outputs: TokenOutputs<'_>) -> ScoredTokens {
        model.scored_tokens(&self.input, &self.scored, outputs)
    }

    /// What `model`, on a plain device, says of every word where each scored token is predicted.
    pub fn distributions(&self, model: &Decoder) -> Distributions {
        model.distributions(&self.input, &self.scored)
    }

    /// As [`scored_tokens`](Self::scored_tokens), to go backward from block by block.
    pub fn recomputed_logps<'a>(
        &'a self,
        model: &'a Decoder,
        outputs: TokenOutputs<'_>,
    ) -> RecomputedLogps<'a> {
        model.recomputed_logps(&self.input, &self.scored, outputs)
    }

    /// Sums of token log-probs over each completion.
    pub fn completion_logps(&self, token_logps: Tensor<1>) -> CompletionLogps {
        CompletionLogps::from_sums(span_sums(token_logps, &self.n_scored), &self.n_tokens)
    }

    /// Token log-probs with the completions that they belong to.
    pub fn tokens(&self, token_logps: Tensor<1>) -> TokenLogps {
        let sums = span_sums(token_logps.clone(), &self.n_scored);
        TokenLogps::new(token_logps, &self.n_scored, &self.n_tokens).with_sums(sums)
    }
}
