//! The gated feed-forward part of a block.

use burn::{module::Module, tensor::Tensor};
use dpo_kernels::{Activation, gated};

use super::parts::{Init, Projection};
use crate::DecoderConfig;

/// `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
#[expect(clippy::struct_field_names, reason = "the names of Hugging Face's checkpoints")]
pub(super) struct FeedForward {
    gate_proj: Projection,
    up_proj: Projection,
    down_proj: Projection,
}

impl FeedForward {
    pub(super) fn new<E>(
        config: &DecoderConfig,
        name: &str,
        init: &mut Init<impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        let (wide, narrow) = (config.d_ff, config.d_model);
        let mut projection =
            |part: &str, shape| Projection::new(&format!("{name}.{part}"), shape, config.mlp_bias, init);
        Ok(Self {
            gate_proj: projection("gate_proj", [wide, narrow])?,
            up_proj: projection("up_proj", [wide, narrow])?,
            down_proj: projection("down_proj", [narrow, wide])?,
        })
    }

    /// `[n, d_model]` to the same.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let gate = self.gate_proj.forward(x.clone());
        self.down_proj.forward(gated(gate, self.up_proj.forward(x), Activation::Silu))
    }
}
