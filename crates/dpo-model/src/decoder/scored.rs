//! What is said of scored tokens.

use burn::tensor::Tensor;

/// What is wanted of each scored token beside its log-probability.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenOutputs<'a> {
    /// How concentrated the distribution is that it was drawn from.
    pub squares: bool,
    /// How far that distribution is from another model's.
    pub divergence_from: Option<&'a Distributions>,
}

/// What a model says of every word where each scored token is predicted, as far as the head: no `[tokens, vocabulary]` tensor.
#[derive(Debug, Clone)]
pub struct Distributions {
    /// What the head reads.
    pub(super) hidden: Tensor<2>,
    /// The head, whole or in parts.
    pub(super) head: Vec<Tensor<2>>,
    pub(super) softcap: Option<f64>,
}

/// What a model says of each scored token, `[n_scored]` each.
#[derive(Debug, Clone)]
pub struct ScoredTokens {
    /// Log-probability, in nats.
    pub logps: Tensor<1>,
    /// `ln Σ_v p(v)²` of the distribution over all words, without a gradient, where it was asked for.
    pub log_sum_squares: Option<Tensor<1>>,
    /// `KL(p' ‖ p)` of another model's distribution `p'` and this, in nats, where it was asked for.
    pub kl: Option<Tensor<1>>,
}
