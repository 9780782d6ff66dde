//! Functions of a whole batch: what a pair costs depends on the others.
//!
//! Optimal transport in one dimension pairs two samples off in the order of their sizes. The loss of a rank is given here
//! to the pair that has it, so that row `i` of the output is still about row `i` of the batch; the sum is the same.

use burn::tensor::{Int, Tensor, TensorData};

use super::{conservative_dpo_loss, dpo_loss};
use crate::PairLogps;

/// AOT of each pair, distributional alignment by optimal transport: `u = log π_θ(y_w) − log π_θ(y_l)` and
/// `v = log π_ref(y_w) − log π_ref(y_l)`, each in ascending order over the batch, cost `−ln σ(β(u₍ᵢ₎ − v₍ᵢ₎))`, with labels
/// smoothed by `ε` as in [`conservative_dpo_loss`]: §3 of <https://arxiv.org/abs/2406.05882>.
///
/// # Shapes
/// - `policy`, `reference`: `[n_pairs]`, the whole batch
/// - output: `[n_pairs]`, not reduced
pub fn aot_loss(policy: &PairLogps, reference: &PairLogps, beta: f64, label_smoothing: f64) -> Tensor<1> {
    let (of_policy, of_reference) = (policy.margin(), reference.margin());
    let counterpart = counterparts(&of_policy, of_reference);
    of_difference(of_policy - counterpart, beta, label_smoothing)
}

/// Unpaired AOT of each pair: `Δ_w` and `Δ_l`, each in ascending order over the batch, cost
/// `−ln σ(β(Δ_w₍ᵢ₎ − Δ_l₍ᵢ₎))`, with labels smoothed by `ε`: §3 of <https://arxiv.org/abs/2406.05882>.
///
/// # Shapes
/// - `policy`, `reference`: `[n_pairs]`, the whole batch
/// - output: `[n_pairs]`, not reduced
pub fn aot_unpaired_loss(
    policy: &PairLogps,
    reference: &PairLogps,
    beta: f64,
    label_smoothing: f64,
) -> Tensor<1> {
    let chosen = policy.chosen.sums.clone() - reference.chosen.sums.clone();
    let rejected = policy.rejected.sums.clone() - reference.rejected.sums.clone();
    let counterpart = counterparts(&chosen, rejected);
    of_difference(chosen - counterpart, beta, label_smoothing)
}

/// β-DPO of each pair, `−ln σ(β_b·h)` with the strength of [`dynamic_beta`], a constant, for the batch's mean margin; of the first
/// batch it is `β₀`: <https://arxiv.org/abs/2407.08639>.
///
/// # Shapes
/// - `margin`: `[n_pairs]`, `h` in nats, the whole batch
/// - `moving_margin`: `M₀`; `None` before the first batch
/// - output: `[n_pairs]`, not reduced
pub fn beta_dpo_loss(margin: Tensor<1>, beta: f64, alpha: f64, moving_margin: Option<f64>) -> Tensor<1> {
    let beta = moving_margin.map_or(beta, |moving| {
        let margins: Vec<f64> = margin.clone().inner().into_data().iter::<f64>().collect();
        dynamic_beta(beta, alpha, margins.iter().sum::<f64>() / margins.len().max(1) as f64, moving)
    });
    dpo_loss(margin, beta)
}

/// Strength of a batch whose mean margin is `M_b`, `β_b = max(β₀(1 + a(M_b − M₀)), 10⁻³)`:
/// <https://arxiv.org/abs/2407.08639>.
pub fn dynamic_beta(beta: f64, alpha: f64, margin: f64, moving_margin: f64) -> f64 {
    (beta * (1.0 + alpha * (margin - moving_margin))).max(1e-3)
}

fn of_difference(difference: Tensor<1>, beta: f64, label_smoothing: f64) -> Tensor<1> {
    match label_smoothing {
        0.0 => dpo_loss(difference, beta),
        label_smoothing => conservative_dpo_loss(difference, beta, label_smoothing),
    }
}

/// For each number of `values` the number of `others` that has its rank. Gradients flow to `others`.
///
/// Equal numbers keep the order of their rows, so that two equal lists meet row by row.
fn counterparts(values: &Tensor<1>, others: Tensor<1>) -> Tensor<1> {
    let (ranked, others_ranked) = (ascending(values), ascending(&others));
    let mut partner = vec![0i32; ranked.len()];
    for (row, other) in ranked.into_iter().zip(others_ranked) {
        partner[row] = other as i32;
    }
    let n = partner.len();
    let device = others.device().inner();
    others.select(0, Tensor::<1, Int>::from_data(TensorData::new(partner, [n]), &device))
}

/// Rows in ascending order of their numbers.
fn ascending(values: &Tensor<1>) -> Vec<usize> {
    let values: Vec<f64> = values.clone().inner().into_data().iter::<f64>().collect();
    let mut rows: Vec<usize> = (0..values.len()).collect();
    rows.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    rows
}
