//! The optimizer's pass over one parameter.

use burn::{backend::Dispatch, tensor::Tensor};

use crate::FusedOps;

/// Numbers of one AdamW step: Algorithm 2 of <https://arxiv.org/abs/1711.05101>, in the order PyTorch computes it.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay of this parameter.
    pub weight_decay: f64,
    /// Number of this update, from 1: the moments' bias correction.
    pub time: u64,
    /// Factor on the gradient: global-norm clipping.
    pub grad_scale: f64,
}

/// A parameter and its moments after an update.
#[derive(Debug)]
pub struct AdamWUpdate<const D: usize> {
    /// The parameter.
    pub param: Tensor<D>,
    /// Moving mean of the gradient.
    pub first: Tensor<D>,
    /// Moving mean of its square.
    pub second: Tensor<D>,
}

/// One AdamW update in a single pass; in place on the processor when nothing else holds the tensors.
///
/// # Shapes
/// - all the same; the tensors take no part in autodiff
pub fn adamw<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    first: Tensor<D>,
    second: Tensor<D>,
    step: AdamWStep,
) -> AdamWUpdate<D> {
    let (param, first, second) = <Dispatch as FusedOps>::adamw(
        param.into_dispatch(),
        grad.into_dispatch(),
        first.into_dispatch(),
        second.into_dispatch(),
        step,
    );
    AdamWUpdate {
        param: Tensor::from_dispatch(param),
        first: Tensor::from_dispatch(first),
        second: Tensor::from_dispatch(second),
    }
}

/// Sums of squares whose sum is that of all elements, `[n]`: one where the device adds them up itself.
pub fn squared_norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::squared_norm(x.into_dispatch()))
}
