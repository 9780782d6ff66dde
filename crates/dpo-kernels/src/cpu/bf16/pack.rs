//! Rounded pairs of a matrix in tiles.

use super::tile::{DEPTH, LINES, PAIRS, SQUARE, Tile};
use crate::{
    Precision,
    cpu::{gemm::Matrix, round::nearest},
};

const DROPPED: u32 = Precision::Bf16.dropped_digits();

/// Which operand of a product a matrix is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Strips of a matrix `[lines, depth]`.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) matrix: Matrix<'a>,
    pub(super) side: Side,
    /// The first of the strips of [`SQUARE`] lines.
    pub(super) first_strip: usize,
    /// Steps of [`DEPTH`] numbers.
    pub(super) n_steps: usize,
}

impl Part<'_> {
    /// Where a tile of a strip begins in the matrix, line and depth.
    pub(super) fn place(&self, strip: usize, step: usize, half: usize) -> [usize; 2] {
        [(self.first_strip + strip) * SQUARE + half * LINES, step * DEPTH]
    }
}

/// Fills the tiles of a part, `[strip][step][half of the lines]`.
pub(super) fn fill(tiles: &mut [Tile], part: Part<'_>) {
    #[cfg(target_arch = "x86_64")]
    if super::pack_avx512::is_there() {
        return super::pack_avx512::fill(tiles, part);
    }
    fill_plain(tiles, part);
}

/// As [`fill`], on any processor.
pub(super) fn fill_plain(tiles: &mut [Tile], part: Part<'_>) {
    for (idx, tile) in tiles.iter_mut().enumerate() {
        let (strip, step) = (idx / 2 / part.n_steps, idx / 2 % part.n_steps);
        let [line, depth] = part.place(strip, step, idx % 2);
        for (of_line, of_pair) in (0..LINES).flat_map(|line| (0..PAIRS).map(move |pair| (line, pair))) {
            let number = |idx| {
                nearest(part.matrix.number(line + of_line, depth + 2 * of_pair + idx), DROPPED).to_bits()
            };
            let place = match part.side {
                Side::Left => of_line * PAIRS + of_pair,
                Side::Right => of_pair * LINES + of_line,
            };
            tile.0[place] = number(0) >> 16 | number(1);
        }
    }
}
