//! Whole products out of squares.

use std::cell::Cell;

use rayon::prelude::*;

use super::{
    pack::{Side, pack, strip_len},
    tile::{SQUARE, Tile, Unit, square_len},
};
use crate::cpu::{
    buffer::{filled, no_sides},
    gemm::{Matrix, Target, Write},
};

/// Strips of the left operand that a task multiplies with each strip of the right one while that is in cache.
const STRIPS: usize = 4;

/// An operand in tiles.
pub(super) struct Packed {
    tiles: Vec<Tile>,
    /// Rows of a left operand, columns of a right one.
    lines: usize,
    depth: usize,
}

impl Packed {
    /// On all threads.
    pub(super) fn left(matrix: Matrix<'_>) -> Self {
        Self::new(matrix, Side::Left)
    }

    /// On all threads.
    pub(super) fn right(matrix: Matrix<'_>) -> Self {
        Self::new(matrix.transposed(), Side::Right)
    }

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

/// `[left.lines, right.lines]`.
pub(super) fn on_all_threads<U: Unit>(left: &Packed, right: &Packed) -> Vec<f32> {
    assert_eq!(left.depth, right.depth, "inner dimensions of a product");
    let (len, chunk) = (left.lines * right.lines, (STRIPS * SQUARE * right.lines).max(1));
    filled(len, chunk, no_sides(len, chunk), |task, (), rows| {
        add_rows::<U>(rows, right.lines, left, task * STRIPS, right);
    })
}

thread_local! {
    static TILES: Cell<[Vec<Tile>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// `lhs · rhs` to a target, on the calling thread.
pub(super) fn on_this_thread<U: Unit>(target: Target<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>) {
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
    add_rows::<U>(&mut data[..(rows - 1) * stride + cols], stride, &left, 0, &right);
    TILES.set([left.tiles, right.tiles]);
}

/// Adds the product of the left strips from `first_strip` on, as many as `rows` holds, and the right operand.
fn add_rows<U: Unit>(rows: &mut [f32], stride: usize, left: &Packed, first_strip: usize, right: &Packed) {
    let unit = U::new();
    let n_rows = rows.len().div_ceil(stride);
    for col_strip in 0..right.n_strips() {
        let (col, of_right) = (col_strip * SQUARE, right.strip(col_strip));
        let n_cols = SQUARE.min(right.lines - col);
        for row_strip in 0..n_rows.div_ceil(SQUARE) {
            let place = row_strip * SQUARE * stride + col;
            let of_left = left.strip(first_strip + row_strip);
            let height = SQUARE.min(n_rows - row_strip * SQUARE);
            if height == SQUARE && n_cols == SQUARE {
                unit.add(of_left, of_right, &mut rows[place..][..square_len(stride)], stride);
            } else {
                let mut square = [0.0; SQUARE * SQUARE];
                unit.add(of_left, of_right, &mut square, SQUARE);
                for (row, values) in square.chunks_exact(SQUARE).take(height).enumerate() {
                    let target = &mut rows[place + row * stride..][..n_cols];
                    target.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{bf16::tile::Plain, gemm::multiply, round::rounded, tests::numbers};

    /// Rows and columns of a stored matrix exchanged, in memory.
    fn turned(values: &[f32], [rows, cols]: [usize; 2]) -> Vec<f32> {
        (0..cols).flat_map(|col| (0..rows).map(move |row| values[row * cols + col])).collect()
    }

    /// Whatever way the operands lie in memory, and whatever is left over at the edges.
    #[test]
    fn a_product_of_tiles_is_the_product_of_rounded_operands() {
        for [m, k, n] in [[1, 1, 1], [32, 32, 32], [33, 31, 65], [160, 70, 40], [7, 100, 300], [129, 2, 31]] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (a_turned, b_turned) = (turned(&a, [m, k]), turned(&b, [k, n]));
            let (a_rounded, b_rounded) = (rounded(&a), rounded(&b));
            let mut expected = vec![0.0; m * n];
            multiply(
                Target { data: &mut expected, stride: n, write: Write::Replace },
                Matrix::new(&a_rounded, [m, k], k),
                Matrix::new(&b_rounded, [k, n], n),
            );
            for left in [Matrix::new(&a, [m, k], k), Matrix::new(&a_turned, [k, m], m).transposed()] {
                for right in [Matrix::new(&b, [k, n], n), Matrix::new(&b_turned, [n, k], k).transposed()] {
                    let all = on_all_threads::<Plain>(&Packed::left(left), &Packed::right(right));
                    let close = |(found, expected): (&f32, &f32)| (found - expected).abs() <= 1e-5;
                    assert!(all.iter().zip(&expected).all(close), "{m} × {k} × {n}");
                    let mut twice = vec![f32::NAN; m * (n + 3)];
                    for write in [Write::Replace, Write::Add] {
                        let target = Target { data: &mut twice, stride: n + 3, write };
                        on_this_thread::<Plain>(target, left, right);
                    }
                    for (row, expected) in twice.chunks(n + 3).zip(all.chunks(n)) {
                        let doubled = |(found, value): (&f32, &f32)| (found - 2.0 * value).abs() <= 1e-5;
                        assert!(row.iter().zip(expected).all(doubled), "{m} × {k} × {n}, added");
                        assert!(row[n..].iter().all(|x| x.is_nan()), "nothing is written beside it");
                    }
                }
            }
        }
    }

    /// Alone or among others, a row has the same bits.
    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let ([m, k, n], right) = ([70, 90, 50], numbers(90 * 50, 2));
        let (left, right) = (numbers(m * k, 1), Packed::right(Matrix::new(&right, [k, n], n)));
        let all = on_all_threads::<Plain>(&Packed::left(Matrix::new(&left, [m, k], k)), &right);
        for row in [0, 31, 32, 69] {
            let one = Packed::left(Matrix::new(&left[row * k..], [1, k], k));
            assert_eq!(on_all_threads::<Plain>(&one, &right), all[row * n..][..n], "row {row}");
        }
    }

    #[test]
    fn an_empty_product_is_empty_and_one_without_depth_is_zero() {
        let empty = |dims: [usize; 2]| Packed::left(Matrix::new(&[], dims, dims[1]));
        let right = Packed::right(Matrix::new(&[], [0, 3], 3));
        assert_eq!(on_all_threads::<Plain>(&empty([0, 0]), &right), [0.0; 0]);
        assert_eq!(on_all_threads::<Plain>(&empty([2, 0]), &right), [0.0; 6]);
    }
}
