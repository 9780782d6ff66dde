//! From [`TokenTree`]s to a [`PackedBatch`] and back, and the rows of it that are scored.

use std::ops::Range;

use crate::encode::common_prefix;
use crate::tree::{CompletionSpan, PackedBatch, ScoreRows, TokenTree, TreeSpan};

/// Why ids and spans are no [`PackedBatch`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBatch {
    /// Spans leave a gap, overlap or are turned round.
    #[error("tree {tree_idx}: a span starts at token {start}, the one before it ends at {expected}")]
    Gap {
        /// Index of the tree.
        tree_idx: usize,
        /// Where the span starts.
        start: usize,
        /// Where it should.
        expected: usize,
    },
    /// A completion has no tokens.
    #[error("tree {tree_idx}: completion {completion_idx} has no tokens")]
    EmptyCompletion {
        /// Index of the tree.
        tree_idx: usize,
        /// Index of the completion in it.
        completion_idx: usize,
    },
    /// A tree has no completions.
    #[error("tree {tree_idx} has no completions")]
    NoCompletions {
        /// Index of the tree.
        tree_idx: usize,
    },
    /// The spans end before or after the ids do.
    #[error("the spans hold {spanned} tokens, the batch has {n_tokens}")]
    Length {
        /// Tokens in spans.
        spanned: usize,
        /// Tokens there are.
        n_tokens: usize,
    },
    /// More tokens than a `u32` can number.
    #[error("{n_tokens} tokens are more than a batch can number; make it smaller")]
    TooLarge {
        /// Tokens there are.
        n_tokens: usize,
    },
}

/// Lays trees end to end: each prompt once, its completions after it, no padding.
///
/// # Panics
/// When a tree has no completion or one without tokens: trees made by this crate have them.
pub fn pack(trees: &[&TokenTree]) -> PackedBatch {
    let n_tokens = trees.iter().map(|tree| tree.n_tokens()).sum();
    let mut ids = Vec::with_capacity(n_tokens);
    let mut append = |tokens: &[u32]| {
        let start = ids.len();
        ids.extend_from_slice(tokens);
        start..ids.len()
    };
    let spans = trees.iter().map(|tree| TreeSpan {
        prompt: append(&tree.prompt),
        completions: tree.completions.iter().map(|completion| append(completion)).collect(),
    });
    let spans = spans.collect();
    match PackedBatch::new(ids, spans) {
        Ok(batch) => batch,
        Err(invalid) => panic!("{invalid}"),
    }
}

impl PackedBatch {
    /// A batch from ids and the spans that cover them; the positions follow from these.
    pub fn new(ids: Vec<u32>, trees: Vec<TreeSpan>) -> Result<Self, InvalidBatch> {
        check(ids.len(), &trees)?;
        let positions = trees.iter().flat_map(|tree| positions(0, tree)).collect();
        Ok(Self { ids, positions, shared: 0, trees })
    }

    /// The same texts, with the tokens that all prompts begin with laid once, before the trees: a system prompt and the
    /// marks around it, as chat templates write them. The batch as it is where there is but one tree, or nothing in common.
    #[must_use]
    pub fn with_shared_start(self) -> Self {
        let n_shared = self.n_common();
        if self.shared > 0 || self.trees.len() < 2 || n_shared == 0 {
            return self;
        }
        let mut ids = self.ids[self.trees[0].prompt.start..][..n_shared].to_vec();
        let mut append = |span: Range<usize>| {
            let start = ids.len();
            ids.extend_from_slice(&self.ids[span]);
            start..ids.len()
        };
        let span = |tree: &TreeSpan| TreeSpan {
            prompt: append(tree.prompt.start + n_shared..tree.prompt.end),
            completions: tree.completions.iter().map(|completion| append(completion.clone())).collect(),
        };
        let trees: Vec<TreeSpan> = self.trees.iter().map(span).collect();
        let own = trees.iter().flat_map(|tree| positions(n_shared, tree));
        Self { positions: (0..n_shared as u32).chain(own).collect(), ids, shared: n_shared, trees }
    }

    /// Tokens that all prompts begin with.
    fn n_common(&self) -> usize {
        let mut prompts = self.trees.iter().map(|tree| &self.ids[tree.prompt.clone()]);
        let Some(first) = prompts.next() else { return 0 };
        prompts.map(|prompt| common_prefix(first, prompt)).min().unwrap_or(first.len())
    }

    /// Tokens in the batch, prompts counted once.
    pub fn n_tokens(&self) -> usize {
        self.ids.len()
    }

    /// Completions of all trees.
    pub fn n_completions(&self) -> usize {
        self.trees.iter().map(|tree| tree.completions.len()).sum()
    }

    /// Completions in order, tree by tree.
    pub fn completions(&self) -> impl Iterator<Item = CompletionSpan> + '_ {
        self.trees.iter().enumerate().flat_map(|(tree_idx, tree)| {
            tree.completions.iter().enumerate().map(move |(completion_idx, tokens)| CompletionSpan {
                tree_idx,
                completion_idx,
                prompt: tree.prompt.clone(),
                tokens: tokens.clone(),
            })
        })
    }

    /// Prompt and completion ids of each tree: what [`pack`] was given.
    pub fn unpack(&self) -> Vec<(Vec<u32>, Vec<Vec<u32>>)> {
        let tokens = |span: &Range<usize>| self.ids[span.clone()].to_vec();
        let tree = |tree: &TreeSpan| {
            let prompt = [tokens(&(0..self.shared)), tokens(&tree.prompt)].concat();
            (prompt, tree.completions.iter().map(tokens).collect())
        };
        self.trees.iter().map(tree).collect()
    }

    /// The rows that predict completion tokens, with their targets.
    pub fn score_rows(&self) -> ScoreRows {
        let mut scores = ScoreRows::default();
        for (owner, completion) in self.completions().enumerate() {
            scores.push(owner as u32, &completion, self);
        }
        scores
    }
}

impl ScoreRows {
    /// Scored tokens of all completions.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is scored.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn push(&mut self, owner: u32, completion: &CompletionSpan, batch: &PackedBatch) {
        let CompletionSpan { prompt, tokens, .. } = completion;
        // The last prompt token stands apart from the completion: siblings may lie between them, and other trees.
        let last = if prompt.is_empty() { batch.shared } else { prompt.end }.checked_sub(1);
        let first = last.map(|last| (last, tokens.start));
        let pairs = first.into_iter().chain((tokens.start..tokens.end - 1).map(|row| (row, row + 1)));
        let before = self.rows.len();
        for (row, target) in pairs {
            self.rows.push(row as u32);
            self.targets.push(batch.ids[target]);
            self.owner.push(owner);
        }
        self.n_scored.push((self.rows.len() - before) as u32);
        self.n_tokens.push(tokens.len() as u32);
    }
}

/// Positions of a tree's tokens behind `n_shared` others: the prompt from there, every completion from the prompt's end.
fn positions(n_shared: usize, tree: &TreeSpan) -> impl Iterator<Item = u32> + '_ {
    let start = n_shared as u32;
    let end = start + tree.prompt.len() as u32;
    (start..end).chain(tree.completions.iter().flat_map(move |span| end..end + span.len() as u32))
}

fn check(n_tokens: usize, trees: &[TreeSpan]) -> Result<(), InvalidBatch> {
    if u32::try_from(n_tokens).is_err() {
        return Err(InvalidBatch::TooLarge { n_tokens });
    }
    let mut end = 0;
    for (tree_idx, tree) in trees.iter().enumerate() {
        end = check_tree(tree_idx, tree, end)?;
    }
    if end == n_tokens { Ok(()) } else { Err(InvalidBatch::Length { spanned: end, n_tokens }) }
}

/// Checks a tree that should start at `expected` and returns where it ends.
fn check_tree(tree_idx: usize, tree: &TreeSpan, expected: usize) -> Result<usize, InvalidBatch> {
    if tree.completions.is_empty() {
        return Err(InvalidBatch::NoCompletions { tree_idx });
    }
    let mut expected = expected;
    for span in std::iter::once(&tree.prompt).chain(&tree.completions) {
        if span.start != expected || span.end < span.start {
            return Err(InvalidBatch::Gap { tree_idx, start: span.start, expected });
        }
        expected = span.end;
    }
    match tree.completions.iter().position(Range::is_empty) {
        Some(completion_idx) => Err(InvalidBatch::EmptyCompletion { tree_idx, completion_idx }),
        None => Ok(expected),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
