//! How each fused operation takes part in autodiff: what it keeps, and which backward it calls.

mod backward;

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::strategy::CheckpointStrategy,
        ops::{Backward, OpsKind},
    },
    tensor::{FloatTensor, IntTensor},
};

use crate::{
    Activation, AttentionSpec, DivergenceSpec, FeedForwardSpec, Frozen, FusedOps, FusedPrimitives, LogitSpec,
    LoraSpec, Precision,
    backend::Rotation,
    portable,
    saved::{
        AttentionLayerSaved, AttentionSaved, AttentionWeights, FeedForwardSaved, FeedForwardWeights,
        GatedLoraSaved, KlOutput, KlSaved, LayerNormSaved, LogpsOutput, LogpsSaved, LoraSaved, ReferenceHead,
    },
};
use backward::{
    ActivateBackward, AttentionBackward, AttentionLayerBackward, FeedForwardBackward, GatedBackward,
    GatedLoraBackward, LayerNormBackward, LinearBackward, LinearConstantBackward, LinearFrozenBackward,
    LogpsBackward, LogpsKlBackward, LoraBackward, LoraFrozenBackward, RmsNormBackward, RotaryBackward,
    RowsBackward, SpansBackward,
};

// The halves are called on the backend inside; these bodies are never reached.
impl<B: FusedPrimitives, C: CheckpointStrategy> FusedPrimitives for Autodiff<B, C> {}

impl<B: FusedOps, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        let (x_value, weight_value) = (x.primitive().clone(), weight.primitive().clone());
        let output = B::linear_forward(x_value.clone(), weight_value.clone(), precision);
        match LinearBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x_value, weight_value, precision), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn linear_constant(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let weight = weight.into_primitive();
        let output = B::linear_forward(x.primitive().clone(), weight.clone(), precision);
        match LinearConstantBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((weight, precision), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn linear_frozen(x: FloatTensor<Self>, weight: Frozen, precision: Precision) -> FloatTensor<Self> {
        let output = B::linear_frozen(x.primitive().clone(), weight.clone(), precision);
        match LinearFrozenBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((weight, precision), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn lora_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        down: FloatTensor<Self>,
        up: FloatTensor<Self>,
        spec: LoraSpec,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), down.node(), up.node()];
        let [x, weight, down, up] = [x, weight, down, up].map(<FloatTensor<Self>>::into_primitive);
        let adapter = [down.clone(), up.clone()];
        let (output, narrow) = B::lora_forward(x.clone(), weight.clone(), adapter, spec);
        match LoraBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((LoraSaved { x, narrow, down, up, spec }, weight), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn lora_linear_frozen(
        x: FloatTensor<Self>,
        weight: Frozen,
        down: FloatTensor<Self>,
        up: FloatTensor<Self>,
        spec: LoraSpec,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), down.node(), up.node()];
        let [x, down, up] = [x, down, up].map(<FloatTensor<Self>>::into_primitive);
        let (dense, adapter) = (weight.on_device_of::<B>(&x), [down.clone(), up.clone()]);
        let (output, narrow) = B::lora_forward(x.clone(), dense, adapter, spec);
        match LoraFrozenBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((LoraSaved { x, narrow, down, up, spec }, weight), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn gated_lora_linear(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        lora_down: FloatTensor<Self>,
        lora_up: FloatTensor<Self>,
        activation: Activation,
        spec: LoraSpec,
    ) -> FloatTensor<Self> {
        let nodes = [gate.node(), up.node(), lora_down.node(), lora_up.node()];
        let [gate, up, weight, lora_down, lora_up] =
            [gate, up, weight, lora_down, lora_up].map(<FloatTensor<Self>>::into_primitive);
        let (inputs, adapter) = ([gate, up], [lora_down, lora_up]);
        let inner = B::gated_forward(inputs[0].clone(), inputs[1].clone(), activation);
        let (output, narrow) = B::lora_forward(inner, weight.clone(), adapter.clone(), spec);
        match GatedLoraBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(GatedLoraSaved { inputs, activation, weight, narrow, adapter, spec }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn select_rows(matrix: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self> {
        let output = B::rows_forward(matrix.primitive().clone(), rows.clone());
        match RowsBackward.prepare::<C>([matrix.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((matrix, rows), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn span_sums(x: FloatTensor<Self>, lengths: Vec<usize>) -> FloatTensor<Self> {
        let output = B::spans_forward(x.primitive().clone(), &lengths);
        match SpansBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(lengths, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        let (x_value, weight_value) = (x.primitive().clone(), weight.primitive().clone());
        let (output, inv_rms) = B::rms_norm_forward(x_value.clone(), weight_value.clone(), epsilon);
        match RmsNormBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([x_value, weight_value, inv_rms], output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
        let (output, statistics) = B::layer_norm_forward(x.clone(), weight.clone(), bias, epsilon);
        match LayerNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(LayerNormSaved { x, weight, statistics }, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        head_dim: usize,
    ) -> FloatTensor<Self> {
        let angles = [cos.into_primitive(), sin.into_primitive()];
        let output = B::rotate(x.primitive().clone(), angles.clone(), head_dim, Rotation::Forward);
        match RotaryBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((angles, head_dim), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn gated(gate: FloatTensor<Self>, up: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let nodes = [gate.node(), up.node()];
        let (gate, up) = (gate.into_primitive(), up.into_primitive());
        let output = B::gated_forward(gate.clone(), up.clone(), activation);
        match GatedBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([gate, up], activation), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let x = x.into_primitive();
        let output = B::activate_forward(x.clone(), activation);
        match ActivateBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, activation), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn gated_feed_forward(
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        spec: FeedForwardSpec,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gate.node(), up.node(), down.node()];
        let [x, gate, up, down] = [x, gate, up, down].map(<FloatTensor<Self>>::into_primitive);
        let weights = FeedForwardWeights { gate, up, down };
        match FeedForwardBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (output, kept) = B::feed_forward(x.clone(), weights.clone(), spec, true);
                let kept = kept.expect("it was to be kept");
                prep.finish(FeedForwardSaved { x, weights, kept, spec }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::feed_forward(x, weights, spec, false).0),
        }
    }

    fn tree_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self> {
        let nodes = [query.node(), key.node(), value.node()];
        let (query, key, value) = (query.into_primitive(), key.into_primitive(), value.into_primitive());
        let (output, log_sum_exp) = B::attention_forward(query.clone(), key.clone(), value.clone(), &spec);
        match AttentionBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let saved = AttentionSaved { query, key, value, output: output.clone(), log_sum_exp };
                prep.finish((saved, spec), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

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
        let nodes = [x.node(), query.node(), key.node(), value.node(), output.node()];
        let [x, query, key, value, output] =
            [x, query, key, value, output].map(<FloatTensor<Self>>::into_primitive);
        let angles = [cos.into_primitive(), sin.into_primitive()];
        let weights = AttentionWeights { query, key, value, output };
        let (output, attention) =
            B::attention_layer_forward(x.clone(), weights.clone(), angles.clone(), &spec);
        match AttentionLayerBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(AttentionLayerSaved { x, weights, angles, attention, spec }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn completion_logps(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> FloatTensor<Self> {
        let nodes = [hidden.node(), head.node()];
        let (hidden, head) = (hidden.into_primitive(), head.into_primitive());
        let (logps, log_sum_exp) = B::logps_forward(hidden.clone(), head.clone(), targets.clone(), spec);
        match LogpsBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(LogpsSaved { hidden, head, targets, log_sum_exp, spec }, logps)
            }
            OpsKind::UnTracked(prep) => prep.finish(logps),
        }
    }

    fn completion_logps_and_squares(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [hidden.node(), head.node()];
        let (hidden, head) = (hidden.into_primitive(), head.into_primitive());
        let LogpsOutput { logps, log_sum_exp, log_sum_squares } =
            B::logps_squares_forward(hidden.clone(), head.clone(), targets.clone(), spec);
        let squares = FloatTensor::<Self>::new(log_sum_squares.expect("it was asked for"));
        let logps = match LogpsBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(LogpsSaved { hidden, head, targets, log_sum_exp, spec }, logps)
            }
            OpsKind::UnTracked(prep) => prep.finish(logps),
        };
        (logps, squares)
    }

    fn completion_logps_and_kl(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        reference_hidden: FloatTensor<Self>,
        reference_head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: DivergenceSpec,
    ) -> FloatTensor<Self> {
        let nodes = [hidden.node(), head.node()];
        let (hidden, head) = (hidden.into_primitive(), head.into_primitive());
        let reference = ReferenceHead {
            hidden: reference_hidden.into_primitive(),
            head: reference_head.into_primitive(),
        };
        let KlOutput { logps, log_sum_exp, kl, reference_log_sum_exp } =
            B::logps_kl_forward(hidden.clone(), head.clone(), reference.clone(), targets.clone(), spec);
        let output = portable::divergence::stacked::<B>([logps, kl]);
        match LogpsKlBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let logps = LogpsSaved { hidden, head, targets, log_sum_exp, spec: spec.logits };
                let reference_softcap = spec.reference_softcap;
                prep.finish(KlSaved { logps, reference, reference_log_sum_exp, reference_softcap }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
