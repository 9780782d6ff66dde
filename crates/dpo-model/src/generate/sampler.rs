//! The choice of a token from its scores, on the host.
//!
//! Order and meaning of the settings are those of transformers: repetition penalty, temperature, top-k, top-p, min-p.

use std::num::NonZeroUsize;

use super::{GenerateConfig, SampleConfig, Sampling, random::SplitMix64};

/// Buffers that are used again for every token of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
    ranks: Vec<u64>,
}

/// A token that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    id: u32,
    /// Its probability over that of the likeliest token.
    weight: f32,
}

/// Picks a token; `None` when a score is not a number or the best is infinite.
///
/// `seen` are the tokens of the sequence, each once.
pub(super) fn pick(
    logits: &[f32],
    seen: impl IntoIterator<Item = u32>,
    config: &GenerateConfig,
    random: &mut SplitMix64,
    scratch: &mut Scratch,
) -> Option<u32> {
    let mut penalised = std::mem::take(&mut scratch.logits);
    let logits = penalise(logits, seen, config.repetition_penalty, &mut penalised);
    let best = argmax(logits)?;
    let picked = match &config.sampling {
        Sampling::Greedy => best as u32,
        Sampling::Sample(sample) => {
            candidates(logits, logits[best], sample, scratch);
            draw(&scratch.candidates, random.uniform())
        }
    };
    scratch.logits = penalised;
    Some(picked)
}

/// The scores themselves when there is nothing to change, else a changed copy in `copy`.
fn penalise<'a>(
    logits: &'a [f32],
    seen: impl IntoIterator<Item = u32>,
    penalty: f64,
    copy: &'a mut Vec<f32>,
) -> &'a [f32] {
    let penalty = penalty as f32;
    let mut seen = seen.into_iter().peekable();
    if seen.peek().is_none() {
        return logits;
    }
    copy.clear();
    copy.extend_from_slice(logits);
    for id in seen {
        let score = &mut copy[id as usize];
        *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
    }
    copy
}

/// The place of the greatest score, the first of equal ones.
fn argmax(logits: &[f32]) -> Option<usize> {
    let mut best = 0;
    for (id, score) in logits.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        if *score > logits[best] {
            best = id;
        }
    }
    logits.get(best).filter(|score| score.is_finite()).map(|_| best)
}

/// Leaves in `scratch.candidates` what may be drawn.
fn candidates(logits: &[f32], max: f32, sample: &SampleConfig, scratch: &mut Scratch) {
    let Scratch { candidates, ranks, .. } = scratch;
    // Differences first, so that no temperature makes infinity minus infinity of them.
    let temperature = (sample.temperature as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
    let weigh =
        |(id, score): (usize, &f32)| Candidate { id: id as u32, weight: ((score - max) / temperature).exp() };
    candidates.clear();
    candidates.extend(logits.iter().enumerate().map(weigh));
    if let Some(k) = sample.top_k {
        keep_top_k(candidates, k, ranks);
    }
    if sample.top_p < 1.0 {
        keep_top_p(candidates, sample.top_p, ranks);
    }
    if sample.min_p > 0.0 {
        // The likeliest token has weight 1 and always stays.
        candidates.retain(|candidate| f64::from(candidate.weight) >= sample.min_p);
    }
}

/// The `k` likeliest, and those as likely as the last of them.
fn keep_top_k(candidates: &mut Vec<Candidate>, k: NonZeroUsize, ranks: &mut Vec<u64>) {
    if k.get() >= candidates.len() {
        return;
    }
    ranks.clear();
    ranks.extend(candidates.iter().map(|candidate| candidate.rank()));
    let least = weight_of(*ranks.select_nth_unstable(k.get() - 1).1);
    candidates.retain(|candidate| candidate.weight >= least);
}

/// The likeliest ones until they reach `top_p` together, the likeliest first.
fn keep_top_p(candidates: &mut Vec<Candidate>, top_p: f64, ranks: &mut Vec<u64>) {
    let wanted = top_p * total(candidates);
    ranks.clear();
    ranks.extend(candidates.iter().map(|candidate| candidate.rank()));
    let last = last_to_reach(wanted, ranks);
    candidates.retain(|candidate| candidate.rank() <= last);
}

/// The rank with which the ranks up to it first weigh `wanted`.
///
/// Halves the ranks instead of sorting them all, which is slow for a whole vocabulary.
fn last_to_reach(mut wanted: f64, mut ranks: &mut [u64]) -> u64 {
    while ranks.len() > 32 {
        let half = ranks.len() / 2;
        ranks.select_nth_unstable(half);
        let (likelier, rest) = { ranks }.split_at_mut(half);
        let mass: f64 = likelier.iter().map(|rank| f64::from(weight_of(*rank))).sum();
        if mass >= wanted {
            ranks = likelier;
        } else {
            wanted -= mass;
            ranks = rest;
        }
    }
    ranks.sort_unstable();
    let mut last = 0;
    for rank in ranks {
        last = *rank;
        wanted -= f64::from(weight_of(last));
        if wanted <= 0.0 {
            break;
        }
    }
    last
}

impl Candidate {
    /// Orders candidates, the likeliest first, equal ones by id: the bits of numbers from 0 up are ordered as they are.
    fn rank(self) -> u64 {
        u64::from(!self.weight.to_bits()) << 32 | u64::from(self.id)
    }
}

fn weight_of(rank: u64) -> f32 {
    f32::from_bits(!((rank >> 32) as u32))
}

fn total(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| f64::from(candidate.weight)).sum()
}

/// The candidate whose share of the total holds `uniform`, which is from 0 to just below 1.
fn draw(candidates: &[Candidate], uniform: f64) -> u32 {
    let target = uniform * total(candidates);
    let (mut sum, mut last) = (0.0, 0);
    for candidate in candidates.iter().filter(|candidate| candidate.weight > 0.0) {
        sum += f64::from(candidate.weight);
        last = candidate.id;
        if sum > target {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests;
