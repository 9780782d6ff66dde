//! What operations keep for their backward passes.

use burn::backend::{
    Backend,
    tensor::{FloatTensor, IntTensor},
};

use crate::{Activation, AttentionSpec, FeedForwardSpec, LogitSpec, LoraSpec};

/// What is known of the numbers of each row: `[n, 1]` each.
#[derive(Debug, Clone)]
pub struct RowStatistics<B: Backend> {
    pub(crate) mean: FloatTensor<B>,
    /// `1/√(variance + ε)`.
    pub(crate) inv_std: FloatTensor<B>,
}

/// What `layer_norm` keeps for its backward.
#[derive(Debug, Clone)]
pub struct LayerNormSaved<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    pub(crate) weight: FloatTensor<B>,
    pub(crate) statistics: RowStatistics<B>,
}

/// The matrices of a gated feed-forward layer, as [`gated_feed_forward`](crate::gated_feed_forward) takes them.
#[derive(Debug, Clone)]
pub struct FeedForwardWeights<B: Backend> {
    pub(crate) gate: FloatTensor<B>,
    pub(crate) up: FloatTensor<B>,
    pub(crate) down: FloatTensor<B>,
}

/// What `gated_feed_forward` keeps for its backward.
#[derive(Debug, Clone)]
pub struct FeedForwardSaved<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    pub(crate) weights: FeedForwardWeights<B>,
    /// Products of the input with gate and up, however the backend has them.
    pub(crate) kept: [FloatTensor<B>; 2],
    pub(crate) spec: FeedForwardSpec,
}

/// What `gated_lora_linear` keeps for its backward: what goes into the adapter is made again.
#[derive(Debug, Clone)]
pub(crate) struct GatedLoraSaved<B: Backend> {
    /// Gate and up.
    pub(crate) inputs: [FloatTensor<B>; 2],
    pub(crate) activation: Activation,
    pub(crate) weight: FloatTensor<B>,
    pub(crate) narrow: FloatTensor<B>,
    /// The adapter's matrices, down and up.
    pub(crate) adapter: [FloatTensor<B>; 2],
    pub(crate) spec: LoraSpec,
}

/// What `tree_attention` keeps for its backward.
#[derive(Debug, Clone)]
pub struct AttentionSaved<B: Backend> {
    pub(crate) query: FloatTensor<B>,
    pub(crate) key: FloatTensor<B>,
    pub(crate) value: FloatTensor<B>,
    pub(crate) output: FloatTensor<B>,
    pub(crate) log_sum_exp: FloatTensor<B>,
}

/// The matrices of an attention layer, as [`attention_layer`](crate::attention_layer) takes them.
#[derive(Debug, Clone)]
pub struct AttentionWeights<B: Backend> {
    pub(crate) query: FloatTensor<B>,
    pub(crate) key: FloatTensor<B>,
    pub(crate) value: FloatTensor<B>,
    pub(crate) output: FloatTensor<B>,
}

/// What `attention_layer` keeps for its backward.
#[derive(Debug, Clone)]
pub struct AttentionLayerSaved<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    pub(crate) weights: AttentionWeights<B>,
    /// Cosines and sines.
    pub(crate) angles: [FloatTensor<B>; 2],
    pub(crate) attention: AttentionSaved<B>,
    pub(crate) spec: AttentionSpec,
}

/// What `completion_logps` keeps for its backward.
#[derive(Debug, Clone)]
pub struct LogpsSaved<B: Backend> {
    pub(crate) hidden: FloatTensor<B>,
    pub(crate) head: FloatTensor<B>,
    pub(crate) targets: IntTensor<B>,
    pub(crate) log_sum_exp: FloatTensor<B>,
    pub(crate) spec: LogitSpec,
}

/// What another model's head reads of each row, and that head: constants.
#[derive(Debug, Clone)]
pub struct ReferenceHead<B: Backend> {
    pub(crate) hidden: FloatTensor<B>,
    pub(crate) head: FloatTensor<B>,
}

/// What `completion_logps_and_kl` keeps for its backward.
#[derive(Debug, Clone)]
pub struct KlSaved<B: Backend> {
    pub(crate) logps: LogpsSaved<B>,
    pub(crate) reference: ReferenceHead<B>,
    /// Of each row's logits under the reference.
    pub(crate) reference_log_sum_exp: FloatTensor<B>,
    pub(crate) reference_softcap: Option<f64>,
}

/// What the forward half of `completion_logps_and_kl` gives, `[n]` each.
#[derive(Debug, Clone)]
pub struct KlOutput<B: Backend> {
    pub(crate) logps: FloatTensor<B>,
    /// Of each row's logits.
    pub(crate) log_sum_exp: FloatTensor<B>,
    /// `KL(p_ref ‖ p)`
    pub(crate) kl: FloatTensor<B>,
    /// Of each row's logits under the reference.
    pub(crate) reference_log_sum_exp: FloatTensor<B>,
}

/// What `lora_linear` keeps for its backward, beside the weight.
#[derive(Debug, Clone)]
pub struct LoraSaved<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    /// `s·x · Aᵀ`
    pub(crate) narrow: FloatTensor<B>,
    pub(crate) down: FloatTensor<B>,
    pub(crate) up: FloatTensor<B>,
    pub(crate) spec: LoraSpec,
}

/// What the forward half of `completion_logps` gives, `[n]` each.
#[derive(Debug, Clone)]
pub struct LogpsOutput<B: Backend> {
    pub(crate) logps: FloatTensor<B>,
    /// Of each row's logits.
    pub(crate) log_sum_exp: FloatTensor<B>,
    /// `ln Σ_v p(v)²` of each row, where it was asked for.
    pub(crate) log_sum_squares: Option<FloatTensor<B>>,
}

/// What rows of logits get their gradient from, `[rows]` each.
pub struct RowGradients<B: Backend> {
    /// Log-sum-exp of the policy's logits.
    pub log_sum_exp: FloatTensor<B>,
    /// Log-sum-exp of the reference's.
    pub reference_log_sum_exp: FloatTensor<B>,
    /// Gradient of the log-probability.
    pub logp_grad: FloatTensor<B>,
    /// Gradient of the divergence.
    pub kl_grad: FloatTensor<B>,
}
