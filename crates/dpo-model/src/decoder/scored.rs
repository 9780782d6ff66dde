//! What is said of scored tokens.

use burn::tensor::Tensor;

/// What is wanted of each scored token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenOutputs {
    /// Its log-probability.
    #[default]
    Logps,
    /// That, and how concentrated the distribution is that it was drawn from.
    LogpsAndSquares,
}

/// What a model says of each scored token, `[n_scored]` each.
#[derive(Debug, Clone)]
pub struct ScoredTokens {
    /// Log-probability, in nats.
    pub logps: Tensor<1>,
    /// `ln Σ_v p(v)²` of the distribution over all words, without a gradient, where it was asked for.
    pub log_sum_squares: Option<Tensor<1>>,
}
