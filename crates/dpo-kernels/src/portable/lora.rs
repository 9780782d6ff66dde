//! `x · Wᵀ + s·(x · Aᵀ) · Bᵀ`.

use burn::backend::{Backend, tensor::FloatTensor};

use crate::{FusedPrimitives, LoraSpec, saved::LoraSaved};

pub(crate) fn forward<B: FusedPrimitives>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    [down, up]: [FloatTensor<B>; 2],
    LoraSpec { scale, precision }: LoraSpec,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let narrow = scaled::<B>(B::linear_forward(x.clone(), down, precision), scale);
    let added = B::linear_forward(narrow.clone(), up, precision);
    (B::float_add(B::linear_forward(x, weight, precision), added), narrow)
}

pub(crate) fn backward<B: FusedPrimitives>(
    saved: LoraSaved<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    [x_wanted, down_wanted, up_wanted]: [bool; 3],
) -> [Option<FloatTensor<B>>; 3] {
    let LoraSaved { x, narrow, down, up, spec: LoraSpec { scale, precision } } = saved;
    let [dnarrow, dup] =
        B::linear_backward(narrow, up, grad.clone(), precision, [x_wanted || down_wanted, up_wanted]);
    let Some(dnarrow) = dnarrow else { return [None, None, dup] };
    let dnarrow = scaled::<B>(dnarrow, scale);
    let [into_x, ddown] = B::linear_backward(x, down, dnarrow, precision, [x_wanted, down_wanted]);
    let dx = into_x.map(|into_x| B::float_add(B::linear_input_backward(weight, grad, precision), into_x));
    [dx, ddown, dup]
}

fn scaled<B: Backend>(x: FloatTensor<B>, scale: f64) -> FloatTensor<B> {
    B::float_mul_scalar(x, scale.into())
}
