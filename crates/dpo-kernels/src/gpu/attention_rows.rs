//! What the attention kernels know of their rows and keys.

use cubecl::prelude::*;

use super::{
    blocks::ROW_NUMBERS,
    tiles::{PART, Place, SIDE, SPAN, add_products, add_weighted, clear, load},
};

/// Parts of a head for which a cube adds gradients up: of wider heads, several cubes have some each.
pub(super) const OWN_PARTS: usize = 4;
/// Scores of a unit.
pub(super) const OWN: usize = SPAN * SPAN;

/// What a kernel is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Heads {
    /// Query heads.
    pub(super) n: usize,
    /// Key and value heads.
    pub(super) n_kv: usize,
    /// Vectors of a head.
    pub(super) vectors: usize,
    /// Whether scores are capped.
    pub(super) is_capped: bool,
}

impl Heads {
    pub(super) fn group(self) -> usize {
        self.n / self.n_kv
    }

    /// Parts of a head, as many vectors each as are in shared memory at a time.
    pub(super) fn parts(self) -> usize {
        self.vectors.div_ceil(PART)
    }

    /// Parts of which a cube adds up gradients.
    pub(super) fn own_parts(self) -> usize {
        self.parts().min(OWN_PARTS)
    }
}

/// A block of rows as the table has it: what its rows see, in the order of their text.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Block {
    /// The first row, and the one behind the last.
    pub(super) first: usize,
    pub(super) end: usize,
    /// Rows at the start of the batch that it sees.
    pub(super) n_shared: usize,
    /// The first row of its trunk.
    pub(super) trunk: usize,
    pub(super) n_trunk: usize,
    /// The first row of its segment.
    pub(super) own: usize,
}

#[cube]
pub(super) fn block_of(table: &Tensor<u32>) -> Block {
    let at = CUBE_POS_X as usize * comptime!(ROW_NUMBERS);
    Block {
        first: table[at] as usize,
        end: table[at + 1] as usize,
        n_shared: table[at + 2] as usize,
        trunk: table[at + 3] as usize,
        n_trunk: table[at + 4] as usize,
        own: table[at + 5] as usize,
    }
}

/// The position of a row in its text.
#[cube]
pub(super) fn position_of(block: &Block, row: usize) -> usize {
    block.n_shared + block.n_trunk + row - block.own
}

/// The row of a key.
#[cube]
fn row_of_key(block: &Block, key_idx: usize) -> usize {
    let mut row = key_idx;
    if key_idx >= block.n_shared + block.n_trunk {
        row = block.own + key_idx - block.n_shared - block.n_trunk;
    } else if key_idx >= block.n_shared {
        row = block.trunk + key_idx - block.n_shared;
    }
    row
}

/// The first key that a row at `position` sees through the window.
#[cube]
pub(super) fn first_seen(position: usize, window: usize) -> usize {
    let mut first = 0usize;
    if position >= window {
        first = position + 1 - window;
    }
    first
}

/// The unit's rows of a block; beyond the end it does as the last row does, and writes nothing.
#[cube]
pub(super) fn own_rows(first: usize, end: usize, place: &Place) -> Array<usize> {
    let mut rows = Array::<usize>::new(comptime!(SPAN));
    #[unroll]
    for idx in 0..comptime!(SPAN) {
        let row = first + place.down + comptime!(idx * SIDE);
        rows[idx] = row;
        if row >= end {
            rows[idx] = end - 1;
        }
    }
    rows
}

/// Where vectors of rows begin in a tensor whose rows are `width` wide.
#[cube]
pub(super) fn starts(rows: &Array<usize>, at: usize, #[comptime] width: usize) -> Array<usize> {
    let mut starts = Array::<usize>::new(comptime!(SPAN));
    #[unroll]
    for idx in 0..comptime!(SPAN) {
        starts[idx] = rows[idx] * width + at;
    }
    starts
}

/// Where the unit's keys of the tile at `start` begin.
#[cube]
pub(super) fn key_starts(
    block: &Block,
    start: usize,
    n_keys: usize,
    at: usize,
    place: &Place,
    #[comptime] width: usize,
) -> Array<usize> {
    let mut starts = Array::<usize>::new(comptime!(SPAN));
    #[unroll]
    for idx in 0..comptime!(SPAN) {
        let mut key_idx = start + place.down + comptime!(idx * SIDE);
        if key_idx >= n_keys {
            key_idx = n_keys - 1;
        }
        starts[idx] = row_of_key(block, key_idx) * width + at;
    }
    starts
}

/// Adds rows of `from`, each times its weight, to as many parts of the unit's sums as these have, of which `first_part` is the first.
#[cube]
pub(super) fn add_weighted_rows<N: Size>(
    tile: &mut Shared<[Vector<f32, N>]>,
    sums: &mut Array<Vector<f32, N>>,
    weights: &Shared<[f32]>,
    from: &Tensor<Vector<f32, N>>,
    starts: &Array<usize>,
    first_part: usize,
    place: &Place,
    #[comptime] n_parts: usize,
    #[comptime] heads: Heads,
) {
    #[unroll]
    for part in 0..n_parts {
        load::<N>(tile, from, starts, first_part + part, place, heads.vectors);
        sync_cube();
        add_weighted::<N>(sums, weights, &*tile, place, part);
        sync_cube();
    }
}

/// Products of all parts of two tiles of rows.
#[cube]
pub(super) fn products<N: Size>(
    tiles: &mut (Shared<[Vector<f32, N>]>, Shared<[Vector<f32, N>]>),
    sums: &mut Array<f32>,
    lhs: &Tensor<Vector<f32, N>>,
    lhs_starts: &Array<usize>,
    rhs: &Tensor<Vector<f32, N>>,
    rhs_starts: &Array<usize>,
    place: &Place,
    #[comptime] heads: Heads,
) {
    clear(sums, comptime!(OWN));
    for part in 0..comptime!(heads.parts()) {
        load::<N>(&mut tiles.0, lhs, lhs_starts, part, place, heads.vectors);
        load::<N>(&mut tiles.1, rhs, rhs_starts, part, place, heads.vectors);
        sync_cube();
        add_products::<N>(sums, &tiles.0, &tiles.1, place);
        sync_cube();
    }
}
