//! What the attention kernels do with tiles of [`BLOCK`] rows by [`BLOCK`] columns: [`SIDE`] by [`SIDE`] units, each of
//! which has the rows `down`, `down + SIDE`, … and the columns `across`, `across + SIDE`, ….
//!
//! [`PART`] vectors of each row are in shared memory at a time, so that heads of any width fit into the 16 KiB that
//! WebGPU promises.

use cubecl::prelude::*;

/// Rows and columns of a tile.
pub(super) const BLOCK: usize = 32;
/// Units along each side of a tile.
pub(super) const SIDE: usize = 8;
/// Rows, and columns, of a unit.
pub(super) const SPAN: usize = BLOCK / SIDE;
/// Vectors of a row in shared memory.
pub(super) const PART: usize = SIDE;
/// Vectors from a row to the next in shared memory: one more, so that rows lie in different banks.
const VECTOR_STRIDE: usize = PART + 1;
/// Numbers from a row to the next in shared memory.
const NUMBER_STRIDE: usize = BLOCK + 1;
/// Vectors of [`load`]'s tile.
pub(super) const VECTORS: usize = BLOCK * VECTOR_STRIDE;
/// Numbers of [`keep`]'s tile.
pub(super) const NUMBERS: usize = BLOCK * NUMBER_STRIDE;

/// Where a unit is in its cube.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Place {
    pub(super) down: usize,
    pub(super) across: usize,
}

#[cube]
pub(super) fn own_place() -> Place {
    let unit = UNIT_POS as usize;
    Place { down: unit / comptime!(SIDE), across: unit % comptime!(SIDE) }
}

/// Brings a part of the rows that begin at `rows`, those of the unit's own, into `tile`; nothing where a head ends.
#[cube]
pub(super) fn load<N: Size>(
    tile: &mut Shared<[Vector<f32, N>]>,
    from: &Tensor<Vector<f32, N>>,
    rows: &Array<usize>,
    part: usize,
    place: &Place,
    #[comptime] vectors: usize,
) {
    let vector = part * comptime!(PART) + place.across;
    #[unroll]
    for idx in 0..comptime!(SPAN) {
        let mut loaded = Vector::<f32, N>::new(0.0f32);
        if vector < vectors {
            loaded = from[rows[idx] + vector];
        }
        tile[(place.down + idx * comptime!(SIDE)) * comptime!(VECTOR_STRIDE) + place.across] = loaded;
    }
}

/// Adds the products of a part: `sums[i, j] += lhs[row i] · rhs[column j]`.
#[cube]
pub(super) fn add_products<N: Size>(
    sums: &mut Array<f32>,
    lhs: &Shared<[Vector<f32, N>]>,
    rhs: &Shared<[Vector<f32, N>]>,
    place: &Place,
) {
    let mut rows = Array::<Vector<f32, N>>::new(comptime!(SPAN));
    let mut columns = Array::<Vector<f32, N>>::new(comptime!(SPAN));
    for vector in 0..comptime!(PART) {
        #[unroll]
        for idx in 0..comptime!(SPAN) {
            let offset = comptime!(idx * SIDE);
            rows[idx] = lhs[(place.down + offset) * comptime!(VECTOR_STRIDE) + vector];
            columns[idx] = rhs[(place.across + offset) * comptime!(VECTOR_STRIDE) + vector];
        }
        #[unroll]
        for i in 0..comptime!(SPAN) {
            #[unroll]
            for j in 0..comptime!(SPAN) {
                let at = comptime!(i * SPAN + j);
                #[unroll]
                for number in 0..N::value() {
                    sums[at] = sums[at] + rows[i].extract(number) * columns[j].extract(number);
                }
            }
        }
    }
}

/// Writes the unit's numbers into a tile that others read.
#[cube]
pub(super) fn keep(tile: &mut Shared<[f32]>, numbers: &Array<f32>, place: &Place) {
    #[unroll]
    for i in 0..comptime!(SPAN) {
        #[unroll]
        for j in 0..comptime!(SPAN) {
            let row = place.down + comptime!(i * SIDE);
            tile[row * comptime!(NUMBER_STRIDE) + place.across + comptime!(j * SIDE)] =
                numbers[comptime!(i * SPAN + j)];
        }
    }
}

/// Adds rows of `tile`, each times its weight, to a part of the unit's sums: `sums[part, i] += Σ_k weights[row i, k]·tile[k]`.
#[cube]
pub(super) fn add_weighted<N: Size>(
    sums: &mut Array<Vector<f32, N>>,
    weights: &Shared<[f32]>,
    tile: &Shared<[Vector<f32, N>]>,
    place: &Place,
    #[comptime] part: usize,
) {
    for k in 0..comptime!(BLOCK) {
        let vector = tile[k * comptime!(VECTOR_STRIDE) + place.across];
        #[unroll]
        for i in 0..comptime!(SPAN) {
            let at = comptime!(part * SPAN + i);
            let row = place.down + comptime!(i * SIDE);
            let weight = weights[row * comptime!(NUMBER_STRIDE) + k];
            sums[at] = sums[at] + vector * Vector::<f32, N>::new(weight);
        }
    }
}

/// The same for all of the unit's numbers.
#[cube]
pub(super) fn clear(numbers: &mut Array<f32>, #[comptime] len: usize) {
    #[unroll]
    for idx in 0..len {
        numbers[idx] = 0.0f32;
    }
}

/// Vectors of nothing.
#[cube]
pub(super) fn clear_vectors<N: Size>(vectors: &mut Array<Vector<f32, N>>, #[comptime] len: usize) {
    #[unroll]
    for idx in 0..len {
        vectors[idx] = Vector::<f32, N>::new(0.0f32);
    }
}
