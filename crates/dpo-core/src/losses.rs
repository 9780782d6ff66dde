//! The losses of one pair. None of them is reduced over the batch.
//!
//! Those of `of_margin` are functions of `h = Δ_w − Δ_l` alone, those of `of_ratios` of `Δ_w` and `Δ_l`, those of
//! `of_policy` have no reference, those of `of_divergences` read whole distributions, and those of `of_batch` couple the pairs
//! of a batch; those of `of_votes`, `of_scores`,
//! `of_ranks` and `of_labels` are functions also of what people said beyond which completion is better.

mod of_batch;
mod of_divergences;
mod of_labels;
mod of_margin;
mod of_policy;
mod of_ranks;
mod of_ratios;
mod of_scores;
mod of_votes;

use burn::tensor::{Tensor, activation};

use crate::CompletionLogps;

pub use of_batch::{aot_loss, aot_unpaired_loss, beta_dpo_loss, dynamic_beta};
pub use of_divergences::tdpo_loss;
pub use of_labels::kto_loss;
pub use of_margin::{
    conservative_dpo_loss, discopop_loss, dpo_loss, exo_pair_loss, hinge_loss, ipo_loss, robust_dpo_loss,
};
pub use of_policy::{
    alphapo_reward, conservative_simpo_loss, cpo_loss, log_odds, mean_nll_loss, odds_ratio_loss, orpo_loss,
    simpo_loss,
};
pub use of_ranks::{lipo_loss, plackett_luce_loss};
pub use of_ratios::{
    apo_down_loss, apo_zero_loss, bco_pair_loss, cal_dpo_loss, dpop_loss, nca_pair_loss, r_dpo_loss,
    sppo_hard_loss,
};
pub use of_scores::{modpo_loss, odpo_loss, rpo_bwd_kl_loss, rpo_fwd_kl_loss, rpo_sq_loss};
pub use of_votes::{VerdictLosses, davidson_losses, rao_kupper_losses, soft_label_loss};

/// `ln σ(z)` that neither overflows nor rounds to zero: `min(z, 0) − ln(1 + e^{−|z|})`.
///
/// It is burn's fused operation, whose gradient is `σ(−z)` everywhere. The formula written with `abs` and `min`
/// would differentiate to 0 or 1 at `z = 0`, where every run with policy = reference begins, instead of ½.
///
/// # Shapes
/// - `z`, output: `[n_pairs]`
pub fn log_sigmoid(z: Tensor<1>) -> Tensor<1> {
    activation::log_sigmoid(z)
}

/// Negative log-likelihood of each completion, `−Σ_t ℓ_t`; a batch divides the sum by its number of tokens, see
/// [`BatchScale`](crate::BatchScale).
///
/// # Shapes
/// - `chosen`: `[n_completions]`
/// - output: `[n_completions]`, not reduced
pub fn sft_loss(chosen: &CompletionLogps) -> Tensor<1> {
    -chosen.sums.clone()
}
