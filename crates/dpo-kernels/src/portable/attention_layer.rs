//! Attention with the matrices around it, made of its parts.

use burn::backend::tensor::FloatTensor;

use super::linear::weight_backward;
use crate::{
    AttentionSpec, FusedPrimitives,
    backend::Rotation,
    saved::{AttentionLayerSaved, AttentionSaved, AttentionWeights},
};

/// Output, and what attention keeps.
pub(crate) fn forward<B: FusedPrimitives>(
    x: FloatTensor<B>,
    weights: AttentionWeights<B>,
    angles: [FloatTensor<B>; 2],
    spec: &AttentionSpec,
) -> (FloatTensor<B>, AttentionSaved<B>) {
    let projected = |weight| B::linear_forward(x.clone(), weight, spec.precision);
    let turned = |weight| B::rotate(projected(weight), angles.clone(), spec.head_dim, Rotation::Forward);
    let (query, key, value) = (turned(weights.query), turned(weights.key), projected(weights.value));
    let (output, log_sum_exp) = B::attention_forward(query.clone(), key.clone(), value.clone(), spec);
    let saved = AttentionSaved { query, key, value, output: output.clone(), log_sum_exp };
    (B::linear_forward(output, weights.output, spec.precision), saved)
}

/// Gradients of the input and of the matrices for query, key, value and output, where wanted.
pub(crate) fn backward<B: FusedPrimitives>(
    AttentionLayerSaved { x, weights, angles, attention, spec }: AttentionLayerSaved<B>,
    grad: FloatTensor<B>,
    [x_wanted, query_wanted, key_wanted, value_wanted, output_wanted]: [bool; 5],
) -> [Option<FloatTensor<B>>; 5] {
    let precision = spec.precision;
    let wanted = [query_wanted, key_wanted, value_wanted];
    let through = wanted.map(|wanted| wanted || x_wanted);
    let is_through = through.contains(&true);
    let attended = attention.output.clone();
    let [dattended, doutput] =
        B::linear_backward(attended, weights.output, grad, precision, [is_through, output_wanted]);
    let Some(dattended) = dattended else { return [None, None, None, None, doutput] };
    let [dquery, dkey, dvalue] = B::attention_backward(attention, dattended, &spec, through);
    let back = |grad: Option<FloatTensor<B>>| {
        grad.map(|grad| B::rotate(grad, angles.clone(), spec.head_dim, Rotation::Backward))
    };
    let slopes = [back(dquery), back(dkey), dvalue];
    let matrices = [weights.query, weights.key, weights.value];
    let [dquery, dkey, dvalue] = [0, 1, 2].map(|idx| {
        weight_backward::<B>(&x, &matrices[idx], slopes[idx].clone().filter(|_| wanted[idx])?, precision)
    });
    let dx = x_wanted.then(|| {
        let products = matrices.into_iter().zip(slopes.into_iter().flatten()).collect();
        B::linear_inputs_backward(products, precision)
    });
    [dx, dquery, dkey, dvalue, doutput]
}
