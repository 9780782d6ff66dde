//! Trees of more tokens than the limit.

use super::{EncodeOptions, Overlong};
use crate::{Cause, TokenTree};

/// What became of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Nothing.
    Fits,
    /// It was cut here.
    Cut(Vec<Cause>),
    /// It is left out for this cause.
    Dropped(Cause),
    /// It is an error.
    Refused {
        /// The limit.
        max_length: usize,
    },
}

/// Makes prompt and longest completion fit `max_length`; `kept_start` tokens at the prompt's start are not cut.
pub(super) fn fit(tree: &mut TokenTree, options: &EncodeOptions, kept_start: usize) -> Fit {
    let Some(max_length) = options.max_length.filter(|limit| tree.max_length() > *limit) else {
        return Fit::Fits;
    };
    match options.overlong {
        Overlong::Refuse => Fit::Refused { max_length },
        Overlong::Drop => Fit::Dropped(Cause::Overlong),
        Overlong::KeepStart if tree.prompt.len() >= max_length => Fit::Dropped(Cause::PromptTooLong),
        Overlong::KeepStart => {
            cut_completions(tree, max_length - tree.prompt.len());
            Fit::Cut(vec![Cause::CompletionCut])
        }
        Overlong::Truncate => Fit::Cut(truncate(tree, max_length, kept_start)),
    }
}

fn truncate(tree: &mut TokenTree, max_length: usize, kept_start: usize) -> Vec<Cause> {
    let mut causes = Vec::new();
    let for_completions = max_length.saturating_sub(tree.prompt.len()).max(max_length.div_ceil(2));
    if cut_completions(tree, for_completions) {
        causes.push(Cause::CompletionCut);
    }
    let longest = tree.completions.iter().map(Vec::len).max().unwrap_or(0);
    let for_prompt = max_length - longest;
    if tree.prompt.len() > for_prompt {
        // With room for one token only, the prompt's last says more than a token that starts every text.
        let kept_start = if for_prompt > kept_start { kept_start } else { 0 };
        tree.prompt.drain(kept_start..tree.prompt.len() - (for_prompt - kept_start));
        causes.push(Cause::PromptCut);
    }
    causes
}

/// Cuts completions to `limit` tokens and says whether one was longer.
fn cut_completions(tree: &mut TokenTree, limit: usize) -> bool {
    let mut cut = false;
    for completion in &mut tree.completions {
        cut |= completion.len() > limit;
        completion.truncate(limit);
    }
    cut
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{EncodeConfig, Relation, RowId};

    fn tree(prompt: usize, completions: &[usize]) -> TokenTree {
        let ids = |n: usize| (0..n as u32).collect::<Vec<_>>();
        TokenTree {
            row: RowId { file: 0, row: 1 },
            prompt: ids(prompt),
            completions: completions.iter().map(|n| ids(*n)).collect(),
            relation: Relation::Pair,
            weight: 1.0,
            group: None,
        }
    }

    fn cut(overlong: Overlong, prompt: usize, completions: &[usize], kept_start: usize) -> (TokenTree, Fit) {
        let options = EncodeConfig { max_length: 10, overlong, ..EncodeConfig::default() }.init().unwrap();
        let mut tree = tree(prompt, completions);
        let fit = fit(&mut tree, &options, kept_start);
        (tree, fit)
    }

    fn lengths(tree: &TokenTree) -> (usize, Vec<usize>) {
        (tree.prompt.len(), tree.completions.iter().map(Vec::len).collect())
    }

    /// Limit 10. A prompt of 3 leaves 7; one of 8 leaves 2, so completions may have half, 5, and the prompt the rest.
    #[test]
    fn truncation_splits_the_limit_as_documented() {
        let lengths_of =
            |prompt, completions: &[usize]| lengths(&cut(Overlong::Truncate, prompt, completions, 0).0);
        assert_eq!(lengths_of(3, &[7, 2]), (3, vec![7, 2]));
        assert_eq!(lengths_of(3, &[20, 2]), (3, vec![7, 2]));
        assert_eq!(lengths_of(8, &[20, 2]), (5, vec![5, 2]));
        assert_eq!(lengths_of(20, &[3, 2]), (7, vec![3, 2]));
        assert_eq!(lengths_of(20, &[20, 20]), (5, vec![5, 5]));
        let (tree, fit) = cut(Overlong::Truncate, 20, &[3, 2], 0);
        assert_eq!(tree.prompt, (13..20).collect::<Vec<u32>>());
        assert_eq!(fit, Fit::Cut(vec![Cause::PromptCut]));
    }

    #[test]
    fn the_token_that_starts_every_text_stays() {
        let (tree, _) = cut(Overlong::Truncate, 20, &[3, 2], 1);
        assert_eq!(tree.prompt, [0, 14, 15, 16, 17, 18, 19]);
    }

    /// TRL drops a prompt of `max_length` tokens and keeps one of a token less with one completion token.
    #[test]
    fn keep_start_is_trls() {
        assert_eq!(cut(Overlong::KeepStart, 10, &[3, 2], 1).1, Fit::Dropped(Cause::PromptTooLong));
        let (tree, fit) = cut(Overlong::KeepStart, 9, &[3, 2], 1);
        assert_eq!((lengths(&tree), fit), ((9, vec![1, 1]), Fit::Cut(vec![Cause::CompletionCut])));
    }

    #[test]
    fn overlong_rows_can_be_dropped_or_refused() {
        assert_eq!(cut(Overlong::Drop, 8, &[2, 3], 0).1, Fit::Dropped(Cause::Overlong));
        assert_eq!(cut(Overlong::Refuse, 8, &[2, 3], 0).1, Fit::Refused { max_length: 10 });
        assert_eq!(cut(Overlong::Refuse, 8, &[2, 2], 0).1, Fit::Fits);
    }

    proptest! {
        #[test]
        fn truncation_always_fits_and_leaves_something(
            prompt in 0usize..40,
            completions in prop::collection::vec(1usize..40, 1..4),
            max_length in 2usize..30,
            kept_start in 0usize..2,
        ) {
            let options = EncodeConfig { max_length, ..EncodeConfig::default() }.init().unwrap();
            let mut tree = tree(prompt, &completions);
            fit(&mut tree, &options, kept_start);
            prop_assert!(tree.max_length() <= max_length);
            prop_assert!(tree.completions.iter().all(|completion| !completion.is_empty()));
            prop_assert_eq!(tree.prompt.is_empty(), prompt == 0);
        }
    }
}
