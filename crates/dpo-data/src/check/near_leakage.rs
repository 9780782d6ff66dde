//! Prompts that are trained on and, but for a few characters, measured on.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::keys::pieces;
use super::near::SIMILAR;
use super::shingles::{N_MINIMA, Shingles, minima};
use super::{FoundRow, PreferenceExample};

/// Smallest hashes of a band: prompts of similarity 0.8 meet in one of the 13 bands with probability 1 − (1 − 0.8³)¹³ > 0.9999, at
/// the limit of 0.7 with 0.995, and unlike ones (0.2) with 0.1.
const PER_BAND: usize = 3;
/// Prompts that are measured on of one band that each prompt is compared with.
const MOST_COMPARED: usize = 32;

/// The rows whose prompt is alike to one of `eval`, each with the first of those it was compared with. Short prompts, of less than
/// twenty letters and digits, are alike by chance and left out.
pub(super) fn similar_prompts(examples: &[&PreferenceExample], eval: &[PreferenceExample]) -> Vec<FoundRow> {
    let eval: Vec<&PreferenceExample> = first_of_each(eval);
    let mut by_band: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
    let of_eval: Vec<Vec<u64>> = eval.par_iter().map(|example| bands(example)).collect();
    for (idx, bands) in of_eval.iter().enumerate() {
        for (band, key) in bands.iter().enumerate() {
            let bucket = by_band.entry((band, *key)).or_default();
            if bucket.len() < MOST_COMPARED {
                bucket.push(idx);
            }
        }
    }
    let shingles: Vec<Shingles> =
        eval.par_iter().map(|example| Shingles::of(&pieces(&example.prompt))).collect();
    let found = |example: &&PreferenceExample| {
        let mut candidates: Vec<usize> = bands(example)
            .iter()
            .enumerate()
            .filter_map(|(band, key)| by_band.get(&(band, *key)))
            .flatten()
            .copied()
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        let own = (!candidates.is_empty()).then(|| Shingles::of(&pieces(&example.prompt)))?;
        let similar = candidates.into_iter().find(|idx| own.jaccard(&shingles[*idx]) >= SIMILAR)?;
        Some(FoundRow::beside(example.row, eval[similar].row))
    };
    examples.par_iter().filter_map(found).collect()
}

/// One row of each prompt.
fn first_of_each(eval: &[PreferenceExample]) -> Vec<&PreferenceExample> {
    let mut seen = HashSet::new();
    eval.iter().filter(|example| seen.insert(pieces(&example.prompt))).collect()
}

/// A key of each band; none of a prompt that says too little.
fn bands(example: &PreferenceExample) -> Vec<u64> {
    const LEAST: usize = 20;
    let prompt = pieces(&example.prompt);
    let letters = prompt.iter().flat_map(|piece| piece.chars()).filter(|c| c.is_alphanumeric());
    if letters.take(LEAST).count() < LEAST {
        return Vec::new();
    }
    let minima: [u32; N_MINIMA] = minima(&prompt);
    let key = |band: &[u32]| {
        band.iter().fold(0u64, |key, hash| {
            (key ^ u64::from(*hash)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        })
    };
    minima.chunks_exact(PER_BAND).map(key).collect()
}
