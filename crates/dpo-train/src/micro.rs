//! How the rows of a step are sorted into micro-batches.

use std::num::NonZeroUsize;

use dpo_data::{TokenTree, even_parts, micro_batches};

/// How the rows of a step are sorted into micro-batches. The result is the same up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MicroBatching {
    /// Into this many parts of about as many tokens, see [`even_parts`].
    Parts(NonZeroUsize),
    /// Into parts of at most this many tokens, one row at least, see [`micro_batches`].
    Tokens(NonZeroUsize),
}

impl MicroBatching {
    /// Indices of the rows of each micro-batch, every row once.
    pub fn sorted(self, trees: &[&TokenTree]) -> Vec<Vec<usize>> {
        match self {
            Self::Parts(parts) => even_parts(trees, parts),
            Self::Tokens(max_tokens) => micro_batches(trees, max_tokens),
        }
    }
}

/// `values[i]` put in the place `places[i]`: what micro-batches came to, in the order of the rows.
pub(crate) fn placed<T>(values: Vec<T>, places: &[usize]) -> Vec<T> {
    let mut numbered: Vec<(usize, T)> = places.iter().copied().zip(values).collect();
    numbered.sort_unstable_by_key(|(place, _)| *place);
    numbered.into_iter().map(|(_, value)| value).collect()
}
