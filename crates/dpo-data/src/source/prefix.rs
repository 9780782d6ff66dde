//! What two completions have in common at their start.

use crate::Message;
use crate::encode::common_prefix;

/// Splits two texts behind their longest common start of whole characters. A space at its end goes to the completions,
/// and so does the last character if one text is the start of the other: TRL's rule, except that TRL then gives up
/// the last character of texts with nothing in common too.
pub(super) fn common_text(chosen: &str, rejected: &str) -> usize {
    let pairs = chosen.char_indices().zip(rejected.chars());
    let differs = pairs.clone().find(|((_, a), b)| a != b).map(|((idx, _), _)| idx);
    let Some(end) = differs else {
        // One is the start of the other: every completion keeps a character.
        return pairs.last().map_or(0, |((idx, _), _)| idx);
    };
    if chosen[..end].ends_with(' ') { end - 1 } else { end }
}

/// How many turns two conversations share at their start; each keeps one at least.
pub(super) fn common_turns(chosen: &[Message], rejected: &[Message]) -> usize {
    let most = chosen.len().min(rejected.len()).saturating_sub(1);
    common_prefix(chosen, rejected).min(most)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Worked by hand from TRL's `extract_prompt`.
    #[test]
    fn common_text_gives_the_last_space_to_the_completions() {
        assert_eq!(common_text("The sky is blue", "The sky is green"), "The sky is".len());
        assert_eq!(common_text("Q: cat", "Q: car"), "Q: ca".len());
    }

    #[test]
    fn common_text_leaves_each_side_a_character() {
        assert_eq!(common_text("yes", "yes, and"), 2);
        assert_eq!(common_text("yes", "yes"), 2);
        assert_eq!(common_text("", "yes"), 0);
    }

    #[test]
    fn common_text_is_empty_where_nothing_is_shared() {
        assert_eq!(common_text("blue", "green"), 0);
        assert_eq!(common_text("é", "è"), 0);
    }

    proptest! {
        #[test]
        fn common_text_splits_both_at_a_character(shared in "\\PC{0,8}", a in "\\PC{0,5}", b in "\\PC{0,5}") {
            let (a, b) = (format!("{shared}{a}"), format!("{shared}{b}"));
            let end = common_text(&a, &b);
            prop_assert!(a.is_char_boundary(end) && b.is_char_boundary(end));
            prop_assert_eq!(&a[..end], &b[..end]);
            prop_assert!(a.is_empty() || b.is_empty() || (end < a.len() && end < b.len()));
        }
    }
}
