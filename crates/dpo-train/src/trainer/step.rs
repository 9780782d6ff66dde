//! One optimizer step.

use std::time::Instant;

use dpo_core::{CompletionScore, Objective};
use dpo_data::{BatchOrder, EpochOrder, TokenTree};
use dpo_model::Decoder;

use super::{Observer, StepTimes, Trainer, config::StepZeroGate, moving::Said};
use crate::{
    BatchScores, DropoutSeed, GroupShares, LossSpec, MetricSink, Row, StepMetrics, TrainData, TrainError,
    Warning, clip_factor,
    evaluation::{means, row_of},
    gradient_norm,
    moving_reference::held_against,
};

/// The policy after a step was made, or as it was.
pub(super) struct Stepped {
    pub(super) policy: Decoder,
    pub(super) made: Made,
}

/// What became of a step.
pub(super) enum Made {
    Yes,
    /// The observer wants to stop.
    Stopped,
    /// Its rows cannot be had.
    NoRows(TrainError),
}

impl Trainer {
    /// One optimizer step, or none when the observer wants to stop.
    pub(super) fn step(
        &mut self,
        policy: Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<Stepped, TrainError> {
        let start = Instant::now();
        let step = self.progress.step + 1;
        let indices = match self.batch() {
            Ok(indices) => indices,
            Err(TrainError::Stopped) => return Ok(Stepped { policy, made: Made::Stopped }),
            Err(error) => return Ok(Stepped { policy, made: Made::NoRows(error) }),
        };
        if matches!(self.config.loss.objective, Objective::GroupRobust(_)) && self.progress.groups.is_empty()
        {
            self.progress.groups = GroupShares::even(&self.data.trees);
        }
        let stop = || observer.stop_requested();
        let mut rows = self.rows(&indices);
        let Some(now) = self.said_now(&rows, &stop) else {
            return Ok(Stepped { policy, made: Made::Stopped });
        };
        if let Said::Anew(logps) = &now {
            rows = held_against(&rows, logps);
        }
        let dropout = self.config.dropout_seed.map(|seed| DropoutSeed { seed, step });
        let loss = LossSpec { moving_margin: self.progress.margin.value(), ..self.loss_now() };
        let Some(batch) = loss.gradient(&policy, &rows, self.config.micro, dropout, &stop) else {
            return Ok(Stepped { policy, made: Made::Stopped });
        };
        let passes_end = Instant::now();
        self.check(step, &rows, &batch.scores)?;
        let grad_norm = gradient_norm(&batch.gradients);
        if !grad_norm.is_finite() {
            return Err(TrainError::NotFinite { step, what: "the gradient", rows: rows_named(&rows) });
        }
        let learning_rate = self.config.schedule.rate(step);
        let grad_scale = clip_factor(grad_norm, self.config.max_grad_norm);
        let policy = self.optimizer.step(policy, batch.gradients, learning_rate, grad_scale);
        let seconds = start.elapsed().as_secs_f64();
        if let Some(momentum) = self.config.loss.margin_momentum() {
            self.progress.margin.follow(&batch.scores.pairs, momentum);
        }
        self.progress.step = step;
        self.progress.n_tokens += batch.scores.n_tokens as u64;
        self.progress.seconds += seconds;
        let metrics = self.metrics(&batch.scores, grad_norm, learning_rate, seconds);
        if step.is_multiple_of(self.config.log_every) || step == self.total_steps() {
            sink.step(&metrics)?;
        }
        observer.stepped(&metrics, &StepTimes { passes: batch.times, optimizer: passes_end.elapsed() });
        self.watch_displacement(step, &batch.scores, observer);
        if let Objective::GroupRobust(loss) = self.config.loss.objective {
            let trees: Vec<&TokenTree> = indices.iter().map(|&row_idx| &self.data.trees[row_idx]).collect();
            self.progress.groups.follow(&trees, &batch.scores.row_losses, loss.eta);
        }
        self.move_reference(&policy);
        Ok(Stepped { policy, made: Made::Yes })
    }

    /// What is known after the step that was just made.
    fn metrics(&self, scores: &BatchScores, grad_norm: f64, learning_rate: f64, seconds: f64) -> StepMetrics {
        let step = self.progress.step;
        StepMetrics {
            step,
            epoch: self.passes(step),
            loss: scores.loss,
            grad_norm,
            learning_rate,
            pairs: means(scores, &self.config.loss.objective),
            kl: scores.drift,
            divergences: scores.mean_divergences(),
            group_shares: (!self.progress.groups.is_empty()).then(|| self.progress.groups.named()),
            reference_updates: self.data.moving.as_ref().map(|_| self.reference_updates(step - 1)),
            num_tokens: self.progress.n_tokens,
            tokens_per_second: scores.n_tokens as f64 / seconds,
        }
    }

    fn rows(&self, indices: &[usize]) -> Vec<Row<'_>> {
        let TrainData { trees, reference, .. } = &self.data;
        let mut rows: Vec<Row<'_>> =
            indices.iter().map(|&row_idx| row_of(trees, reference.as_ref(), row_idx)).collect();
        if let Objective::GroupRobust(_) = self.config.loss.objective {
            let shares = self.progress.groups.of_rows(&rows.iter().map(|row| row.tree).collect::<Vec<_>>());
            rows.iter_mut().zip(shares).for_each(|(row, share)| row.share = Some(share));
        }
        rows
    }

    /// Losses must be numbers; before the first update the policy must be its reference.
    fn check(&self, step: u64, rows: &[Row<'_>], scores: &BatchScores) -> Result<(), TrainError> {
        let bad = scores.bad_rows(rows);
        if !bad.is_empty() {
            return Err(TrainError::NotFinite { step, what: "the loss", rows: bad });
        }
        let tolerance = match self.config.gate {
            StepZeroGate::Exact => 0.0,
            StepZeroGate::Within(tolerance) => tolerance,
            StepZeroGate::Open => return Ok(()),
        };
        if step > 1 {
            return Ok(());
        }
        for (row, completions) in rows.iter().zip(&scores.completions) {
            let n = completions.len();
            for (idx, CompletionScore { policy, reference }) in completions.iter().copied().enumerate() {
                if (policy - reference).abs() > tolerance {
                    let side = side(idx, n);
                    return Err(TrainError::StepZero { row: row.tree.row, side, policy, reference });
                }
            }
        }
        Ok(())
    }

    fn watch_displacement(&mut self, step: u64, scores: &BatchScores, observer: &mut dyn Observer) {
        let is_new = self.progress.warnings.is_empty();
        if let Some(message) = self.progress.displacement.push(&scores.pairs).filter(|_| is_new) {
            let warning = Warning { step, message };
            observer.warned(&warning);
            self.progress.warnings.push(warning);
        }
    }
}

/// The order of the epoch that the run is in.
#[derive(Debug, Default)]
pub(super) struct CurrentEpoch(Option<(u64, EpochOrder)>);

impl CurrentEpoch {
    /// Indices of the rows of the step after `done` steps.
    pub(super) fn batch(&mut self, order: &BatchOrder, done: u64) -> Vec<usize> {
        let n_batches = order.n_batches() as u64;
        let (epoch, batch_idx) = (done / n_batches, (done % n_batches) as usize);
        if self.0.as_ref().is_none_or(|(current, _)| *current != epoch) {
            self.0 = Some((epoch, order.epoch(epoch)));
        }
        let batch = self.0.as_ref().and_then(|(_, order)| order.batch(batch_idx));
        batch.map(<[usize]>::to_vec).unwrap_or_default()
    }
}

/// What a message calls a completion among `n`.
fn side(idx: usize, n: usize) -> String {
    match (idx, n) {
        (_, 1) => "only".to_owned(),
        (0, 2) => "chosen".to_owned(),
        (1, 2) => "rejected".to_owned(),
        _ => format!("{}.", idx + 1),
    }
}

fn rows_named(rows: &[Row<'_>]) -> Vec<dpo_data::RowId> {
    rows.iter().map(|row| row.tree.row).collect()
}
