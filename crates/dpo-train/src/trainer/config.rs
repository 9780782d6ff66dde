//! What a run is told.

use std::num::NonZeroUsize;

use dpo_data::{BatchOrder, TokenTree};

use super::step::CurrentEpoch;
use crate::{AdamWConfig, LossSpec, MicroBatching, ReferenceUpdates, Schedule, TrainError};

/// Tokens that go through the model at a time where nothing is kept for a backward pass.
pub const INFERENCE_TOKENS: NonZeroUsize = NonZeroUsize::new(4096).expect("not 0");

/// What a run is told, checked.
#[derive(Debug, Clone)]
pub struct TrainerConfig {
    /// What is minimised.
    pub loss: LossSpec,
    /// The learning rate of each step; its `total_steps` end the run.
    pub schedule: Schedule,
    /// The optimizer.
    pub adamw: AdamWConfig,
    /// Global norm that gradients are clipped to; 0 does not clip.
    pub max_grad_norm: f64,
    /// Which rows make up which step.
    pub order: BatchOrder,
    /// How a step's rows are cut for memory's sake.
    pub micro: MicroBatching,
    /// Steps between evaluations; 0 evaluates at the start and the end only.
    pub eval_every: u64,
    /// Steps between checkpoints; 0 makes none but when stopped.
    pub save_every: u64,
    /// Checkpoints to keep; `None` keeps all.
    pub keep_checkpoints: Option<NonZeroUsize>,
    /// Steps between lines of metrics, at least 1.
    pub log_every: u64,
    /// Seed of the adapter's dropout; `None` drops nothing.
    pub dropout_seed: Option<u64>,
    /// What the first step is held to.
    pub gate: StepZeroGate,
    /// How the reference follows the policy; `None` leaves it as it is.
    pub reference_updates: Option<ReferenceUpdates>,
}

impl TrainerConfig {
    /// Indices of the rows that the run will train on, ascending: all of them unless it ends within its first epoch.
    pub fn rows_used(&self, n_rows: usize) -> Vec<usize> {
        self.rows_of_steps(self.schedule.total_steps(), n_rows)
    }

    /// As [`rows_used`](Self::rows_used), of the steps that are held against the reference as it was before the run.
    pub fn rows_of_first_reference(&self, n_rows: usize) -> Vec<usize> {
        let total = self.schedule.total_steps();
        let n_steps = self.reference_updates.map_or(total, |updates| updates.every.get().min(total));
        self.rows_of_steps(n_steps, n_rows)
    }

    fn rows_of_steps(&self, n_steps: u64, n_rows: usize) -> Vec<usize> {
        if n_steps >= self.order.n_batches() as u64 {
            return (0..n_rows).collect();
        }
        let first_epoch = self.order.epoch(0);
        let mut used: Vec<usize> = first_epoch.batches().take(n_steps as usize).flatten().copied().collect();
        used.sort_unstable();
        used
    }
}

impl TrainerConfig {
    /// Refuses rows that a loss of whole batches has no meaning for: cut into micro-batches at any step, or weighed apart.
    pub fn check_coupling(&self, trees: &[TokenTree]) -> Result<(), TrainError> {
        if !self.loss.objective.couples_batch() {
            return Ok(());
        }
        self.loss.check_weights(trees)?;
        let loss = self.loss.objective.name();
        let mut epoch = CurrentEpoch::default();
        for done in 0..self.schedule.total_steps() {
            let rows: Vec<&TokenTree> =
                epoch.batch(&self.order, done).into_iter().map(|row_idx| &trees[row_idx]).collect();
            let parts = self.micro.sorted(&rows).len();
            if parts > 1 {
                return Err(TrainError::CoupledBatchCut { step: done + 1, parts, loss });
            }
        }
        Ok(())
    }
}

/// What must hold before the first update, when the reference is the policy that training starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepZeroGate {
    /// Every pair's log-ratios are 0 to the last bit.
    Exact,
    /// They are at most this far from 0, in nats: backends that sum in any order.
    Within(f64),
    /// The reference is another model: nothing to hold.
    Open,
}
