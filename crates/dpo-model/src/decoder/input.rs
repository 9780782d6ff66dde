//! A packed batch on a device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dpo_kernels::{TreeLayout, TreeRange};

/// Token ids, positions and layout of trees that lie end to end.
#[derive(Debug, Clone)]
pub struct PackedInput {
    ids: Tensor<1, Int>,
    constant: Option<Tensor<2>>,
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
        Self { ids: int_tensor(ids, &device), constant: None, positions, layout: Arc::new(layout), device }
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

    pub(super) fn ids(&self) -> Tensor<1, Int> {
        self.ids.clone()
    }

    pub(super) fn constant(&self) -> Option<Tensor<2>> {
        self.constant.clone()
    }

    pub(super) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Each token's position, with the length of the longest text of its tree.
    pub(super) fn text_positions(&self) -> Vec<TextPosition> {
        let of_tree = |tree: &TreeRange| {
            let positions = &self.positions[tree.rows()];
            let text_len = positions.iter().max().map_or(0, |last| last + 1);
            positions.iter().map(move |position| TextPosition { position: *position, text_len })
        };
        self.layout.trees().iter().flat_map(of_tree).collect()
    }

    pub(super) fn layout(&self) -> &Arc<TreeLayout> {
        &self.layout
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }
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
