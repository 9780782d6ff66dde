//! Functions of the log-ratios of ranked lists.

use burn::tensor::Tensor;

use super::log_sigmoid;

/// Plackett–Luce loss of one ranked list, best first: `Σ_{k<K} [ln Σ_{j≥k} e^{βΔ_j} − βΔ_k]`, the negative log-probability
/// that the completions are drawn in this order: App. A.3 of <https://arxiv.org/abs/2305.18290>.
///
/// With `K = 2` it is [`dpo_loss`](super::dpo_loss) to the last bit, and of equal log-ratios it is `ln K!`.
///
/// # Shapes
/// - `log_ratios`: `[K]`, `Δ` of each completion in nats, best first, `K ≥ 2`
/// - output: `[1]`
pub fn plackett_luce_loss(log_ratios: Tensor<1>, beta: f64) -> Tensor<1> {
    let [n] = log_ratios.dims();
    assert!(n >= 2, "a list of {n} ranks nothing");
    let place = |best: usize| {
        let rest = log_ratios.clone().narrow(0, best + 1, n - best - 1);
        let ahead = (log_ratios.clone().narrow(0, best, 1) - rest) * beta;
        // ln Σ_{j≥k} e^{βΔ_j} − βΔ_k = ln(1 + Σ_{j>k} e^{−ahead_j}), and ln(1 + e^z) is −ln σ(−z).
        -log_sigmoid(-log_sum_exp(-ahead))
    };
    (1..n - 1).fold(place(0), |sum, best| sum + place(best))
}

/// `ln Σ_j e^{z_j}`; of a single number it is that number to the last bit.
fn log_sum_exp(z: Tensor<1>) -> Tensor<1> {
    // What is taken out and put back has no part in the gradient.
    let largest = z.clone().max().detach();
    (z - largest.clone()).exp().sum().log() + largest
}

/// LiPO-λ loss of one scored list:
/// `Σ_{s_i>s_j} |2^{s_i} − 2^{s_j}|·|1/ln(1+τ_i) − 1/ln(1+τ_j)|·softplus(−β(Δ_i − Δ_j))`, where `τ` counts the places under
/// the policy's own `Δ` from 1 and has no gradient: <https://arxiv.org/abs/2402.01878>.
///
/// Of equal `Δ` the one that is earlier in the list has the better place.
///
/// # Shapes
/// - `log_ratios`: `[K]`, `Δ` of each completion in nats
/// - `scores`: `K` numbers
/// - output: `[1]`
pub fn lipo_loss(log_ratios: Tensor<1>, scores: &[f64], beta: f64) -> Tensor<1> {
    assert_shape!(log_ratios, [scores.len()]);
    let discounts = discounts(&log_ratios);
    let of = |idx: usize| log_ratios.clone().narrow(0, idx, 1);
    let mut loss = log_ratios.clone().narrow(0, 0, 1) * 0.0;
    for (better, worse) in ordered_pairs(scores) {
        let gain = (scores[better].exp2() - scores[worse].exp2()).abs();
        let weight = gain * (discounts[better] - discounts[worse]).abs();
        loss = loss - log_sigmoid((of(better) - of(worse)) * beta) * weight;
    }
    loss
}

/// All pairs of places of which the first has the higher score.
fn ordered_pairs(scores: &[f64]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let n = scores.len();
    let all = (0..n).flat_map(move |better| (0..n).map(move |worse| (better, worse)));
    all.filter(|(better, worse)| scores[*better] > scores[*worse])
}

/// `1/ln(1 + τ)` of each completion.
fn discounts(log_ratios: &Tensor<1>) -> Vec<f64> {
    let values: Vec<f64> = log_ratios.clone().into_data().iter::<f64>().collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let mut discounts = vec![0.0; values.len()];
    for (place, idx) in order.into_iter().enumerate() {
        discounts[idx] = ((place + 2) as f64).ln().recip();
    }
    discounts
}
