//! `x · Wᵀ`.

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::DType,
};

use crate::{FusedPrimitives, Precision};

pub(crate) fn rounded<B: Backend>(x: FloatTensor<B>, precision: Precision) -> FloatTensor<B> {
    match precision {
        Precision::F32 => x,
        Precision::Bf16 => {
            let dtype = x.dtype();
            // From f64 the cast to bfloat16 takes numbers just past the middle for the middle.
            let x = if dtype == DType::F64 { B::float_cast(x, DType::F32.into()) } else { x };
            B::float_cast(B::float_cast(x, DType::BF16.into()), dtype.into())
        }
    }
}

/// `lhs · rhs`, of operands in `precision`.
pub(crate) fn product<B: FusedPrimitives>(
    lhs: FloatTensor<B>,
    rhs: FloatTensor<B>,
    precision: Precision,
) -> FloatTensor<B> {
    B::float_matmul(B::rounded(lhs, precision), B::rounded(rhs, precision))
}

pub(crate) fn forward<B: FusedPrimitives>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    precision: Precision,
) -> FloatTensor<B> {
    B::product(x, B::float_transpose(weight), precision)
}

pub(crate) fn backward<B: FusedPrimitives>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    precision: Precision,
    [x_wanted, weight_wanted]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let dx = x_wanted.then(|| B::product(grad.clone(), weight, precision));
    let dweight = weight_wanted.then(|| B::product(B::float_transpose(grad), x, precision));
    [dx, dweight]
}

pub(crate) fn input_backward<B: FusedPrimitives>(
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    precision: Precision,
) -> FloatTensor<B> {
    B::product(grad, weight, precision)
}

/// `Σ grad · W` of weights and gradients, of which there is one at least.
pub(crate) fn inputs_backward<B: FusedPrimitives>(
    products: Vec<(FloatTensor<B>, FloatTensor<B>)>,
    precision: Precision,
) -> FloatTensor<B> {
    let parts = products.into_iter();
    let parts = parts.map(|(weight, grad)| B::linear_input_backward(weight, grad, precision));
    parts.reduce(|sum, part| B::float_add(sum, part)).expect("a product at least")
}

/// Gradient of a weight whose product with `x` got the gradient `slope`.
pub(crate) fn weight_backward<B: FusedPrimitives>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    slope: FloatTensor<B>,
    precision: Precision,
) -> Option<FloatTensor<B>> {
    let [_, dweight] = B::linear_backward(x.clone(), weight.clone(), slope, precision, [false, true]);
    dweight
}
