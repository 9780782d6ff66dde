//! One block of the decoder.

use std::sync::Arc;

use burn::{module::Module, tensor::Tensor};
use dpo_kernels::TreeLayout;

use super::{
    attention::Attention,
    feed_forward::FeedForward,
    parts::{Init, Norm, Values},
    pass::Pass,
};
use crate::{
    DecoderConfig,
    config::{ParameterInfo, Residual},
};

/// Attention and feed-forward, each normed before, after or both, and added to the residual stream.
#[derive(Module, Debug)]
pub(super) struct Block {
    attention_norm: Option<Norm>,
    pub(super) attention: Attention,
    attention_out_norm: Option<Norm>,
    feed_forward_norm: Option<Norm>,
    pub(super) feed_forward: FeedForward,
    feed_forward_out_norm: Option<Norm>,
    #[module(skip)]
    residual: Residual,
    multiplier: f64,
}

impl Block {
    pub(super) fn new<E>(
        config: &DecoderConfig,
        layer_idx: usize,
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Values, E>>,
    ) -> Result<Self, E> {
        let path = format!("layers.{layer_idx}");
        let places = config.norm.places;
        let norm = |part: &str, is_there: bool, init: &mut Init<_>| {
            is_there
                .then(|| Norm::new(&format!("{path}.{part}"), config.d_model, config.norm, init))
                .transpose()
        };
        Ok(Self {
            attention_norm: norm("attention_norm", places.has_before(), init)?,
            attention: Attention::new(config, &format!("{path}.attention"), config.layers[layer_idx], init)?,
            attention_out_norm: norm("attention_out_norm", places.has_after(), init)?,
            feed_forward_norm: norm("feed_forward_norm", places.has_before(), init)?,
            feed_forward: FeedForward::new(config, &format!("{path}.feed_forward"), init)?,
            feed_forward_out_norm: norm("feed_forward_out_norm", places.has_after(), init)?,
            residual: config.residual,
            multiplier: config.multipliers.residual,
        })
    }

    /// `[n, d_model]` to the same.
    pub(super) fn forward(&self, x: Tensor<2>, pass: &Pass, layout: &Arc<TreeLayout>) -> Tensor<2> {
        let attended = self.attention.forward(self.attention_input(x.clone()), layout, pass);
        self.join(x, attended, pass)
    }

    /// What attention reads.
    pub(super) fn attention_input(&self, x: Tensor<2>) -> Tensor<2> {
        normed(self.attention_norm.as_ref(), x)
    }

    /// The block's output from its input and what attention gave.
    pub(super) fn join(&self, x: Tensor<2>, attended: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let attended = normed(self.attention_out_norm.as_ref(), attended);
        match self.residual {
            Residual::Sequential => {
                let x = self.add(x, attended);
                self.add(x.clone(), self.feed(x, pass))
            }
            Residual::Parallel => self.add(x.clone(), self.feed(x, pass) + attended),
        }
    }

    fn feed(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let y = self.feed_forward.forward(normed(self.feed_forward_norm.as_ref(), x), pass);
        normed(self.feed_forward_out_norm.as_ref(), y)
    }

    fn add(&self, x: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
        if self.multiplier == 1.0 { x + y } else { x + y * self.multiplier }
    }
}

fn normed(norm: Option<&Norm>, x: Tensor<2>) -> Tensor<2> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}
