//! Which token sees which: trees that lie end to end in a packed batch.

use std::{ops::Range, sync::Arc};

use crate::Precision;

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

/// A run of rows with one rule: each row sees all of `shared` and `trunk`, then its own run up to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Rows that the trees of the batch have in common (empty for these themselves).
    pub shared: Range<usize>,
    /// Rows of the trunk (empty for a trunk itself).
    pub trunk: Range<usize>,
    /// Rows of this segment, causal among themselves.
    pub own: Range<usize>,
}

impl Segment {
    /// Everything that the last row sees, in the order of the text: what is shared, the trunk, its own run.
    pub fn runs(&self) -> [Range<usize>; 3] {
        [self.shared.clone(), self.trunk.clone(), self.own.clone()]
    }

    /// Rows before its own: the position of the first of these.
    pub fn n_before(&self) -> usize {
        self.shared.len() + self.trunk.len()
    }

    /// Rows that the last row sees, itself among them.
    pub fn n_seen(&self) -> usize {
        self.n_before() + self.own.len()
    }
}

/// The trees of a packed batch, in order and without gaps, behind the rows that all of them begin with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeLayout {
    n_shared: usize,
    trees: Vec<TreeRange>,
}

impl TreeLayout {
    /// Trees that must tile `0..n` in order.
    ///
    /// # Panics
    /// If a range does not start where the one before it ends: that is a bug of the caller.
    pub fn new(trees: Vec<TreeRange>) -> Self {
        Self::with_shared_start(0, trees)
    }

    /// Rows `0..n_shared`, with which the text of every tree begins, then trees that must tile `n_shared..n` in order.
    ///
    /// # Panics
    /// If a range does not start where the one before it ends: that is a bug of the caller.
    pub fn with_shared_start(n_shared: usize, trees: Vec<TreeRange>) -> Self {
        let mut end = n_shared;
        for tree in &trees {
            for range in std::iter::once(&tree.trunk).chain(&tree.branches) {
                assert!(
                    range.start == end && range.end >= range.start,
                    "rows {range:?} do not start at {end}"
                );
                end = range.end;
            }
        }
        Self { n_shared, trees }
    }

    /// The trees, in order.
    pub fn trees(&self) -> &[TreeRange] {
        &self.trees
    }

    /// Rows that every tree sees.
    pub fn shared(&self) -> Range<usize> {
        0..self.n_shared
    }

    /// Rows of all trees, and those they share.
    pub fn n_rows(&self) -> usize {
        self.trees.last().map_or(self.n_shared, |tree| tree.rows().end)
    }

    /// All segments in the order of their rows: what is shared, then tree by tree; empty ones are left out.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let shared = Segment { shared: 0..0, trunk: 0..0, own: self.shared() };
        let shared = std::iter::once(shared).filter(|segment| !segment.own.is_empty());
        shared.chain(self.trees.iter().flat_map(|tree| self.segments_of(tree)))
    }

    /// The segments of one of its trees: the trunk, then the branches; empty ones are left out.
    pub fn segments_of<'a>(&self, tree: &'a TreeRange) -> impl Iterator<Item = Segment> + use<'a> {
        let (shared, start) = (self.shared(), tree.trunk.start);
        let trunk = Segment { shared: shared.clone(), trunk: start..start, own: tree.trunk.clone() };
        let branch = move |own: &Range<usize>| Segment {
            shared: shared.clone(),
            trunk: tree.trunk.clone(),
            own: own.clone(),
        };
        std::iter::once(trunk)
            .chain(tree.branches.iter().map(branch))
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
    /// Operands of the products on a processor that has a unit for bfloat16; others multiply in f32.
    pub precision: Precision,
}
