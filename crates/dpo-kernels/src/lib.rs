//! Fused operations with their own backward for preference training on burn.
//!
//! Every operation has a portable body on burn's own primitives, so that it runs on any backend, and may have a
//! faster one per backend (module `cpu`, with the feature of that name; module `gpu`, with `wgpu` or `cuda`). All of them take part in autodiff and keep
//! only what their backward needs: no `[tokens, vocabulary]` and no `[tokens, tokens]` tensor outlives a chunk. Backward
//! computes nothing for an input that is not tracked. Matrix products take their operands in f32 or in bfloat16, see
//! [`Precision`].
//!
//! | operation | kept for backward |
//! |---|---|
//! | [`linear`] | input, weight |
//! | [`linear_constant`], [`linear_frozen`] | the weight, shared or packed |
//! | [`lora_linear`], [`lora_linear_frozen`] | input, the adapter and what is between its matrices, the weight, shared or packed |
//! | [`select_rows`] | the numbers of the rows |
//! | [`span_sums`] | the lengths |
//! | [`rms_norm`] | input, one number a row |
//! | [`layer_norm`] | input, two numbers a row |
//! | [`rotary`] | the angles |
//! | [`gated`] | both inputs |
//! | [`activate`] | the input |
//! | [`gated_lora_linear`] | gate, up, the adapter and what is between its matrices, the weight, shared |
//! | [`gated_feed_forward`] | input, weights, products of the input with gate and up |
//! | [`tree_attention`] | queries, keys, values, output, one number a row and head |
//! | [`attention_layer`] | input, weights, angles, what [`tree_attention`] keeps |
//! | [`completion_logps`] | hidden rows, head weight, one number a row |
//! | [`completion_logps_and_kl`] | hidden rows, head weight, one number a row: of both models |

mod activation;
#[cfg(feature = "mimalloc")]
mod allocator;
mod arithmetic;
mod autodiff;
mod backend;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(test)]
mod fixtures;
mod frozen;
#[cfg(feature = "gpu")]
mod gpu;
mod layout;
#[cfg(feature = "cuda")]
mod nvidia;
mod optimizer;
mod portable;
mod precision;
mod saved;
mod tensor;

pub use activation::Activation;
#[cfg(feature = "mimalloc")]
pub use allocator::keep_freed_memory;
pub use arithmetic::{arithmetic, has_bf16_unit, processor};
pub use backend::{FusedOps, FusedPrimitives};
pub use frozen::{Frozen, FrozenMatrix};
pub use layout::{AttentionSpec, Segment, TreeLayout, TreeRange};
#[cfg(feature = "cuda")]
pub use nvidia::{NvidiaGpu, nvidia_gpus};
pub use optimizer::{AdamWStep, AdamWUpdate, adamw, squared_norm};
pub use precision::{DivergenceSpec, FeedForwardSpec, LogitSpec, LoraSpec, Precision};
pub use tensor::{
    LogpsAndKl, LogpsAndSquares, ReferenceRows, activate, attention_layer, completion_logps,
    completion_logps_and_kl, completion_logps_and_squares, gated, gated_feed_forward, gated_lora_linear,
    layer_norm, linear, linear_constant, linear_frozen, lora_linear, lora_linear_frozen, rms_norm, rotary,
    select_rows, span_sums, tree_attention,
};

/// Batches of at least this many rows give each row the same bits, whatever the other rows are. Smaller ones are padded by
/// whoever compares bits.
pub const EXACT_ROWS: usize = 64;
