//! How far a reference's distributions are from those that log-probabilities come from: tiles of both are made side by side.
//!
//! `KL(p_ref ‖ p) = Σ p_ref·(l_ref − l) + ln Σ e^l − ln Σ e^{l_ref}` of logits `l`, so that one pass is enough, and models that
//! agree to the last bit are 0 apart.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bf16::Operand,
    exp::exp,
    head::{Head, Said, Statistics, combine},
    simd::{Arith, simd},
    tanh::cap_slope,
};

/// What is said of each row.
#[derive(Default)]
pub(super) struct Compared {
    /// By the policy.
    pub(super) said: Said,
    /// `KL(p_ref ‖ p)`.
    pub(super) kl: Vec<f32>,
    pub(super) reference_log_sum_exp: Vec<f32>,
}

/// What the tiles of one range of words say about each lane.
struct Part {
    policy: Statistics,
    reference: Statistics,
    /// `Σ exp(l_ref − max)·(l_ref − l)`.
    gaps: Vec<f32>,
}

/// What both heads say of the same rows; the log-probabilities are those of the first alone, to the last bit.
pub(super) fn forward(policy: &Head<'_>, reference: &Head<'_>) -> Compared {
    let mut compared = Compared::default();
    let ranges = policy.word_ranges();
    for rows in policy.row_chunks() {
        let lanes = policy.lanes(rows.len());
        let hidden = [policy, reference].map(|head| head.hidden_lanes(&rows));
        let hidden = [policy.lanes_operand(&hidden[0], lanes), reference.lanes_operand(&hidden[1], lanes)];
        let parts: Vec<Part> =
            ranges.par_iter().map(|words| part([policy, reference], words, &rows, &hidden, lanes)).collect();
        let (mut of_policy, mut of_reference, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            of_policy.push(part.policy);
            of_reference.push(part.reference);
            gaps.push(part.gaps);
        }
        let sums = compared.said.extend(&of_policy, rows.len());
        for (lane, log_sum_exp) in sums.into_iter().enumerate() {
            let of_lane = combine(&of_reference, lane);
            let scaled = |(gaps, part): (&Vec<f32>, &Statistics)| {
                f64::from(gaps[lane]) * (f64::from(part.max[lane]) - of_lane).exp()
            };
            let gap: f64 = gaps.iter().zip(&of_reference).map(scaled).sum();
            compared.kl.push((gap + (log_sum_exp - of_lane)) as f32);
            compared.reference_log_sum_exp.push(of_lane as f32);
        }
    }
    compared
}

fn part(
    [policy, reference]: [&Head<'_>; 2],
    words: &Range<usize>,
    rows: &Range<usize>,
    hidden_lanes: &[Operand<'_>; 2],
    lanes: usize,
) -> Part {
    policy.with_tile(words, lanes, |tile, weight| {
        policy.logits(tile, weight, &hidden_lanes[0], lanes);
        reference.with_tile(words, lanes, |held_against, weight| {
            reference.logits(held_against, weight, &hidden_lanes[1], lanes);
            let of_reference = Statistics::of_tile(reference, held_against, words, rows, lanes);
            let mut gaps = vec![0.0; lanes];
            column_gaps(tile, held_against, &of_reference.max, &mut gaps);
            let of_policy = Statistics::of_tile(policy, tile, words, rows, lanes);
            Part { policy: of_policy, reference: of_reference, gaps }
        })
    })
}

simd! {
    /// `Σ exp(r − max)·(r − l)` of each column of logits `l` and the reference's `r`, which is added to `gaps`.
    fn column_gaps(tile: &[f32], held_against: &[f32], max: &[f32], gaps: &mut [f32]) = column_gaps_body;
}

#[inline(always)]
fn column_gaps_body<A: Arith>(tile: &[f32], held_against: &[f32], max: &[f32], gaps: &mut [f32]) {
    let lanes = max.len();
    for (row, held_against) in tile.chunks_exact(lanes).zip(held_against.chunks_exact(lanes)) {
        for (((gap, &max), &l), &r) in gaps.iter_mut().zip(max).zip(row).zip(held_against) {
            *gap += exp::<A>(r - max) * (r - l);
        }
    }
}

/// Numbers of each lane that slopes are made of.
#[derive(Clone, Copy)]
pub(super) struct LaneNumbers<'a> {
    /// Of logits, and of the reference's.
    pub(super) log_sum_exp: [&'a [f32]; 2],
    /// Gradients of the log-probability and of the divergence.
    pub(super) grad: [&'a [f32]; 2],
}

simd! {
    /// Logits `l` become `(g_kl − g)·p − g_kl·p_ref`, times the slope of the cap: the slopes of both but for the target's own.
    fn divergence_slope(tile: &mut [f32], held_against: &[f32], numbers: LaneNumbers<'_>, softcap: Option<f32>)
        = divergence_slope_body;
}

#[inline(always)]
fn divergence_slope_body<A: Arith>(
    tile: &mut [f32],
    held_against: &[f32],
    numbers: LaneNumbers<'_>,
    softcap: Option<f32>,
) {
    // A score divided by it is 0, and the slope of the cap 1.
    let softcap = softcap.unwrap_or(f32::INFINITY);
    let LaneNumbers { log_sum_exp: [sums, reference_sums], grad: [grad, kl_grad] } = numbers;
    let lanes = sums.len();
    for (row, held_against) in tile.chunks_exact_mut(lanes).zip(held_against.chunks_exact(lanes)) {
        let of_policy = row.iter_mut().zip(sums).zip(grad);
        let of_reference = held_against.iter().zip(reference_sums).zip(kl_grad);
        for (((value, &sum), &g), ((&r, &reference_sum), &g_kl)) in of_policy.zip(of_reference) {
            let (p, p_ref) = (exp::<A>(*value - sum), exp::<A>(r - reference_sum));
            *value = ((g_kl - g) * p - g_kl * p_ref) * cap_slope(*value, softcap);
        }
    }
}
