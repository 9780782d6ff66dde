//! One block of the decoder.

use std::sync::Arc;

use burn::{module::Module, tensor::Tensor};
use dpo_kernels::TreeLayout;

use super::{
    attention::Attention,
    feed_forward::FeedForward,
    parts::{Init, Norm},
    rotary::RotaryAngles,
};
use crate::DecoderConfig;

/// Attention and feed-forward, each on the normed residual stream and added to it.
#[derive(Module, Debug)]
pub(super) struct Block {
    pub(super) input_layernorm: Norm,
    pub(super) self_attn: Attention,
    pub(super) post_attention_layernorm: Norm,
    pub(super) mlp: FeedForward,
}

impl Block {
    pub(super) fn new<E>(
        config: &DecoderConfig,
        name: &str,
        init: &mut Init<impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        let (d_model, epsilon) = (config.d_model, config.norm_eps);
        Ok(Self {
            input_layernorm: Norm::new(&format!("{name}.input_layernorm"), d_model, epsilon, init)?,
            self_attn: Attention::new(config, &format!("{name}.self_attn"), init)?,
            post_attention_layernorm: Norm::new(
                &format!("{name}.post_attention_layernorm"),
                d_model,
                epsilon,
                init,
            )?,
            mlp: FeedForward::new(config, &format!("{name}.mlp"), init)?,
        })
    }

    /// `[n, d_model]` to the same.
    pub(super) fn forward(&self, x: Tensor<2>, angles: &RotaryAngles, layout: &Arc<TreeLayout>) -> Tensor<2> {
        let projected = self.self_attn.project(self.input_layernorm.forward(x.clone()), angles);
        let x = x + self.self_attn.attend(projected, layout);
        self.feed(x)
    }

    /// The feed-forward half.
    pub(super) fn feed(&self, x: Tensor<2>) -> Tensor<2> {
        let normed = self.post_attention_layernorm.forward(x.clone());
        x + self.mlp.forward(normed)
    }
}
