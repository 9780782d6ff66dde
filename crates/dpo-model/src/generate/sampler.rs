//! The choice of a token from its scores, on the host.
//!
//! Order and meaning of the settings are those of transformers: repetition penalty, temperature, top-k, top-p, min-p.

use std::cmp::Ordering;
use std::num::NonZeroUsize;

use super::{GenerateConfig, SampleConfig, Sampling, random::SplitMix64};

/// Buffers that are used again for every token of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
    weights: Vec<f32>,
}

/// A token that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: u32,
    /// Its probability over that of the likeliest token.
    pub(super) weight: f32,
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
    let Scratch { candidates, weights, .. } = scratch;
    // Differences first, so that no temperature makes infinity minus infinity of them.
    let temperature = (sample.temperature as f32).max(f32::MIN_POSITIVE);
    let weigh = |(id, score): (usize, &f32)| Candidate { id: id as u32, weight: ((score - max) / temperature).exp() };
    candidates.clear();
    candidates.extend(logits.iter().enumerate().map(weigh));
    if let Some(k) = sample.top_k {
        keep_top_k(candidates, k, weights);
    }
    if sample.top_p < 1.0 {
        keep_top_p(candidates, sample.top_p);
    }
    if sample.min_p > 0.0 {
        // The likeliest token has weight 1 and always stays.
        candidates.retain(|candidate| f64::from(candidate.weight) >= sample.min_p);
    }
}

/// The `k` likeliest, and those as likely as the last of them.
fn keep_top_k(candidates: &mut Vec<Candidate>, k: NonZeroUsize, weights: &mut Vec<f32>) {
    if k.get() >= candidates.len() {
        return;
    }
    weights.clear();
    weights.extend(candidates.iter().map(|candidate| candidate.weight));
    let (_, least, _) = weights.select_nth_unstable_by(k.get() - 1, |a, b| b.total_cmp(a));
    candidates.retain(|candidate| candidate.weight >= *least);
}

/// The likeliest ones until they reach `top_p` together, the likeliest first.
///
/// A few are sorted at a time: that is usually enough, and sorting a whole vocabulary is slow.
fn keep_top_p(candidates: &mut Vec<Candidate>, top_p: f64) {
    let wanted = top_p * total(candidates);
    let (mut sorted, mut mass, mut step) = (0, 0.0, 64);
    while sorted < candidates.len() {
        let rest = &mut candidates[sorted..];
        let n = step.min(rest.len());
        if n < rest.len() {
            rest.select_nth_unstable_by(n, likelier_first);
        }
        rest[..n].sort_unstable_by(likelier_first);
        for (place, candidate) in rest[..n].iter().enumerate() {
            if mass >= wanted {
                candidates.truncate(sorted + place);
                return;
            }
            mass += f64::from(candidate.weight);
        }
        (sorted, step) = (sorted + n, 4 * step);
    }
}

/// By weight, equal ones by id.
fn likelier_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
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
