//! `x · Wᵀ`.

use burn::{
    backend::{Backend, Scalar, TensorMetadata, get_device_settings, tensor::FloatTensor},
    tensor::DType,
};

use crate::{FusedPrimitives, Precision};

pub(crate) fn rounded<B: Backend>(x: FloatTensor<B>, precision: Precision) -> FloatTensor<B> {
    if precision == Precision::F32 {
        return x;
    }
    let dtype = x.dtype();
    // From f64 the cast takes numbers just past the middle for the middle.
    let x = if dtype == DType::F64 { B::float_cast(x, DType::F32.into()) } else { x };
    let rounded = match precision {
        Precision::F16 => in_ranges_of_f16::<B>(x),
        _ => through::<B>(x, DType::BF16),
    };
    B::float_cast(rounded, dtype.into())
}

/// Numbers as `dtype` has them.
fn through<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    let back = x.dtype();
    B::float_cast(B::float_cast(x, dtype.into()), back.into())
}

/// Powers of two between the least and the largest number that f16 has with all its digits, and from there on.
const F16_RANGE: [i32; 2] = [-14, 15];

/// Numbers with the digits of f16: each is rounded where a power of two brings it into the range of f16. What is no number stays as it is.
fn in_ranges_of_f16<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let power = |exponent: i32| Scalar::from(2f64.powi(exponent));
    let [least, most] = F16_RANGE;
    let bool_dtype = get_device_settings::<B>(&x.device()).bool_dtype;
    let sizes = B::float_abs(x.clone());
    // Nine ranges of 29 powers of two: all of f32's.
    (-4..=4).fold(x.clone(), |rounded, idx| {
        let shift = (most - least) * idx;
        let digits = through::<B>(B::float_mul_scalar(x.clone(), power(shift)), DType::F16);
        let is_here = B::bool_and(
            B::float_greater_equal_elem(sizes.clone(), power(least - shift), bool_dtype),
            B::float_lower_elem(sizes.clone(), power(most - shift), bool_dtype),
        );
        B::float_mask_where(rounded, is_here, B::float_mul_scalar(digits, power(-shift)))
    })
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
