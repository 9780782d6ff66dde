//! Functions of the log-ratio of a single completion that is good or bad.

use burn::tensor::{Tensor, activation};

/// KTO of each completion: `λ(1 − σ(β(Δ − z₀)))` of a desirable one, `λ(1 − σ(β(z₀ − Δ)))` of an undesirable one, where
/// `z₀ ≥ 0` is how far the policy has drifted from its reference: <https://arxiv.org/abs/2402.01306>.
///
/// # Shapes
/// - `log_ratios`: `[n_completions]`, `Δ` in nats
/// - `signs`: `[n_completions]`, 1 for desirable and −1 for undesirable, without a gradient
/// - `weights`: `[n_completions]`, `λ`, without a gradient
/// - output: `[n_completions]`, not reduced
pub fn kto_loss(
    log_ratios: Tensor<1>,
    signs: Tensor<1>,
    weights: Tensor<1>,
    beta: f64,
    drift: f64,
) -> Tensor<1> {
    assert_shape!(signs, log_ratios.dims());
    assert_shape!(weights, log_ratios.dims());
    // 1 − σ(z) = σ(−z) keeps its digits where it is almost 0.
    activation::sigmoid((log_ratios - drift) * -beta * signs) * weights
}
