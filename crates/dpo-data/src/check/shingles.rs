//! Texts as sets of short runs of characters, and their MinHash signatures.
//!
//! Broder, "On the resemblance and containment of documents", 1997: the smallest hash of two sets is the same with the
//! probability of their Jaccard similarity.

/// Characters of a shingle.
const LENGTH: usize = 5;

/// Smallest hashes that are kept of a text.
pub(super) const N_MINIMA: usize = 40;

/// The shingles of a text as hashes, ascending, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shingles(Vec<u32>);

impl Shingles {
    /// Of a text in lower case with one space for all between letters and digits; case and punctuation say little.
    pub(super) fn of(pieces: &[&str]) -> Self {
        let mut hashes = hashes(pieces);
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes)
    }

    /// Shingles that both have, as a share of those that one of them has; 1 for two empty sets.
    pub(super) fn jaccard(&self, other: &Self) -> f64 {
        let (mut a, mut b, mut n_shared) = (0, 0, 0_usize);
        while a < self.0.len() && b < other.0.len() {
            let (left, right) = (self.0[a], other.0[b]);
            n_shared += usize::from(left == right);
            a += usize::from(left <= right);
            b += usize::from(right <= left);
        }
        let n_any = self.0.len() + other.0.len() - n_shared;
        if n_any == 0 { 1.0 } else { n_shared as f64 / n_any as f64 }
    }
}

/// The smallest hash of a text's shingles under each of [`N_MINIMA`] functions.
pub(super) fn minima(pieces: &[&str]) -> [u32; N_MINIMA] {
    let mut minima = [u32::MAX; N_MINIMA];
    for hash in hashes(pieces) {
        for (at, least) in minima.iter_mut().enumerate() {
            let mixed = (hash ^ MASKS[at]).wrapping_mul(FACTORS[at]);
            *least = (*least).min(mixed ^ (mixed >> 15));
        }
    }
    minima
}

/// What the functions differ in: numbers of a fixed sequence.
const MASKS: [u32; N_MINIMA] = sequence(0x9e37_79b9_7f4a_7c15);
/// Odd ones, so that each product is a permutation.
const FACTORS: [u32; N_MINIMA] = {
    let mut factors = sequence(0xd1b5_4a32_d192_ed03);
    let mut at = 0;
    while at < N_MINIMA {
        factors[at] |= 1;
        at += 1;
    }
    factors
};

/// SplitMix64, upper halves.
const fn sequence(mut state: u64) -> [u32; N_MINIMA] {
    let mut numbers = [0; N_MINIMA];
    let mut at = 0;
    while at < N_MINIMA {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers[at] = ((z ^ (z >> 31)) >> 32) as u32;
        at += 1;
    }
    numbers
}

/// A hash of each run of [`LENGTH`] characters; a shorter text is one run.
fn hashes(pieces: &[&str]) -> Vec<u32> {
    let mut text = letters(pieces);
    if text.is_empty() {
        // Signs are all that some answers are made of.
        text = pieces.iter().flat_map(|piece| piece.chars()).map(u32::from).collect();
    }
    match text.len() {
        0 => Vec::new(),
        n if n < LENGTH => vec![hash(&text)],
        _ => text.windows(LENGTH).map(hash).collect(),
    }
}

fn letters(pieces: &[&str]) -> Vec<u32> {
    let mut text: Vec<u32> = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    let space = u32::from(' ');
    for piece in pieces {
        for c in piece.chars() {
            if c.is_alphanumeric() {
                if c.is_ascii() {
                    text.push(u32::from(c.to_ascii_lowercase()));
                } else {
                    text.extend(c.to_lowercase().map(u32::from));
                }
            } else if text.last().is_some_and(|last| *last != space) {
                text.push(space);
            }
        }
        if text.last().is_some_and(|last| *last != space) {
            text.push(space);
        }
    }
    if text.last() == Some(&space) {
        text.pop();
    }
    text
}

/// FNV-1a over whole characters, mixed once more by MurmurHash3's finaliser.
fn hash(run: &[u32]) -> u32 {
    let fnv = run.iter().fold(0x811c_9dc5_u32, |hash, c| (hash ^ c).wrapping_mul(0x0100_0193));
    let mut h = fnv ^ (fnv >> 16);
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "abcdefg" has abcde, bcdef, cdefg; "abcdefh" shares two of them, four are in one of the two.
    #[test]
    fn similarity_is_that_of_the_sets() {
        let of = |text: &str| Shingles::of(&[text]);
        assert_eq!(of("abcdefg").jaccard(&of("abcdefh")), 0.5);
        assert_eq!(of("Ab, cd!").jaccard(&of("ab cd")), 1.0, "case and punctuation say nothing");
        assert_eq!(of("🙂").jaccard(&of("🙁")), 0.0, "but signs alone do");
        assert_eq!(of("").jaccard(&of("")), 1.0);
        assert_eq!(of("yes").jaccard(&of("no")), 0.0);
    }

    /// Sets of similarity 0.5: of 40 independent hashes 20 agree, give or take 4 standard deviations (3.2).
    #[test]
    fn smallest_hashes_agree_as_often_as_sets_are_similar() {
        let (mut n_agree, n_texts) = (0, 50);
        for n in 0..n_texts {
            let text = |ends: [u32; 2]| {
                let words = (0..40).flat_map(|at| [at, n * 1000 + at * 7 + ends[usize::from(at >= 27)]]);
                words.map(|word| format!("{word:05}")).collect::<Vec<_>>().join(" ")
            };
            let (a, b) = (text([0, 0]), text([0, 500_000]));
            let similarity = Shingles::of(&[&a]).jaccard(&Shingles::of(&[&b]));
            let agree = minima(&[&a]).iter().zip(minima(&[&b])).filter(|(a, b)| **a == *b).count();
            n_agree += agree as i64 - (similarity * N_MINIMA as f64).round() as i64;
        }
        // The standard deviation of the sum is at most √(50 · 40 · 0.25) = 22.
        assert!(n_agree.abs() < 90, "{n_agree}");
    }
}
