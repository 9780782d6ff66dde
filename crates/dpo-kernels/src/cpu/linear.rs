//! Products of whole tensors.

use std::sync::Arc;

use burn::backend::{Flex, TensorMetadata, flex::FlexTensor};

use super::{
    bf16::{Packed, Side, Unit},
    buffer::{all_f32, contiguous, dims2, strided, tensor, values},
    gemm::{self, Matrix},
    recent, round,
};
use crate::{Precision, portable};

/// The operands of products in `precision`: rounded here, unless what multiplies them rounds them itself.
pub(super) fn operands<const N: usize>(tensors: [FlexTensor; N], precision: Precision) -> [FlexTensor; N] {
    let is_rounded_here = precision != Precision::F32 && Unit::for_precision(precision).is_none();
    tensors.map(|operand| if is_rounded_here { rounded(operand, precision) } else { strided(operand) })
}

/// One of [`operands`] in a product.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a> {
    pub(super) tensor: &'a FlexTensor,
    is_transposed: bool,
    /// Whether other products read it too, soon.
    pub(super) is_shared: bool,
}

impl<'a> Factor<'a> {
    /// What products with several weights read.
    pub(super) fn activation(tensor: &'a FlexTensor) -> Self {
        Self { tensor, is_transposed: false, is_shared: true }
    }

    /// What one product reads, this way round.
    pub(super) fn weight(tensor: &'a FlexTensor) -> Self {
        Self { tensor, is_transposed: false, is_shared: false }
    }

    pub(super) fn transposed(self) -> Self {
        Self { is_transposed: !self.is_transposed, ..self }
    }

    /// Wherever its rows and columns lie.
    pub(super) fn matrix(self) -> Matrix<'a> {
        let layout = self.tensor.layout();
        let strides = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
        let matrix =
            Matrix::strided(&self.tensor.storage()[layout.start_offset()..], dims2(self.tensor), strides);
        if self.is_transposed { matrix.transposed() } else { matrix }
    }
}

/// `lhs · rhs`.
pub(super) fn product(lhs: Factor<'_>, rhs: Factor<'_>, precision: Precision) -> FlexTensor {
    sum_of_products(&[[lhs, rhs]], precision)
}

/// `Σ lhs · rhs` of factors whose products have one size.
pub(super) fn sum_of_products(factors: &[[Factor<'_>; 2]], precision: Precision) -> FlexTensor {
    let [lhs, rhs] = factors[0].map(|factor| factor.matrix().dims());
    let sum = match Unit::for_precision(precision) {
        Some(unit) => of_packed(unit, factors),
        None => of_plain(factors),
    };
    tensor(sum, [lhs[0], rhs[1]])
}

/// `Σ grad · W` of weights and gradients, in one sum.
pub(super) fn inputs_backward(products: Vec<(FlexTensor, FlexTensor)>, precision: Precision) -> FlexTensor {
    if !products.iter().all(|(weight, grad)| all_f32([weight, grad])) {
        return portable::linear::inputs_backward::<Flex>(products, precision);
    }
    let products: Vec<[FlexTensor; 2]> =
        products.into_iter().map(|(weight, grad)| operands([grad, weight], precision)).collect();
    let factors = products.iter().map(|[grad, weight]| [Factor::activation(grad), Factor::weight(weight)]);
    sum_of_products(&factors.collect::<Vec<_>>(), precision)
}

fn of_plain(factors: &[[Factor<'_>; 2]]) -> Vec<f32> {
    let mut products = factors.iter().map(|factors| factors.map(Factor::matrix));
    let [lhs, rhs] = products.next().expect("factors of a product");
    let mut sum = gemm::product(lhs, rhs);
    products.for_each(|[lhs, rhs]| gemm::add_product(&mut sum, lhs, rhs));
    sum
}

fn of_packed(unit: &Unit, factors: &[[Factor<'_>; 2]]) -> Vec<f32> {
    let sides = factors.iter().flat_map(|[lhs, rhs]| [(*lhs, Side::Left), (*rhs, Side::Right)]);
    let packed: Vec<Arc<Packed>> = recent::packed(&sides.collect::<Vec<_>>());
    let factors: Vec<[&Packed; 2]> = packed.as_chunks().0.iter().map(|[lhs, rhs]| [&**lhs, &**rhs]).collect();
    unit.product(&factors)
}

/// Numbers of a matrix as `precision`, which is not f32, has them, in f32.
pub(super) fn rounded(x: FlexTensor, precision: Precision) -> FlexTensor {
    let shape = x.shape();
    tensor(round::rounded(values(&contiguous(x)), precision.dropped_digits()), [shape[0], shape[1]])
}
