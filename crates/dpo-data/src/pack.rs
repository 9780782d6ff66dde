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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Relation, RowId};

    fn tree(prompt: &[u32], completions: &[&[u32]]) -> TokenTree {
        TokenTree {
            row: RowId { file: 0, row: 1 },
            prompt: prompt.to_vec(),
            completions: completions.iter().map(|ids| ids.to_vec()).collect(),
            relation: Relation::Pair,
            weight: 1.0,
            group: None,
        }
    }

    /// Prompt `[10 11]`, completions `[20 21 22]` and `[30]`: both completions start at position 2, and row 1, the
    /// last of the prompt, predicts the first token of both.
    #[test]
    fn completions_share_the_prompt() {
        let batch = pack(&[&tree(&[10, 11], &[&[20, 21, 22], &[30]])]);
        assert_eq!(batch.ids, [10, 11, 20, 21, 22, 30]);
        assert_eq!(batch.positions, [0, 1, 2, 3, 4, 2]);
        let scores = batch.score_rows();
        assert_eq!(scores.rows, [1, 2, 3, 1]);
        assert_eq!(scores.targets, [20, 21, 22, 30]);
        assert_eq!(scores.owner, [0, 0, 0, 1]);
        assert_eq!((scores.n_scored, scores.n_tokens), (vec![3, 1], vec![3, 1]));
    }

    /// Nothing predicts the first token of a text that has no prompt.
    #[test]
    fn without_a_prompt_the_first_token_is_not_scored() {
        let batch = pack(&[&tree(&[], &[&[20, 21], &[30]]), &tree(&[1], &[&[2]])]);
        assert_eq!(batch.positions, [0, 1, 0, 0, 1]);
        let scores = batch.score_rows();
        assert_eq!(scores.rows, [0, 3]);
        assert_eq!(scores.targets, [21, 2]);
        assert_eq!(scores.owner, [0, 2]);
        assert_eq!((scores.n_scored, scores.n_tokens), (vec![1, 0, 1], vec![2, 1, 1]));
    }

    /// `[1 2 3]` and `[1 2]` have two tokens in common, which are the whole second prompt: row 1 predicts its completion.
    #[test]
    fn a_start_in_common_is_laid_once() {
        let trees = [tree(&[1, 2, 3], &[&[20, 21], &[30]]), tree(&[1, 2], &[&[40, 41]])];
        let apart = pack(&trees.iter().collect::<Vec<_>>());
        let batch = apart.clone().with_shared_start();
        assert_eq!((batch.shared, &batch.ids[..]), (2, &[1, 2, 3, 20, 21, 30, 40, 41][..]));
        assert_eq!(batch.positions, [0, 1, 2, 3, 4, 3, 2, 3]);
        assert_eq!((&batch.trees[1].prompt, &batch.trees[1].completions[0]), (&(6..6), &(6..8)));
        let (scores, apart_scores) = (batch.score_rows(), apart.score_rows());
        assert_eq!(scores.rows, [2, 3, 2, 1, 6]);
        assert_eq!(scores.targets, apart_scores.targets);
        assert_eq!(scores.owner, apart_scores.owner);
        assert_eq!(batch.unpack(), apart.unpack());
    }

    /// One tree, no prompt, another first token.
    #[test]
    fn nothing_in_common_changes_nothing() {
        for trees in [
            vec![tree(&[1, 2], &[&[3]])],
            vec![tree(&[1], &[&[3]]), tree(&[], &[&[3]])],
            vec![tree(&[1, 5], &[&[3]]), tree(&[2, 5], &[&[3]])],
            vec![],
        ] {
            let batch = pack(&trees.iter().collect::<Vec<_>>());
            assert_eq!(batch.clone().with_shared_start(), batch);
        }
    }

    #[test]
    fn no_trees_are_an_empty_batch() {
        assert_eq!(pack(&[]), PackedBatch::default());
        assert!(PackedBatch::default().score_rows().is_empty());
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges, clippy::single_range_in_vec_init)]
    fn bad_spans_are_refused() {
        let span =
            |prompt, completions: &[Range<usize>]| TreeSpan { prompt, completions: completions.to_vec() };
        let new = |n: usize, spans: &[TreeSpan]| PackedBatch::new(vec![0; n], spans.to_vec()).unwrap_err();
        assert_eq!(new(3, &[span(0..1, &[2..3])]), InvalidBatch::Gap { tree_idx: 0, start: 2, expected: 1 });
        assert_eq!(new(3, &[span(0..1, &[1..0])]), InvalidBatch::Gap { tree_idx: 0, start: 1, expected: 1 });
        assert_eq!(
            new(1, &[span(0..1, &[1..1])]),
            InvalidBatch::EmptyCompletion { tree_idx: 0, completion_idx: 0 }
        );
        assert_eq!(new(1, &[span(0..1, &[])]), InvalidBatch::NoCompletions { tree_idx: 0 });
        assert_eq!(new(4, &[span(0..1, &[1..3])]), InvalidBatch::Length { spanned: 3, n_tokens: 4 });
    }

    fn trees() -> impl Strategy<Value = Vec<TokenTree>> {
        let ids = |least: usize| prop::collection::vec(0u32..50_000, least..20);
        let one = (ids(0), prop::collection::vec(ids(1), 1..5));
        let one = one.prop_map(|(prompt, completions)| TokenTree {
            row: RowId { file: 0, row: 1 },
            prompt,
            completions,
            relation: Relation::Pair,
            weight: 1.0,
            group: None,
        });
        prop::collection::vec(one, 0..8)
    }

    proptest! {
        #[test]
        fn unpacking_gives_back_what_was_packed(trees in trees()) {
            let batch = pack(&trees.iter().collect::<Vec<_>>());
            let packed: Vec<_> = trees.iter().map(|tree| (tree.prompt.clone(), tree.completions.clone())).collect();
            prop_assert_eq!(batch.unpack(), packed);
            prop_assert_eq!(batch.n_tokens(), batch.positions.len());
        }

        /// The row of a target lies one position before it in the same text, and holds that text's token.
        #[test]
        fn a_target_follows_its_row(mut trees in trees(), start in prop::collection::vec(0u32..50_000, 0..9)) {
            trees.iter_mut().for_each(|tree| drop(tree.prompt.splice(..0, start.iter().copied())));
            let batch = pack(&trees.iter().collect::<Vec<_>>()).with_shared_start();
            prop_assert!(trees.len() < 2 || batch.shared >= start.len());
            let scores = batch.score_rows();
            let texts: Vec<Vec<u32>> = trees
                .iter()
                .flat_map(|tree| tree.completions.iter().map(|ids| [&tree.prompt[..], ids].concat()))
                .collect();
            prop_assert_eq!(scores.n_scored.iter().sum::<u32>() as usize, scores.len());
            for ((row, target), owner) in scores.rows.iter().zip(&scores.targets).zip(&scores.owner) {
                let text = &texts[*owner as usize];
                let position = batch.positions[*row as usize] as usize;
                prop_assert_eq!(text[position], batch.ids[*row as usize]);
                prop_assert_eq!(text[position + 1], *target);
            }
        }
    }
}
