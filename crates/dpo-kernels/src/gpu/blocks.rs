//! Which block of rows meets which keys, as the kernels read it.

use std::ops::Range;

use super::attention_kernels::BLOCK;
use crate::{TreeLayout, TreeRange};

/// Numbers of a block of query rows: first row, end, first row of the trunk, its length, first row of the segment.
pub(super) const ROW_NUMBERS: usize = 5;
/// Numbers of a block of keys: first row, end, end of the rows that may see it.
pub(super) const KEY_NUMBERS: usize = 3;

/// Blocks of a layout: those of queries, those of keys, then the position of each row in its own text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) numbers: Vec<u32>,
    pub(super) n_row_blocks: usize,
    pub(super) n_key_blocks: usize,
}

impl Blocks {
    /// # Panics
    /// If trees share a start: [`can_attend`](super::can_attend) leaves such layouts to the portable body.
    pub(super) fn of(layout: &TreeLayout) -> Self {
        assert!(layout.shared().is_empty(), "trees that share nothing");
        let (mut rows, mut keys) = (Vec::new(), Vec::new());
        let mut positions = vec![0; layout.n_rows()];
        for tree in layout.trees() {
            for segment in layout.segments_of(tree) {
                let (trunk, own) = (segment.trunk, segment.own);
                let n_trunk = trunk.len();
                let sees_end = if n_trunk == 0 { seen_until(tree, &own) } else { own.end };
                for block in blocks(&own) {
                    rows.extend([block.start, block.end, trunk.start, n_trunk, own.start]);
                    keys.extend([block.start, block.end, sees_end]);
                }
                let start = own.start;
                own.for_each(|row| positions[row] = n_trunk + row - start);
            }
        }
        let (n_row_blocks, n_key_blocks) = (rows.len() / ROW_NUMBERS, keys.len() / KEY_NUMBERS);
        let numbers = rows.into_iter().chain(keys).chain(positions).map(|number| number as u32).collect();
        Self { numbers, n_row_blocks, n_key_blocks }
    }

    /// Where the numbers of the key blocks begin.
    pub(super) fn keys_at(&self) -> usize {
        self.n_row_blocks * ROW_NUMBERS
    }

    /// Where the positions begin.
    pub(super) fn positions_at(&self) -> usize {
        self.keys_at() + self.n_key_blocks * KEY_NUMBERS
    }
}

/// A trunk is seen to the end of its tree; a branch without a trunk to its own.
fn seen_until(tree: &TreeRange, own: &Range<usize>) -> usize {
    if *own == tree.trunk { tree.rows().end } else { own.end }
}

fn blocks(rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.clone().step_by(BLOCK).map(move |start| start..(start + BLOCK).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trunk of 33 rows and branches of 2 and 1, then a tree without a trunk.
    #[test]
    fn a_trunk_is_seen_by_all_of_its_tree_and_a_branch_by_itself() {
        let tree = |trunk, branches: &[Range<usize>]| TreeRange { trunk, branches: branches.to_vec() };
        let layout = TreeLayout::new(vec![tree(0..33, &[33..35, 35..36]), tree(36..36, &[36..38])]);
        let blocks = Blocks::of(&layout);
        let (rows, rest) = blocks.numbers.split_at(blocks.keys_at());
        let (keys, positions) = rest.split_at(blocks.positions_at() - blocks.keys_at());
        assert_eq!(
            rows,
            [0, 32, 0, 0, 0, 32, 33, 0, 0, 0, 33, 35, 0, 33, 33, 35, 36, 0, 33, 35, 36, 38, 36, 0, 36]
        );
        assert_eq!(keys, [0, 32, 36, 32, 33, 36, 33, 35, 35, 35, 36, 36, 36, 38, 38]);
        assert_eq!(positions[30..], [30, 31, 32, 33, 34, 33, 0, 1]);
    }
}
