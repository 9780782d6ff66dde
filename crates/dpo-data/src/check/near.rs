//! Rows that are an earlier one but for a few characters: candidates by MinHash, each verified.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::keys::pieces;
use super::shingles::{N_MINIMA, Shingles, minima};
use super::{FoundRow, PreferenceExample, verdict};
use crate::{Relation, Text};

/// Least Jaccard similarity of the prompts, of the first completions and of the others, in runs of five characters.
pub(super) const SIMILAR: f64 = 0.7;
/// Bands; two rows are compared if they agree in one.
const N_BANDS: usize = 20;
/// Smallest hashes of each part that a band is made of.
///
/// Rows that are alike but for one part of similarity 0.7 meet in a band with probability 1 − (1 − 0.7²)²⁰ > 0.99999, with
/// all three parts at 0.7 with 1 − (1 − 0.7⁶)²⁰ = 0.92, and unlike rows (0.2 in each part) with 0.001.
const PER_BAND: usize = N_MINIMA / N_BANDS;
/// Rows of one band that each row is compared with: where thousands agree, the closest before it.
const MOST_COMPARED: usize = 32;

/// The parts that must all be alike: the prompt, the first completion, the other completions.
const N_PARTS: usize = 3;

fn parts(example: &PreferenceExample) -> [Vec<&str>; N_PARTS] {
    let (first, others) = example.completions.split_at(example.completions.len().min(1));
    [pieces(&example.prompt), said(first), said(others)]
}

fn said(texts: &[Text]) -> Vec<&str> {
    texts.iter().flat_map(pieces).collect()
}

/// Each row that could be removed because of an earlier one that stays.
pub(super) fn near_duplicates(examples: &[&PreferenceExample]) -> Vec<FoundRow> {
    let bands: Vec<[u64; N_BANDS]> = examples.par_iter().map(|example| bands(example)).collect();
    let candidates = candidates(&bands);
    let mut rows: Vec<u32> = candidates.iter().flat_map(|&(a, b)| [a, b]).collect();
    rows.sort_unstable();
    rows.dedup();
    let shingles: HashMap<u32, [Shingles; N_PARTS]> = rows
        .into_par_iter()
        .map(|row| (row, parts(examples[row as usize]).map(|part| Shingles::of(&part))))
        .collect();
    let alike = |&(a, b): &(u32, u32)| {
        let [one, other] = [a, b].map(|row| examples[row as usize]);
        says_the_same(one, other) && are_alike(&shingles[&a], &shingles[&b], has_verdict(one))
    };
    let pairs: Vec<(u32, u32)> = candidates.into_par_iter().filter(alike).collect();
    later_ones(&pairs)
        .into_iter()
        .map(|(row, of)| FoundRow::beside(examples[row as usize].row, examples[of as usize].row))
        .collect()
}

/// Opinions of different people, and another verdict on the same texts, are something of their own.
fn says_the_same(one: &PreferenceExample, other: &PreferenceExample) -> bool {
    let label = |example: &PreferenceExample| match &example.relation {
        Relation::Label(label) => Some(*label),
        _ => None,
    };
    one.group == other.group
        && label(one) == label(other)
        && one.relation.preferences() == other.relation.preferences()
}

fn has_verdict(example: &PreferenceExample) -> bool {
    verdict(&example.relation, example.completions.len()).is_some()
}

fn bands(example: &PreferenceExample) -> [u64; N_BANDS] {
    let minima = parts(example).map(|part| minima(&part));
    let n_completions = example.completions.len() as u64;
    std::array::from_fn(|band| {
        let hashes = minima.iter().flat_map(|part| &part[band * PER_BAND..(band + 1) * PER_BAND]);
        hashes.fold(n_completions, |key, hash| {
            (key ^ u64::from(*hash)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        })
    })
}

/// Pairs of rows, the earlier one first, that agree in a band; ascending, each once.
fn candidates(bands: &[[u64; N_BANDS]]) -> Vec<(u32, u32)> {
    let of_band = |band: usize| {
        let mut rows: Vec<(u64, u32)> = bands.iter().zip(0..).map(|(keys, row)| (keys[band], row)).collect();
        rows.sort_unstable();
        let mut pairs = Vec::new();
        for bucket in rows.chunk_by(|a, b| a.0 == b.0) {
            for (at, (_, row)) in bucket.iter().enumerate() {
                let earlier = &bucket[at.saturating_sub(MOST_COMPARED)..at];
                pairs.extend(earlier.iter().map(|(_, earlier)| (*earlier, *row)));
            }
        }
        pairs
    };
    let mut pairs: Vec<(u32, u32)> = (0..N_BANDS).into_par_iter().flat_map_iter(of_band).collect();
    pairs.par_sort_unstable();
    pairs.dedup();
    pairs
}

/// Whether every part is similar; and rows with verdicts are not the turned-around of each other.
fn are_alike(a: &[Shingles; N_PARTS], b: &[Shingles; N_PARTS], have_verdicts: bool) -> bool {
    let straight = |part: usize| a[part].jaccard(&b[part]);
    if (0..N_PARTS).any(|part| straight(part) < SIMILAR) {
        return false;
    }
    let turned = || a[1].jaccard(&b[2]).min(a[2].jaccard(&b[1]));
    !have_verdicts || straight(1).min(straight(2)) >= turned()
}

/// The later rows, each with an earlier one that it is like and that is not removed itself.
fn later_ones(pairs: &[(u32, u32)]) -> BTreeMap<u32, u32> {
    let mut by_later: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    pairs.iter().for_each(|&(earlier, later)| by_later.entry(later).or_default().push(earlier));
    let mut removed = BTreeMap::new();
    for (later, earlier) in by_later {
        if let Some(kept) = earlier.into_iter().find(|row| !removed.contains_key(row)) {
            removed.insert(later, kept);
        }
    }
    removed
}
