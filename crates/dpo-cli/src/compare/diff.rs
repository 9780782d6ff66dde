//! Which words two texts share.

use std::ops::Range;

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Words that the other text has too, in this order, and the space around all words.
    Shared(&'a str),
    /// Words of this text alone.
    Own(&'a str),
}

/// More comparisons of words are not made; what lies between the first and the last difference is then different.
const MAX_COMPARISONS: usize = 4_000_000;

/// For each word of both texts, whether it belongs to the longest sequence of words that they share.
pub(super) fn shared(a: &str, b: &str) -> [Vec<bool>; 2] {
    let [a, b] = [a, b].map(|text| text.split_whitespace().collect::<Vec<_>>());
    let n_first = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (rest_a, rest_b) = (&a[n_first..], &b[n_first..]);
    let n_last = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_a, middle_b) = (&rest_a[..rest_a.len() - n_last], &rest_b[..rest_b.len() - n_last]);
    let whole = |middle: Vec<bool>| [vec![true; n_first], middle, vec![true; n_last]].concat();
    longest_common(middle_a, middle_b).map(whole)
}

/// The longest common subsequence by a table of lengths, `lengths[i][j]` being that of `a[i..]` and `b[j..]`.
fn longest_common(a: &[&str], b: &[&str]) -> [Vec<bool>; 2] {
    let mut is_shared = [vec![false; a.len()], vec![false; b.len()]];
    if a.len().saturating_mul(b.len()) > MAX_COMPARISONS {
        return is_shared;
    }
    let mut lengths = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i][j] = match a[i] == b[j] {
                true => lengths[i + 1][j + 1] + 1,
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            (is_shared[0][i], is_shared[1][j]) = (true, true);
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    is_shared
}

/// The text in pieces; `is_shared` has an entry a word. Words of its own that follow each other are one piece, with the
/// space between them.
pub(super) fn pieces<'a>(text: &'a str, is_shared: &[bool]) -> Vec<Piece<'a>> {
    let words = words(text);
    let own = words.iter().zip(is_shared).enumerate().filter(|(_, (_, is_shared))| !**is_shared);
    let mut stretches: Vec<(usize, Range<usize>)> = Vec::new();
    for (idx, (word, _)) in own {
        match stretches.last_mut() {
            Some((last, stretch)) if *last + 1 == idx => (*last, stretch.end) = (idx, word.end),
            _ => stretches.push((idx, word.clone())),
        }
    }
    let (mut pieces, mut start) = (Vec::new(), 0);
    for (_, stretch) in stretches {
        pieces.push(Piece::Shared(&text[start..stretch.start]));
        pieces.push(Piece::Own(&text[stretch.clone()]));
        start = stretch.end;
    }
    pieces.push(Piece::Shared(&text[start..]));
    pieces.retain(|piece| !matches!(piece, Piece::Shared("")));
    pieces
}

/// Where the words are that `split_whitespace` gives.
fn words(text: &str) -> Vec<Range<usize>> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_whitespace().map(|word| start(word)..start(word) + word.len()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn differing_words_are_found_with_the_space_between_them() {
        let (a, b) = ("It was a  dull,\nslow film.", "It was a joy of a film.");
        let [in_a, in_b] = shared(a, b);
        let expected = [Piece::Shared("It was a  "), Piece::Own("dull,\nslow"), Piece::Shared(" film.")];
        assert_eq!(pieces(a, &in_a), expected);
        let expected = [Piece::Shared("It was a "), Piece::Own("joy of a"), Piece::Shared(" film.")];
        assert_eq!(pieces(b, &in_b), expected);
    }

    #[test]
    fn texts_of_any_length_are_compared() {
        let long = |word: &str| format!("same {}end", format!("{word} ").repeat(30_000));
        let [in_a, in_b] = shared(&long("a"), &long("b"));
        assert_eq!(in_a, in_b);
        assert_eq!(in_a.iter().filter(|is_shared| **is_shared).count(), 2);
    }

    proptest! {
        /// The shared words are the same in both, and the pieces are the text.
        #[test]
        fn shared_words_are_equal(a in "[ab\u{e9}< \n]{0,40}", b in "[ab\u{e9}< \n]{0,40}") {
            let is_shared = shared(&a, &b);
            let kept = |text: &str, is_shared: &[bool]| -> Vec<String> {
                let words = text.split_whitespace().zip(is_shared).filter(|(_, is_shared)| **is_shared);
                words.map(|(word, _)| word.to_owned()).collect()
            };
            prop_assert_eq!(kept(&a, &is_shared[0]), kept(&b, &is_shared[1]));
            let texts = pieces(&a, &is_shared[0]).into_iter().map(|piece| match piece {
                Piece::Shared(text) | Piece::Own(text) => text,
            });
            prop_assert_eq!(texts.collect::<String>(), a);
        }
    }
}
