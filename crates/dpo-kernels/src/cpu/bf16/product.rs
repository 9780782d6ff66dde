//! Whole products out of squares.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    packed::Packed,
    tile::{Multiplier, SQUARE, Square, Start},
};
use crate::cpu::gemm::{Target, Write};

/// Strips of the left operand that a strip of the right one is multiplied with while it is in cache.
const STRIPS: usize = 4;

/// `lhs · rhs`, row by row, on all threads.
pub(super) fn on_all_threads<M: Multiplier>(lhs: &Packed, rhs: &Packed) -> Vec<f32> {
    assert_eq!(lhs.depth(), rhs.depth(), "inner dimensions of a product");
    let (len, width) = (lhs.lines() * rhs.lines(), rhs.lines());
    if lhs.depth() == 0 {
        return vec![0.0; len];
    }
    let mut product: Vec<f32> = Vec::with_capacity(len);
    // Where there are few rows, tasks are smaller, so that all threads have some.
    let strips = (lhs.n_strips() / (2 * rayon::current_num_threads())).clamp(1, STRIPS);
    let tasks = product.spare_capacity_mut()[..len].par_chunks_mut((strips * SQUARE * width).max(1));
    tasks.enumerate().for_each(|(task, rows)| {
        let multiplier = M::new();
        let mut rows = RowsOf { rows, stride: width };
        multiply(&multiplier, [lhs, rhs], task * strips, |place, square| rows.set(place, square));
    });
    #[allow(unsafe_code)]
    // SAFETY: the tasks cover all rows, and each sets every number of its rows: `multiply` hands over all squares of them.
    unsafe {
        product.set_len(len);
    }
    product
}

/// `lhs · rhs` to a target, on the calling thread.
pub(super) fn on_this_thread<M: Multiplier>(target: Target<'_>, lhs: &Packed, rhs: &Packed) {
    let Target { data, stride, write } = target;
    let (rows, cols) = (lhs.lines(), rhs.lines());
    assert_eq!(lhs.depth(), rhs.depth(), "inner dimensions of a product");
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(stride >= cols && (rows - 1) * stride + cols <= data.len(), "target of a product");
    if lhs.depth() == 0 {
        if write == Write::Replace {
            data.chunks_mut(stride).take(rows).for_each(|row| row[..cols].fill(0.0));
        }
        return;
    }
    let multiplier = M::new();
    for first_strip in (0..lhs.n_strips()).step_by(STRIPS) {
        let first_row = first_strip * SQUARE;
        multiply(&multiplier, [lhs, rhs], first_strip, |[row, col], square| {
            let width = SQUARE.min(cols - col);
            let lines = square.lines().take(rows - first_row - row);
            for (line, row) in lines.zip(first_row + row..) {
                let target = &mut data[row * stride + col..][..width];
                match write {
                    Write::Replace => target.copy_from_slice(&line[..width]),
                    Write::Add => target.iter_mut().zip(line).for_each(|(sum, number)| *sum += number),
                }
            }
        });
    }
}

/// The squares of up to [`STRIPS`] strips of the left operand, each once, with the row and the column where it begins,
/// counted from the first of these strips. What lies beyond the product is 0.
fn multiply<M: Multiplier>(
    multiplier: &M,
    [left, right]: [&Packed; 2],
    first_strip: usize,
    mut hand_over: impl FnMut([usize; 2], &Square),
) {
    let n_strips = STRIPS.min(left.n_strips() - first_strip);
    let mut squares = [Square::ZERO; STRIPS];
    for col_strip in 0..right.n_strips() {
        for block in 0..left.n_blocks() {
            let (of_right, start) =
                (right.strip(block, col_strip), if block == 0 { Start::Zeros } else { Start::Square });
            for (strip, square) in squares.iter_mut().enumerate().take(n_strips) {
                multiplier.add(left.strip(block, first_strip + strip), of_right, square, start);
            }
        }
        for (strip, square) in squares.iter().enumerate().take(n_strips) {
            hand_over([strip * SQUARE, col_strip * SQUARE], square);
        }
    }
}

/// Rows that nothing was written to yet.
struct RowsOf<'a> {
    rows: &'a mut [MaybeUninit<f32>],
    stride: usize,
}

impl RowsOf<'_> {
    /// What of the square lies in the rows.
    fn set(&mut self, [row, col]: [usize; 2], square: &Square) {
        let width = SQUARE.min(self.stride - col);
        for (row, line) in self.rows.chunks_exact_mut(self.stride).skip(row).zip(square.lines()) {
            match row[col..].first_chunk_mut::<SQUARE>() {
                // A copy of known length is a few instructions, not a call.
                Some(target) => *target = line.map(MaybeUninit::new),
                None => drop(row[col..].write_copy_of_slice(&line[..width])),
            }
        }
    }
}
