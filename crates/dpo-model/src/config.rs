//! The decoder's shape, as plain numbers, and how it is read from Hugging Face's `config.json`.

mod fields;
mod hf;
mod llama;
mod rope;

pub use hf::{HfConfig, KNOWN_FAMILIES};
pub use rope::{Llama3Rope, RopeConfig, RopeFrequencies, RopeVariant, YarnRope};

use crate::weights::{ExpectedTensor, WeightDtype};
use serde::{Deserialize, Serialize};

/// The shape of a decoder, checked: every number lies within bounds and the divisions come out even.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecoderConfig {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream (`hidden_size`).
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Query heads of a block.
    pub n_heads: usize,
    /// Key and value heads of a block; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Inner width of the feed-forward part (`intermediate_size`).
    pub d_ff: usize,
    /// `ε` of the root-mean-square norms.
    pub norm_eps: f64,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the projections of the attention have biases.
    pub attention_bias: bool,
    /// Whether the projections of the feed-forward part have biases.
    pub mlp_bias: bool,
    /// Rotary position embedding.
    pub rope: RopeConfig,
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
    /// Every tensor of this decoder under its Hugging Face name, in the order of the forward pass.
    ///
    /// A tied head is the embedding and is not listed again.
    pub fn expected_tensors(&self) -> Vec<ExpectedTensor> {
        llama::expected_tensors(self)
    }
}

#[cfg(test)]
mod tests;
