//! The loop: steps, evaluations, checkpoints, and a way out at any moment.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

use burn::module::Module;
use dpo_core::{CompletionScore, Objective};
use dpo_data::{BatchOrder, EpochOrder, TokenTree};
use dpo_model::Decoder;
use serde_json::{Map, Value};

use crate::{
    AdamW, AdamWConfig, BatchScores, Checkpoints, DropoutSeed, EvalSet, Evaluation, GroupShares, LossSpec,
    MetricSink, MicroBatching, PassTimes, Progress, ReferenceLogps, Row, Schedule, StepMetrics, TrainError,
    Warning, clip_factor,
    evaluation::{evaluate_unless, means, row_of},
    gradient_norm, state,
};

/// Tokens that go through the model at a time where nothing is kept for a backward pass.
pub const INFERENCE_TOKENS: NonZeroUsize = NonZeroUsize::new(2048).expect("not 0");

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
}

impl TrainerConfig {
    /// Indices of the rows that the run will train on, ascending: all of them unless it ends within its first epoch.
    pub fn rows_used(&self, n_rows: usize) -> Vec<usize> {
        let n_steps = self.schedule.total_steps();
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

/// The data of a run.
#[derive(Debug)]
pub struct TrainData {
    /// Rows to train on.
    pub trees: Vec<TokenTree>,
    /// What the reference says of them; `None` where the objective has no reference.
    pub reference: Option<ReferenceLogps>,
    /// Held-out rows.
    pub eval_sets: Vec<EvalSet>,
}

/// Follows a run, and may end it.
pub trait Observer {
    /// A step was made.
    fn stepped(&mut self, step: &StepMetrics, times: &StepTimes);
    /// An evaluation was made.
    fn evaluated(&mut self, evaluation: &Evaluation);
    /// A checkpoint is on the disk.
    fn saved(&mut self, step: u64, path: &Path);
    /// Something to look at.
    fn warned(&mut self, warning: &Warning);
    /// Whether to save and leave; asked between micro-batches.
    fn stop_requested(&self) -> bool;
}

/// Where the time of a step went.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepTimes {
    /// Forward and backward.
    pub passes: PassTimes,
    /// Gradient norm and update.
    pub optimizer: std::time::Duration,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps were made.
    Complete,
    /// Stopped on request, after saving.
    Stopped,
}

/// A run in progress.
#[derive(Debug)]
pub struct Trainer {
    config: TrainerConfig,
    data: TrainData,
    checkpoints: Checkpoints,
    /// `config.json` of the model, for its checkpoints.
    hf_config: Map<String, Value>,
    optimizer: AdamW,
    progress: Progress,
    epoch: CurrentEpoch,
}

impl Trainer {
    /// A run that has made no step.
    pub fn new(
        config: TrainerConfig,
        data: TrainData,
        checkpoints: Checkpoints,
        hf_config: Map<String, Value>,
    ) -> Self {
        let optimizer = AdamW::new(config.adamw);
        let (progress, epoch) = (Progress::default(), CurrentEpoch::default());
        Self { config, data, checkpoints, hf_config, optimizer, progress, epoch }
    }

    /// Takes over the state of a checkpoint; `policy` gives the model's shape and device.
    pub fn restore(mut self, checkpoint: PathBuf, policy: Decoder) -> Result<(Self, Decoder), TrainError> {
        let restored = state::read(&checkpoint, policy, self.config.adamw)?;
        self.optimizer = restored.optimizer;
        self.progress = restored.progress;
        Ok((self, restored.policy))
    }

    /// Steps, tokens and seconds so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What is minimised.
    pub fn loss(&self) -> &LossSpec {
        &self.config.loss
    }

    /// The held-out rows.
    pub fn eval_sets(&self) -> &[EvalSet] {
        &self.data.eval_sets
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.config.schedule.total_steps()
    }

    /// Trains to the end, or until the observer wants to stop.
    pub fn run(
        &mut self,
        policy: Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<(Decoder, Ending), TrainError> {
        let mut policy = policy.train();
        loop {
            let (next, ending) = self.advance(policy, sink, observer)?;
            policy = next;
            if let Some(ending) = ending {
                return Ok((policy, ending));
            }
        }
    }

    /// Makes the next step of [`run`](Self::run), with what is due before and after it, and says whether it was the
    /// last. Runs that are advanced in turn come to what each comes to alone.
    ///
    /// `policy` has been put on an autodiff device by [`Module::train`] before its first step.
    pub fn advance(
        &mut self,
        policy: Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<(Decoder, Option<Ending>), TrainError> {
        let is_due = self.progress.step == 0 || self.progress.evaluation_due;
        if is_due && !self.evaluate(&policy, sink, observer)? {
            self.save(&policy, sink, observer)?;
            return Ok((policy, Some(Ending::Stopped)));
        }
        let mut policy = policy;
        if self.progress.step < self.total_steps() {
            let stepped = self.step(policy, sink, observer)?;
            policy = stepped.policy;
            if !stepped.made || !self.after_step(&policy, sink, observer)? {
                self.save(&policy, sink, observer)?;
                return Ok((policy, Some(Ending::Stopped)));
            }
        }
        if self.progress.step < self.total_steps() {
            return Ok((policy, None));
        }
        sink.flush()?;
        Ok((policy, Some(Ending::Complete)))
    }

    /// One optimizer step, or none when the observer wants to stop.
    fn step(
        &mut self,
        policy: Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<Stepped, TrainError> {
        let start = Instant::now();
        let step = self.progress.step + 1;
        let indices = self.epoch.batch(&self.config.order, self.progress.step);
        if matches!(self.config.loss.objective, Objective::GroupRobust(_)) && self.progress.groups.is_empty()
        {
            self.progress.groups = GroupShares::even(&self.data.trees);
        }
        let rows = self.rows(&indices);
        let stop = || observer.stop_requested();
        let dropout = self.config.dropout_seed.map(|seed| DropoutSeed { seed, step });
        let loss = LossSpec { moving_margin: self.progress.margin.value(), ..self.config.loss.clone() };
        let Some(batch) = loss.gradient(&policy, &rows, self.config.micro, dropout, &stop) else {
            return Ok(Stepped { policy, made: false });
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
        let metrics = StepMetrics {
            step,
            epoch: step as f64 / self.config.order.n_batches() as f64,
            loss: batch.scores.loss,
            grad_norm,
            learning_rate,
            pairs: means(&batch.scores, &self.config.loss.objective),
            kl: batch.scores.drift,
            group_shares: (!self.progress.groups.is_empty()).then(|| self.progress.groups.named()),
            num_tokens: self.progress.n_tokens,
            tokens_per_second: batch.scores.n_tokens as f64 / seconds,
        };
        if step.is_multiple_of(self.config.log_every) || step == self.total_steps() {
            sink.step(&metrics)?;
        }
        observer.stepped(&metrics, &StepTimes { passes: batch.times, optimizer: passes_end.elapsed() });
        self.watch_displacement(step, &batch.scores, observer);
        if let Objective::GroupRobust(loss) = self.config.loss.objective {
            let trees: Vec<&TokenTree> = indices.iter().map(|&row_idx| &self.data.trees[row_idx]).collect();
            self.progress.groups.follow(&trees, &batch.scores.row_losses, loss.eta);
        }
        Ok(Stepped { policy, made: true })
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

    /// What is due after a step, an evaluation and a checkpoint; whether that was done or the observer wants to stop.
    fn after_step(
        &mut self,
        policy: &Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<bool, TrainError> {
        let step = self.progress.step;
        let is_due = |every: u64| every > 0 && step.is_multiple_of(every);
        let is_eval_due = is_due(self.config.eval_every) || step == self.total_steps();
        if is_eval_due && !self.evaluate(policy, sink, observer)? {
            return Ok(false);
        }
        if is_due(self.config.save_every) {
            self.save(policy, sink, observer)?;
        }
        Ok(true)
    }

    /// Measures all held-out sets, or none of them when the observer wants to stop; whether it did.
    fn evaluate(
        &mut self,
        policy: &Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<bool, TrainError> {
        let model = policy.valid();
        let (loss, step) = (&self.config.loss, self.progress.step);
        let stop = || observer.stop_requested();
        let of_set = |set| evaluate_unless(&model, set, loss, step, INFERENCE_TOKENS, &stop);
        let evaluations: Option<Vec<Evaluation>> = self.data.eval_sets.iter().map(of_set).collect();
        self.progress.evaluation_due = evaluations.is_none();
        let Some(evaluations) = evaluations else { return Ok(false) };
        for evaluation in evaluations {
            sink.eval(&evaluation.metrics)?;
            observer.evaluated(&evaluation);
        }
        Ok(true)
    }

    /// Writes a checkpoint, after the lines of metrics that lead up to it.
    fn save(
        &self,
        policy: &Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        sink.flush()?;
        let write =
            |folder: &Path| state::write(folder, policy, &self.hf_config, &self.optimizer, &self.progress);
        let checkpoint = self.checkpoints.save(self.progress.step, write)?;
        if let Some(keep) = self.config.keep_checkpoints {
            self.checkpoints.prune(keep)?;
        }
        observer.saved(checkpoint.step, &checkpoint.path);
        Ok(())
    }
}

/// The policy after a step was made, or as it was.
struct Stepped {
    policy: Decoder,
    made: bool,
}

/// The order of the epoch that the run is in.
#[derive(Debug, Default)]
struct CurrentEpoch(Option<(u64, EpochOrder)>);

impl CurrentEpoch {
    /// Indices of the rows of the step after `done` steps.
    fn batch(&mut self, order: &BatchOrder, done: u64) -> Vec<usize> {
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
