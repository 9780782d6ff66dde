//! The way back of each operation: what was kept, and which gradients come of it.

use burn::backend::{
    Backend, TensorMetadata,
    autodiff::{
        Autodiff, NodeId,
        checkpoint::base::Checkpointer,
        grads::Gradients,
        ops::{Backward, Ops},
    },
    tensor::{FloatTensor, IntTensor},
};

use crate::{
    Activation, AttentionSpec, Frozen, FusedPrimitives, Precision,
    backend::Rotation,
    portable,
    saved::{
        AttentionLayerSaved, AttentionSaved, FeedForwardSaved, GatedLoraSaved, KlSaved, LayerNormSaved,
        LogpsSaved, LoraSaved,
    },
};

/// Hands a gradient to the parent it belongs to, if that parent is tracked.
fn register<B: Backend>(grads: &mut Gradients, parent: Option<NodeId>, grad: Option<FloatTensor<B>>) {
    if let (Some(node), Some(grad)) = (parent, grad) {
        grads.register::<B>(node, grad);
    }
}

/// Declares the backward of an operation: `$saved` was kept, `$grad` is the output's gradient, the body gives one
/// optional gradient a parent.
macro_rules! backward {
    ($name:ident, $n:literal, $state:ty, |$saved:ident, $grad:ident, $wanted:ident| $body:expr) => {
        #[derive(Debug)]
        pub(super) struct $name;
        impl<B: FusedPrimitives> Backward<B, $n> for $name {
            type State = $state;
            fn backward(self, ops: Ops<Self::State, $n>, grads: &mut Gradients, _: &mut Checkpointer) {
                let parents = ops.parents.map(|parent| parent.map(|node| node.id));
                let $wanted = parents.map(|parent| parent.is_some());
                let $grad = grads.consume::<B>(&ops.node);
                let $saved = ops.state;
                for (parent, grad) in parents.into_iter().zip($body) {
                    register::<B>(grads, parent, grad);
                }
            }
        }
    };
}

backward!(LinearBackward, 2, (FloatTensor<B>, FloatTensor<B>, Precision), |saved, grad, wanted| {
    B::linear_backward(saved.0, saved.1, grad, saved.2, wanted)
});
backward!(LinearConstantBackward, 1, (FloatTensor<B>, Precision), |saved, grad, _wanted| {
    [Some(B::linear_input_backward(saved.0, grad, saved.1))]
});
backward!(LinearFrozenBackward, 1, (Frozen, Precision), |saved, grad, _wanted| {
    let weight = saved.0.on_device_of::<B>(&grad);
    [Some(B::linear_input_backward(weight, grad, saved.1))]
});
backward!(LoraBackward, 3, (LoraSaved<B>, FloatTensor<B>), |saved, grad, wanted| {
    B::lora_backward(saved.0, saved.1, grad, wanted)
});
backward!(LoraFrozenBackward, 3, (LoraSaved<B>, Frozen), |saved, grad, wanted| {
    let weight = saved.1.on_device_of::<B>(&grad);
    B::lora_backward(saved.0, weight, grad, wanted)
});
backward!(GatedLoraBackward, 4, GatedLoraSaved<B>, |saved, grad, wanted| {
    let GatedLoraSaved { inputs, activation, weight, narrow, adapter: [down, up], spec } = saved;
    let [gate_wanted, up_wanted, lora_down_wanted, lora_up_wanted] = wanted;
    let x = B::gated_forward(inputs[0].clone(), inputs[1].clone(), activation);
    let of_lora = [gate_wanted || up_wanted, lora_down_wanted, lora_up_wanted];
    let saved = LoraSaved { x, narrow, down, up, spec };
    let [dinner, ddown, dup] = B::lora_backward(saved, weight, grad, of_lora);
    let of_inputs =
        dinner.map(|dinner| B::gated_backward(inputs, dinner, activation, [gate_wanted, up_wanted]));
    let [dgate, dup_input] = of_inputs.unwrap_or([None, None]);
    [dgate, dup_input, ddown, dup]
});
backward!(RmsNormBackward, 2, [FloatTensor<B>; 3], |saved, grad, wanted| {
    B::rms_norm_backward(saved, grad, wanted)
});
backward!(LayerNormBackward, 3, LayerNormSaved<B>, |saved, grad, wanted| {
    B::layer_norm_backward(saved, grad, wanted)
});
backward!(RotaryBackward, 1, ([FloatTensor<B>; 2], usize), |saved, grad, _wanted| {
    [Some(B::rotate(grad, saved.0, saved.1, Rotation::Backward))]
});
backward!(SpansBackward, 1, Vec<usize>, |lengths, grad, _wanted| {
    [Some(B::spans_backward(grad, &lengths))]
});
backward!(GatedBackward, 2, ([FloatTensor<B>; 2], Activation), |saved, grad, wanted| {
    B::gated_backward(saved.0, grad, saved.1, wanted)
});
backward!(ActivateBackward, 1, (FloatTensor<B>, Activation), |saved, grad, _wanted| {
    [Some(B::activate_backward(saved.0, grad, saved.1))]
});
backward!(FeedForwardBackward, 4, FeedForwardSaved<B>, |saved, grad, wanted| {
    B::feed_forward_backward(saved, grad, wanted)
});
backward!(AttentionBackward, 3, (AttentionSaved<B>, AttentionSpec), |saved, grad, wanted| {
    B::attention_backward(saved.0, grad, &saved.1, wanted)
});
backward!(AttentionLayerBackward, 5, AttentionLayerSaved<B>, |saved, grad, wanted| {
    B::attention_layer_backward(saved, grad, wanted)
});
backward!(LogpsBackward, 2, LogpsSaved<B>, |saved, grad, wanted| B::logps_backward(saved, grad, wanted));
backward!(LogpsKlBackward, 2, KlSaved<B>, |saved, grad, wanted| {
    B::logps_kl_backward(saved, portable::divergence::unstacked::<B>(grad), wanted)
});

/// Gradient of rows: added to what the matrix has of one already, where it has, which a head that is the embedding has
/// brought; a second matrix of zeros and rows would be made to be added, else.
#[derive(Debug)]
pub(super) struct RowsBackward;

impl<B: FusedPrimitives> Backward<B, 1> for RowsBackward {
    type State = (FloatTensor<Autodiff<B>>, IntTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (matrix, rows) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let total = match grads.remove::<B>(&matrix) {
            Some(total) => B::add_rows(total, rows, grad),
            None => B::rows_backward(rows, grad, matrix.primitive().shape()[0]),
        };
        register::<B>(grads, ops.parents[0].as_ref().map(|node| node.id), Some(total));
    }
}
