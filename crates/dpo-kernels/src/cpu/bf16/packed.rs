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
/// Strips that a task packs, at most.
const STRIPS_PACKED: usize = 8;

/// An operand in tiles, `[strip][step][half of the lines]`.
#[derive(Debug)]
pub(crate) struct Packed {
    /// At least as many as are used.
    tiles: Vec<Tile>,
    /// Rows of a left operand, columns of a right one.
    lines: usize,
    depth: usize,
}

impl Packed {
    /// Operands, rounded and packed on all threads.
    pub(crate) fn on_all_threads(matrices: &[(Matrix<'_>, Side)]) -> Vec<Self> {
        let (mut all, matrices): (Vec<_>, Vec<_>) = matrices
            .iter()
            .map(|(matrix, side)| {
                let (packed, matrix) = Self::unfilled(*matrix, *side);
                (packed, (matrix, *side))
            })
            .unzip();
        let parts =
            all.iter_mut().zip(matrices).flat_map(|(packed, (matrix, side))| packed.parts(matrix, side));
        let parts: Vec<_> = parts.collect();
        parts.into_par_iter().with_max_len(1).for_each(|(part, tiles)| fill(tiles, part));
        all
    }

    /// A left operand `[lines, depth]` or a right one `[depth, lines]`, rounded and packed on the calling thread.
    pub(crate) fn on_this_thread(matrix: Matrix<'_>, side: Side) -> Self {
        let (mut packed, matrix) = Self::unfilled(matrix, side);
        packed.parts(matrix, side).for_each(|(part, tiles)| fill(tiles, part));
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
    fn parts<'a>(&mut self, matrix: Matrix<'a>, side: Side) -> impl Iterator<Item = (Part<'a>, &mut [Tile])> {
        let (n_strips, n_steps) = (self.n_strips(), self.n_steps());
        let strips = (n_strips / (4 * rayon::current_num_threads())).clamp(1, STRIPS_PACKED);
        let tiles = self.tiles[..2 * n_strips * n_steps].chunks_mut((2 * n_steps * strips).max(1));
        tiles
            .enumerate()
            .map(move |(task, tiles)| (Part { matrix, side, first_strip: task * strips, n_steps }, tiles))
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

    /// Of all its tiles.
    pub(super) fn bytes_of_strip(&self) -> usize {
        2 * self.n_steps() * size_of::<Tile>()
    }

    fn n_steps(&self) -> usize {
        self.depth.div_ceil(DEPTH)
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.n_steps().div_ceil(STEPS)
    }

    /// The tiles of a strip in a block.
    pub(super) fn strip(&self, block: usize, strip: usize) -> &[Tile] {
        let n_steps = self.n_steps();
        let [start, end] = [block, block + 1].map(|block| strip * n_steps + n_steps.min(block * STEPS));
        &self.tiles[2 * start..2 * end]
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
