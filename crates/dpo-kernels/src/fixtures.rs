//! What tests of kernels are given, on whatever device they run.

use crate::{TreeLayout, TreeRange};

/// Numbers between −1 and 1, the same each time (a linear congruential generator).
pub(crate) fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Trees given as their trunk's length and their branches' lengths, behind so many rows that all of them share.
pub(crate) fn layout_behind(n_shared: usize, trees: &[(usize, &[usize])]) -> TreeLayout {
    let mut end = n_shared;
    let mut next = |len: usize| {
        end += len;
        end - len..end
    };
    let tree = |(trunk, branches): &(usize, &[usize])| TreeRange {
        trunk: next(*trunk),
        branches: branches.iter().map(|len| next(*len)).collect(),
    };
    TreeLayout::with_shared_start(n_shared, trees.iter().map(tree).collect())
}
