//! Whole products out of squares.

use std::{mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use super::{
    packed::Packed,
    tile::{Multiplier, SQUARE, Square, Start},
};
use crate::cpu::gemm::{Target, Write};

/// Strips of the left operand that a strip of the right one is multiplied with while it is in cache.
const STRIPS: usize = 4;

/// `Σ lhs · rhs` of factors whose products have one size, row by row, on all threads.
pub(super) fn on_all_threads<M: Multiplier>(factors: &[[&Packed; 2]]) -> Vec<f32> {
    let [lines, width] = size(factors);
    let mut product: Vec<f32> = Vec::with_capacity(lines * width);
    let n_strips = lines.div_ceil(SQUARE);
    // Where there are few rows, tasks are smaller, so that all threads have some, and a slow one fewer.
    let strips = (n_strips / (4 * rayon::current_num_threads())).clamp(1, STRIPS);
    let spare = &mut product.spare_capacity_mut()[..lines * width];
    let tasks = spare.par_chunks_mut((strips * SQUARE * width).max(1)).enumerate();
    tasks.with_max_len(1).for_each(|(task, rows)| {
        let multiplier = M::new();
        let mut rows = RowsOf { rows, stride: width };
        let of_task = task * strips..n_strips.min((task + 1) * strips);
        multiply(&multiplier, factors, of_task, |place, square| rows.set(place, square));
    });
    #[allow(unsafe_code)]
    // SAFETY: the tasks cover all rows, and each sets every number of its rows: `multiply` hands over all squares of them.
    unsafe {
        product.set_len(lines * width);
    }
    product
}

/// Rows and columns of a product.
fn size(factors: &[[&Packed; 2]]) -> [usize; 2] {
    let [left, right] = factors.first().expect("factors of a product");
    for [lhs, rhs] in factors {
        assert_eq!(lhs.depth(), rhs.depth(), "inner dimensions of a product");
        assert_eq!([lhs.lines(), rhs.lines()], [left.lines(), right.lines()], "sizes of products");
    }
    [left.lines(), right.lines()]
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
    let multiplier = M::new();
    for first_strip in (0..lhs.n_strips()).step_by(STRIPS) {
        let first_row = first_strip * SQUARE;
        let strips = first_strip..lhs.n_strips().min(first_strip + STRIPS);
        multiply(&multiplier, &[[lhs, rhs]], strips, |[row, col], square| {
            let width = SQUARE.min(cols - col);
            let lines = square.lines().take(rows - first_row - row);
            for (line, row) in lines.zip(first_row + row..) {
                let target = &mut data[row * stride + col..][..width];
                match (write, target.as_chunks_mut()) {
                    (Write::Replace, ([whole], [])) => *whole = *line,
                    (Write::Replace, _) => target.copy_from_slice(&line[..width]),
                    (Write::Add, _) => target.iter_mut().zip(line).for_each(|(sum, number)| *sum += number),
                }
            }
        });
    }
}

/// The squares of some strips of the left operand, at most [`STRIPS`], each once, with the row and the column where it
/// begins, counted from the first of these strips. What lies beyond the product is 0.
fn multiply<M: Multiplier>(
    multiplier: &M,
    factors: &[[&Packed; 2]],
    strips: Range<usize>,
    mut hand_over: impl FnMut([usize; 2], &Square),
) {
    let n_col_strips = factors.first().map_or(0, |[_, right]| right.n_strips());
    let mut squares = [Square::ZERO; STRIPS];
    for col_strip in 0..n_col_strips {
        let mut start = Start::Zeros;
        for [left, right] in factors {
            for block in 0..left.n_blocks() {
                let of_right = right.strip(block, col_strip);
                for (strip, square) in strips.clone().zip(&mut squares) {
                    multiplier.add(left.strip(block, strip), of_right, square, start);
                }
                start = Start::Square;
            }
        }
        if start == Start::Zeros {
            squares = [Square::ZERO; STRIPS];
        }
        for (strip, square) in squares.iter().enumerate().take(strips.len()) {
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
                Some(target) => drop(target.write_copy_of_slice(line)),
                None => drop(row[col..].write_copy_of_slice(&line[..width])),
            }
        }
    }
}
