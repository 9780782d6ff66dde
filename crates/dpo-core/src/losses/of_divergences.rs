//! Functions also of how far the policy's distributions have moved from the reference's.

use burn::tensor::Tensor;

use super::dpo_loss;

/// TDPO of each pair, `−ln σ(β(h − α(D_l − sg[D_w])))` with `D_y = Σ_t KL(π_ref(·|x, y_<t) ‖ π_θ(·|x, y_<t))`, so that the
/// policy stays near its reference where a rejected completion runs, `sg` being a constant: TDPO₂ of
/// <https://arxiv.org/abs/2404.11999>. With `α = 0` it is [`dpo_loss`].
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - `chosen_kl`, `rejected_kl`: `[n_pairs]`, `D_w` and `D_l` in nats
/// - output: `[n_pairs]`, not reduced
pub fn tdpo_loss(
    margin: Tensor<1>,
    chosen_kl: Tensor<1>,
    rejected_kl: Tensor<1>,
    beta: f64,
    alpha: f64,
) -> Tensor<1> {
    if alpha == 0.0 {
        return dpo_loss(margin, beta);
    }
    dpo_loss(margin - (rejected_kl - chosen_kl.detach()) * alpha, beta)
}
