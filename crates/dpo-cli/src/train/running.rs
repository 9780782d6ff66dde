//! A run under way: step after step, then what it leaves behind.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use burn::module::Module;
use dpo_model::Decoder;
use dpo_train::{Ending, Evaluation, JsonlSink, RunDir, TrainError, Trainer};

use super::{
    outputs::{RunRecord, save_model},
    progress::{TerminalObserver, note},
    samples,
};
use crate::{model_source::ModelSource, report, run_file::RunConfig};

/// A run between its first step and its last.
pub(crate) struct Running {
    pub(super) config: RunConfig,
    pub(super) source: ModelSource,
    pub(super) dir: RunDir,
    pub(super) record: RunRecord,
    pub(super) trainer: Trainer,
    pub(super) policy: Decoder,
    pub(super) sink: JsonlSink,
    pub(super) observer: TerminalObserver,
    pub(super) prompts: Vec<Vec<u32>>,
    /// Answers of the model before training.
    pub(super) before: Vec<Vec<u32>>,
}

/// A run that has ended.
pub(crate) struct Finished {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// How it ended.
    pub(crate) ending: Ending,
    /// The tuned model, on a plain device.
    pub(crate) policy: Decoder,
    /// All evaluations, in order.
    pub(crate) evaluations: Vec<Evaluation>,
    /// What goes into `run.json`.
    pub(crate) record: RunRecord,
}

impl Finished {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.ending {
            Ending::Complete => ExitCode::SUCCESS,
            Ending::Stopped => ExitCode::from(130),
        }
    }
}

impl Running {
    /// Makes the next step; says whether it was the last one.
    pub(crate) fn advance(mut self) -> Result<(Self, Option<Ending>)> {
        let advanced = self.trainer.advance(self.policy, &mut self.sink, &mut self.observer);
        if advanced.is_err() {
            self.observer.finish();
        }
        let (policy, ending) = recorded(&self.dir, &mut self.record, advanced.map_err(Into::into))?;
        self.policy = policy;
        Ok((self, ending))
    }

    /// Saves and reports.
    pub(crate) fn finish(mut self, ending: Ending) -> Result<Finished> {
        self.observer.finish();
        let policy = self.policy.clone().valid();
        let saved = self.save(&policy, ending);
        recorded(&self.dir, &mut self.record, saved)?;
        Ok(Finished {
            dir: self.dir.path().to_owned(),
            ending,
            policy,
            evaluations: self.observer.evaluations,
            record: self.record,
        })
    }

    fn save(&mut self, policy: &Decoder, ending: Ending) -> Result<()> {
        let Self { trainer, observer, dir, record, source, prompts, .. } = self;
        record.finish(trainer.progress(), &observer.times, ending);
        if ending == Ending::Complete {
            let done = trainer.progress().step;
            if observer.evaluations.last().is_some_and(|last| last.metrics.step != done) {
                observer.evaluations.extend(trainer.evaluations(policy));
            }
            let sampler = samples::Sampler::new(source, self.config.eval.sample_tokens);
            let after = sampler.answer(policy, prompts)?;
            samples::write(dir.path(), &source.encoder, prompts, &self.before, &after)?;
            samples::write_margins(dir.path(), &observer.evaluations)?;
            save_model(dir, policy, source, record, self.config.run.save_dtype)?;
        }
        record.write(&dir.run_json())?;
        let page = report::write_report(dir.path())?;
        conclude(dir, &page, &observer.label, ending);
        Ok(())
    }
}

/// The result, after `run.json` says how it failed, if it did.
pub(super) fn recorded<T>(dir: &RunDir, record: &mut RunRecord, result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        record.status = match error.downcast_ref::<TrainError>() {
            Some(TrainError::Stopped) => "interrupted before step 1".to_owned(),
            _ => format!("failed: {error:#}"),
        };
        // The error is what matters: that the disk is full, for instance.
        let _ = record.write(&dir.run_json());
    }
    result
}

/// How to go on with one of several runs, whoever started them says.
fn conclude(dir: &RunDir, page: &Path, label: &str, ending: Ending) {
    match ending {
        Ending::Complete => {
            note(&format!("model      {}", dir.model().display()));
            note(&format!("report     {}", page.display()));
        }
        Ending::Stopped if !label.is_empty() => note(&format!("{label}stopped and saved")),
        Ending::Stopped => note(&format!(
            "stopped and saved; go on with the same command and `--resume {}`",
            dir.path().display()
        )),
    }
}
