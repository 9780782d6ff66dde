//! The parts of a decoder's shape.

use dpo_kernels::Activation;
use serde::{Serialize, Serializer};

/// What is particular to one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LayerConfig {
    /// A token sees this many tokens, itself among them; `None` sees all before it.
    pub window: Option<usize>,
    /// Which of [`DecoderConfig::ropes`] turns queries and keys; `None` turns nothing.
    ///
    /// [`DecoderConfig::ropes`]: super::DecoderConfig::ropes
    pub rope: Option<usize>,
}

/// Self-attention with grouped queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AttentionConfig {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on the scores, usually `1/√head_dim`.
    pub scale: f64,
    /// Scores `s` become `c·tanh(s/c)`.
    pub softcap: Option<f64>,
    /// How the weights of queries, keys and values lie.
    pub inputs: AttentionInputs,
    /// Whether queries, keys and values have biases.
    pub input_bias: bool,
    /// Whether the way back to the residual stream has a bias.
    pub output_bias: bool,
    /// Norms on queries and keys.
    pub query_key_norm: QueryKeyNorm,
}

impl AttentionConfig {
    /// Width of all queries.
    pub fn query_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of all keys, and of all values.
    pub fn key_width(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }
}

/// How the weights of queries, keys and values lie in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionInputs {
    /// Three matrices.
    Separate,
    /// One: all rows of the queries, of the keys, of the values.
    Stacked,
    /// One: query, key and value of the first head, of the second, and so on.
    Interleaved,
}

/// Norms on queries and keys, before they are turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryKeyNorm {
    /// None.
    Absent,
    /// Over each head by itself, with one weight for all heads.
    EachHead,
    /// Over all heads together.
    AllHeads,
}

/// The feed-forward part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FeedForwardConfig {
    /// Inner width (`intermediate_size`).
    pub d_ff: usize,
    /// Gated or plain.
    pub kind: FeedForwardKind,
    /// The activation.
    #[serde(serialize_with = "activation_name")]
    pub activation: Activation,
    /// Whether its projections have biases.
    pub bias: bool,
}

/// What the feed-forward part computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForwardKind {
    /// `down(act(gate(x)) · up(x))`.
    Gated,
    /// The same with one matrix: all rows of the gate, then those of up.
    GatedStacked,
    /// `down(act(up(x)))`.
    Plain,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over like this")]
fn activation_name<S: Serializer>(activation: &Activation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{activation:?}"))
}

/// The norms of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NormConfig {
    /// What they compute.
    pub kind: NormKind,
    /// `ε`, added to the mean square or the variance.
    pub epsilon: f64,
    /// Where in a block they are.
    pub places: NormPlaces,
}

/// What a norm computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// `x / rms(x) · w`.
    Rms,
    /// `x / rms(x) · (1 + w)` (Gemma).
    RmsOnePlus,
    /// `(x − mean) / deviation · w + b`.
    Layer,
}

/// Where the norms of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlaces {
    /// Before attention and feed-forward.
    Before,
    /// After each, before it is added to the residual stream (OLMo 2).
    After,
    /// Both (Gemma 2).
    Around,
}

impl NormPlaces {
    /// Whether there are norms before the parts of a block.
    pub fn has_before(self) -> bool {
        self != Self::After
    }

    /// Whether there are norms after the parts of a block.
    pub fn has_after(self) -> bool {
        self != Self::Before
    }
}

/// How the two parts of a block are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// The feed-forward part reads what attention has changed.
    Sequential,
    /// Both read the block's input (GPT-NeoX).
    Parallel,
}

/// Constant factors of the forward pass; 1 where a family has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Multipliers {
    /// Of the embedding.
    pub embedding: f64,
    /// Of what attention and feed-forward add to the residual stream.
    pub residual: f64,
    /// Logits are divided by it.
    pub logit_divisor: f64,
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { embedding: 1.0, residual: 1.0, logit_divisor: 1.0 }
    }
}
