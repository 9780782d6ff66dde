//! The operations as they are called, on whatever backend a tensor is.

use burn::backend::{
    backend_extension,
    tensor::{FloatTensor, IntTensor},
};

use super::{FusedPrimitives, Rotation};
use crate::{
    Activation, AdamWStep, AttentionSpec, DivergenceSpec, FeedForwardSpec, Frozen, LogitSpec, LoraSpec,
    Precision, portable,
    saved::{AttentionWeights, FeedForwardWeights, KlOutput, LogpsOutput, ReferenceHead},
};

/// The fused operations, routed at run time to the backend a tensor lives on; see the functions of the same names.
#[backend_extension(Autodiff, Flex: cfg(feature = "cpu"), Cube: cfg(feature = "gpu"))]
pub trait FusedOps: FusedPrimitives {
    /// See [`crate::linear`].
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        Self::linear_forward(x, weight, precision)
    }

    /// See [`crate::linear_constant`].
    fn linear_constant(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Self::linear_forward(x, weight, precision)
    }

    /// See [`crate::linear_frozen`].
    fn linear_frozen(x: FloatTensor<Self>, weight: Frozen, precision: Precision) -> FloatTensor<Self> {
        let weight = weight.on_device_of::<Self>(&x);
        Self::linear_forward(x, weight, precision)
    }

    /// See [`crate::lora_linear`].
    fn lora_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        down: FloatTensor<Self>,
        up: FloatTensor<Self>,
        spec: LoraSpec,
    ) -> FloatTensor<Self> {
        Self::lora_forward(x, weight, [down, up], spec).0
    }

    /// See [`crate::lora_linear_frozen`].
    fn lora_linear_frozen(
        x: FloatTensor<Self>,
        weight: Frozen,
        down: FloatTensor<Self>,
        up: FloatTensor<Self>,
        spec: LoraSpec,
    ) -> FloatTensor<Self> {
        let weight = weight.on_device_of::<Self>(&x);
        Self::lora_forward(x, weight, [down, up], spec).0
    }

    /// See [`crate::gated_lora_linear`].
    fn gated_lora_linear(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        lora_down: FloatTensor<Self>,
        lora_up: FloatTensor<Self>,
        activation: Activation,
        spec: LoraSpec,
    ) -> FloatTensor<Self> {
        let inner = Self::gated_forward(gate, up, activation);
        Self::lora_forward(inner, weight, [lora_down, lora_up], spec).0
    }

    /// See [`crate::select_rows`].
    fn select_rows(matrix: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self> {
        Self::rows_forward(matrix, rows)
    }

    /// See [`crate::span_sums`].
    fn span_sums(x: FloatTensor<Self>, lengths: Vec<usize>) -> FloatTensor<Self> {
        Self::spans_forward(x, &lengths)
    }

    /// See [`crate::rms_norm`].
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        Self::rms_norm_forward(x, weight, epsilon).0
    }

    /// See [`crate::layer_norm`].
    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::layer_norm_forward(x, weight, bias, epsilon).0
    }

    /// See [`crate::rotary`].
    fn rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        head_dim: usize,
    ) -> FloatTensor<Self> {
        Self::rotate(x, [cos, sin], head_dim, Rotation::Forward)
    }

    /// See [`crate::gated`].
    fn gated(gate: FloatTensor<Self>, up: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        Self::gated_forward(gate, up, activation)
    }

    /// See [`crate::activate`].
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        Self::activate_forward(x, activation)
    }

    /// See [`crate::gated_feed_forward`].
    fn gated_feed_forward(
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        spec: FeedForwardSpec,
    ) -> FloatTensor<Self> {
        Self::feed_forward(x, FeedForwardWeights { gate, up, down }, spec, false).0
    }

    /// See [`crate::tree_attention`].
    fn tree_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self> {
        Self::attention_forward(query, key, value, &spec).0
    }

    /// See [`crate::attention_layer`].
    #[allow(clippy::too_many_arguments)] // The dispatcher takes no tensors in arrays.
    fn attention_layer(
        x: FloatTensor<Self>,
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        output: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self> {
        let weights = AttentionWeights { query, key, value, output };
        Self::attention_layer_forward(x, weights, [cos, sin], &spec).0
    }

    /// See [`crate::completion_logps`].
    fn completion_logps(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> FloatTensor<Self> {
        Self::logps_forward(hidden, head, targets, spec).0
    }

    /// See [`crate::completion_logps_and_squares`]; no gradient flows to the second.
    fn completion_logps_and_squares(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let LogpsOutput { logps, log_sum_squares, .. } =
            Self::logps_squares_forward(hidden, head, targets, spec);
        (logps, log_sum_squares.expect("it was asked for"))
    }

    /// See [`crate::completion_logps_and_kl`]: log-probabilities and divergences, `[2, n]`.
    fn completion_logps_and_kl(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        reference_hidden: FloatTensor<Self>,
        reference_head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: DivergenceSpec,
    ) -> FloatTensor<Self> {
        let reference = ReferenceHead { hidden: reference_hidden, head: reference_head };
        let KlOutput { logps, kl, .. } = Self::logps_kl_forward(hidden, head, reference, targets, spec);
        portable::divergence::stacked::<Self>([logps, kl])
    }

    /// See [`crate::adamw`].
    fn adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [param, first, second] = Self::adamw_update(param, grad, [first, second], &step);
        (param, first, second)
    }

    /// See [`crate::squared_norm`].
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::sum_of_squares(x)
    }
}
