//! An operand in tiles.

use std::{ops::Range, sync::Mutex};

use rayon::prelude::*;

use super::{
    pack::{Part, Side, fill},
    tile::{DEPTH, SQUARE, Tile},
};
use crate::cpu::{buffer::Scattered, gemm::Matrix};

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
        (Self::of_any(matrix.dims()), matrix)
    }

    /// `[lines, depth]` of any content, to be filled place by place.
    pub(crate) fn of_any([lines, depth]: [usize; 2]) -> Self {
        let n_tiles = 2 * lines.div_ceil(SQUARE) * depth.div_ceil(DEPTH);
        Self { tiles: spare_tiles(n_tiles), lines, depth }
    }

    /// Where squares of the operand go.
    pub(crate) fn places(&mut self) -> TilePlaces<'_> {
        let n_steps = self.n_steps();
        let n_tiles = 2 * self.n_strips() * n_steps;
        TilePlaces { tiles: Scattered::new(&mut self.tiles[..n_tiles]), n_steps }
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

    /// All of it.
    pub(crate) fn whole(&self) -> PackedPart<'_> {
        PackedPart { packed: self, first_strip: 0, lines: self.lines, first_step: 0, depth: self.depth }
    }

    fn n_strips(&self) -> usize {
        self.lines.div_ceil(SQUARE)
    }

    fn n_steps(&self) -> usize {
        self.depth.div_ceil(DEPTH)
    }
}

/// Neighbouring lines of an operand, and neighbouring places along its depth. What lies behind the last of these in their
/// tile is multiplied, too: by 0, where the other operand ends there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedPart<'a> {
    packed: &'a Packed,
    first_strip: usize,
    lines: usize,
    first_step: usize,
    depth: usize,
}

impl PackedPart<'_> {
    /// Some of its lines.
    ///
    /// # Panics
    /// If the first is not the first of a strip, or the last is not there.
    pub(crate) fn lines_in(self, lines: Range<usize>) -> Self {
        assert!(
            lines.start.is_multiple_of(SQUARE) && lines.end <= self.lines,
            "lines {lines:?} of {}",
            self.lines
        );
        Self { first_strip: self.first_strip + lines.start / SQUARE, lines: lines.len(), ..self }
    }

    /// Some of its depth.
    ///
    /// # Panics
    /// If it does not begin with a step, or ends beyond it.
    pub(crate) fn depth_in(self, depth: Range<usize>) -> Self {
        assert!(depth.start.is_multiple_of(DEPTH) && depth.end <= self.depth, "{depth:?} of {}", self.depth);
        Self { first_step: self.first_step + depth.start / DEPTH, depth: depth.len(), ..self }
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
        let first = (self.first_strip + strip) * self.packed.n_steps() + self.first_step;
        let [start, end] = [block, block + 1].map(|block| first + self.n_steps().min(block * STEPS));
        &self.packed.tiles[2 * start..2 * end]
    }
}

/// Tiles of an operand that threads fill, each other squares of it: of 32 lines, 32 deep.
pub(crate) struct TilePlaces<'a> {
    tiles: Scattered<'a, Tile>,
    n_steps: usize,
}

impl TilePlaces<'_> {
    /// Rounds and packs a square, as lines and depth, to the place of a strip of lines and a step along the depth.
    ///
    /// # Safety
    /// No other thread fills the same place.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn fill(&self, [strip, step]: [usize; 2], square: Matrix<'_>, side: Side) {
        assert_eq!(square.dims(), [SQUARE, DEPTH], "a square");
        assert!(step < self.n_steps, "a place of the operand");
        let first = 2 * (strip * self.n_steps + step);
        // SAFETY: the caller fills the place alone.
        let tiles = unsafe { self.tiles.part(first..first + 2) };
        fill(tiles, Part { matrix: square, side, first_strip: 0, n_steps: 1 });
    }
}

/// Tiles of operands that are gone.
static SPARE: Mutex<Vec<Vec<Tile>>> = Mutex::new(Vec::new());

/// Tiles beyond those asked for that are not worth new memory: so many times as many.
const WASTE: usize = 4;

/// At least as many tiles, of any content: memory that was used before needs no page from the system and no zeros.
fn spare_tiles(n_tiles: usize) -> Vec<Tile> {
    let fits = |tiles: &Vec<Tile>| (n_tiles..=WASTE * n_tiles).contains(&tiles.len());
    let spare = SPARE.lock().ok().and_then(|mut spare| {
        let idx = spare.iter().rposition(fits)?;
        Some(spare.swap_remove(idx))
    });
    spare.unwrap_or_else(|| vec![Tile::ZERO; n_tiles])
}

impl Drop for Packed {
    fn drop(&mut self) {
        if let Ok(mut spare) = SPARE.lock() {
            spare.push(std::mem::take(&mut self.tiles));
        }
    }
}
