//! A packed batch on a device.

use std::{ops::Range, sync::Arc};

use burn::tensor::{Device, Int, Tensor, TensorData};
use dpo_kernels::{TreeLayout, TreeRange};

/// Token ids, positions and layout of trees that lie end to end.
#[derive(Debug, Clone)]
pub struct PackedInput {
    ids: Tensor<1, Int>,
    constant: Option<Tensor<2>>,
    dropout: Option<DropoutKeys>,
    positions: Vec<u32>,
    layout: Arc<TreeLayout>,
    device: Device,
}

impl PackedInput {
    /// Puts a batch on `device` (without autodiff: ids and angles are constants).
    ///
    /// # Shapes
    /// - `ids`, `positions`: `[n_tokens]`, `n_tokens` as in `layout`; ids below the model's vocabulary
    pub fn new(ids: &[u32], positions: Vec<u32>, layout: TreeLayout, device: &Device) -> Self {
        assert_eq!(ids.len(), positions.len(), "one position a token");
        assert_eq!(ids.len(), layout.n_rows(), "the layout covers every token");
        let device = device.clone().inner();
        Self {
            ids: int_tensor(ids, &device),
            constant: None,
            dropout: None,
            positions,
            layout: Arc::new(layout),
            device,
        }
    }

    /// Tokens of all trees.
    pub fn n_tokens(&self) -> usize {
        self.positions.len()
    }

    /// Trees that lie end to end.
    pub fn n_trees(&self) -> usize {
        self.layout.trees().len()
    }

    /// No gradient reaches the embedding through tokens `id`, as torch has it for `padding_idx`.
    ///
    /// That is for step-by-step comparison with PyTorch, which drops it even where the pad token is a real one, as
    /// the end-of-turn token of many chat models is.
    #[must_use]
    pub fn with_constant_token(mut self, ids: &[u32], id: u32) -> Self {
        let values: Vec<f32> = ids.iter().map(|token| f32::from(u8::from(*token == id))).collect();
        self.constant = Some(Tensor::from_data(TensorData::new(values, [ids.len(), 1]), &self.device));
        self
    }

    /// Lets the adapters drop numbers that they read, if they are made to.
    ///
    /// `tree_keys` has a number for each tree of the batch that no other tree of the run has in the same step: what is
    /// dropped depends on it and on nothing else of the batch.
    #[must_use]
    pub fn with_dropout(mut self, tree_keys: &[u64]) -> Self {
        assert_eq!(tree_keys.len(), self.layout.trees().len(), "one key a tree");
        assert!(self.layout.shared().is_empty(), "trees that share no row");
        let of_tree = |(key, tree): (&u64, &TreeRange)| {
            let key = *key;
            (0..tree.rows().len() as u64).map(move |row| mixed(key ^ mixed(row)))
        };
        let keys = tree_keys.iter().zip(self.layout.trees()).flat_map(of_tree).collect();
        self.dropout = Some(DropoutKeys(Arc::new(keys)));
        self
    }

    /// The same, of which adapters drop nothing.
    #[must_use]
    pub(super) fn without_dropout(&self) -> Self {
        Self { dropout: None, ..self.clone() }
    }

    pub(super) fn dropout(&self) -> Option<DropoutKeys> {
        self.dropout.clone()
    }

    pub(super) fn ids(&self) -> Tensor<1, Int> {
        self.ids.clone()
    }

    pub(super) fn constant(&self) -> Option<Tensor<2>> {
        self.constant.clone()
    }

    pub(super) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Each token's position, with the length of the longest text of its tree; or of those there are, where trees share it.
    pub(super) fn text_positions(&self) -> Vec<TextPosition> {
        let of_rows = |rows: Range<usize>, texts: Range<usize>| {
            let text_len = self.positions[texts].iter().max().map_or(0, |last| last + 1);
            self.positions[rows].iter().map(move |position| TextPosition { position: *position, text_len })
        };
        let shared = of_rows(self.layout.shared(), 0..self.n_tokens());
        let trees = self.layout.trees().iter().flat_map(|tree| of_rows(tree.rows(), tree.rows()));
        shared.chain(trees).collect()
    }

    pub(super) fn layout(&self) -> &Arc<TreeLayout> {
        &self.layout
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }
}

/// A random number for each token of a batch.
#[derive(Debug, Clone)]
pub(super) struct DropoutKeys(Arc<Vec<u64>>);

impl DropoutKeys {
    /// 0 for a share of `rate`, else `1/(1 − rate)`: `[n_tokens, width]`. `place` tells one use in a pass from another.
    pub(super) fn mask(&self, width: usize, rate: f64, place: u64, device: &Device) -> Tensor<2> {
        let kept = (1.0 / (1.0 - rate)) as f32;
        let limit = (rate * 2f64.powi(64)) as u64;
        let of_token = |key: &u64| {
            let key = mixed(*key ^ mixed(place));
            (0..width as u64).map(move |col| if mixed(key.wrapping_add(col)) < limit { 0.0 } else { kept })
        };
        let values: Vec<f32> = self.0.iter().flat_map(of_token).collect();
        Tensor::from_data(TensorData::new(values, [self.0.len(), width]), device)
    }
}

/// The finaliser of SplitMix64: neighbouring numbers give unrelated ones.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextPosition {
    /// Tokens before it.
    pub(super) position: u32,
    /// Tokens of the whole text, as far as it is known.
    pub(super) text_len: u32,
}

/// Which rows predict which tokens.
#[derive(Debug, Clone)]
pub struct ScoredRows {
    rows: Tensor<1, Int>,
    targets: Tensor<1, Int>,
}

impl ScoredRows {
    /// # Shapes
    /// - `rows`: `[n_scored]`, the row whose hidden state predicts
    /// - `targets`: `[n_scored]`, the token it should predict
    pub fn new(rows: &[u32], targets: &[u32], device: &Device) -> Self {
        assert_eq!(rows.len(), targets.len(), "one target a row");
        let device = device.clone().inner();
        Self { rows: int_tensor(rows, &device), targets: int_tensor(targets, &device) }
    }

    pub(super) fn rows(&self) -> Tensor<1, Int> {
        self.rows.clone()
    }

    pub(super) fn targets(&self) -> Tensor<1, Int> {
        self.targets.clone()
    }
}

pub(super) fn int_tensor(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

pub(super) fn index_tensor(values: &[usize], device: &Device) -> Tensor<1, Int> {
    int_tensor(&values.iter().map(|value| *value as u32).collect::<Vec<_>>(), device)
}
