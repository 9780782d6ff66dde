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
    let span = |prompt, completions: &[Range<usize>]| TreeSpan { prompt, completions: completions.to_vec() };
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
