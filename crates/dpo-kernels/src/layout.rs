//! Which token sees which: trees that lie end to end in a packed batch.

use std::{ops::Range, sync::Arc};

/// One tree of a packed batch: a trunk, and branches that follow it without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeRange {
    /// Rows of the trunk.
    pub trunk: Range<usize>,
    /// Rows of each branch.
    pub branches: Vec<Range<usize>>,
}

impl TreeRange {
    /// All rows of the tree.
    pub fn rows(&self) -> Range<usize> {
        self.trunk.start..self.branches.last().map_or(self.trunk.end, |branch| branch.end)
    }
}

/// A run of rows with one rule: each row sees the whole `trunk`, then its own run up to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Rows that every row of `own` sees (empty for a trunk itself).
    pub trunk: Range<usize>,
    /// Rows of this segment, causal among themselves.
    pub own: Range<usize>,
}

/// The trees of a packed batch, in order and without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeLayout {
    trees: Vec<TreeRange>,
}

impl TreeLayout {
    /// Trees that must tile `0..n` in order.
    ///
    /// # Panics
    /// If a range does not start where the one before it ends: that is a bug of the caller.
    pub fn new(trees: Vec<TreeRange>) -> Self {
        let mut end = 0;
        for tree in &trees {
            for range in std::iter::once(&tree.trunk).chain(&tree.branches) {
                assert!(
                    range.start == end && range.end >= range.start,
                    "rows {range:?} do not start at {end}"
                );
                end = range.end;
            }
        }
        Self { trees }
    }

    /// The trees, in order.
    pub fn trees(&self) -> &[TreeRange] {
        &self.trees
    }

    /// Rows of all trees.
    pub fn n_rows(&self) -> usize {
        self.trees.last().map_or(0, |tree| tree.rows().end)
    }

    /// The segments of one tree: its trunk, then its branches; empty ones are left out.
    pub fn segments(tree: &TreeRange) -> impl Iterator<Item = Segment> + '_ {
        let start = tree.trunk.start;
        std::iter::once(Segment { trunk: start..start, own: tree.trunk.clone() })
            .chain(tree.branches.iter().map(|own| Segment { trunk: tree.trunk.clone(), own: own.clone() }))
            .filter(|segment| !segment.own.is_empty())
    }
}

/// Everything tree attention needs beside its tensors.
#[derive(Debug, Clone)]
pub struct AttentionSpec {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on the scores, usually `1/√head_dim`.
    pub scale: f64,
    /// Which row sees which.
    pub layout: Arc<TreeLayout>,
    /// A row sees only keys whose position is less than this many before its own (its own counts): Hugging Face's
    /// `sliding_window`, at least 1. `None` sees all.
    pub window: Option<usize>,
    /// Scores `s` become `c·tanh(s/c)` before the mask (Gemma 2: <https://arxiv.org/abs/2408.00118>); applied after
    /// `scale`.
    pub softcap: Option<f64>,
}
