//! Log-probabilities of targets: logits exist for one tile of vocabulary × rows at a time, which stays in cache.
//!
//! A tile is `[words, lanes]`, one row of the batch a lane: softmax statistics are then sums down a column, in an order
//! that knows nothing of the other rows. Rows are padded with zeros to whole registers, so that neither the number of
//! rows nor a row's place changes the path through the matrix product: a row gives the same bits in any batch.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bf16::{self, Operand, Side},
    buffer::{transpose_into, with_scratch},
    exp::exp,
    gemm::{Matrix, Target, Write},
    round::round_into,
    simd::{Arith, simd},
    tanh::cap,
};
use crate::LogitSpec;

/// Rows of the batch in a tile, at most.
pub(super) const ROWS: usize = 256;
/// Words in a tile, at least, unless the vocabulary is smaller; below twice that.
const WORDS: usize = 256;
/// Rows are padded to a multiple of this: the widest register.
const LANES: usize = 16;
/// The matrix product cuts its sums elsewhere when both sides are at most this.
const SMALL: usize = 64;

/// The operands, as slices.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    /// `[n, d_model]`, rounded already.
    pub(super) hidden: &'a [f32],
    /// `[vocab, d_model]`.
    pub(super) weight: &'a [f32],
    /// `[n]`, each below `vocab`.
    pub(super) targets: &'a [usize],
    pub(super) d_model: usize,
    pub(super) vocab: usize,
    /// Cap of the logits.
    pub(super) softcap: Option<f32>,
    /// What multiplies and rounds operands, of `Precision::Bf16` where there is such a unit.
    unit: Option<&'static bf16::Unit>,
    /// Digits that operands lose before they are multiplied, where no unit rounds them.
    pub(super) dropped_digits: u32,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        [hidden, weight]: [&'a [f32]; 2],
        targets: &'a [usize],
        [vocab, d_model]: [usize; 2],
        LogitSpec { softcap, precision }: LogitSpec,
    ) -> Self {
        let softcap = softcap.map(|softcap| softcap as f32);
        let unit = bf16::Unit::for_precision(precision);
        let dropped_digits = if unit.is_none() { precision.dropped_digits() } else { 0 };
        Self { hidden, weight, targets, d_model, vocab, softcap, unit, dropped_digits }
    }

    /// Chunks of rows whose tiles are made together.
    pub(super) fn row_chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let n = self.targets.len();
        (0..n).step_by(ROWS).map(move |start| start..(start + ROWS).min(n))
    }

    /// Width of the tiles of that many rows.
    pub(super) fn lanes(&self, n_rows: usize) -> usize {
        let least = if self.vocab <= SMALL { SMALL + 1 } else { 1 };
        n_rows.max(least).next_multiple_of(LANES)
    }

    /// The vocabulary cut into nearly equal ranges.
    pub(super) fn word_ranges(&self) -> Vec<Range<usize>> {
        let n_ranges = (self.vocab / WORDS).max(1);
        (0..n_ranges).map(|i| self.vocab * i / n_ranges..self.vocab * (i + 1) / n_ranges).collect()
    }

    /// What [`hidden_lanes`](Self::hidden_lanes) gave, as an operand.
    pub(super) fn lanes_operand<'m>(&self, hidden_lanes: &'m [f32], lanes: usize) -> Operand<'m> {
        self.operand(Matrix::new(hidden_lanes, [self.d_model, lanes], lanes), Side::Right)
    }

    /// Hidden rows as `[d_model, lanes]`.
    pub(super) fn hidden_lanes(&self, rows: &Range<usize>) -> Vec<f32> {
        let lanes = self.lanes(rows.len());
        let mut transposed = vec![0.0; self.d_model * lanes];
        let source = &self.hidden[rows.start * self.d_model..];
        transpose_into(&mut transposed, source, [rows.len(), self.d_model], self.d_model, lanes, 1.0);
        transposed
    }

    /// Lends a tile `[words, lanes]` of any values, and the weight of its words, `[words, d_model]`, ready to be multiplied.
    pub(super) fn with_tile<R>(
        &self,
        words: &Range<usize>,
        lanes: usize,
        work: impl FnOnce(&mut [f32], Matrix<'_>) -> R,
    ) -> R {
        let rows = &self.weight[words.start * self.d_model..words.end * self.d_model];
        let (len, size) = (words.len() * lanes, [words.len(), self.d_model]);
        if self.dropped_digits == 0 {
            return with_scratch(len, |tile| work(tile, Matrix::new(rows, size, self.d_model)));
        }
        with_scratch(len + rows.len(), |scratch| {
            let (tile, rounded) = scratch.split_at_mut(len);
            round_into(rounded, rows, self.dropped_digits);
            work(tile, Matrix::new(rounded, size, self.d_model))
        })
    }

    /// An operand of products; rounded already where no unit does it.
    pub(super) fn operand<'m>(&self, matrix: Matrix<'m>, side: Side) -> Operand<'m> {
        Operand::new(self.unit, matrix, side)
    }

    /// `lhs · rhs` on the calling thread.
    pub(super) fn multiply(&self, target: Target<'_>, lhs: &Operand<'_>, rhs: &Operand<'_>) {
        bf16::multiply(self.unit, target, lhs.whole(), rhs.whole());
    }

    /// Logits `[words, lanes]`, under the cap.
    pub(super) fn logits(
        &self,
        tile: &mut [f32],
        weight: Matrix<'_>,
        hidden_lanes: &Operand<'_>,
        lanes: usize,
    ) {
        let target = Target { data: &mut *tile, stride: lanes, write: Write::Replace };
        self.multiply(target, &self.operand(weight, Side::Left), hidden_lanes);
        if let Some(softcap) = self.softcap {
            cap(tile, softcap);
        }
    }

    /// Where in a tile the targets of its rows are.
    pub(super) fn targets_in(
        &self,
        words: &Range<usize>,
        rows: &Range<usize>,
        lanes: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let targets = self.targets[rows.clone()].iter().enumerate();
        targets
            .filter(|(_, word)| words.contains(word))
            .map(move |(lane, word)| (lane, (word - words.start) * lanes + lane))
    }
}

/// What the tiles of one range of words say about each lane.
pub(super) struct Statistics {
    pub(super) max: Vec<f32>,
    /// `Σ exp(logit − max)`.
    sum: Vec<f32>,
    /// `Σ exp(logit − max)²`; empty where nobody wants it.
    squares: Vec<f32>,
    /// Lanes whose target is in this range, and its logit.
    picked: Vec<(usize, f32)>,
}

/// What is said of each row.
#[derive(Default)]
pub(super) struct Said {
    pub(super) logps: Vec<f32>,
    pub(super) log_sum_exp: Vec<f32>,
    /// `ln Σ p²`; empty where nobody wants it.
    pub(super) log_sum_squares: Vec<f32>,
}

/// Whether probabilities are squared, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Squares {
    Leave,
    Sum,
}

/// Log-probability and log-sum-exp of each row, and the sum of squares where it is wanted: the first two are the same to the
/// last bit either way.
pub(super) fn forward(head: &Head<'_>, squares: Squares) -> Said {
    let mut said = Said::default();
    let ranges = head.word_ranges();
    for rows in head.row_chunks() {
        let lanes = head.lanes(rows.len());
        let hidden_lanes = head.hidden_lanes(&rows);
        let hidden_lanes = head.lanes_operand(&hidden_lanes, lanes);
        let statistics: Vec<Statistics> = ranges
            .par_iter()
            .map(|words| statistics(head, words, &rows, &hidden_lanes, lanes, squares))
            .collect();
        let log_sum_exps = said.extend(&statistics, rows.len());
        if squares == Squares::Sum {
            let of_lane =
                |(lane, log_sum_exp)| (combine_squares(&statistics, lane) - 2.0 * log_sum_exp) as f32;
            said.log_sum_squares.extend(log_sum_exps.into_iter().enumerate().map(of_lane));
        }
    }
    said
}

impl Said {
    /// Adds the log-probabilities of the next rows, of what all ranges say of their lanes; gives back the log-sum-exps.
    pub(super) fn extend(&mut self, statistics: &[Statistics], n_rows: usize) -> Vec<f64> {
        let mut picked = vec![0.0; n_rows];
        for (lane, logit) in statistics.iter().flat_map(|part| &part.picked) {
            picked[*lane] = *logit;
        }
        let log_sum_exps: Vec<f64> = (0..n_rows).map(|lane| combine(statistics, lane)).collect();
        self.logps
            .extend(picked.iter().zip(&log_sum_exps).map(|(logit, sum)| (f64::from(*logit) - sum) as f32));
        self.log_sum_exp.extend(log_sum_exps.iter().map(|sum| *sum as f32));
        log_sum_exps
    }
}

fn statistics(
    head: &Head<'_>,
    words: &Range<usize>,
    rows: &Range<usize>,
    hidden_lanes: &Operand<'_>,
    lanes: usize,
    wanted: Squares,
) -> Statistics {
    head.with_tile(words, lanes, |tile, weight| {
        head.logits(tile, weight, hidden_lanes, lanes);
        let mut statistics = Statistics::of_tile(head, tile, words, rows, lanes);
        if wanted == Squares::Sum {
            statistics.squares.resize(lanes, 0.0);
            column_squares(tile, &statistics.max, &mut statistics.squares);
        }
        statistics
    })
}

impl Statistics {
    /// Of logits `[words, lanes]`, without squares.
    pub(super) fn of_tile(
        head: &Head<'_>,
        tile: &[f32],
        words: &Range<usize>,
        rows: &Range<usize>,
        lanes: usize,
    ) -> Self {
        // The lowest finite number: a column of −∞ then sums to 0 and not to NaN.
        let (mut max, mut sum) = (vec![f32::MIN; lanes], vec![0.0; lanes]);
        column_sums(tile, &mut max, &mut sum);
        let picked = head.targets_in(words, rows, lanes).map(|(lane, place)| (lane, tile[place])).collect();
        Self { max, sum, squares: Vec::new(), picked }
    }
}

/// `ln Σ exp` of a lane over all ranges, in their order.
pub(super) fn combine(statistics: &[Statistics], lane: usize) -> f64 {
    let max = statistics.iter().fold(f32::MIN, |max, part| max.max(part.max[lane]));
    let scaled = |part: &Statistics| f64::from(part.sum[lane]) * f64::from(part.max[lane] - max).exp();
    f64::from(max) + statistics.iter().map(scaled).sum::<f64>().ln()
}

/// `ln Σ exp²` of a lane over all ranges, in their order.
fn combine_squares(statistics: &[Statistics], lane: usize) -> f64 {
    let max = statistics.iter().fold(f32::MIN, |max, part| max.max(part.max[lane]));
    let scaled =
        |part: &Statistics| f64::from(part.squares[lane]) * (2.0 * f64::from(part.max[lane] - max)).exp();
    2.0 * f64::from(max) + statistics.iter().map(scaled).sum::<f64>().ln()
}

simd! {
    /// `Σ exp(value − max)²` of each column, which is added to `squares`.
    fn column_squares(tile: &[f32], max: &[f32], squares: &mut [f32]) = column_squares_body;
}

#[inline(always)]
fn column_squares_body<A: Arith>(tile: &[f32], max: &[f32], squares: &mut [f32]) {
    for row in tile.chunks_exact(max.len()) {
        for ((squares, &max), &value) in squares.iter_mut().zip(max).zip(row) {
            let exp = exp::<A>(value - max);
            *squares += exp * exp;
        }
    }
}

simd! {
    /// Largest value of each column (at least what `max` holds), and `Σ exp(value − max)`, which is added to `sum`.
    fn column_sums(tile: &[f32], max: &mut [f32], sum: &mut [f32]) = column_sums_body;
}

#[inline(always)]
fn column_sums_body<A: Arith>(tile: &[f32], max: &mut [f32], sum: &mut [f32]) {
    for row in tile.chunks_exact(max.len()) {
        for (max, &value) in max.iter_mut().zip(row) {
            *max = if value > *max { value } else { *max };
        }
    }
    for row in tile.chunks_exact(max.len()) {
        for ((sum, &max), &value) in sum.iter_mut().zip(&*max).zip(row) {
            *sum += exp::<A>(value - max);
        }
    }
}
