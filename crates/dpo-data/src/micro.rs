//! How the trees of a batch are sorted into micro-batches: full ones by tokens, or so many of about the same size.

use std::{cmp::Reverse, collections::BTreeSet, num::NonZeroUsize, ops::Range};

use crate::TokenTree;

/// Micro-batches that are made up at a time: with more to choose from they would hardly be fuller, and results would come
/// far out of order.
const WINDOW: usize = 32;

/// Sorts trees into few, full micro-batches of at most `max_tokens` packed tokens: indices of trees, ascending in each.
///
/// Longest first, each tree joins the fullest micro-batch that has room for it (best fit decreasing, about 11/9 of
/// the fewest possible at worst: <https://doi.org/10.1137/0203025>); of trees of one length the earlier one comes first. A tree that
/// is larger alone is a micro-batch of its own. Many trees are taken some 32 micro-batches' worth at a time, in order.
pub fn micro_batches(trees: &[&TokenTree], max_tokens: NonZeroUsize) -> Vec<Vec<usize>> {
    let limit = max_tokens.get().saturating_mul(WINDOW);
    let (mut micro, mut start, mut n_tokens) = (Vec::new(), 0, 0);
    for (end, tree) in trees.iter().enumerate() {
        n_tokens += tree.n_tokens();
        if n_tokens >= limit {
            micro.extend(best_fit(trees, start..end + 1, max_tokens.get()));
            (start, n_tokens) = (end + 1, 0);
        }
    }
    micro.extend(best_fit(trees, start..trees.len(), max_tokens.get()));
    micro
}

/// Sorts trees into `n_parts` micro-batches of about as many tokens each, or as many as there are trees if these are
/// fewer: indices of trees, ascending in each.
///
/// Longest first, each tree joins the part with the fewest tokens so far; the largest is at most 4/3 of what it has to be:
/// <https://doi.org/10.1137/0117039>.
pub fn even_parts(trees: &[&TokenTree], n_parts: NonZeroUsize) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); n_parts.get().min(trees.len())];
    let mut sizes: BTreeSet<(usize, usize)> = (0..parts.len()).map(|part_idx| (0, part_idx)).collect();
    for tree_idx in longest_first(trees, 0..trees.len()) {
        let Some((size, part_idx)) = sizes.pop_first() else { break };
        parts[part_idx].push(tree_idx);
        sizes.insert((size + trees[tree_idx].n_tokens(), part_idx));
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}

fn best_fit(trees: &[&TokenTree], window: Range<usize>, max_tokens: usize) -> Vec<Vec<usize>> {
    let mut micro: Vec<Vec<usize>> = Vec::new();
    // Room that is left, and in which micro-batch.
    let mut rooms: BTreeSet<(usize, usize)> = BTreeSet::new();
    for tree_idx in longest_first(trees, window) {
        let n_tokens = trees[tree_idx].n_tokens();
        let fullest = rooms.range((n_tokens, 0)..).next().copied();
        let (room, micro_idx) = fullest.unwrap_or_else(|| {
            micro.push(Vec::new());
            (max_tokens.max(n_tokens), micro.len() - 1)
        });
        rooms.remove(&(room, micro_idx));
        micro[micro_idx].push(tree_idx);
        rooms.insert((room - n_tokens, micro_idx));
    }
    micro.iter_mut().for_each(|trees| trees.sort_unstable());
    micro
}

fn longest_first(trees: &[&TokenTree], window: Range<usize>) -> Vec<usize> {
    let mut indices: Vec<usize> = window.collect();
    indices.sort_by_key(|tree_idx| Reverse(trees[*tree_idx].n_tokens()));
    indices
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Relation, RowId};

    /// Trees of so many tokens.
    fn trees(sizes: &[usize]) -> Vec<TokenTree> {
        let tree = |n: &usize| TokenTree {
            row: RowId { file: 0, row: 1 },
            prompt: vec![],
            completions: vec![vec![0; *n]],
            relation: Relation::Demonstration,
            weight: 1.0,
            group: None,
        };
        sizes.iter().map(tree).collect()
    }

    fn by_tokens(sizes: &[usize], max_tokens: usize) -> Vec<Vec<usize>> {
        let trees = trees(sizes);
        micro_batches(&trees.iter().collect::<Vec<_>>(), NonZeroUsize::new(max_tokens).unwrap())
    }

    fn by_number(sizes: &[usize], n_parts: usize) -> Vec<Vec<usize>> {
        let trees = trees(sizes);
        even_parts(&trees.iter().collect::<Vec<_>>(), NonZeroUsize::new(n_parts).unwrap())
    }

    /// 9 stands alone; 7 takes a 1, 4 takes the 3 and the other 1: three micro-batches where a cut in order makes four.
    #[test]
    fn micro_batches_are_few_and_full() {
        assert_eq!(by_tokens(&[3, 4, 9, 1, 7, 1], 8), [vec![2], vec![3, 4], vec![0, 1, 5]]);
        assert_eq!(by_tokens(&[3, 4, 9], 1), [[2], [1], [0]]);
        assert_eq!(by_tokens(&[2, 2, 2], 6), [[0, 1, 2]]);
        assert!(by_tokens(&[], 8).is_empty());
    }

    /// 5 and 4 begin a part each, 3 joins the 4, the next 3 the 5 and 2 the 4 with its 3: 8 and 9.
    #[test]
    fn parts_have_about_as_many_tokens() {
        assert_eq!(by_number(&[2, 3, 5, 3, 4], 2), [vec![2, 3], vec![0, 1, 4]]);
        assert_eq!(by_number(&[2, 3], 4), [[1], [0]]);
        assert!(by_number(&[], 4).is_empty());
    }

    fn size(indices: &[usize], sizes: &[usize]) -> usize {
        indices.iter().map(|idx| sizes[*idx]).sum()
    }

    proptest! {
        /// Every tree is there once, none too many, and no two micro-batches would fit into one.
        #[test]
        fn micro_batches_hold_every_tree_and_no_more_than_they_may(
            sizes in prop::collection::vec(1usize..60, 0..60), max_tokens in 1usize..200,
        ) {
            let micro = by_tokens(&sizes, max_tokens);
            let mut seen: Vec<usize> = micro.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..sizes.len()).collect::<Vec<_>>());
            for indices in &micro {
                prop_assert!(indices.len() == 1 || size(indices, &sizes) <= max_tokens);
                prop_assert!(indices.is_sorted());
            }
            if size(&(0..sizes.len()).collect::<Vec<_>>(), &sizes) < WINDOW * max_tokens {
                let mut filled: Vec<usize> = micro.iter().map(|indices| size(indices, &sizes)).collect();
                filled.sort_unstable();
                prop_assert!(filled.len() < 2 || filled[0] + filled[1] > max_tokens);
            }
        }

        /// No part is ahead of another by more than the tree that it got last, which is its shortest.
        #[test]
        fn parts_hold_every_tree(sizes in prop::collection::vec(1usize..60, 1..60), n_parts in 1usize..20) {
            let parts = by_number(&sizes, n_parts);
            prop_assert_eq!(parts.len(), n_parts.min(sizes.len()));
            let mut seen: Vec<usize> = parts.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..sizes.len()).collect::<Vec<_>>());
            let least = parts.iter().map(|part| size(part, &sizes)).min().unwrap();
            for part in &parts {
                let shortest = part.iter().map(|idx| sizes[*idx]).min().unwrap();
                prop_assert!(size(part, &sizes) <= least + shortest);
            }
        }
    }
}
