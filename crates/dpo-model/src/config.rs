//! The decoder's shape, as plain numbers, and how it is read from Hugging Face's `config.json`.

mod family;
mod fields;
mod hf;
mod names;
mod rope;
mod rope_settings;
mod shape;
mod tensors;

pub use family::Family;
pub use hf::HfConfig;
pub use names::TensorNames;
pub use rope::{Llama3Rope, LongRope, RopeConfig, RopeFrequencies, RopeVariant, YarnRope};
pub use shape::{
    AttentionConfig, AttentionInputs, FeedForwardConfig, FeedForwardKind, LayerConfig, Multipliers,
    NormConfig, NormKind, NormPlaces, QueryKeyNorm, Residual,
};
pub use tensors::{LinearModule, ParameterInfo, StoredAs, TablePart};

use crate::weights::WeightDtype;
use serde::Serialize;

/// The shape of a decoder, checked: every number lies within bounds and the divisions come out even.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecoderConfig {
    /// Whose names the tensors have.
    pub family: Family,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream (`hidden_size`).
    pub d_model: usize,
    /// The blocks, first to last.
    pub layers: Vec<LayerConfig>,
    /// Self-attention, the same in every block but for what [`LayerConfig`] says.
    pub attention: AttentionConfig,
    /// The feed-forward part of every block.
    pub feed_forward: FeedForwardConfig,
    /// The norms, and where in a block they are.
    pub norm: NormConfig,
    /// How the two parts of a block are joined to the residual stream.
    pub residual: Residual,
    /// The rotations that [`LayerConfig::rope`] chooses from.
    pub ropes: Vec<RopeConfig>,
    /// Whether positions are learnt: a table of `max_position_embeddings` rows is added to the embedding.
    pub position_table: bool,
    /// Constant factors of the forward pass.
    pub multipliers: Multipliers,
    /// Logits `l` become `c·tanh(l/c)`.
    pub logit_softcap: Option<f64>,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest sequence that the model was made for.
    pub max_position_embeddings: usize,
    /// Token that begins a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text, the main one first; empty when the model has none.
    pub eos_token_ids: Vec<u32>,
    /// Token that fills up rows.
    pub pad_token_id: Option<u32>,
    /// Number format named by the configuration; what a tensor is stored as is its own [`TensorInfo`].
    ///
    /// [`TensorInfo`]: crate::weights::TensorInfo
    pub weight_dtype: Option<WeightDtype>,
}

impl DecoderConfig {
    /// Number of blocks.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// The names of its tensors in a checkpoint.
    pub fn names(&self) -> &'static TensorNames {
        self.family.names()
    }

    /// Tokens of the longest text that it can compute at all; `None` where positions are not learnt.
    pub fn longest_text(&self) -> Option<usize> {
        self.position_table.then_some(self.max_position_embeddings)
    }
}

#[cfg(test)]
mod tests;
