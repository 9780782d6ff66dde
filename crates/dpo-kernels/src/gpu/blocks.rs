//! Which block of rows meets which keys, as the kernels read it.

use std::ops::Range;

use super::tiles::BLOCK;
use crate::{Segment, TreeLayout, TreeRange};

/// Numbers of a block of query rows: first row, end, rows of the batch's start that it sees, first row of the trunk, its length,
/// first row of the segment.
pub(super) const ROW_NUMBERS: usize = 6;
/// Numbers of a block of keys: first row, end, first row that it is held against, end of these, first row of what comes out.
pub(super) const KEY_NUMBERS: usize = 5;
/// Rows that a block of keys at the start of the batch is held against at a time: it is seen by all of the batch.
const ROWS_AT_A_TIME: usize = 256;

/// Blocks of a layout: those of queries, those of keys, then the position of each row in its own text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) numbers: Vec<u32>,
    pub(super) n_of_rows: usize,
    pub(super) n_of_keys: usize,
}

impl Blocks {
    pub(super) fn of(layout: &TreeLayout) -> Self {
        let (n_shared, n_rows) = (layout.shared().len(), layout.n_rows());
        let mut table = Table { rows: Vec::new(), keys: Vec::new(), positions: vec![0; n_rows] };
        let start = Segment { shared: 0..0, trunk: 0..0, own: layout.shared() };
        table.add_rows(&start);
        for part in 0..n_parts_of_start(layout) {
            let first = part * ROWS_AT_A_TIME;
            let rows = first..(first + ROWS_AT_A_TIME).min(n_rows);
            // The first part is where the rows themselves are.
            let target = if part == 0 { 0 } else { n_rows + (part - 1) * n_shared };
            table.add_keys(&start.own, |_| rows.clone(), target);
        }
        for tree in layout.trees() {
            for segment in layout.segments_of(tree) {
                table.add_rows(&segment);
                let end = seen_until(tree, &segment.own);
                table.add_keys(&segment.own, |block| block.start..end, segment.own.start);
            }
        }
        let (n_of_rows, n_of_keys) = (table.rows.len() / ROW_NUMBERS, table.keys.len() / KEY_NUMBERS);
        let numbers = table.rows.into_iter().chain(table.keys).chain(table.positions);
        Self { numbers: numbers.map(|number| number as u32).collect(), n_of_rows, n_of_keys }
    }

    /// Where the numbers of the key blocks begin.
    pub(super) fn keys_at(&self) -> usize {
        self.n_of_rows * ROW_NUMBERS
    }

    /// Where the positions begin.
    pub(super) fn positions_at(&self) -> usize {
        self.keys_at() + self.n_of_keys * KEY_NUMBERS
    }
}

/// Into how many parts the gradients of the batch's start fall: the first lies where its rows are, the others behind all rows.
pub(super) fn n_parts_of_start(layout: &TreeLayout) -> usize {
    if layout.shared().is_empty() { 0 } else { layout.n_rows().div_ceil(ROWS_AT_A_TIME) }
}

/// What becomes the numbers.
struct Table {
    rows: Vec<usize>,
    keys: Vec<usize>,
    positions: Vec<usize>,
}

impl Table {
    fn add_rows(&mut self, segment: &Segment) {
        let Segment { shared, trunk, own } = segment;
        for block in blocks(own) {
            let numbers = [block.start, block.end, shared.len(), trunk.start, trunk.len(), own.start];
            self.rows.extend(numbers);
        }
        for row in own.clone() {
            self.positions[row] = segment.n_before() + row - own.start;
        }
    }

    /// Blocks of `own`, each held against `rows_of` it; what comes out of the first goes to row `target`.
    fn add_keys(
        &mut self,
        own: &Range<usize>,
        rows_of: impl Fn(&Range<usize>) -> Range<usize>,
        target: usize,
    ) {
        for block in blocks(own) {
            let rows = rows_of(&block);
            let target = target + block.start - own.start;
            self.keys.extend([block.start, block.end, rows.start, rows.end, target]);
        }
    }
}

/// A trunk is seen to the end of its tree; a branch to its own.
fn seen_until(tree: &TreeRange, own: &Range<usize>) -> usize {
    if *own == tree.trunk { tree.rows().end } else { own.end }
}

fn blocks(rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.clone().step_by(BLOCK).map(move |start| start..(start + BLOCK).min(end))
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // Lists of ranges, some of one.
mod tests {
    use super::*;

    fn tree(trunk: Range<usize>, branches: &[Range<usize>]) -> TreeRange {
        TreeRange { trunk, branches: branches.to_vec() }
    }

    /// Numbers of the row blocks, of the key blocks, positions.
    fn parts(blocks: &Blocks) -> [&[u32]; 3] {
        let (rows, rest) = blocks.numbers.split_at(blocks.keys_at());
        let (keys, positions) = rest.split_at(blocks.positions_at() - blocks.keys_at());
        [rows, keys, positions]
    }

    /// A trunk of 33 rows and branches of 2 and 1, then a tree without a trunk.
    #[test]
    fn a_trunk_is_seen_by_all_of_its_tree_and_a_branch_by_itself() {
        let layout = TreeLayout::new(vec![tree(0..33, &[33..35, 35..36]), tree(36..36, &[36..38])]);
        let blocks = Blocks::of(&layout);
        let [rows, keys, positions] = parts(&blocks);
        let of_rows: [[u32; 6]; 5] = [
            [0, 32, 0, 0, 0, 0],
            [32, 33, 0, 0, 0, 0],
            [33, 35, 0, 0, 33, 33],
            [35, 36, 0, 0, 33, 35],
            [36, 38, 0, 36, 0, 36],
        ];
        assert_eq!(rows, of_rows.as_flattened());
        let of_keys: [[u32; 5]; 5] = [
            [0, 32, 0, 36, 0],
            [32, 33, 32, 36, 32],
            [33, 35, 33, 35, 33],
            [35, 36, 35, 36, 35],
            [36, 38, 36, 38, 36],
        ];
        assert_eq!(keys, of_keys.as_flattened());
        assert_eq!(positions[30..], [30, 31, 32, 33, 34, 33, 0, 1]);
    }

    /// 3 rows at the start, a tree of 1 and 1,100, one that is a branch alone.
    #[test]
    fn what_all_trees_share_is_held_against_all_rows_some_at_a_time() {
        let trees = vec![tree(3..4, &[4..1104]), tree(1104..1104, &[1104..1105])];
        let layout = TreeLayout::with_shared_start(3, trees);
        let blocks = Blocks::of(&layout);
        let [rows, keys, positions] = parts(&blocks);
        assert_eq!(n_parts_of_start(&layout), 5);
        assert_eq!(rows[..18], [0, 3, 0, 0, 0, 0, 3, 4, 3, 3, 0, 3, 4, 36, 3, 3, 1, 4]);
        assert_eq!(rows[rows.len() - 6..], [1104, 1105, 3, 1104, 0, 1104]);
        assert_eq!(keys[..10], [0, 3, 0, 256, 0, 0, 3, 256, 512, 1105]);
        assert_eq!(keys[20..25], [0, 3, 1024, 1105, 1114]);
        assert_eq!(keys[25..30], [3, 4, 3, 1104, 3]);
        assert_eq!([positions[2], positions[3], positions[4], positions[1104]], [2, 3, 4, 3]);
    }
}
