//! Completions behind prompts that they do not answer: how far a policy has drifted from its reference.
//!
//! KTO's `z₀` is the mean log-ratio of `(x_i, y_j)` with `j ≠ i`. Which completion stands behind which prompt is settled once
//! for a set of rows, so that what the reference says of it can be computed once and kept.

use std::num::NonZeroUsize;

use dpo_core::kto_drift;
use dpo_data::{Relation, TokenTree};
use dpo_model::Decoder;

use crate::{Row, reference::token_logps_unless};

/// Each prompt with the completion of the next row, in order and around the end, that has another prompt; of rows that all
/// have the same one, of the next row. No text becomes longer than the longest of the rows.
pub fn mismatched(trees: &[TokenTree]) -> Vec<TokenTree> {
    let longest = trees.iter().map(TokenTree::max_length).max().unwrap_or(0);
    let n = trees.len();
    let of = |(idx, tree): (usize, &TokenTree)| {
        let others = (1..n).map(|step| &trees[(idx + step) % n]);
        let other = others.clone().find(|other| other.prompt != tree.prompt).or(others.clone().next());
        let mut completion = other.unwrap_or(tree).completions[0].clone();
        completion.truncate(longest - tree.prompt.len());
        TokenTree { completions: vec![completion], relation: Relation::Demonstration, ..tree.clone() }
    };
    trees.iter().enumerate().map(of).collect()
}

/// [`kto_drift`] of a batch under `model`, which is on a plain device; 0 of rows without mismatched completions, `None` when
/// `stop` said so.
pub(crate) fn drift(
    model: &Decoder,
    rows: &[Row<'_>],
    max_tokens: NonZeroUsize,
    stop: &dyn Fn() -> bool,
) -> Option<f64> {
    let pairs: Vec<(&TokenTree, &[f32])> = rows.iter().filter_map(|row| row.mismatched).collect();
    let trees: Vec<&TokenTree> = pairs.iter().map(|(tree, _)| *tree).collect();
    let policy = token_logps_unless(model, &trees, max_tokens, stop)?;
    let sum = |logps: &[f32]| logps.iter().map(|logp| f64::from(*logp)).sum::<f64>();
    let log_ratio = |(policy, (_, reference)): (&Vec<Vec<f32>>, &(&TokenTree, &[f32]))| {
        sum(&policy.concat()) - sum(reference)
    };
    Some(kto_drift(&policy.iter().zip(&pairs).map(log_ratio).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dpo_data::RowId;

    fn tree(prompt: &[u32], completion: &[u32]) -> TokenTree {
        TokenTree {
            row: RowId { file: 0, row: 1 },
            prompt: prompt.to_vec(),
            completions: vec![completion.to_vec()],
            relation: Relation::Demonstration,
            weight: 1.0,
            group: None,
        }
    }

    /// Rows 0 and 1 share a prompt: 0 takes the completion of 2, 1 that of 2 as well, and 2 goes around to 0. The longest text
    /// has five tokens, so that the prompt of three leaves two of the completion.
    #[test]
    fn a_prompt_gets_a_completion_of_another() {
        let trees = [tree(&[1], &[2]), tree(&[1], &[3, 4, 5]), tree(&[6, 7, 8], &[9, 10])];
        let found = mismatched(&trees);
        let texts: Vec<_> = found.iter().map(|t| (t.prompt.clone(), t.completions[0].clone())).collect();
        assert_eq!(texts[0], (vec![1], vec![9, 10]));
        assert_eq!(texts[1], (vec![1], vec![9, 10]));
        assert_eq!(texts[2], (vec![6, 7, 8], vec![2]));
        let long = [tree(&[1, 2, 3], &[4, 5]), tree(&[6], &[7, 8, 9, 10])];
        assert_eq!(mismatched(&long)[0].completions[0], [7, 8]);
    }

    #[test]
    fn rows_of_one_prompt_take_the_next() {
        let trees = [tree(&[1], &[2]), tree(&[1], &[3])];
        assert_eq!(mismatched(&trees)[0].completions[0], [3]);
        assert_eq!(mismatched(&trees[..1])[0].completions[0], [2]);
    }
}
