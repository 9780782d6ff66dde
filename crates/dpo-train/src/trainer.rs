//! The loop: steps, evaluations, checkpoints, and a way out at any moment.

mod config;
mod moving;
mod step;
mod streamed;

use std::path::{Path, PathBuf};

use burn::module::Module;
use dpo_data::TokenTree;
use dpo_model::Decoder;
use serde_json::{Map, Value};

use crate::{
    AdamW, Checkpoints, EvalSet, Evaluation, LossSpec, MetricSink, MovingReference, PassTimes, Progress,
    ReferenceLogps, StepMetrics, TrainError, Warning, evaluation::evaluate_unless,
    moving_reference::held_against, state,
};

pub use config::{INFERENCE_TOKENS, StepZeroGate, TrainerConfig};
use moving::Said;
use step::{CurrentEpoch, Made};
use streamed::Streamed;

/// The data of a run.
#[derive(Debug)]
pub struct TrainData {
    /// Rows to train on.
    pub trees: Vec<TokenTree>,
    /// What the reference says of them; `None` where the objective has no reference.
    pub reference: Option<ReferenceLogps>,
    /// The reference itself where it follows the policy; otherwise what it said is enough.
    pub moving: Option<MovingReference>,
    /// The reference itself where the objective [reads its distributions](dpo_core::Objective::reads_distributions) and it stays
    /// what it is, on a plain device.
    pub reference_model: Option<Decoder>,
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
    /// Where the rows come from, if not all of them are here.
    streamed: Option<Streamed>,
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
        Self { config, data, checkpoints, hf_config, optimizer, progress, epoch, streamed: None }
    }

    /// Takes over the state of a checkpoint; `policy` gives the model's shape and device.
    pub fn restore(mut self, checkpoint: PathBuf, policy: Decoder) -> Result<(Self, Decoder), TrainError> {
        let total = self.total_steps();
        let moving = self.data.moving.as_ref();
        let moved = |step| {
            let moved = moving.filter(|reference| reference.updates().made(step, total) > 0);
            moved.map(|reference| reference.model().clone())
        };
        let restored = state::read(&checkpoint, policy, moved, self.config.adamw)?;
        if let Some(model) = restored.reference {
            self.data.moving = self.data.moving.map(|reference| reference.at(model));
        }
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

    /// Measures the held-out rows under `model`, which is on a plain device and has made the steps so far.
    pub fn evaluations(&self, model: &Decoder) -> Vec<Evaluation> {
        self.evaluations_unless(model, &|| false).unwrap_or_default()
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
            let goes_on = match stepped.made {
                Made::Yes => self.after_step(&policy, sink, observer)?,
                Made::Stopped => false,
                Made::NoRows(error) => {
                    if self.progress.step > 0 {
                        // What is wrong with the rows is what matters: not that the disk is full, too.
                        let _ = self.save(&policy, sink, observer);
                    }
                    return Err(error);
                }
            };
            if !goes_on {
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
        let evaluations = self.evaluations_unless(&model, &|| observer.stop_requested());
        self.progress.evaluation_due = evaluations.is_none();
        let Some(evaluations) = evaluations else { return Ok(false) };
        for evaluation in evaluations {
            sink.eval(&evaluation.metrics)?;
            observer.evaluated(&evaluation);
        }
        Ok(true)
    }

    /// As [`evaluations`](Self::evaluations); `None` when `stop` said so.
    fn evaluations_unless(&self, model: &Decoder, stop: &dyn Fn() -> bool) -> Option<Vec<Evaluation>> {
        let (loss, step) = (&self.loss_now(), self.progress.step);
        let of_set = |set: &EvalSet| {
            let rows = set.rows();
            match self.said_now(&rows, stop)? {
                Said::Anew(logps) => {
                    evaluate_unless(model, set, &held_against(&rows, &logps), loss, step, stop)
                }
                Said::BeforeTheRun => evaluate_unless(model, set, &rows, loss, step, stop),
            }
        };
        self.data.eval_sets.iter().map(of_set).collect()
    }

    /// Writes a checkpoint, after the lines of metrics that lead up to it.
    fn save(
        &self,
        policy: &Decoder,
        sink: &mut dyn MetricSink,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        sink.flush()?;
        let reference = self.moved_reference();
        let write = |folder: &Path| {
            state::write(folder, policy, reference, &self.hf_config, &self.optimizer, &self.progress)
        };
        let checkpoint = self.checkpoints.save(self.progress.step, write)?;
        if let Some(keep) = self.config.keep_checkpoints {
            self.checkpoints.prune(keep)?;
        }
        observer.saved(checkpoint.step, &checkpoint.path);
        Ok(())
    }
}
