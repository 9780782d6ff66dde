//! The decoder: embedding, blocks of attention and feed-forward, norm, head.

mod attention;
mod block;
mod cache;
mod cached;
mod feed_forward;
mod input;
mod parameters;
mod parts;
mod rotary;

pub use input::{PackedInput, ScoredRows};
pub use parameters::{GradientList, ParameterInfo};

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use dpo_kernels::completion_logps;

use crate::{DecoderConfig, ModelError, WeightSource};
use block::Block;
use parts::{Embedding, Norm};
use rotary::RotaryAngles;

/// A decoder-only language model on one device.
///
/// Field names are those of Hugging Face's checkpoints, so that a parameter's path is its tensor's name.
#[derive(Module, Debug)]
pub struct Decoder {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: Norm,
    /// `None` when the head is the embedding.
    lm_head: Option<Embedding>,
    #[module(skip)]
    config: DecoderConfig,
}

impl Decoder {
    /// A decoder whose parameters are what `values` gives for each tensor's name and shape.
    pub fn from_values<E>(
        config: &DecoderConfig,
        device: &Device,
        mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let mut init = parts::Init { device, values: &mut values };
        let (vocab, d_model) = (config.vocab_size, config.d_model);
        let mut block = |layer| Block::new(config, &format!("model.layers.{layer}"), &mut init);
        let layers: Result<Vec<_>, E> = (0..config.n_layers).map(&mut block).collect();
        Ok(Self {
            embed_tokens: Embedding::new("model.embed_tokens", vocab, d_model, &mut init)?,
            layers: layers?,
            norm: Norm::new("model.norm", d_model, config.norm_eps, &mut init)?,
            lm_head: if config.tie_word_embeddings {
                None
            } else {
                Some(Embedding::new("lm_head", vocab, d_model, &mut init)?)
            },
            config: config.clone(),
        })
    }

    /// Reads every tensor of `source`, after comparing names and shapes with the configuration.
    pub fn load(
        config: &DecoderConfig,
        source: &dyn WeightSource,
        device: &Device,
    ) -> Result<Self, ModelError> {
        source.check(&config.expected_tensors())?;
        Self::from_values(config, device, |name, _| source.read_f32(name))
    }

    /// The shape of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Residual stream after the last block, before the final norm: `[n_tokens, d_model]`.
    fn residual(&self, input: &PackedInput) -> Tensor<2> {
        let angles = RotaryAngles::new(&self.config, input.positions(), input.device());
        let mut x = self.embed_tokens.lookup(input.ids(), input.constant());
        for layer in &self.layers {
            x = layer.forward(x, &angles, input.layout());
        }
        x
    }

    /// Scores of every token of the vocabulary after each token of the batch.
    ///
    /// This is the one place that makes a `[tokens, vocabulary]` tensor: for tests and small inputs.
    ///
    /// # Shapes
    /// - output: `[n_tokens, vocab_size]`
    pub fn logits(&self, input: &PackedInput) -> Tensor<2> {
        self.head_logits(self.norm.forward(self.residual(input)))
    }

    /// Log-probability of each scored token given all before it in its own text, in nats.
    ///
    /// # Shapes
    /// - output: `[n_scored]`, in the order of [`ScoredRows`]
    pub fn logps(&self, input: &PackedInput, scored: &ScoredRows) -> Tensor<1> {
        self.hidden_logps(self.scored_hidden(input, scored), scored)
    }

    /// What the head reads of each scored token: the first half of [`Decoder::logps`].
    ///
    /// # Shapes
    /// - output: `[n_scored, d_model]`
    pub fn scored_hidden(&self, input: &PackedInput, scored: &ScoredRows) -> Tensor<2> {
        self.norm.forward(self.residual(input).select(0, scored.rows()))
    }

    /// The head on what [`Decoder::scored_hidden`] gave: the second half of [`Decoder::logps`].
    ///
    /// # Shapes
    /// - `hidden`: `[n_scored, d_model]`
    /// - output: `[n_scored]`
    pub fn hidden_logps(&self, hidden: Tensor<2>, scored: &ScoredRows) -> Tensor<1> {
        completion_logps(hidden, self.head(), scored.targets(), None)
    }

    /// `[vocab_size, d_model]`.
    fn head(&self) -> Tensor<2> {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens).weight.val()
    }

    fn head_logits(&self, normed: Tensor<2>) -> Tensor<2> {
        dpo_kernels::linear(normed, self.head())
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.num_params()
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        Param::lazy_device(&self.norm.weight)
    }
}
