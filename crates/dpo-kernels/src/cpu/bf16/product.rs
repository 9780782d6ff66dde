//! Whole products out of squares.

use std::cell::Cell;

use rayon::prelude::*;

use super::{
    pack::{Side, pack, strip_len},
    tile::{Multiplier, SQUARE, Tile, square_len},
};
use crate::cpu::{
    buffer::{filled, no_sides},
    gemm::{Matrix, Target, Write},
};

/// Strips of the left operand that a task multiplies with each strip of the right one while that is in cache.
const STRIPS: usize = 4;

/// An operand in tiles.
struct Packed {
    tiles: Vec<Tile>,
    /// Rows of a left operand, columns of a right one.
    lines: usize,
    depth: usize,
}

impl Packed {
    /// Lines of `matrix` are those of a left operand, or of a right one with rows and columns exchanged; on all threads.
    fn new(matrix: Matrix<'_>, side: Side) -> Self {
        let [lines, depth] = matrix.dims();
        let mut tiles = vec![Tile::ZERO; lines.div_ceil(SQUARE) * strip_len(depth)];
        let strips = tiles.par_chunks_mut(strip_len(depth).max(1)).enumerate();
        strips.for_each(|(strip, tiles)| pack(tiles, matrix, strip, side));
        Self { tiles, lines, depth }
    }

    /// Into tiles that were used before, on the calling thread.
    fn reusing(mut tiles: Vec<Tile>, matrix: Matrix<'_>, side: Side) -> Self {
        let [lines, depth] = matrix.dims();
        tiles.resize(lines.div_ceil(SQUARE) * strip_len(depth), Tile::ZERO);
        for (strip, tiles) in tiles.chunks_mut(strip_len(depth).max(1)).enumerate() {
            pack(tiles, matrix, strip, side);
        }
        Self { tiles, lines, depth }
    }

    fn strip(&self, strip: usize) -> &[Tile] {
        let len = strip_len(self.depth);
        &self.tiles[strip * len..(strip + 1) * len]
    }

    fn n_strips(&self) -> usize {
        self.lines.div_ceil(SQUARE)
    }
}

/// `lhs · rhs`, on all threads.
pub(super) fn on_all_threads<M: Multiplier>(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    assert_eq!(lhs.dims()[1], rhs.dims()[0], "inner dimensions of a product");
    let (left, right) = (Packed::new(lhs, Side::Left), Packed::new(rhs.transposed(), Side::Right));
    let (len, chunk) = (left.lines * right.lines, (STRIPS * SQUARE * right.lines).max(1));
    filled(len, chunk, no_sides(len, chunk), |task, (), rows| {
        add_rows::<M>(rows, right.lines, &left, task * STRIPS, &right);
    })
}

thread_local! {
    static TILES: Cell<[Vec<Tile>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// `lhs · rhs` to a target, on the calling thread.
pub(super) fn on_this_thread<M: Multiplier>(target: Target<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    let Target { data, stride, write } = target;
    let ([rows, depth], [rhs_depth, cols]) = (lhs.dims(), rhs.dims());
    assert_eq!(depth, rhs_depth, "inner dimensions of a product");
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(stride >= cols && (rows - 1) * stride + cols <= data.len(), "target of a product");
    if write == Write::Replace {
        data.chunks_mut(stride).take(rows).for_each(|row| row[..cols].fill(0.0));
    }
    let [left, right] = TILES.take();
    let left = Packed::reusing(left, lhs, Side::Left);
    let right = Packed::reusing(right, rhs.transposed(), Side::Right);
    add_rows::<M>(&mut data[..(rows - 1) * stride + cols], stride, &left, 0, &right);
    TILES.set([left.tiles, right.tiles]);
}

/// Adds the product of the left strips from `first_strip` on, as many as `rows` holds, and the right operand.
fn add_rows<M: Multiplier>(
    rows: &mut [f32],
    stride: usize,
    left: &Packed,
    first_strip: usize,
    right: &Packed,
) {
    let multiplier = M::new();
    let n_rows = rows.len().div_ceil(stride);
    for col_strip in 0..right.n_strips() {
        let (col, of_right) = (col_strip * SQUARE, right.strip(col_strip));
        let n_cols = SQUARE.min(right.lines - col);
        for row_strip in 0..n_rows.div_ceil(SQUARE) {
            let place = row_strip * SQUARE * stride + col;
            let of_left = left.strip(first_strip + row_strip);
            let height = SQUARE.min(n_rows - row_strip * SQUARE);
            if height == SQUARE && n_cols == SQUARE {
                multiplier.add(of_left, of_right, &mut rows[place..][..square_len(stride)], stride);
            } else {
                let part = Part { rows: &mut rows[place..], stride, height, width: n_cols };
                part.with_square(|square| multiplier.add(of_left, of_right, square, SQUARE));
            }
        }
    }
}

/// What of a square lies within a product.
struct Part<'a> {
    rows: &'a mut [f32],
    stride: usize,
    height: usize,
    width: usize,
}

impl Part<'_> {
    /// Lends it as a whole square, with what is there: its numbers are then added up as those of any other.
    fn with_square(self, work: impl FnOnce(&mut [f32])) {
        let mut square = [0.0; SQUARE * SQUARE];
        let rows = |row: usize| row * self.stride..row * self.stride + self.width;
        for (row, line) in square.chunks_exact_mut(SQUARE).take(self.height).enumerate() {
            line[..self.width].copy_from_slice(&self.rows[rows(row)]);
        }
        work(&mut square);
        for (row, line) in square.chunks_exact(SQUARE).take(self.height).enumerate() {
            self.rows[rows(row)].copy_from_slice(&line[..self.width]);
        }
    }
}
