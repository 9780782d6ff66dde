//! A gated feed-forward layer, made of its parts; what lies between them is made again on the way back.

use burn::backend::tensor::FloatTensor;

use super::linear::weight_backward;
use crate::{
    FeedForwardSpec, FusedPrimitives,
    saved::{FeedForwardSaved, FeedForwardWeights},
};

pub(crate) fn forward<B: FusedPrimitives>(
    x: FloatTensor<B>,
    FeedForwardWeights { gate, up, down }: FeedForwardWeights<B>,
    FeedForwardSpec { activation, precision }: FeedForwardSpec,
    is_kept: bool,
) -> (FloatTensor<B>, Option<[FloatTensor<B>; 2]>) {
    let gate = B::linear_forward(x.clone(), gate, precision);
    let up = B::linear_forward(x, up, precision);
    let kept = is_kept.then(|| [gate.clone(), up.clone()]);
    let inner = B::gated_forward(gate, up, activation);
    (B::linear_forward(inner, down, precision), kept)
}

pub(crate) fn backward<B: FusedPrimitives>(
    FeedForwardSaved { x, weights, kept, spec }: FeedForwardSaved<B>,
    grad: FloatTensor<B>,
    [x_wanted, gate_wanted, up_wanted, down_wanted]: [bool; 4],
) -> [Option<FloatTensor<B>>; 4] {
    let FeedForwardSpec { activation, precision } = spec;
    let FeedForwardWeights { gate, up, down } = weights;
    let inner = B::gated_forward(kept[0].clone(), kept[1].clone(), activation);
    let is_through = x_wanted || gate_wanted || up_wanted;
    let [dinner, ddown] = B::linear_backward(inner, down, grad, precision, [is_through, down_wanted]);
    let Some(dinner) = dinner else { return [None, None, None, ddown] };
    let through = [x_wanted || gate_wanted, x_wanted || up_wanted];
    let slopes = B::gated_backward(kept, dinner, activation, through);
    let of = |slope: &Option<FloatTensor<B>>, weight: &FloatTensor<B>, is_wanted: bool| {
        weight_backward::<B>(&x, weight, slope.clone().filter(|_| is_wanted)?, precision)
    };
    let (dgate, dup) = (of(&slopes[0], &gate, gate_wanted), of(&slopes[1], &up, up_wanted));
    let dx = x_wanted.then(|| {
        let products = [gate, up].into_iter().zip(slopes.into_iter().flatten()).collect();
        B::linear_inputs_backward(products, precision)
    });
    [dx, dgate, dup, ddown]
}
