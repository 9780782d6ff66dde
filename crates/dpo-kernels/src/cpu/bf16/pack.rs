//! Matrices as tiles of rounded pairs.

use super::tile::{DEPTH, LINES, PAIRS, SQUARE, Tile};
use crate::cpu::{
    gemm::Matrix,
    round::nearest,
    simd::{Arith, simd},
};

/// Which operand of a product a matrix is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Tiles of a strip of this depth.
pub(super) fn strip_len(depth: usize) -> usize {
    2 * depth.div_ceil(DEPTH)
}

/// Packs the strip of lines from `strip · SQUARE` on of a matrix `[lines, depth]`: a left operand as it is, a right one
/// with rows and columns exchanged.
pub(super) fn pack(tiles: &mut [Tile], matrix: Matrix<'_>, strip: usize, side: Side) {
    if matrix.has_contiguous_rows() {
        pack_along(tiles, matrix, strip * SQUARE, side);
    } else {
        pack_across(tiles, matrix, strip * SQUARE, side);
    }
}

simd! {
    /// Numbers that are neighbours along the depth are neighbours in memory.
    fn pack_along(tiles: &mut [Tile], matrix: Matrix<'_>, first_line: usize, side: Side) = pack_along_body;
}

#[inline(always)]
fn pack_along_body<A: Arith>(tiles: &mut [Tile], matrix: Matrix<'_>, first_line: usize, side: Side) {
    for (idx, tile) in tiles.iter_mut().enumerate() {
        let (first_line, depth) = (first_line + idx % 2 * LINES, idx / 2 * DEPTH);
        for line in 0..LINES {
            let numbers: [f32; DEPTH] = matrix.row_part(first_line + line, depth);
            let pairs = std::array::from_fn(|pair| pair_of(numbers[2 * pair], numbers[2 * pair + 1]));
            place(tile, line, pairs, side == Side::Left);
        }
    }
}

simd! {
    /// The same place in neighbouring lines is neighbours in memory.
    fn pack_across(tiles: &mut [Tile], matrix: Matrix<'_>, first_line: usize, side: Side) = pack_across_body;
}

#[inline(always)]
fn pack_across_body<A: Arith>(tiles: &mut [Tile], matrix: Matrix<'_>, first_line: usize, side: Side) {
    let by_depth = matrix.transposed();
    for (idx, tile) in tiles.iter_mut().enumerate() {
        let (first_line, depth) = (first_line + idx % 2 * LINES, idx / 2 * DEPTH);
        for pair in 0..PAIRS {
            let first: [f32; LINES] = by_depth.row_part(depth + 2 * pair, first_line);
            let second: [f32; LINES] = by_depth.row_part(depth + 2 * pair + 1, first_line);
            let pairs = std::array::from_fn(|line| pair_of(first[line], second[line]));
            place(tile, pair, pairs, side == Side::Right);
        }
    }
}

#[inline(always)]
fn pair_of(first: f32, second: f32) -> u32 {
    nearest(first).to_bits() >> 16 | nearest(second).to_bits()
}

/// A row of the tile, or a column of it.
#[inline(always)]
fn place(tile: &mut Tile, idx: usize, pairs: [u32; 16], is_row: bool) {
    if is_row {
        tile.0[idx * 16..][..16].copy_from_slice(&pairs);
    } else {
        for (place, pair) in tile.0[idx..].iter_mut().step_by(16).zip(pairs) {
            *place = pair;
        }
    }
}
