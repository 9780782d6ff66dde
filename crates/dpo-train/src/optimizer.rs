//! AdamW over all parameters of a decoder.

use burn::tensor::Tensor;
use dpo_kernels::{AdamWStep, AdamWUpdate, adamw, squared_norm};
use dpo_model::{Decoder, GradientList, ParameterInfo};

/// Settings of AdamW, <https://arxiv.org/abs/1711.05101>; the defaults are PyTorch's, without decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay of weights; norms and biases are never decayed.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// First and second moment of one parameter, flat.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) first: Tensor<1>,
    pub(crate) second: Tensor<1>,
}

/// The optimizer with its moments, in the order of the decoder's parameters.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    /// Updates made.
    time: u64,
    /// Empty before the first update.
    moments: Vec<Moments>,
}

impl AdamW {
    /// An optimizer that has made no update.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, time: 0, moments: Vec::new() }
    }

    pub(crate) fn restore(config: AdamWConfig, time: u64, moments: Vec<Moments>) -> Self {
        Self { config, time, moments }
    }

    pub(crate) fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Updates made so far.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Updates every parameter with its gradient times `grad_scale`.
    #[must_use]
    pub fn step(
        &mut self,
        policy: Decoder,
        gradients: GradientList,
        learning_rate: f64,
        grad_scale: f64,
    ) -> Decoder {
        self.time += 1;
        let mut before = std::mem::take(&mut self.moments).into_iter();
        let mut gradients = gradients.into_iter();
        let mut after = Vec::with_capacity(gradients.len());
        let policy = policy.map_parameters(|info, param| {
            let Some(gradient) = gradients.next() else { unreachable!("one gradient a parameter") };
            // They last, and a GPU keeps what lasts apart from what comes and goes.
            let zeros = || {
                param.device().memory_persistent_allocations(&param, |param| Moments {
                    first: param.zeros_like(),
                    second: param.zeros_like(),
                })
            };
            let moments = before.next().unwrap_or_else(zeros);
            let step = self.numbers(&info, learning_rate, grad_scale);
            let AdamWUpdate { param, first, second } =
                adamw(param, gradient, moments.first, moments.second, step);
            after.push(Moments { first, second });
            param
        });
        self.moments = after;
        policy
    }

    fn numbers(&self, info: &ParameterInfo, learning_rate: f64, grad_scale: f64) -> AdamWStep {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let weight_decay = if info.is_decayed() { weight_decay } else { 0.0 };
        AdamWStep { learning_rate, beta1, beta2, epsilon, weight_decay, time: self.time, grad_scale }
    }
}

/// Global norm of all gradients, `√Σ g²`.
pub fn gradient_norm(gradients: &GradientList) -> f64 {
    let squares: Vec<Tensor<1>> = gradients.iter().map(|gradient| squared_norm(gradient.clone())).collect();
    // A few at a time: a GPU's kernel that joins some hundred tensors takes 20 s to compile.
    let squares: Vec<f64> =
        squares.chunks(16).flat_map(|some| host_values(Tensor::cat(some.to_vec(), 0))).collect();
    squares.iter().sum::<f64>().sqrt()
}

/// Factor that brings a gradient of this norm down to `max_norm`, as PyTorch computes it; 1 when `max_norm` is 0.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

/// Reads a tensor from its device.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
