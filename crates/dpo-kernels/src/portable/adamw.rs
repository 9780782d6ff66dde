//! AdamW and the gradient norm.

use burn::backend::{Backend, tensor::FloatTensor};

use crate::AdamWStep;

pub(crate) fn update<B: Backend>(
    param: FloatTensor<B>,
    grad: FloatTensor<B>,
    [first, second]: [FloatTensor<B>; 2],
    step: &AdamWStep,
) -> [FloatTensor<B>; 3] {
    let numbers = step.numbers();
    let grad = B::float_mul_scalar(grad, step.grad_scale.into());
    let first = B::float_add(
        B::float_mul_scalar(first, step.beta1.into()),
        B::float_mul_scalar(grad.clone(), (1.0 - step.beta1).into()),
    );
    let second = B::float_add(
        B::float_mul_scalar(second, step.beta2.into()),
        B::float_mul_scalar(B::float_mul(grad.clone(), grad), (1.0 - step.beta2).into()),
    );
    let root = B::float_div_scalar(B::float_sqrt(second.clone()), numbers.second_correction_root.into());
    let direction = B::float_div(first.clone(), B::float_add_scalar(root, step.epsilon.into()));
    let decayed = B::float_mul_scalar(param, numbers.decay_factor.into());
    let param = B::float_sub(decayed, B::float_mul_scalar(direction, numbers.step_size.into()));
    [param, first, second]
}

pub(crate) fn sum_of_squares<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_sum(B::float_mul(x.clone(), x))
}

/// The scalars of a step, computed once in f64.
pub(crate) struct StepNumbers {
    pub(crate) decay_factor: f64,
    pub(crate) step_size: f64,
    pub(crate) second_correction_root: f64,
}

impl AdamWStep {
    pub(crate) fn numbers(&self) -> StepNumbers {
        let time = self.time as f64;
        StepNumbers {
            decay_factor: 1.0 - self.learning_rate * self.weight_decay,
            step_size: self.learning_rate / (1.0 - self.beta1.powf(time)),
            second_correction_root: (1.0 - self.beta2.powf(time)).sqrt(),
        }
    }
}
