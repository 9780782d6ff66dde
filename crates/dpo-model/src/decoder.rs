//! The decoder: embedding, blocks of attention and feed-forward, norm, head.

mod adapters;
mod attention;
mod block;
mod cache;
mod cached;
mod feed_forward;
mod gradients;
mod input;
mod inputs;
mod lora;
mod parameters;
mod parts;
mod pass;
mod place;
mod recompute;
mod rotary;
mod scored;
mod table;

pub use gradients::{GradientList, GradientSums};
pub use input::{PackedInput, ScoredRows};
pub use parameters::joined_values;
pub use place::Place;
pub use recompute::RecomputedLogps;
pub use scored::{Distributions, ScoredTokens, TokenOutputs};

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor},
};
use dpo_kernels::{
    DivergenceSpec, LogitSpec, LogpsAndKl, LogpsAndSquares, Precision, ReferenceRows, completion_logps,
    completion_logps_and_kl, completion_logps_and_squares, select_rows,
};

use crate::{
    DecoderConfig, LoraConfig, ModelError, WeightSource, config::ParameterInfo, gguf::GgmlType, quantised,
};
use block::Block;
use parts::{Embedding, Norm, Values};
use pass::Pass;

/// A decoder-only language model on one device.
///
/// The paths of its parameters are the same for all families; [`TensorNames`] has their names in a checkpoint.
///
/// [`TensorNames`]: crate::config::TensorNames
#[derive(Module, Debug)]
pub struct Decoder {
    embedding: Embedding,
    /// `None` where positions are not learnt.
    position_table: Option<Embedding>,
    layers: Vec<Block>,
    norm: Norm,
    /// `None` when the head is the embedding.
    head: Option<Embedding>,
    #[module(skip)]
    config: DecoderConfig,
    /// Settings of the adapter that it has, if any.
    #[module(skip)]
    adapter: Option<LoraConfig>,
    /// Of the operands of its matrix products.
    #[module(skip)]
    precision: Precision,
}

impl Decoder {
    /// A decoder whose parameters are what `values` gives for each.
    pub fn from_values<E>(
        config: &DecoderConfig,
        place: impl Into<Place>,
        mut values: impl FnMut(&ParameterInfo) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        Self::built(config, &place.into(), |info| values(info).map(Values::Numbers))
    }

    fn built<E>(
        config: &DecoderConfig,
        Place { device, largest_tensor }: &Place,
        mut values: impl FnMut(&ParameterInfo) -> Result<Values, E>,
    ) -> Result<Self, E> {
        let (names, largest_tensor) = (config.names(), *largest_tensor);
        let mut init = parts::Init { device, largest_tensor, names, values: &mut values };
        let words = [config.vocab_size, config.d_model];
        let places = [config.max_position_embeddings, config.d_model];
        let layers: Result<Vec<_>, E> =
            (0..config.n_layers()).map(|layer_idx| Block::new(config, layer_idx, &mut init)).collect();
        let mut table = |path: &str, shape, is_there: bool| {
            is_there.then(|| Embedding::new(path, shape, &mut init)).transpose()
        };
        Ok(Self {
            position_table: table("position_table", places, config.position_table)?,
            head: table("head", words, !config.tie_word_embeddings)?,
            embedding: Embedding::new("embedding", words, &mut init)?,
            layers: layers?,
            norm: Norm::new("norm", config.d_model, config.norm, &mut init)?,
            config: config.clone(),
            adapter: None,
            precision: Precision::F32,
        })
    }

    /// Reads every tensor of `source`, after comparing names and shapes with the configuration.
    pub fn load(
        config: &DecoderConfig,
        source: &dyn WeightSource,
        place: impl Into<Place>,
    ) -> Result<Self, ModelError> {
        source.check(config)?;
        Self::from_values(config, place, |info| Ok(info.from_stored(source.read_f32(&info.name)?)))
    }

    /// As [`load`](Self::load), with the matrices of the blocks packed: in the blocks they came in, or in those of
    /// `ggml_type`. They can be computed with and not be trained.
    ///
    /// A matrix whose rows are no whole blocks stays as it is.
    pub fn load_packed(
        config: &DecoderConfig,
        source: &dyn WeightSource,
        place: impl Into<Place>,
        ggml_type: GgmlType,
    ) -> Result<Self, ModelError> {
        source.check(config)?;
        Self::built(config, &place.into(), |info| {
            let is_matrix = info.shape.len() == 2 && info.path.starts_with("layers.");
            let packed = if is_matrix { quantised::frozen(source, info, ggml_type)? } else { None };
            Ok(match packed {
                Some(matrix) => Values::Packed(matrix),
                None => Values::Numbers(info.from_stored(source.read_f32(&info.name)?)),
            })
        })
    }

    /// The same model with matrix products of such operands, forward and backward. Its parameters stay in f32.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The operands of its matrix products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The shape of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// What the first block reads: `[n_tokens, d_model]`.
    fn embedded(&self, ids: Tensor<1, Int>, positions: &[u32], constant: Option<Tensor<2>>) -> Tensor<2> {
        let device = ids.device();
        let x = self.embedding.lookup(ids, constant);
        let multiplier = self.config.multipliers.embedding;
        let x = if multiplier == 1.0 { x } else { x * multiplier };
        match &self.position_table {
            Some(table) => x + table.lookup(input::int_tensor(positions, &device), None),
            None => x,
        }
    }

    /// Residual stream after the last block, before the final norm: `[n_tokens, d_model]`.
    fn residual(&self, input: &PackedInput) -> Tensor<2> {
        let pass = Pass::of(self, input);
        let mut x = self.embedded(input.ids(), input.positions(), input.constant());
        for layer in &self.layers {
            x = layer.forward(x, &pass, input.layout());
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
        self.scored_of(self.residual(input), scored)
    }

    /// Rows of the residual stream after the last block, normed.
    fn scored_of(&self, residual: Tensor<2>, scored: &ScoredRows) -> Tensor<2> {
        self.norm.forward(select_rows(residual, scored.rows()))
    }

    /// The head on what [`Decoder::scored_hidden`] gave: the second half of [`Decoder::logps`].
    ///
    /// # Shapes
    /// - `hidden`: `[n_scored, d_model]`
    /// - output: `[n_scored]`
    pub fn hidden_logps(&self, hidden: Tensor<2>, scored: &ScoredRows) -> Tensor<1> {
        self.hidden_tokens(hidden, scored, TokenOutputs::default()).logps
    }

    /// As [`Decoder::logps`], with what `outputs` asks for beside it.
    pub fn scored_tokens(
        &self,
        input: &PackedInput,
        scored: &ScoredRows,
        outputs: TokenOutputs<'_>,
    ) -> ScoredTokens {
        self.hidden_tokens(self.scored_hidden(input, scored), scored, outputs)
    }

    /// What the model says of every word where each scored token is predicted, for another to be held against; the adapter drops
    /// nothing, and the model is on a plain device.
    pub fn distributions(&self, input: &PackedInput, scored: &ScoredRows) -> Distributions {
        let hidden = self.divided(self.scored_hidden(&input.without_dropout(), scored));
        Distributions { hidden, head: self.head(), softcap: self.config.logit_softcap }
    }

    fn hidden_tokens(
        &self,
        hidden: Tensor<2>,
        scored: &ScoredRows,
        outputs: TokenOutputs<'_>,
    ) -> ScoredTokens {
        let (hidden, head, targets) = (self.divided(hidden), self.head(), scored.targets());
        let spec = LogitSpec { softcap: self.config.logit_softcap, precision: self.precision };
        let [whole] = head.as_slice() else {
            return table::said_of_tokens(&hidden, &head, &targets, spec, outputs);
        };
        let head = whole.clone();
        let Some(reference) = outputs.divergence_from else {
            if !outputs.squares {
                let logps = completion_logps(hidden, head, targets, spec);
                return ScoredTokens { logps, log_sum_squares: None, kl: None };
            }
            let LogpsAndSquares { logps, log_sum_squares } =
                completion_logps_and_squares(hidden, head, targets, spec);
            return ScoredTokens { logps, log_sum_squares: Some(log_sum_squares), kl: None };
        };
        let log_sum_squares = outputs.squares.then(|| {
            let (hidden, head) = (hidden.clone().inner(), head.clone().inner());
            completion_logps_and_squares(hidden, head, targets.clone(), spec).log_sum_squares
        });
        let [reference_head] = reference.head.as_slice() else {
            unreachable!("a device holds tables of the same words whole or in parts")
        };
        let rows = ReferenceRows { hidden: reference.hidden.clone(), head: reference_head.clone() };
        let spec = DivergenceSpec { logits: spec, reference_softcap: reference.softcap };
        let LogpsAndKl { logps, kl } = completion_logps_and_kl(hidden, head, rows, targets, spec);
        ScoredTokens { logps, log_sum_squares, kl: Some(kl) }
    }

    /// `[vocab_size, d_model]`, whole or in parts.
    fn head(&self) -> Vec<Tensor<2>> {
        self.head.as_ref().unwrap_or(&self.embedding).tables()
    }

    /// Dividing what the head reads divides the logits.
    fn divided(&self, hidden: Tensor<2>) -> Tensor<2> {
        let divisor = self.config.multipliers.logit_divisor;
        if divisor == 1.0 { hidden } else { hidden / divisor }
    }

    fn head_logits(&self, normed: Tensor<2>) -> Tensor<2> {
        let divided = self.divided(normed);
        let of_part = |part: Tensor<2>| dpo_kernels::linear(divided.clone(), part, self.precision);
        let mut parts: Vec<Tensor<2>> = self.head().into_iter().map(of_part).collect();
        let logits = if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 1) };
        table::capped(logits, self.config.logit_softcap)
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.num_params()
    }

    /// Whether trees of a batch may have the rows in common that their texts begin with: not where the angles of a text depend
    /// on how long it is.
    pub fn shares_starts(&self) -> bool {
        !self.config.ropes.iter().any(|rope| rope.short_text_len().is_some())
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        Param::lazy_device(&self.norm.weight)
    }
}
