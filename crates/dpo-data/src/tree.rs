//! Token trees and the packed batches they are laid into.

use std::ops::Range;

use crate::{Relation, RowId};

/// A prompt and its completions as token ids.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenTree {
    /// The row it came from.
    pub row: RowId,
    /// Token ids shared by all completions.
    pub prompt: Vec<u32>,
    /// Token ids of each completion; none is empty.
    pub completions: Vec<Vec<u32>>,
    /// What is known about the completions.
    pub relation: Relation,
    /// Its share in a batch's weighted mean.
    pub weight: f64,
}

impl TokenTree {
    /// Tokens it occupies in a packed batch: the prompt once, then each completion.
    pub fn n_tokens(&self) -> usize {
        self.prompt.len() + self.completions.iter().map(Vec::len).sum::<usize>()
    }
}

/// Where one tree lies in a [`PackedBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeSpan {
    /// The prompt's tokens.
    pub prompt: Range<usize>,
    /// The tokens of each completion, which follow the prompt without a gap.
    pub completions: Vec<Range<usize>>,
}

/// Trees laid end to end without padding: each prompt once, its completions after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedBatch {
    /// Token ids, `[n_tokens]`.
    pub ids: Vec<u32>,
    /// Position of each token in its own text, `[n_tokens]`: every completion restarts at the prompt's length.
    pub positions: Vec<u32>,
    /// Where each tree lies, in order.
    pub trees: Vec<TreeSpan>,
}
