//! Backward of the log-probabilities: `d logp / d logits = onehot − softmax`, so each tile of logits is made again,
//! turned into that in place (times the slope of the cap), and multiplied out at once.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bf16::{Operand, Side},
    divergence::{LaneNumbers, divergence_slope},
    exp::exp,
    gemm::{Matrix, Target, Write},
    head::Head,
    round::round,
    simd::{Arith, simd},
    tanh::cap_slope,
};

/// Groups of word ranges. Each sums its part of the gradient of the hidden rows in memory of its own; the sums are
/// added in the order of the groups, so their number is fixed. More threads than this find nothing to do.
const GROUPS: usize = 32;

/// Rows of one chunk, ready for tiles.
struct Chunk<'a> {
    rows: Range<usize>,
    lanes: usize,
    /// `[d_model, lanes]`.
    hidden_lanes: Operand<'a>,
    /// `[rows, d_model]`.
    hidden: Operand<'a>,
    /// `[lanes]`, 0 in those that are left.
    log_sum_exp: Vec<f32>,
    /// `[lanes]`, 0 in those that are left.
    grad: Vec<f32>,
    /// What its distributions are held against, if they are.
    against: Option<Against<'a>>,
}

/// The same rows under a reference.
struct Against<'a> {
    head: &'a Head<'a>,
    /// `[d_model, lanes]`.
    hidden_lanes: Operand<'a>,
    /// `[lanes]`, 0 in those that are left.
    log_sum_exp: Vec<f32>,
    /// Of the divergence, `[lanes]`, 0 in those that are left.
    grad: Vec<f32>,
}

/// A head, the log-sum-exp of each row of its logits, and the gradient of what was made of them: of the log-probabilities, or
/// of the divergences of a reference.
pub(super) struct Rows<'a> {
    pub(super) head: Head<'a>,
    pub(super) log_sum_exp: &'a [f32],
    pub(super) grad: &'a [f32],
}

impl Rows<'_> {
    /// Numbers of some rows, `[lanes]`.
    fn lanes_of(&self, values: &[f32], rows: &Range<usize>) -> Vec<f32> {
        let mut values = values[rows.clone()].to_vec();
        values.resize(self.head.lanes(rows.len()), 0.0);
        values
    }
}

impl<'a> Chunk<'a> {
    /// `hidden_lanes` are those of the policy and of the reference, if there is one.
    fn new(
        of: &'a Rows<'a>,
        against: Option<&'a Rows<'a>>,
        rows: Range<usize>,
        [hidden_lanes, reference_lanes]: [&'a [f32]; 2],
    ) -> Self {
        let head = &of.head;
        let lanes = head.lanes(rows.len());
        let d_model = head.d_model;
        let hidden = Matrix::new(&head.hidden[rows.start * d_model..], [rows.len(), d_model], d_model);
        let against = against.map(|reference| Against {
            head: &reference.head,
            hidden_lanes: reference.head.lanes_operand(reference_lanes, lanes),
            log_sum_exp: reference.lanes_of(reference.log_sum_exp, &rows),
            grad: reference.lanes_of(reference.grad, &rows),
        });
        Self {
            lanes,
            hidden_lanes: head.lanes_operand(hidden_lanes, lanes),
            hidden: head.operand(hidden, Side::Right),
            log_sum_exp: of.lanes_of(of.log_sum_exp, &rows),
            grad: of.lanes_of(of.grad, &rows),
            against,
            rows,
        }
    }
}

/// Gradients for `hidden` and `weight`, where wanted; of log-probabilities, and of divergences from a reference.
pub(super) fn backward(
    of: &Rows<'_>,
    against: Option<&Rows<'_>>,
    [hidden_wanted, weight_wanted]: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    let head = &of.head;
    let mut dhidden = hidden_wanted.then(|| vec![0.0; head.hidden.len()]);
    let mut dweight = weight_wanted.then(|| vec![0.0; head.weight.len()]);
    let groups = groups(head);
    for rows in head.row_chunks() {
        let hidden_lanes = head.hidden_lanes(&rows);
        let reference_lanes = against.map(|reference| reference.head.hidden_lanes(&rows)).unwrap_or_default();
        let chunk = Chunk::new(of, against, rows, [&hidden_lanes, &reference_lanes]);
        let dweights = split_by_group(dweight.as_deref_mut(), &groups, head.d_model);
        let parts: Vec<Option<Vec<f32>>> = groups
            .par_iter()
            .zip(dweights)
            .map(|(group, dweight)| group_backward(head, &chunk, group, dweight, hidden_wanted))
            .collect();
        if let Some(dhidden) = &mut dhidden {
            let place = chunk.rows.start * head.d_model..chunk.rows.end * head.d_model;
            for part in parts.iter().flatten() {
                dhidden[place.clone()].iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    [dhidden, dweight]
}

fn groups(head: &Head<'_>) -> Vec<Vec<Range<usize>>> {
    let ranges = head.word_ranges();
    ranges.chunks(ranges.len().div_ceil(GROUPS)).map(<[_]>::to_vec).collect()
}

/// Rows of the weight's gradient that belong to each group.
fn split_by_group<'a>(
    mut dweight: Option<&'a mut [f32]>,
    groups: &[Vec<Range<usize>>],
    d_model: usize,
) -> Vec<Option<&'a mut [f32]>> {
    let take = |group: &Vec<Range<usize>>| {
        let n_words: usize = group.iter().map(Range::len).sum();
        dweight
            .as_mut()
            .map(|rest| rest.split_off_mut(..n_words * d_model).expect("groups tile the vocabulary"))
    };
    groups.iter().map(take).collect()
}

/// Adds to the group's rows of the weight's gradient; gives its part of the gradient of the chunk's hidden rows.
fn group_backward(
    head: &Head<'_>,
    chunk: &Chunk<'_>,
    group: &[Range<usize>],
    mut dweight: Option<&mut [f32]>,
    hidden_wanted: bool,
) -> Option<Vec<f32>> {
    let mut dhidden = hidden_wanted.then(|| vec![0.0; chunk.rows.len() * head.d_model]);
    for words in group {
        head.with_tile(words, chunk.lanes, |tile, weight| {
            head.logits(tile, weight, &chunk.hidden_lanes, chunk.lanes);
            turn_into_slopes(head, chunk, words, tile);
            if head.dropped_digits > 0 {
                round(tile, head.dropped_digits);
            }
            let slope = Matrix::new(tile, [words.len(), chunk.rows.len()], chunk.lanes);
            if let Some(dweight) = &mut dweight {
                let place = (words.start - group[0].start) * head.d_model;
                // The first chunk finds zeros that nothing has touched yet: reading them would cost a page fault twice.
                let write = if chunk.rows.start == 0 { Write::Replace } else { Write::Add };
                let target = Target { data: &mut dweight[place..], stride: head.d_model, write };
                head.multiply(target, &head.operand(slope, Side::Left), &chunk.hidden);
            }
            if let Some(dhidden) = &mut dhidden {
                let target = Target { data: dhidden, stride: head.d_model, write: Write::Add };
                let slope = head.operand(slope.transposed(), Side::Left);
                head.multiply(target, &slope, &head.operand(weight, Side::Right));
            }
        });
    }
    dhidden
}

/// Logits become slopes: `g·(onehot − softmax)`, of divergences `g·(softmax − the reference's)`, times the slope of the cap.
fn turn_into_slopes(head: &Head<'_>, chunk: &Chunk<'_>, words: &Range<usize>, tile: &mut [f32]) {
    let slope = |logit: f32| head.softcap.map_or(1.0, |softcap| cap_slope(logit, softcap));
    let targets = head.targets_in(words, &chunk.rows, chunk.lanes);
    let targets: Vec<(usize, f32)> =
        targets.map(|(lane, place)| (place, chunk.grad[lane] * slope(tile[place]))).collect();
    match (&chunk.against, head.softcap) {
        (Some(against), softcap) => against.head.with_tile(words, chunk.lanes, |held_against, weight| {
            against.head.logits(held_against, weight, &against.hidden_lanes, chunk.lanes);
            let numbers = LaneNumbers {
                log_sum_exp: [&chunk.log_sum_exp, &against.log_sum_exp],
                grad: [&chunk.grad, &against.grad],
            };
            divergence_slope(tile, held_against, numbers, softcap);
        }),
        (None, None) => softmax_slope(tile, &chunk.log_sum_exp, &chunk.grad),
        (None, Some(softcap)) => capped_softmax_slope(tile, &chunk.log_sum_exp, &chunk.grad, softcap),
    }
    targets.into_iter().for_each(|(place, slope)| tile[place] += slope);
}

simd! {
    /// `−g · exp(logit − log_sum_exp)`, column by column.
    fn softmax_slope(tile: &mut [f32], log_sum_exp: &[f32], grad: &[f32]) = softmax_slope_body;
}

#[inline(always)]
fn softmax_slope_body<A: Arith>(tile: &mut [f32], log_sum_exp: &[f32], grad: &[f32]) {
    for row in tile.chunks_exact_mut(grad.len()) {
        for ((value, &log_sum_exp), &grad) in row.iter_mut().zip(log_sum_exp).zip(grad) {
            *value = -grad * exp::<A>(*value - log_sum_exp);
        }
    }
}

simd! {
    /// As [`softmax_slope`], times the slope of the cap.
    fn capped_softmax_slope(tile: &mut [f32], log_sum_exp: &[f32], grad: &[f32], softcap: f32)
        = capped_softmax_slope_body;
}

#[inline(always)]
fn capped_softmax_slope_body<A: Arith>(tile: &mut [f32], log_sum_exp: &[f32], grad: &[f32], softcap: f32) {
    for row in tile.chunks_exact_mut(grad.len()) {
        for ((value, &log_sum_exp), &grad) in row.iter_mut().zip(log_sum_exp).zip(grad) {
            *value = -grad * exp::<A>(*value - log_sum_exp) * cap_slope(*value, softcap);
        }
    }
}
