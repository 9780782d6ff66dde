//! Rows of logits, each a cube: what they say of their targets, and their gradient.

use cubecl::prelude::*;

use super::{
    caps::{cap_slope, capped},
    sums::sum_of_cube,
};

/// Units of a cube.
pub(super) const UNITS: usize = 256;
/// Words that a unit turns into their gradient.
pub(super) const WORDS: usize = 8;

/// `output` is `[3, n_rows]`: log-probability of the target, log-sum-exp, `ln Σ p²`.
///
/// Each unit goes through its share of the words once, with its own maximum; two shares are put together under the
/// greater one.
#[cube(launch)]
pub(super) fn row_numbers_kernel(
    logits: &Tensor<f32>,
    targets: &Tensor<i32>,
    output: &mut Tensor<f32>,
    vocab: u32,
    n_rows: u32,
    softcap: f32,
    #[comptime] is_capped: bool,
) {
    let n_words = vocab as usize;
    let row = CUBE_POS_X as usize;
    let at = row * n_words;
    let unit = UNIT_POS as usize;
    let mut max = f32::new(-1.0e30f32);
    let mut sum = 0.0f32;
    let mut squares = 0.0f32;
    let mut word = UNIT_POS as usize;
    while word < n_words {
        let score = capped(logits[at + word], softcap, is_capped);
        if score > max {
            let shrink = (max - score).exp();
            sum = sum * shrink;
            squares = squares * shrink * shrink;
            max = score;
        }
        let weight = (score - max).exp();
        sum += weight;
        squares += weight * weight;
        word += comptime!(UNITS);
    }
    let mut maxima = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let mut sums = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let mut square_sums = Shared::<[f32]>::new_slice(comptime!(UNITS));
    maxima[unit] = max;
    sums[unit] = sum;
    square_sums[unit] = squares;
    sync_cube();
    let mut half = CUBE_DIM as usize / 2;
    while half > 0 {
        if unit < half {
            let (a, b) = (maxima[unit], maxima[unit + half]);
            let mut top = a;
            if b > a {
                top = b;
            }
            let (mine, other) = ((a - top).exp(), (b - top).exp());
            maxima[unit] = top;
            sums[unit] = sums[unit] * mine + sums[unit + half] * other;
            square_sums[unit] = square_sums[unit] * mine * mine + square_sums[unit + half] * other * other;
        }
        sync_cube();
        half = half / 2;
    }
    if unit == 0 {
        let log_sum = sums[0].ln();
        let log_sum_exp = maxima[0] + log_sum;
        let target = targets[row] as usize;
        output[row] = capped(logits[at + target], softcap, is_capped) - log_sum_exp;
        output[n_rows as usize + row] = log_sum_exp;
        output[2 * n_rows as usize + row] = square_sums[0].ln() - 2.0f32 * log_sum;
    }
}

/// `Σ_v p_ref·(ln p_ref − ln p)` of each row. Each unit adds up its share of the words, and shares are added in pairs.
#[cube(launch)]
pub(super) fn divergence_kernel(
    logits: &Tensor<f32>,
    reference: &Tensor<f32>,
    log_sum_exp: &Tensor<f32>,
    reference_log_sum_exp: &Tensor<f32>,
    output: &mut Tensor<f32>,
    vocab: u32,
    softcap: f32,
    reference_softcap: f32,
    #[comptime] is_capped: bool,
    #[comptime] is_reference_capped: bool,
) {
    let n_words = vocab as usize;
    let row = CUBE_POS_X as usize;
    let at = row * n_words;
    let mut sum = 0.0f32;
    let mut word = UNIT_POS as usize;
    while word < n_words {
        let logp = capped(logits[at + word], softcap, is_capped) - log_sum_exp[row];
        let of_reference =
            capped(reference[at + word], reference_softcap, is_reference_capped) - reference_log_sum_exp[row];
        sum += of_reference.exp() * (of_reference - logp);
        word += comptime!(UNITS);
    }
    let mut sums = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let total = sum_of_cube(sum, &mut sums);
    if UNIT_POS == 0 {
        output[row] = total;
    }
}

/// Slope of the log-probability of the target for a word's score: `onehot − p`.
#[cube]
fn logp_slope(p: f32, word: usize, target: usize) -> f32 {
    let mut slope = -p;
    if word == target {
        slope += 1.0f32;
    }
    slope
}

/// In place: `g·(onehot − p) + h·(p − p_ref)`, times the slope of the cap; `g` and `h` are what the row's log-probability and divergence
/// got.
#[cube(launch)]
pub(super) fn kl_gradient_kernel(
    logits: &mut Tensor<f32>,
    reference: &Tensor<f32>,
    targets: &Tensor<i32>,
    log_sum_exp: &Tensor<f32>,
    reference_log_sum_exp: &Tensor<f32>,
    logp_grad: &Tensor<f32>,
    kl_grad: &Tensor<f32>,
    vocab: u32,
    softcap: f32,
    reference_softcap: f32,
    #[comptime] is_capped: bool,
    #[comptime] is_reference_capped: bool,
) {
    let n_words = vocab as usize;
    let row = CUBE_POS_Y as usize;
    let target = targets[row] as usize;
    let start = CUBE_POS_X as usize * comptime!(UNITS * WORDS) + UNIT_POS as usize;
    #[unroll]
    for idx in 0..comptime!(WORDS) {
        let word = start + idx * comptime!(UNITS);
        if word < n_words {
            let at = row * n_words + word;
            let score = capped(logits[at], softcap, is_capped);
            let held_against = capped(reference[at], reference_softcap, is_reference_capped);
            let p = (score - log_sum_exp[row]).exp();
            let p_ref = (held_against - reference_log_sum_exp[row]).exp();
            let slope = logp_slope(p, word, target) * logp_grad[row] + (p - p_ref) * kl_grad[row];
            logits[at] = slope * cap_slope(score, softcap, is_capped);
        }
    }
}

/// In place: `grad·(onehot − softmax)`, times the slope of the cap, `1 − (l/c)²`.
#[cube(launch)]
pub(super) fn gradient_kernel(
    logits: &mut Tensor<f32>,
    targets: &Tensor<i32>,
    log_sum_exp: &Tensor<f32>,
    grad: &Tensor<f32>,
    vocab: u32,
    softcap: f32,
    #[comptime] is_capped: bool,
) {
    let n_words = vocab as usize;
    let row = CUBE_POS_Y as usize;
    let target = targets[row] as usize;
    let start = CUBE_POS_X as usize * comptime!(UNITS * WORDS) + UNIT_POS as usize;
    #[unroll]
    for idx in 0..comptime!(WORDS) {
        let word = start + idx * comptime!(UNITS);
        if word < n_words {
            let at = row * n_words + word;
            let score = capped(logits[at], softcap, is_capped);
            let slope = logp_slope((score - log_sum_exp[row]).exp(), word, target);
            logits[at] = slope * cap_slope(score, softcap, is_capped) * grad[row];
        }
    }
}
