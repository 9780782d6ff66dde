//! Forward and backward of each operation, portable unless a backend knows better.

use burn::backend::{
    Backend,
    tensor::{FloatTensor, IntTensor},
};

use super::Rotation;
use crate::{
    Activation, AdamWStep, AttentionSpec, DivergenceSpec, FeedForwardSpec, LogitSpec, LoraSpec, Precision,
    portable,
    saved::{
        AttentionLayerSaved, AttentionSaved, AttentionWeights, FeedForwardSaved, FeedForwardWeights,
        KlOutput, KlSaved, LayerNormSaved, LogpsOutput, LogpsSaved, LoraSaved, ReferenceHead, RowGradients,
        RowStatistics,
    },
};

/// Forward and backward halves on a plain backend. The defaults run anywhere.
///
/// Shapes are those of the public functions of the same name; `grad` has the shape of the output.
pub trait FusedPrimitives: Backend {
    /// The numbers as `precision` has them, in the type they came in.
    fn rounded(x: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        portable::linear::rounded::<Self>(x, precision)
    }

    /// `lhs · rhs` of matrices, of operands in `precision`.
    fn product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        portable::linear::product::<Self>(lhs, rhs, precision)
    }

    /// `x · Wᵀ`.
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        portable::linear::forward::<Self>(x, weight, precision)
    }

    /// Gradients of `linear` for its input and its weight, where wanted.
    fn linear_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        precision: Precision,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        portable::linear::backward::<Self>(x, weight, grad, precision, wanted)
    }

    /// Gradient of `linear` for its input alone: `grad · W`.
    fn linear_input_backward(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        portable::linear::input_backward::<Self>(weight, grad, precision)
    }

    /// `Σ grad · W` of weights and gradients `[W, grad]`, of which there is one at least: the gradient of an input that several
    /// products read.
    fn linear_inputs_backward(
        products: Vec<(FloatTensor<Self>, FloatTensor<Self>)>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        portable::linear::inputs_backward::<Self>(products, precision)
    }

    /// Output of `lora_linear`, and `s·x · Aᵀ`; the adapter is `[down, up]`.
    fn lora_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        adapter: [FloatTensor<Self>; 2],
        spec: LoraSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::lora::forward::<Self>(x, weight, adapter, spec)
    }

    /// Gradients of `lora_linear` for its input, `down` and `up`, where wanted.
    fn lora_backward(
        saved: LoraSaved<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3] {
        portable::lora::backward::<Self>(saved, weight, grad, wanted)
    }

    /// Rows of a matrix.
    fn rows_forward(matrix: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self> {
        portable::rows::forward::<Self>(matrix, rows)
    }

    /// Adds each row of the gradient to the row of a matrix that it was taken from.
    fn add_rows(
        matrix: FloatTensor<Self>,
        rows: IntTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        portable::rows::add::<Self>(matrix, rows, grad)
    }

    /// Gradient of `select_rows` for a matrix of `n_rows`.
    fn rows_backward(rows: IntTensor<Self>, grad: FloatTensor<Self>, n_rows: usize) -> FloatTensor<Self> {
        portable::rows::backward::<Self>(rows, grad, n_rows)
    }

    /// Sums over spans that lie one behind the other, of so many numbers each.
    fn spans_forward(x: FloatTensor<Self>, lengths: &[usize]) -> FloatTensor<Self> {
        portable::spans::forward::<Self>(x, lengths)
    }

    /// Gradient of `span_sums`: each number gets that of its span.
    fn spans_backward(grad: FloatTensor<Self>, lengths: &[usize]) -> FloatTensor<Self> {
        portable::spans::backward::<Self>(grad, lengths)
    }

    /// Output and `1/rms` of each row, `[n, 1]`.
    fn rms_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::norm::forward::<Self>(x, weight, epsilon)
    }

    /// Gradients of `rms_norm` for its input and its weight, where wanted; `saved` are those and `1/rms`.
    fn rms_norm_backward(
        saved: [FloatTensor<Self>; 3],
        grad: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        portable::norm::backward::<Self>(saved, grad, wanted)
    }

    /// Output, and mean and `1/std` of each row.
    fn layer_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, RowStatistics<Self>) {
        portable::layer_norm::forward::<Self>(x, weight, bias, epsilon)
    }

    /// Gradients of `layer_norm` for its input, weight and bias, where wanted.
    fn layer_norm_backward(
        saved: LayerNormSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3] {
        portable::layer_norm::backward::<Self>(saved, grad, wanted)
    }

    /// Rotation by the angles of which `[cos, sin]` are given; backward it turns the other way.
    fn rotate(
        x: FloatTensor<Self>,
        angles: [FloatTensor<Self>; 2],
        head_dim: usize,
        direction: Rotation,
    ) -> FloatTensor<Self> {
        portable::rotary::rotate::<Self>(x, angles, head_dim, direction)
    }

    /// `act(gate) · up`.
    fn gated_forward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        portable::activation::gated::<Self>(gate, up, activation)
    }

    /// Gradients of `gated` for its `inputs`, gate and up, where wanted.
    fn gated_backward(
        inputs: [FloatTensor<Self>; 2],
        grad: FloatTensor<Self>,
        activation: Activation,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        portable::activation::gated_backward::<Self>(inputs, grad, activation, wanted)
    }

    /// `act(x)`.
    fn activate_forward(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        portable::activation::forward::<Self>(x, activation)
    }

    /// Gradient of `activate`.
    fn activate_backward(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        portable::activation::backward::<Self>(x, grad, activation)
    }

    /// Output and the log-sum-exp of each row and head, `[n, n_heads]`.
    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: &AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::attention::forward::<Self>(query, key, value, spec)
    }

    /// Gradients of `tree_attention` for query, key and value, where wanted.
    fn attention_backward(
        saved: AttentionSaved<Self>,
        grad: FloatTensor<Self>,
        spec: &AttentionSpec,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3] {
        portable::attention::backward::<Self>(saved, grad, spec, wanted)
    }

    /// Log-probabilities `[n]` and the log-sum-exp of each row's logits, `[n]`.
    fn logps_forward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::logps::forward::<Self>(hidden, head, targets, spec)
    }

    /// As [`logps_forward`](Self::logps_forward), with `ln Σ_v p(v)²` of each row, which is never `None` here.
    fn logps_squares_forward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> LogpsOutput<Self> {
        portable::logps::forward_with_squares::<Self>(hidden, head, targets, spec)
    }

    /// Gradients of `completion_logps` for `hidden` and `head`, where wanted.
    fn logps_backward(
        saved: LogpsSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        portable::logps::backward::<Self>(saved, grad, wanted)
    }

    /// As [`logps_forward`](Self::logps_forward), with the divergence from what a reference says of the same rows.
    fn logps_kl_forward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        reference: ReferenceHead<Self>,
        targets: IntTensor<Self>,
        spec: DivergenceSpec,
    ) -> KlOutput<Self> {
        portable::divergence::forward::<Self>(hidden, head, reference, targets, spec)
    }

    /// Gradients of `completion_logps_and_kl` for `hidden` and `head`, where wanted; `grads` are those of the log-probabilities
    /// and of the divergences, `[n]` each.
    fn logps_kl_backward(
        saved: KlSaved<Self>,
        grads: [FloatTensor<Self>; 2],
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        portable::divergence::backward::<Self>(saved, grads, wanted)
    }

    /// Rows whose logits exist at a time on the device of `like`, one at least.
    fn rows_at_a_time(_like: &FloatTensor<Self>, vocab: usize) -> usize {
        (portable::logps::CHUNK / vocab).max(1)
    }

    /// What rows of logits, `[rows, vocab]` before the cap, say of their targets, `[rows, 1]`.
    fn logit_rows(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        softcap: Option<f64>,
        has_squares: bool,
    ) -> LogpsOutput<Self> {
        portable::logps::logit_rows::<Self>(logits, targets, softcap, has_squares)
    }

    /// `KL(p_ref ‖ p)` of rows of logits, the policy's and the reference's, `[rows, vocab]` each before the cap; `log_sum_exps` are theirs,
    /// `[rows]`.
    fn logit_divergences(
        logits: [FloatTensor<Self>; 2],
        log_sum_exps: [FloatTensor<Self>; 2],
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self> {
        portable::divergence::of_logits::<Self>(logits, log_sum_exps, softcaps)
    }

    /// Gradient of the rows' log-probabilities and divergences for the policy's logits; `softcaps` are the policy's and the
    /// reference's.
    fn logit_kl_gradient(
        logits: [FloatTensor<Self>; 2],
        targets: IntTensor<Self>,
        rows: RowGradients<Self>,
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self> {
        portable::divergence::gradient_of_logits::<Self>(logits, targets, rows, softcaps)
    }

    /// Gradient of the rows' log-probabilities for their logits; `row_numbers` are each row's log-sum-exp and the
    /// gradient that it got, `[rows]`.
    fn logit_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        row_numbers: [FloatTensor<Self>; 2],
        softcap: Option<f64>,
    ) -> FloatTensor<Self> {
        portable::logps::logit_gradient::<Self>(logits, targets, row_numbers, softcap)
    }

    /// Output of `attention_layer`, and what its attention keeps.
    fn attention_layer_forward(
        x: FloatTensor<Self>,
        weights: AttentionWeights<Self>,
        angles: [FloatTensor<Self>; 2],
        spec: &AttentionSpec,
    ) -> (FloatTensor<Self>, AttentionSaved<Self>) {
        portable::attention_layer::forward::<Self>(x, weights, angles, spec)
    }

    /// Gradients of `attention_layer` for its input and its weights (query, key, value, output), where wanted.
    fn attention_layer_backward(
        saved: AttentionLayerSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 5],
    ) -> [Option<FloatTensor<Self>>; 5] {
        portable::attention_layer::backward::<Self>(saved, grad, wanted)
    }

    /// Output of `gated_feed_forward` and, if it is to be kept, what its backward reads of the middle.
    fn feed_forward(
        x: FloatTensor<Self>,
        weights: FeedForwardWeights<Self>,
        spec: FeedForwardSpec,
        is_kept: bool,
    ) -> (FloatTensor<Self>, Option<[FloatTensor<Self>; 2]>) {
        portable::feed_forward::forward::<Self>(x, weights, spec, is_kept)
    }

    /// Gradients of `gated_feed_forward` for its input and its weights (gate, up, down), where wanted.
    fn feed_forward_backward(
        saved: FeedForwardSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 4],
    ) -> [Option<FloatTensor<Self>>; 4] {
        portable::feed_forward::backward::<Self>(saved, grad, wanted)
    }

    /// One AdamW update: parameter, first and second moment.
    fn adamw_update(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        moments: [FloatTensor<Self>; 2],
        step: &AdamWStep,
    ) -> [FloatTensor<Self>; 3] {
        portable::adamw::update::<Self>(param, grad, moments, step)
    }

    /// Sums of squares whose sum is that of all numbers, `[n]`, each in an order that does not depend on the number of threads.
    fn sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::adamw::sum_of_squares::<Self>(x)
    }
}
