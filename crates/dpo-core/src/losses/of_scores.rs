//! Functions of the margin and of how far the scores of a pair lie apart. Scores have no gradient.

use burn::tensor::{Tensor, activation};

use super::log_sigmoid;

/// DPO with an offset of each pair, `−ln σ(βh − o)`: the reward of a completion that is much better has to be much
/// higher: <https://arxiv.org/abs/2402.10571>, where `o = α·ln(s_w − s_l)`.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - `offset`: `[n_pairs]`
/// - output: `[n_pairs]`, not reduced
pub fn odpo_loss(margin: Tensor<1>, offset: Tensor<1>, beta: f64) -> Tensor<1> {
    assert_shape!(offset, margin.dims());
    -log_sigmoid(margin * beta - offset)
}

/// Multi-objective DPO of each pair, `−ln σ((βh − (1 − w)·d)/w)`, where `d = r_w − r_l` is the margin of another, frozen reward and
/// `w` the weight of what is learnt beside it: <https://arxiv.org/abs/2310.03708>. With `w = 1` it is [`dpo_loss`](super::dpo_loss)
/// to the last bit.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - `other`: `[n_pairs]`, `d`
/// - output: `[n_pairs]`, not reduced
pub fn modpo_loss(margin: Tensor<1>, other: Tensor<1>, beta: f64, weight: f64) -> Tensor<1> {
    assert_shape!(other, margin.dims());
    -log_sigmoid((margin * beta - other * (1.0 - weight)) / weight)
}

/// Reward-aware preference optimization of each pair with the squared distance, `(βh − d)²`, where `d = η(s_w − s_l)`:
/// <https://arxiv.org/abs/2406.11704>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - `wanted`: `[n_pairs]`, `d`
/// - output: `[n_pairs]`, not reduced
pub fn rpo_sq_loss(margin: Tensor<1>, wanted: Tensor<1>, beta: f64) -> Tensor<1> {
    assert_shape!(wanted, margin.dims());
    let error = margin * beta - wanted;
    error.clone() * error
}

/// Reward-aware preference optimization of each pair with the backward divergence, `KL(a‖p)` with `a = σ(d)` and
/// `p = σ(βh)`: <https://arxiv.org/abs/2406.11704>.
///
/// # Shapes
/// - as of [`rpo_sq_loss`]
pub fn rpo_bwd_kl_loss(margin: Tensor<1>, wanted: Tensor<1>, beta: f64) -> Tensor<1> {
    bernoulli_kl(wanted, margin * beta)
}

/// Reward-aware preference optimization of each pair with the forward divergence, `KL(p‖a)` with `p = σ(βh)` and
/// `a = σ(d)`: <https://arxiv.org/abs/2406.11704>.
///
/// # Shapes
/// - as of [`rpo_sq_loss`]
pub fn rpo_fwd_kl_loss(margin: Tensor<1>, wanted: Tensor<1>, beta: f64) -> Tensor<1> {
    bernoulli_kl(margin * beta, wanted)
}

/// `KL(σ(x)‖σ(y))`: `σ(x)[ln σ(x) − ln σ(y)] + σ(−x)[ln σ(−x) − ln σ(−y)]`.
fn bernoulli_kl(x: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    assert_shape!(y, x.dims());
    let side =
        |x: Tensor<1>, y: Tensor<1>| activation::sigmoid(x.clone()) * (log_sigmoid(x) - log_sigmoid(y));
    side(x.clone(), y.clone()) + side(-x, -y)
}
