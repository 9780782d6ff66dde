//! A matrix and the adapter beside it, in as few passes over memory as their products take.

use burn::backend::{Flex, flex::FlexTensor};

use super::{
    buffer::{contiguous, dims2, tensor, values},
    linear::{Factor, operands, product, sum_of_products},
};
use crate::{LoraSpec, saved::LoraSaved};

/// Output, and what goes from the first of the adapter's matrices into the second.
pub(super) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    adapter: [FlexTensor; 2],
    spec: LoraSpec,
) -> (FlexTensor, FlexTensor) {
    let [x, weight] = operands([x, weight], spec.precision);
    let [down, up] = operands(adapter, spec.precision);
    let x = Factor::activation(&x);
    let narrow = scaled(product(x, Factor::weight(&down).transposed(), spec.precision), spec.scale);
    let [rounded] = operands([narrow.clone()], spec.precision);
    let factors = [
        [x, Factor::weight(&weight).transposed()],
        [Factor::weight(&rounded), Factor::weight(&up).transposed()],
    ];
    (sum_of_products(&factors, spec.precision), narrow)
}

/// Gradients of the input and of both matrices of the adapter, where wanted.
pub(super) fn backward(
    saved: LoraSaved<Flex>,
    weight: FlexTensor,
    grad: FlexTensor,
    [x_wanted, down_wanted, up_wanted]: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let LoraSaved { x, narrow, down, up, spec } = saved;
    let precision = spec.precision;
    let [x, weight, grad] = operands([x, weight, grad], precision);
    let [narrow, down, up] = operands([narrow, down, up], precision);
    let (x, grad) = (Factor::activation(&x), Factor::activation(&grad));
    let dup = up_wanted.then(|| product(grad.transposed(), Factor::weight(&narrow), precision));
    if !x_wanted && !down_wanted {
        return [None, None, dup];
    }
    let dnarrow = scaled(product(grad, Factor::weight(&up), precision), spec.scale);
    let [dnarrow] = operands([dnarrow], precision);
    let dnarrow = Factor::weight(&dnarrow);
    let ddown = down_wanted.then(|| product(dnarrow.transposed(), x, precision));
    let factors = [[grad, Factor::weight(&weight)], [dnarrow, Factor::weight(&down)]];
    let dx = x_wanted.then(|| sum_of_products(&factors, precision));
    [dx, ddown, dup]
}

/// Few numbers: a row of them has the rank's length.
fn scaled(x: FlexTensor, scale: f64) -> FlexTensor {
    let dims = dims2(&x);
    let x = contiguous(x);
    tensor(values(&x).iter().map(|value| value * scale as f32).collect(), dims)
}
