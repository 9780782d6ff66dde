//! Optimizer steps, timed.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use burn::tensor::Device;
use dpo_core::{Objective, RankedLoss};
use dpo_model::Decoder;
use dpo_train::{AdamW, AdamWConfig, LossSpec, MicroBatching, Row, clip_factor, gradient_norm};

use crate::eval::sigmoid;

/// How much a difference of log-ratios counts.
const BETA: f64 = 0.1;

/// What one step took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StepCost {
    /// Tokens that went through the model.
    pub(super) n_tokens: usize,
    pub(super) forward: Duration,
    pub(super) backward: Duration,
    /// Clipping and the update.
    pub(super) optimizer: Duration,
    /// Mean over the pairs.
    pub(super) loss: f64,
    /// Of all gradients together, before clipping.
    pub(super) gradient_norm: f64,
}

impl StepCost {
    pub(super) fn seconds(&self) -> f64 {
        (self.forward + self.backward + self.optimizer).as_secs_f64()
    }
}

/// DPO, or on lists of more than two completions Plackett and Luce's loss, of which it is a case.
pub(super) fn loss_of(rows: &[Row<'_>]) -> LossSpec {
    let has_lists = rows.iter().any(|row| row.tree.completions.len() > 2);
    if has_lists {
        LossSpec::new(Objective::Ranked(RankedLoss::PlackettLuce { beta: BETA }))
    } else {
        sigmoid(BETA)
    }
}

/// Trains on one batch after another and gives the policy back; `policy` is on a training device.
pub(super) fn timed_steps(
    mut policy: Decoder,
    loss: &LossSpec,
    batches: &[&[Row<'_>]],
    device: &Device,
) -> Result<(Decoder, Vec<StepCost>)> {
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut costs = Vec::with_capacity(batches.len());
    for batch in batches {
        let start = Instant::now();
        let gradient = loss
            .gradient(&policy, batch, MicroBatching::Parts(NonZeroUsize::MIN), None, &|| false)
            .context("nothing stops a benchmark")?;
        // A GPU is still at it.
        device.sync()?;
        let backward = start.elapsed().saturating_sub(gradient.times.forward);
        let start = Instant::now();
        let norm = gradient_norm(&gradient.gradients);
        policy = optimizer.step(policy, gradient.gradients, 1e-6, clip_factor(norm, 1.0));
        device.sync()?;
        costs.push(StepCost {
            n_tokens: gradient.scores.n_tokens,
            forward: gradient.times.forward,
            backward,
            optimizer: start.elapsed(),
            loss: gradient.scores.loss,
            gradient_norm: norm,
        });
    }
    Ok((policy, costs))
}

/// The share that `part` has of the time of all steps.
pub(super) fn share(costs: &[StepCost], part: fn(&StepCost) -> Duration) -> f64 {
    let total: f64 = costs.iter().map(StepCost::seconds).sum();
    costs.iter().map(|cost| part(cost).as_secs_f64()).sum::<f64>() / total
}

/// Tokens a second, over all steps.
pub(super) fn tokens_per_second(costs: &[StepCost]) -> f64 {
    let n_tokens: usize = costs.iter().map(|cost| cost.n_tokens).sum();
    n_tokens as f64 / costs.iter().map(StepCost::seconds).sum::<f64>()
}
