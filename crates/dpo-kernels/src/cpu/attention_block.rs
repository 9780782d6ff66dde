//! Query rows that are done together, and the keys they see.

use std::ops::Range;

use super::{
    buffer::transpose_into,
    gemm::{Matrix, Target, Write, multiply},
    tanh::cap,
};
use crate::{AttentionSpec, Segment, TreeLayout, TreeRange};

/// Query rows of a block, at most.
pub(super) const ROWS: usize = 64;
/// Rows are padded to a multiple of this: the widest register.
const LANES: usize = 16;

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

    /// Some rows of a head times a factor, as `[head_dim, lanes]`.
    pub(super) fn lanes_into(self, target: &mut [f32], block: &Block, head: usize, factor: f32) {
        let size = [block.rows.len(), self.head_dim];
        transpose_into(target, self.from(block.rows.start, head), size, self.stride(), block.lanes(), factor);
    }
}

/// Query, key and value.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) query: Heads<'a>,
    pub(super) key: Heads<'a>,
    pub(super) value: Heads<'a>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(query: &'a [f32], key: &'a [f32], value: &'a [f32], spec: &AttentionSpec) -> Self {
        let heads = |values, count| Heads { values, count, head_dim: spec.head_dim };
        Self {
            query: heads(query, spec.n_heads),
            key: heads(key, spec.n_kv_heads),
            value: heads(value, spec.n_kv_heads),
        }
    }

    /// The key and value head of a query head.
    pub(super) fn kv_head(&self, head: usize) -> usize {
        head / (self.query.count / self.key.count)
    }
}

/// Query rows that are done together, and the keys that any of them sees.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) rows: Range<usize>,
    /// The trunk, then the segment's own rows up to the last of the block; without those that even the first row of the
    /// block no longer sees.
    pub(super) visible: [Range<usize>; 2],
    segment: Segment,
    window: Option<usize>,
}

impl Block {
    fn new(segment: &Segment, rows: Range<usize>, window: Option<usize>) -> Self {
        let Segment { trunk, own } = segment;
        let position = trunk.len() + (rows.start - own.start);
        let passed = window.map_or(0, |window| (position + 1).saturating_sub(window));
        let of_trunk = passed.min(trunk.len());
        let visible = [trunk.start + of_trunk..trunk.end, own.start + (passed - of_trunk)..rows.end];
        Self { rows, visible, segment: segment.clone(), window }
    }

    /// The blocks of a tree, in the order of their rows.
    pub(super) fn of(tree: &TreeRange, window: Option<usize>) -> impl Iterator<Item = Self> + '_ {
        TreeLayout::segments(tree).flat_map(move |segment| {
            let own = segment.own.clone();
            let rows = own.clone().step_by(ROWS).map(move |start| start..(start + ROWS).min(own.end));
            rows.map(move |rows| Self::new(&segment, rows, window))
        })
    }

    pub(super) fn lanes(&self) -> usize {
        self.rows.len().next_multiple_of(LANES)
    }

    pub(super) fn n_visible(&self) -> usize {
        self.visible.iter().map(Range::len).sum()
    }

    /// Runs of visible rows, each with the row of a tile where it starts.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, &Range<usize>)> {
        let starts = [0, self.visible[0].len()];
        starts.into_iter().zip(&self.visible).filter(|(_, run)| !run.is_empty())
    }

    /// `keys · queriesᵀ`: `[visible, lanes]`.
    pub(super) fn products(&self, tile: &mut [f32], keys: Heads<'_>, head: usize, queries: &[f32]) {
        let lanes = self.lanes();
        for (start, run) in self.runs() {
            multiply(
                Target { data: &mut tile[start * lanes..], stride: lanes, write: Write::Replace },
                keys.rows(run, head),
                Matrix::new(queries, [keys.head_dim, lanes], lanes),
            );
        }
    }

    /// What becomes of the products of keys and queries before the mask.
    pub(super) fn scores(
        &self,
        tile: &mut [f32],
        keys: Heads<'_>,
        head: usize,
        queries: &[f32],
        softcap: Option<f64>,
    ) {
        self.products(tile, keys, head, queries);
        if let Some(softcap) = softcap {
            cap(tile, softcap as f32);
        }
    }

    /// −∞ where a row would see one that comes after it, or one that its window has passed.
    pub(super) fn mask(&self, tile: &mut [f32]) {
        let (lanes, n_rows) = (self.lanes(), self.rows.len());
        let diagonal = self.n_visible() - n_rows;
        for (row, scores) in tile[diagonal * lanes..].chunks_exact_mut(lanes).take(n_rows).enumerate() {
            scores[..row].fill(f32::NEG_INFINITY);
        }
        // The last row sees none of the keys that are passed, the row before it only the last of them, and so on.
        let n_passed = self.n_passed();
        for (key, scores) in tile.chunks_exact_mut(lanes).take(n_passed).enumerate() {
            scores[n_rows - n_passed + key..n_rows].fill(f32::NEG_INFINITY);
        }
    }

    /// `weightsᵀ · values`, `[rows, head_dim]`, into rows of `target` that lie `stride` apart.
    pub(super) fn weighted(
        &self,
        target: &mut [f32],
        stride: usize,
        tile: &[f32],
        values: Heads<'_>,
        head: usize,
    ) {
        let lanes = self.lanes();
        let mut write = Write::Replace;
        for (start, run) in self.runs() {
            let weights = Matrix::new(&tile[start * lanes..], [run.len(), self.rows.len()], lanes);
            let target = Target { data: &mut *target, stride, write };
            multiply(target, weights.transposed(), values.rows(run, head));
            write = Write::Add;
        }
    }

    /// Keys at the start that the window of the last row has passed: fewer than there are rows, since the first row sees
    /// them all.
    fn n_passed(&self) -> usize {
        self.window.map_or(0, |window| self.n_visible().saturating_sub(window))
    }

    /// Whether a value that some row of the block does not see is infinite or not a number: 0 times that is not 0.
    pub(super) fn hides_what_is_not_finite(&self, values: Heads<'_>) -> bool {
        let [trunk, own] = &self.visible;
        let of_trunk = self.n_passed().min(trunk.len());
        let passed =
            [trunk.start..trunk.start + of_trunk, own.start..own.start + (self.n_passed() - of_trunk)];
        let width = values.stride();
        let finite = |rows: &Range<usize>| {
            values.values[rows.start * width..rows.end * width].iter().all(|x| x.is_finite())
        };
        self.rows.len() > 1 && !(finite(&self.rows) && passed.iter().all(finite))
    }

    /// The block row by row: no row is then multiplied, even by a weight of 0, with one that it does not see.
    pub(super) fn single_rows(&self) -> impl Iterator<Item = Self> + '_ {
        self.rows.clone().map(|row| Self::new(&self.segment, row..row + 1, self.window))
    }
}
