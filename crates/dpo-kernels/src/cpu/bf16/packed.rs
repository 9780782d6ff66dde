//! An operand in tiles.

use std::sync::Mutex;

use rayon::prelude::*;

use super::{
    pack::{Part, Side, fill},
    tile::{DEPTH, SQUARE, Tile},
};
use crate::cpu::gemm::Matrix;

/// Steps along the depth that are done for some squares before the next: as many as let a strip of the right operand stay in
/// the fastest cache, 18 KiB, while strips of the left one pass by.
const STEPS: usize = 9;
/// Strips that a task packs.
const STRIPS_PACKED: usize = 8;

/// An operand in tiles: block after block along the depth, `[block][strip][step][half of the lines]`.
#[derive(Debug)]
pub(crate) struct Packed {
    /// At least as many as are used.
    tiles: Vec<Tile>,
    /// Rows of a left operand, columns of a right one.
    lines: usize,
    depth: usize,
}

impl Packed {
    /// Rounds and packs `matrix`, a left operand `[lines, depth]` or a right one `[depth, lines]`, on all threads.
    pub(crate) fn on_all_threads(matrix: Matrix<'_>, side: Side) -> Self {
        let (mut packed, matrix) = Self::unfilled(matrix, side);
        packed.parts(matrix, side).into_par_iter().for_each(|(part, tiles)| fill(tiles, part));
        packed
    }

    /// The same on the calling thread.
    pub(crate) fn on_this_thread(matrix: Matrix<'_>, side: Side) -> Self {
        let (mut packed, matrix) = Self::unfilled(matrix, side);
        packed.parts(matrix, side).into_iter().for_each(|(part, tiles)| fill(tiles, part));
        packed
    }

    /// With whatever was in the tiles before, and the matrix as `[lines, depth]`.
    fn unfilled(matrix: Matrix<'_>, side: Side) -> (Self, Matrix<'_>) {
        let matrix = if side == Side::Left { matrix } else { matrix.transposed() };
        let [lines, depth] = matrix.dims();
        let n_tiles = 2 * lines.div_ceil(SQUARE) * depth.div_ceil(DEPTH);
        (Self { tiles: spare_tiles(n_tiles), lines, depth }, matrix)
    }

    /// The tiles, cut for tasks.
    fn parts<'a>(&mut self, matrix: Matrix<'a>, side: Side) -> Vec<(Part<'a>, &mut [Tile])> {
        let (n_strips, n_steps) = (self.n_strips(), self.n_steps());
        let mut rest = &mut self.tiles[..2 * n_strips * n_steps];
        let mut parts = Vec::new();
        for first_step in (0..n_steps).step_by(STEPS) {
            for first_strip in (0..n_strips).step_by(STRIPS_PACKED) {
                let n_steps = STEPS.min(n_steps - first_step);
                let len = 2 * n_steps * STRIPS_PACKED.min(n_strips - first_strip);
                let tiles;
                (tiles, rest) = rest.split_at_mut(len);
                parts.push((Part { matrix, side, first_strip, first_step, n_steps }, tiles));
            }
        }
        parts
    }

    /// Rows of a left operand, columns of a right one.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Columns of a left operand, rows of a right one.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn n_strips(&self) -> usize {
        self.lines.div_ceil(SQUARE)
    }

    fn n_steps(&self) -> usize {
        self.depth.div_ceil(DEPTH)
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.n_steps().div_ceil(STEPS)
    }

    /// The tiles of a strip in a block.
    pub(super) fn strip(&self, block: usize, strip: usize) -> &[Tile] {
        let n_steps = STEPS.min(self.n_steps() - block * STEPS);
        let start = 2 * (block * STEPS * self.n_strips() + strip * n_steps);
        &self.tiles[start..start + 2 * n_steps]
    }
}

/// Tiles of operands that are gone.
static SPARE: Mutex<Vec<Vec<Tile>>> = Mutex::new(Vec::new());

/// At least as many tiles, of any content: memory that was used before needs no page from the system and no zeros.
fn spare_tiles(n_tiles: usize) -> Vec<Tile> {
    let mut tiles = SPARE.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
    if tiles.len() < n_tiles {
        tiles.resize(n_tiles, Tile::ZERO);
    }
    tiles
}

impl Drop for Packed {
    fn drop(&mut self) {
        if let Ok(mut spare) = SPARE.lock() {
            spare.push(std::mem::take(&mut self.tiles));
        }
    }
}
