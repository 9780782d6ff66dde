//! Low-rank adapters beside frozen matrices: LoRA, <https://arxiv.org/abs/2106.09685>, and DoRA,
//! <https://arxiv.org/abs/2402.09353>.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, TensorData},
};
use dpo_kernels::{LoraSpec, linear, linear_constant};

use super::{parts::Projection, pass::Pass};
use crate::adapter::AdapterModule;

/// `s · B·A` beside a matrix `W`: two skinny products, and no gradient of what is frozen.
#[derive(Module, Debug)]
pub(super) struct Lora {
    /// `A`, `[rank, d_in]`.
    down: Param<Tensor<2>>,
    /// `B`, `[d_out, rank]`.
    up: Param<Tensor<2>>,
    /// Lengths of the rows of the whole, `[d_out]`: DoRA.
    magnitude: Option<Param<Tensor<1>>>,
    scale: f64,
    #[module(skip)]
    dropout: Dropout,
}

/// Which numbers that the adapter reads are dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropout {
    pub(super) rate: f64,
    /// Tells this adapter's draws from those of others.
    pub(super) place: u64,
}

impl Lora {
    /// From its values; the magnitude of a new DoRA adapter is taken from `weight`.
    pub(super) fn new(module: &AdapterModule, scale: f64, dropout: Dropout, device: &Device) -> Self {
        let matrix = |values: &[f32], shape: [usize; 2]| {
            Param::from_tensor(Tensor::from_data(TensorData::new(values.to_vec(), shape), device))
        };
        let magnitude = module.magnitude.as_ref().map(|values| {
            Param::from_tensor(Tensor::from_data(TensorData::new(values.clone(), [values.len()]), device))
        });
        Self {
            down: matrix(&module.down, [module.rank, module.d_in]),
            up: matrix(&module.up, [module.d_out, module.rank]),
            magnitude,
            scale,
            dropout,
        }
    }

    /// How it is added, if it is the same input that goes into the matrix and into the adapter, and nothing else is done:
    /// one operation can then do both.
    pub(super) fn plain(&self, pass: &Pass) -> Option<LoraSpec> {
        let drops = pass.dropout.is_some() && self.dropout.rate > 0.0;
        let is_plain = self.magnitude.is_none() && !drops;
        is_plain.then_some(LoraSpec { scale: self.scale, precision: pass.precision })
    }

    /// `A` and `B`.
    pub(super) fn matrices(&self) -> [Tensor<2>; 2] {
        [self.down.val(), self.up.val()]
    }

    /// `y`, `[n, d_out]`, is what the matrix made of `x`, `[n, d_in]`, without a bias.
    pub(super) fn add(&self, y: Tensor<2>, x: Tensor<2>, projection: &Projection, pass: &Pass) -> Tensor<2> {
        let (x, is_dropped) = self.dropped(x, pass);
        let narrow = linear(x.clone(), self.down.val(), pass.precision);
        let added = linear(narrow, self.up.val(), pass.precision) * self.scale;
        let Some(magnitude) = &self.magnitude else { return y + added };
        let weight = projection.dense(&y.device());
        let lengths = row_lengths(self.whole(weight.clone()));
        let ratio = (magnitude.val() / lengths).unsqueeze::<2>();
        let whole = if is_dropped { linear_constant(x, weight, pass.precision) } else { y.clone() };
        y + (ratio.clone() - 1.0) * whole + ratio * added
    }

    fn dropped(&self, x: Tensor<2>, pass: &Pass) -> (Tensor<2>, bool) {
        let Dropout { rate, place } = self.dropout;
        match &pass.dropout {
            Some(keys) if rate > 0.0 => {
                let mask = keys.mask(x.dims()[1], rate, place, &x.device().inner());
                (x * mask, true)
            }
            _ => (x, false),
        }
    }

    /// `W + s·B·A` as a constant: its lengths are one too (section 4.3 of DoRA's paper).
    fn whole(&self, weight: Tensor<2>) -> Tensor<2> {
        let product = self.up.val().inner().matmul(self.down.val().inner());
        weight.inner() + product * self.scale
    }

    /// The matrix with the adapter in it.
    pub(super) fn merged(&self, weight: Tensor<2>) -> Tensor<2> {
        let whole = self.whole(weight);
        match &self.magnitude {
            Some(magnitude) => {
                let ratio = magnitude.val().inner() / row_lengths(whole.clone());
                whole * ratio.unsqueeze_dim(1)
            }
            None => whole,
        }
    }
}

/// Euclidean length of each row.
pub(super) fn row_lengths(matrix: Tensor<2>) -> Tensor<1> {
    let squares = matrix.clone() * matrix;
    squares.sum_dim(1).sqrt().squeeze_dim(1)
}
