//! Direct Preference Optimization losses: log-ratios, objectives, rewards and metrics as pure functions of burn tensors
//!
//! The types tell the stage: [`CompletionLogps`] (what a model says of each completion) → [`PairLogps`] →
//! [`LogRatios`] (policy against reference) → an [`Objective`]'s loss of each pair → [`BatchScale`], which makes
//! of the pairs' losses the mean over a batch, whole or in micro-batches. [`Rewards`] and [`PairMetrics`] are
//! what one looks at meanwhile.
//!
//! ```
//! use burn::tensor::Tensor;
//! use dpo_core::{CompletionLogps, LogRatios, PairLogps, PairwiseLoss};
//!
//! # fn loss(device: &burn::tensor::Device) -> Tensor<1> {
//! let lengths = |of: [f32; 1]| Tensor::from_floats(of, device);
//! let logps = |chosen: f32, rejected: f32| PairLogps {
//!     chosen: CompletionLogps::new(Tensor::from_floats([chosen], device), lengths([4.0])),
//!     rejected: CompletionLogps::new(Tensor::from_floats([rejected], device), lengths([5.0])),
//! };
//! let ratios = LogRatios::new(logps(-12.0, -15.0), logps(-13.0, -14.5));
//! PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 }.loss(&ratios) // [0.62095…]
//! # }
//! ```

#[macro_use]
mod shape;

mod composite;
mod config;
mod coupled;
mod divergence;
mod explain;
mod logps;
mod losses;
mod metrics;
mod objective;
mod policy_score;
mod ratios;
mod reference_free;
mod scale;
mod token_level;
mod tokens;

pub use composite::{Composite, Modifiers, PairTokens, Part, PartLoss};
pub use config::{InvalidLoss, LossConfig, LossKind};
pub use coupled::CoupledLoss;
pub use divergence::{DivergenceKind, FDivergence};
pub use logps::{CompletionLogps, PairLogps};
pub use losses::{
    VerdictLosses, alphapo_reward, aot_loss, aot_unpaired_loss, apo_down_loss, apo_zero_loss, bco_pair_loss,
    beta_dpo_loss, cal_dpo_loss, conservative_dpo_loss, conservative_simpo_loss, cpo_loss, davidson_losses,
    discopop_loss, dpo_loss, dpop_loss, dynamic_beta, exo_pair_loss, hinge_loss, ipo_loss, kto_loss,
    lipo_loss, log_odds, log_sigmoid, mean_nll_loss, modpo_loss, nca_pair_loss, odds_ratio_loss, odpo_loss,
    orpo_loss, plackett_luce_loss, r_dpo_loss, rao_kupper_losses, robust_dpo_loss, rpo_bwd_kl_loss,
    rpo_fwd_kl_loss, rpo_sq_loss, sft_loss, simpo_loss, soft_label_loss, sppo_hard_loss, tdpo_loss,
};
pub use metrics::{CompletionScore, MetricMeans, PairMetrics, PairScore, label_means};
pub use objective::{
    GroupRobust, IpoReduction, Label, ListRatios, Objective, PairwiseLoss, RankedLoss, ScoredLoss,
    UnpairedLoss, VoteShares, VotedLoss, group_shares, kto_drift,
};
pub use policy_score::PolicyScore;
pub use ratios::{LogRatios, Rewards};
pub use reference_free::ReferenceFreeLoss;
pub use scale::{BatchScale, RowSize};
pub use token_level::TokenLevelLoss;
pub use tokens::TokenLogps;
