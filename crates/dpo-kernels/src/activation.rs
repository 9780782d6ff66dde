//! The functions between the two products of a feed-forward part.

/// Activation of a feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x·σ(x)`, also called swish: <https://arxiv.org/abs/1702.03118>.
    Silu,
    /// `½x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`, the approximation in <https://arxiv.org/abs/1606.08415>.
    GeluTanh,
    /// `x·Φ(x)` with the distribution function of the standard normal: <https://arxiv.org/abs/1606.08415>.
    GeluErf,
    /// `max(x, 0)`.
    Relu,
}
