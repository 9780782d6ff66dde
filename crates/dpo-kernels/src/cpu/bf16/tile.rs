//! What a unit computes: a square of the product from two strips of tiles.

/// Lines of a tile: rows of the left operand, columns of the right one.
pub(super) const LINES: usize = 16;
/// Pairs of numbers, neighbours along the depth, that a line of a tile has.
pub(super) const PAIRS: usize = 16;
/// Numbers that a tile is deep.
pub(super) const DEPTH: usize = 2 * PAIRS;
/// Rows and columns of a square: two tiles of each operand.
pub(crate) const SQUARE: usize = 2 * LINES;

/// Pairs of bfloat16, the first in the lower half: `[line][pair]` of a left operand, `[pair][line]` of a right one. What is
/// left of it beyond the matrix is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [u32; LINES * PAIRS]);

impl Tile {
    pub(super) const ZERO: Self = Self([0; LINES * PAIRS]);
}

/// `[row][column]` of a part of the product, on its way there.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Square(pub(crate) [f32; SQUARE * SQUARE]);

impl Square {
    pub(crate) const ZERO: Self = Self([0.0; SQUARE * SQUARE]);

    pub(super) fn lines(&self) -> impl Iterator<Item = &[f32; SQUARE]> {
        self.0.as_chunks().0.iter()
    }
}

/// What a product is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Zeros; what the square holds is not read.
    Zeros,
    /// What the square holds.
    Square,
}

/// What multiplies tiles, ready on the thread that made it.
pub(super) trait Multiplier {
    /// Another one where the last bits may be others.
    const NAME: &str;

    /// Whether the processor has it and the system lets this program use it.
    fn is_there() -> bool;

    /// Whether it is there and computes what it should; found out once.
    fn is_usable() -> bool;

    /// Makes it ready.
    ///
    /// # Panics
    /// Where it is not there.
    fn new() -> Self;

    /// Adds the product of a strip of the left operand and one of the right to a square, or to zeros in its place: to each
    /// number its products one after another, in the same order wherever in the square it is.
    ///
    /// A strip is two tiles for each step along the depth, as many of each operand.
    fn add(&self, left: &[Tile], right: &[Tile], square: &mut Square, start: Start);
}

/// Asserts what [`Multiplier::add`] says of its arguments.
pub(super) fn assert_strips(left: &[Tile], right: &[Tile]) {
    assert!(left.len() == right.len() && left.len().is_multiple_of(2), "strips of one depth");
}

/// One square against the one in plain Rust; sums of products of small whole numbers have no rounding to differ in.
pub(super) fn is_right<M: Multiplier>() -> bool {
    let strip = |seed: u32| -> Vec<Tile> {
        let number = |idx: u32| f32::from((idx * seed % 7) as u8).to_bits() >> 16;
        let pair = |idx: u32| number(2 * idx) | number(2 * idx + 1) << 16;
        let tile = |tile: u32| Tile(std::array::from_fn(|idx| pair(256 * tile + idx as u32)));
        (0..6).map(tile).collect()
    };
    let (left, right) = (strip(5), strip(11));
    let [mut found, mut expected] = [Square([1.0; SQUARE * SQUARE]); 2];
    let is_same = |start| {
        M::new().add(&left, &right, &mut found, start);
        Plain::new().add(&left, &right, &mut expected, start);
        found == expected
    };
    [Start::Square, Start::Zeros].into_iter().all(is_same)
}

/// The same in plain Rust: pair by pair along the depth, each of its products, which are exact, added by itself.
pub(super) struct Plain;

impl Multiplier for Plain {
    const NAME: &str = "plain Rust";

    fn is_there() -> bool {
        true
    }

    fn is_usable() -> bool {
        true
    }

    fn new() -> Self {
        Self
    }

    fn add(&self, left: &[Tile], right: &[Tile], square: &mut Square, start: Start) {
        assert_strips(left, right);
        if start == Start::Zeros {
            *square = Square::ZERO;
        }
        let halves = |pair: u32| [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)];
        for (left, right) in left.chunks_exact(2).zip(right.chunks_exact(2)) {
            for (row, col) in (0..SQUARE).flat_map(|row| (0..SQUARE).map(move |col| (row, col))) {
                let (of_row, of_col) = (&left[row / LINES].0, &right[col / LINES].0);
                let sum = &mut square.0[row * SQUARE + col];
                for pair in 0..PAIRS {
                    let a = halves(of_row[row % LINES * PAIRS + pair]);
                    let b = halves(of_col[pair * LINES + col % LINES]);
                    *sum += a[0] * b[0];
                    *sum += a[1] * b[1];
                }
            }
        }
    }
}
