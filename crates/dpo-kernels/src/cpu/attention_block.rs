//! Query rows that are done together, and the keys they see.

use std::ops::Range;

use super::{
    bf16::{Operand, Packed, Part, Side, Unit, multiply},
    buffer::{transpose_into, with_scratch},
    gemm::{Matrix, Target, Write},
};
use crate::{AttentionSpec, Segment};

/// Query rows of a block, at most.
pub(super) const ROWS: usize = 64;
/// Rows are padded to a multiple of this: the widest register.
pub(super) const LANES: usize = 16;
/// What a block sees ends with a multiple of this: where packed operands can be cut. No product has less than this many terms,
/// then, so that all of them take one path through the matrix product.
const CUT: usize = 32;
/// What a block sees begins with a multiple of this, and sums of weights are made up of sums of so many.
pub(super) const RUN: usize = 64;
/// Products are sums over as many places at most, from a multiple of this on: longer ones would be cut where their length says.
const TERMS: usize = 512;

/// `[n, heads · head_dim]`, read one head at a time.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    pub(super) values: &'a [f32],
    pub(super) count: usize,
    pub(super) head_dim: usize,
}

impl<'a> Heads<'a> {
    /// Distance of two rows.
    pub(super) fn stride(self) -> usize {
        self.count * self.head_dim
    }

    /// From row `row` of a head on.
    pub(super) fn from(self, row: usize, head: usize) -> &'a [f32] {
        &self.values[row * self.stride() + head * self.head_dim..]
    }

    /// Some rows of a head, `[rows, head_dim]`.
    pub(super) fn rows(self, rows: &Range<usize>, head: usize) -> Matrix<'a> {
        Matrix::new(self.from(rows.start, head), [rows.len(), self.head_dim], self.stride())
    }

    /// Whether a row of a head is free of infinities and numbers that are none.
    fn is_finite(self, row: usize, head: usize) -> bool {
        self.from(row, head)[..self.head_dim].iter().all(|value| value.is_finite())
    }
}

/// Query, key and value.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) query: Heads<'a>,
    pub(super) key: Heads<'a>,
    pub(super) value: Heads<'a>,
    /// What multiplies and rounds operands, of `Precision::Bf16` where there is such a unit.
    pub(super) unit: Option<&'static Unit>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(query: &'a [f32], key: &'a [f32], value: &'a [f32], spec: &AttentionSpec) -> Self {
        let heads = |values, count| Heads { values, count, head_dim: spec.head_dim };
        Self {
            query: heads(query, spec.n_heads),
            key: heads(key, spec.n_kv_heads),
            value: heads(value, spec.n_kv_heads),
            unit: Unit::for_precision(spec.precision),
        }
    }

    /// The key and value head of a query head.
    pub(super) fn kv_head(&self, head: usize) -> usize {
        head / (self.query.count / self.key.count)
    }

    /// `seen · rowsᵀ` of what a block sees, `[visible, head_dim]`, and its own rows of a head times `factor`:
    /// `[visible, lanes]`. `columns` is room for `[lanes, head_dim]`.
    pub(super) fn products(
        &self,
        tile: &mut [f32],
        (block, head): (&Block, usize),
        seen: Part<'_>,
        (rows, factor): (Heads<'_>, f32),
        columns: &mut [f32],
    ) {
        let (lanes, width) = (block.lanes(), rows.head_dim);
        let source = rows.from(block.rows.start, head);
        let columns = if self.unit.is_some() {
            scaled_into(columns, source, [block.rows.len(), width], rows.stride(), factor);
            Matrix::new(columns, [lanes, width], width).transposed()
        } else {
            transpose_into(columns, source, [block.rows.len(), width], rows.stride(), lanes, factor);
            Matrix::new(columns, [width, lanes], lanes)
        };
        let columns = Operand::new(self.unit, columns, Side::Right);
        multiply(
            self.unit,
            Target { data: tile, stride: lanes, write: Write::Replace },
            seen,
            columns.whole(),
        );
    }
}

/// Columns `0..width` of `rows` rows that lie `stride` apart, times `factor`, side by side, then zeros.
fn scaled_into(target: &mut [f32], source: &[f32], [rows, width]: [usize; 2], stride: usize, factor: f32) {
    let (filled, rest) = target.split_at_mut(rows * width);
    for (target, source) in filled.chunks_exact_mut(width).zip(source.chunks(stride)) {
        target.iter_mut().zip(source).for_each(|(target, value)| *target = value * factor);
    }
    rest.fill(0.0);
}

/// The rows that a segment sees, in the order of their positions: those of the layout that `places` of them are.
fn rows_at(segment: &Segment, places: &Range<usize>) -> impl Iterator<Item = usize> + use<> {
    let runs = segment.runs().into_iter().flatten();
    runs.skip(places.start).take(places.len())
}

/// Places of that many rows, with the zeros behind them.
pub(super) fn padded(n_rows: usize) -> usize {
    n_rows.next_multiple_of(CUT)
}

/// Keys, or values, of one head that a segment sees, side by side in the order of their positions, then zeros up to a
/// multiple of [`CUT`]: as products with them want them.
#[derive(Debug)]
pub(super) enum Seen {
    /// `[visible, head_dim]`.
    Plain(Vec<f32>, usize),
    /// As a left operand of products, as a right one.
    Packed([Option<Packed>; 2]),
}

impl Seen {
    /// Of those at `places` among what the segment sees; as operands for `sides`.
    pub(super) fn new(
        unit: Option<&Unit>,
        heads: Heads<'_>,
        head: usize,
        (segment, places): (&Segment, &Range<usize>),
        sides: &[Side],
    ) -> Self {
        let width = heads.head_dim;
        let fill = |gathered: &mut [f32]| {
            let (rows, rest) = gathered.split_at_mut(places.len() * width);
            for (target, row) in rows.chunks_exact_mut(width).zip(rows_at(segment, places)) {
                target.copy_from_slice(&heads.from(row, head)[..width]);
            }
            rest.fill(0.0);
        };
        let size = [padded(places.len()), width];
        if unit.is_none() {
            let mut gathered = vec![0.0; size[0] * width];
            fill(&mut gathered);
            return Self::Plain(gathered, width);
        }
        with_scratch(size[0] * width, |gathered| {
            fill(gathered);
            let matrix = Matrix::new(gathered, size, width);
            let packed = |side: Side| sides.contains(&side).then(|| Packed::on_this_thread(matrix, side));
            Self::Packed([Side::Left, Side::Right].map(packed))
        })
    }

    /// Some of them, `[places, head_dim]`, on one side of a product.
    pub(super) fn at(&self, places: &Range<usize>, side: Side) -> Part<'_> {
        match self {
            Self::Plain(gathered, width) => {
                Part::Plain(Matrix::new(&gathered[places.start * width..], [places.len(), *width], *width))
            }
            Self::Packed(packed) => {
                let packed = packed[side as usize].as_ref().expect("an operand for that side").whole();
                Part::Packed(match side {
                    Side::Left => packed.lines_in(places.clone()),
                    Side::Right => packed.depth_in(places.clone()),
                })
            }
        }
    }
}

/// Keys and values of one head that a segment sees.
pub(super) struct Visible {
    pub(super) keys: Seen,
    pub(super) values: Seen,
}

impl Visible {
    /// As operands for the sides that keys, and values, are wanted on.
    pub(super) fn new(
        inputs: &Inputs<'_>,
        (segment, places): (&Segment, &Range<usize>),
        head: usize,
        [keys, values]: [&[Side]; 2],
    ) -> Self {
        let seen = |heads, sides| Seen::new(inputs.unit, heads, head, (segment, places), sides);
        Self { keys: seen(inputs.key, keys), values: seen(inputs.value, values) }
    }
}

/// Query rows that are done together, and the keys that any of them sees.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) rows: Range<usize>,
    /// Places among the rows that the segment sees, up to that of the last of the block; without those that even its first
    /// row no longer sees. A few more, from a multiple of [`RUN`] and to one of [`CUT`], are masked.
    pub(super) seen: Range<usize>,
    /// Place of the first row itself.
    position: usize,
    window: usize,
}

impl Block {
    fn new(rows: Range<usize>, position: usize, window: usize) -> Self {
        let passed = (position + 1).saturating_sub(window);
        let seen = passed / RUN * RUN..padded(position + rows.len());
        Self { rows, seen, position, window }
    }

    /// The blocks of a segment, in the order of their rows.
    pub(super) fn of(segment: &Segment, window: Option<usize>) -> impl Iterator<Item = Self> + use<> {
        let (own, n_before) = (segment.own.clone(), segment.n_before());
        own.clone().step_by(ROWS).map(move |start| {
            let position = n_before + (start - own.start);
            Self::new(start..(start + ROWS).min(own.end), position, window.unwrap_or(usize::MAX))
        })
    }

    pub(super) fn lanes(&self) -> usize {
        self.rows.len().next_multiple_of(LANES)
    }

    pub(super) fn n_visible(&self) -> usize {
        self.seen.len()
    }

    /// Places in runs of at most [`TERMS`], each with where it begins in a tile.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let seen = self.seen.clone();
        let runs = seen.start / TERMS..seen.end.div_ceil(TERMS);
        runs.map(move |run| {
            let places = (run * TERMS).max(seen.start)..((run + 1) * TERMS).min(seen.end);
            (places.start - seen.start, places)
        })
    }

    /// −∞ where a row would see one that comes after it, or one that its window has passed.
    pub(super) fn mask(&self, tile: &mut [f32]) {
        let n_rows = self.rows.len();
        for (place, scores) in self.seen.clone().zip(tile.chunks_exact_mut(self.lanes())) {
            // The first row that the key does not come after, and the first whose window has passed it.
            let first = place.saturating_sub(self.position).min(n_rows);
            let end = place.saturating_add(self.window).saturating_sub(self.position).min(n_rows);
            scores[..first].fill(f32::NEG_INFINITY);
            scores[end..n_rows].fill(f32::NEG_INFINITY);
        }
    }

    /// Whether a value that some row of the block does not see, but is multiplied with by a weight of 0, is infinite or not a
    /// number.
    pub(super) fn hides_what_is_not_finite(&self, segment: &Segment, values: Heads<'_>, head: usize) -> bool {
        let passed = (self.position + self.rows.len()).saturating_sub(self.window).max(self.seen.start);
        let hidden = [self.seen.start..passed, self.position + 1..self.seen.end.min(segment.n_seen())];
        hidden.iter().any(|places| rows_at(segment, places).any(|row| !values.is_finite(row, head)))
    }

    /// The block row by row, each with the places that it sees, which are all that its own block is to see: no row is then
    /// multiplied, even by a weight of 0, with one that it does not see.
    pub(super) fn single_rows(&self) -> impl Iterator<Item = (Self, Range<usize>)> + '_ {
        self.rows.clone().zip(self.position..).map(|(row, position)| {
            let seen = (position + 1).saturating_sub(self.window)..position + 1;
            (Self::new(row..row + 1, seen.len() - 1, usize::MAX), seen)
        })
    }
}
