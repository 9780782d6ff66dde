//! Token trees and the packed batches they are laid into.

use std::ops::Range;

use crate::{Relation, RowId};

/// A prompt and its completions as token ids.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenTree {
    /// The row it came from.
    pub row: RowId,
    /// Token ids shared by all completions; may be empty, and then the first token of no completion is scored.
    pub prompt: Vec<u32>,
    /// Token ids of each completion; none is empty.
    pub completions: Vec<Vec<u32>>,
    /// What is known about the completions.
    pub relation: Relation,
    /// Its share in a batch's weighted mean.
    pub weight: f64,
    /// Whose row it is; `None` where nothing says it.
    pub group: Option<String>,
}

impl TokenTree {
    /// Tokens it occupies in a packed batch: the prompt once, then each completion.
    pub fn n_tokens(&self) -> usize {
        self.prompt.len() + self.completions.iter().map(Vec::len).sum::<usize>()
    }

    /// Tokens it would occupy with one row for each completion, the prompt repeated and nothing padded.
    pub fn n_tokens_unshared(&self) -> usize {
        self.completions.iter().map(|completion| self.prompt.len() + completion.len()).sum()
    }

    /// Length of its longest text, in tokens: the prompt and the longest completion.
    pub fn max_length(&self) -> usize {
        self.prompt.len() + self.completions.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// Where one tree lies in a [`PackedBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeSpan {
    /// The prompt's tokens, without those that the batch shares.
    pub prompt: Range<usize>,
    /// The tokens of each completion, which follow the prompt without a gap.
    pub completions: Vec<Range<usize>>,
}

/// Trees laid end to end without padding: each prompt once, its completions after it.
///
/// [`pack`](crate::pack) makes one from trees and [`PackedBatch::new`] from parts, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedBatch {
    /// Token ids, `[n_tokens]`.
    pub ids: Vec<u32>,
    /// Position of each token in its own text, `[n_tokens]`: every completion restarts at the prompt's length.
    pub positions: Vec<u32>,
    /// Tokens that every text of the batch begins with, laid once before the trees: `0..shared`, of which no span tells.
    pub shared: usize,
    /// Where each tree lies, in order.
    pub trees: Vec<TreeSpan>,
}

/// One completion of a [`PackedBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionSpan {
    /// Index of its tree in the batch.
    pub tree_idx: usize,
    /// Index among the completions of its tree.
    pub completion_idx: usize,
    /// The prompt's tokens in the batch, without those that all trees share.
    pub prompt: Range<usize>,
    /// Its own tokens in the batch.
    pub tokens: Range<usize>,
}

/// Which rows of a batch's hidden states predict which completion tokens.
///
/// A token is predicted by the row of the token before it in its own text: the first token of a completion by the last
/// of the prompt, every other by its predecessor. Without a prompt the first token is predicted by nothing and is not
/// scored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScoreRows {
    /// Position in the batch of the hidden state that predicts, `[n_scored]`.
    pub rows: Vec<u32>,
    /// The id that it should predict, `[n_scored]`.
    pub targets: Vec<u32>,
    /// Index of the completion that the target belongs to, counted through the batch, `[n_scored]`, ascending.
    pub owner: Vec<u32>,
    /// Scored tokens of each completion, `[n_completions]`.
    pub n_scored: Vec<u32>,
    /// All tokens of each completion, `[n_completions]`: one more than scored where there is no prompt.
    pub n_tokens: Vec<u32>,
}
