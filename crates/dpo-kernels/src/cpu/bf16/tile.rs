//! What a matrix unit computes: a square of the product from two strips of tiles.

/// Lines of a tile: rows of the left operand, columns of the right one.
pub(super) const LINES: usize = 16;
/// Pairs of numbers, neighbours along the depth, that a line of a tile has.
pub(super) const PAIRS: usize = 16;
/// Numbers that a tile is deep.
pub(super) const DEPTH: usize = 2 * PAIRS;
/// Rows and columns of a square: two tiles of each operand.
pub(super) const SQUARE: usize = 2 * LINES;

/// Pairs of bfloat16, the first in the lower half: `[line][pair]` of a left operand, `[pair][line]` of a right one. What is
/// left of it beyond the matrix is 0.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [u32; LINES * PAIRS]);

impl Tile {
    pub(super) const ZERO: Self = Self([0; LINES * PAIRS]);
}

/// A matrix unit, ready on the thread that made it.
pub(super) trait Unit {
    /// Makes it ready.
    fn new() -> Self;

    /// Adds the product of a strip of the left operand and one of the right to a square whose rows lie `stride` apart.
    ///
    /// A strip is two tiles for each step along the depth, as many of each operand.
    fn add(&self, left: &[Tile], right: &[Tile], square: &mut [f32], stride: usize);
}

/// The length that a square takes in memory.
pub(super) fn square_len(stride: usize) -> usize {
    (SQUARE - 1) * stride + SQUARE
}

/// The same in plain Rust: pair by pair along the depth, each of its products added by itself.
pub(super) struct Plain;

impl Unit for Plain {
    fn new() -> Self {
        Self
    }

    fn add(&self, left: &[Tile], right: &[Tile], square: &mut [f32], stride: usize) {
        let halves = |pair: u32| [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)];
        for (left, right) in left.chunks_exact(2).zip(right.chunks_exact(2)) {
            for (row, col) in (0..SQUARE).flat_map(|row| (0..SQUARE).map(move |col| (row, col))) {
                let (of_row, of_col) = (&left[row / LINES].0, &right[col / LINES].0);
                let sum = &mut square[row * stride + col];
                for pair in 0..PAIRS {
                    let a = halves(of_row[row % LINES * PAIRS + pair]);
                    let b = halves(of_col[pair * LINES + col % LINES]);
                    *sum = a[1].mul_add(b[1], a[0].mul_add(b[0], *sum));
                }
            }
        }
    }
}
