//! Keys and values of all tokens so far, so that a step computes one token a sequence.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::input::{TextPosition, index_tensor};
use crate::DecoderConfig;

/// Slots for new tokens that are there from the start; more are added when these are used up.
const FIRST_SLOTS: usize = 64;

/// The past of a batch of sequences, one row each.
///
/// Prompts end in the same slot, so that every step writes one slot of all rows; slots before a row's first one are
/// never seen.
#[derive(Debug)]
pub(crate) struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    /// First slot of each row.
    starts: Vec<usize>,
    /// Slots that are used.
    len: usize,
    /// Slots that there are.
    capacity: usize,
    /// Slots that there may ever be.
    max_len: usize,
    device: Device,
}

/// The past of one block: `[batch, slots, n_kv_heads, head_dim]` each, keys rotated.
#[derive(Debug)]
pub(super) struct LayerCache {
    pub(super) keys: Tensor<4>,
    pub(super) values: Tensor<4>,
}

/// Rows of a packed batch that fill rows of the cache: `len` tokens each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fill {
    pub(super) tokens: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) len: usize,
}

impl KvCache {
    /// Empty rows for prompts of these lengths and at most `max_new` tokens after them.
    pub(super) fn new(config: &DecoderConfig, device: &Device, lengths: &[usize], max_new: usize) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let max_len = longest.saturating_add(max_new);
        let capacity = max_len.min(longest + FIRST_SLOTS);
        let shape = [lengths.len(), capacity, config.attention.n_kv_heads, config.attention.head_dim];
        let layer =
            |_| LayerCache { keys: Tensor::zeros(shape, device), values: Tensor::zeros(shape, device) };
        Self {
            layers: (0..config.n_layers()).map(layer).collect(),
            starts: lengths.iter().map(|len| longest - len).collect(),
            len: longest,
            capacity,
            max_len,
            device: device.clone(),
        }
    }

    /// Position of the next token of each row, which is the last of its text so far.
    pub(super) fn positions(&self) -> Vec<TextPosition> {
        let next = |start: &usize| {
            let position = (self.len - start) as u32;
            TextPosition { position, text_len: position + 1 }
        };
        self.starts.iter().map(next).collect()
    }

    /// Takes the next slot into use and says which it is.
    pub(super) fn next_slot(&mut self) -> usize {
        assert!(self.len < self.max_len, "the cache was made for {} tokens", self.max_len);
        if self.len == self.capacity {
            let capacity = self.max_len.min(2 * self.capacity);
            self.map_layers(|past| extend(past, capacity));
            self.capacity = capacity;
        }
        self.len += 1;
        self.len - 1
    }

    /// 0 where a row has a token, −10³⁰ before its first one: `[batch, 1, 1, used slots]`; `None` when no row has any.
    pub(super) fn bias(&self) -> Option<Tensor<4>> {
        if self.starts.iter().all(|start| *start == 0) {
            return None;
        }
        let row = |start: &usize| {
            let start = *start;
            (0..self.len).map(move |slot| if slot < start { -1e30 } else { 0.0 })
        };
        let values: Vec<f32> = self.starts.iter().flat_map(row).collect();
        let shape = [self.starts.len(), 1, 1, self.len];
        Some(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// Makes these its rows, each as often as it is named, and forgets the others and slots that none of them uses.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        self.starts = rows.iter().map(|row| self.starts[*row]).collect();
        let unused = self.starts.iter().copied().min().unwrap_or(0);
        self.starts.iter_mut().for_each(|start| *start -= unused);
        self.len -= unused;
        self.capacity -= unused;
        self.max_len -= unused;
        let kept = index_tensor(rows, &self.device);
        self.map_layers(|past| {
            let past = if unused == 0 { past } else { past.slice_dim(1, unused..) };
            past.select(0, kept.clone())
        });
    }

    fn map_layers(&mut self, f: impl Fn(Tensor<4>) -> Tensor<4>) {
        let map = |layer: LayerCache| LayerCache { keys: f(layer.keys), values: f(layer.values) };
        self.layers = std::mem::take(&mut self.layers).into_iter().map(map).collect();
    }
}

/// The same slots with empty ones after them.
fn extend(past: Tensor<4>, capacity: usize) -> Tensor<4> {
    let [batch, len, n_kv_heads, head_dim] = past.dims();
    let room = Tensor::zeros([batch, capacity, n_kv_heads, head_dim], &past.device());
    room.slice_assign([0..batch, 0..len, 0..n_kv_heads, 0..head_dim], past)
}

impl LayerCache {
    /// Writes keys and values of prompts, `[n_tokens, n_kv_heads · head_dim]`, so that they end before slot `end`.
    pub(super) fn fill(mut self, key: &Tensor<2>, value: &Tensor<2>, fills: &[Fill], end: usize) -> Self {
        for Fill { tokens, rows, len } in fills {
            let place = |past: Tensor<4>, new: &Tensor<2>| {
                let [_, _, n_kv_heads, head_dim] = past.dims();
                let new = new.clone().slice_dim(0, tokens.clone());
                let new = new.reshape([rows.len(), *len, n_kv_heads, head_dim]);
                past.slice_assign([rows.clone(), end - len..end, 0..n_kv_heads, 0..head_dim], new)
            };
            self = Self { keys: place(self.keys, key), values: place(self.values, value) };
        }
        self
    }

    /// Writes one token a row, `[batch, n_kv_heads · head_dim]`, in place: nothing else holds these tensors.
    pub(super) fn append(self, key: Tensor<2>, value: Tensor<2>, slot: usize) -> Self {
        let place = |past: Tensor<4>, new: Tensor<2>| {
            let [batch, _, n_kv_heads, head_dim] = past.dims();
            let new = new.reshape([batch, 1, n_kv_heads, head_dim]);
            past.slice_assign([0..batch, slot..slot + 1, 0..n_kv_heads, 0..head_dim], new)
        };
        Self { keys: place(self.keys, key), values: place(self.values, value) }
    }
}
