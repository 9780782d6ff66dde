//! Functions of the margin and of how annotators voted. Shares have no gradient.

use burn::tensor::Tensor;

use super::{dpo_loss, log_sigmoid};

/// DPO with a soft label for each pair, the share `p` of annotators who prefer the first completion:
/// `p(−ln σ(βh)) + (1−p)(−ln σ(−βh))`, the cross-entropy of what people said and what the policy says. With `p = 1` it is
/// [`dpo_loss`] to the last bit.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
/// - `share`: `[n_pairs]`, `p` from 0 to 1
/// - output: `[n_pairs]`, not reduced
pub fn soft_label_loss(margin: Tensor<1>, share: Tensor<1>, beta: f64) -> Tensor<1> {
    assert_shape!(share, margin.dims());
    let first = dpo_loss(margin.clone(), beta);
    let second = dpo_loss(-margin, beta);
    first * share.clone() + second * (-share + 1.0)
}

/// Losses of the three verdicts on a pair, `−ln` of what a tie model says of each; the three probabilities add up to 1.
#[derive(Debug, Clone)]
pub struct VerdictLosses {
    /// The first completion is preferred, `[n_pairs]`.
    pub win: Tensor<1>,
    /// Neither is, `[n_pairs]`.
    pub tie: Tensor<1>,
    /// The second is, `[n_pairs]`.
    pub loss: Tensor<1>,
}

/// Verdicts under Rao and Kupper's model, `d = βh`, `a > 0`: a win costs `−ln σ(d − a)`, a loss `−ln σ(−d − a)`, a tie
/// `−ln σ(d − a) − ln σ(−d − a) − ln(e^{2a} − 1)`: <https://arxiv.org/abs/2409.17431>, where `a = ln ν`.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
pub fn rao_kupper_losses(margin: Tensor<1>, beta: f64, a: f64) -> VerdictLosses {
    let d = margin * beta;
    let win = -log_sigmoid(d.clone() - a);
    let loss = -log_sigmoid(-d - a);
    // e^{2a} may be infinite where its logarithm is not.
    let ln_room = 2.0 * a + (-(-2.0 * a).exp()).ln_1p();
    VerdictLosses { tie: win.clone() + loss.clone() - ln_room, win, loss }
}

/// Verdicts under Davidson's model, `d = βh`, `ν > 0`, `Z = 1 + e^{−d} + 2νe^{−d/2}`: a win costs `ln Z`, a loss `d + ln Z`,
/// a tie `−ln 2ν + d/2 + ln Z`: <https://arxiv.org/abs/2409.17431>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats
pub fn davidson_losses(margin: Tensor<1>, beta: f64, nu: f64) -> VerdictLosses {
    let half = margin * (0.5 * beta);
    // With both exponents drawn towards 0: e^{d/2}·Z = e^{d/2} + e^{−d/2} + 2ν, and ln(e^x + e^{−x}) = |x| + ln(1 + e^{−2|x|}).
    let size = half.clone().abs();
    let ln_sum = ((size.clone() * -2.0).exp() + 1.0 + (-size.clone()).exp() * (2.0 * nu)).log() + size;
    VerdictLosses {
        win: ln_sum.clone() - half.clone(),
        tie: ln_sum.clone() - (2.0 * nu).ln(),
        loss: ln_sum + half,
    }
}
