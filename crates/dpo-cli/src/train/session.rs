//! One run: what it needs is opened and checked before anything is computed.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use burn::{module::Module, tensor::Device};
use dpo_data::{Clock, TokenTree};
use dpo_model::Decoder;
use dpo_train::{
    Checkpoint, Checkpoints, Ending, EvalSet, Evaluation, INFERENCE_TOKENS, JsonlSink, RunDir, RunMode,
    StepZeroGate, TrainData, TrainError, Trainer, TrainerConfig, evaluate,
};

use super::{
    estimate::Estimate,
    outputs::{RunRecord, save_model},
    plan,
    preview::rendered,
    progress::{StopFlag, TerminalObserver, note},
    reference::{self, Reference, same_tokens},
    resume, samples, tuning,
};
use crate::{
    adapters::AdapterArgs,
    data::{DataReader, LoadedData},
    device,
    hub::Hub,
    model_source::ModelSource,
    report,
    run_file::{RunConfig, config::Tuning, values::Resume},
    terminal::print,
};

/// A run whose files are open and whose rows are tokenised.
pub(crate) struct Session {
    config: RunConfig,
    mode: RunMode,
    clock: Clock,
    device: Device,
    hub: Hub,
    source: ModelSource,
    train: LoadedData,
    eval: Vec<(String, LoadedData)>,
    trainer: TrainerConfig,
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

impl Session {
    /// Opens the model and reads the rows.
    pub(crate) fn open(mut config: RunConfig) -> Result<Self> {
        let (mode, clock) = resume::settle(&mut config)?;
        let device = device::open(config.run.backend)?;
        device::set_threads(config.run.threads)?;
        let hub = Hub::from_env(true)?;
        let mut source = ModelSource::open(&config.model.base, &hub, clock)?;
        if let Tuning::Adapter(name) = &config.tuning {
            let args = AdapterArgs { adapter: vec![name.clone()], strength: None };
            source = source.with_adapters(args.read(&hub)?);
        }
        tuning::check(&config.tuning, &source)?;
        let reader =
            DataReader::new(&hub, &source.encoder, &config.data, &config.loss).within(source.config());
        let train = reader.load(&config.data.train, "train")?;
        let mut eval = Vec::new();
        let is_single = config.data.eval.len() == 1;
        for set in &config.data.eval {
            let name = if is_single { String::new() } else { set.name_or_stem().to_owned() };
            eval.push((name, reader.load(std::slice::from_ref(&set.source), "test")?));
        }
        let loss = plan::loss_spec(&config, source.config().pad_token_id);
        let mut trainer = plan::trainer_config(&config, loss, train.trees.len())?;
        if source.adapter()?.is_some_and(|adapter| adapter.config.dropout > 0.0) {
            // What is dropped at the first step is not dropped by the reference.
            trainer.gate = StepZeroGate::Open;
        }
        let session = Self { config, mode, clock, device, hub, source, train, eval, trainer };
        session.introduce();
        Ok(session)
    }

    /// What is about to happen, in a few lines.
    fn introduce(&self) {
        note(&format!("model      {}", self.source.name));
        note(&format!("data       {}", self.config.data.train.join(", ")));
        self.train.report.lines().iter().for_each(|line| note(&format!("           {line}")));
        for (set, (_, data)) in self.config.data.eval.iter().zip(&self.eval) {
            note(&format!("held out   {}", set.source));
            data.report.lines().iter().for_each(|line| note(&format!("           {line}")));
        }
        let n_trained = tuning::n_trained(&self.config.tuning, &self.source);
        let estimate = Estimate::new(self.source.config(), &self.train.trees, &self.trainer, n_trained);
        note(&format!("cost       {}", estimate.line()));
        let steps = self.trainer.schedule.total_steps();
        note(&format!("steps      {steps} of {} rows", self.config.train.batch_size));
    }

    /// `--dry-run`.
    pub(crate) fn preview(&self) -> Result<()> {
        let tree = self.train.trees.first().context("no row to show")?;
        print(&rendered(&self.source.encoder, tree)?)?;
        note("dry run: nothing was computed and nothing written");
        Ok(())
    }

    /// The directory of the run where `--resume auto` finds nothing left to do.
    pub(crate) fn complete(&self) -> Result<Option<PathBuf>> {
        let is_auto = self.mode == RunMode::Resume && self.config.run.resume == Resume::Auto;
        if !is_auto || !resume::is_complete(&self.config.run.out) {
            return Ok(None);
        }
        Ok(Some(self.open_dir()?.path().to_owned()))
    }

    /// Trains, saves, reports.
    pub(crate) fn train(self) -> Result<Finished> {
        let stop = StopFlag::install()?;
        let dir = self.open_dir()?;
        let mut record = RunRecord::new(&self.config, &self.source, self.clock);
        record.data.clone_from(&self.train.report.files);
        self.write_data_report(&dir)?;
        record.write(&dir.run_json())?;
        let result = self.train_in(&dir, stop, &mut record);
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

    fn train_in(self, dir: &RunDir, stop: StopFlag, record: &mut RunRecord) -> Result<Finished> {
        let policy = match self.config.base_quant {
            Some(quant) => self.source.load_packed(&self.device, quant.ggml_type())?,
            None => self.source.load(&self.device)?,
        };
        record.base_digest = reference::digest(&policy, &self.source)?;
        let checkpoints = Checkpoints::open(&dir.checkpoints())?;
        let checkpoint = self.checkpoint(&checkpoints)?;
        let data = self.reference_pass(&policy, &stop)?;
        let prompts = samples::prompts(&data, self.config.eval.samples);
        let sampler = samples::Sampler::new(&self.source, self.config.eval.sample_tokens);
        let before = sampler.answer(&policy, &prompts)?;

        let mut trainer =
            Trainer::new(self.trainer.clone(), data, checkpoints, self.source.raw_config().clone());
        let mut policy = tuning::prepared(policy, &self.config)?;
        let mut evaluations = Vec::new();
        if let Some(checkpoint) = checkpoint {
            if checkpoint.step > 0 {
                // An earlier sitting made those before the first step, and its numbers of each pair are gone.
                evaluations = self.evaluations(&trainer, &policy);
            }
            note(&format!("resuming from {}", checkpoint.path.display()));
            (trainer, policy) = trainer.restore(checkpoint.path, policy)?;
        }
        let done = trainer.progress().step;
        let mut sink = JsonlSink::open(&dir.metrics(), &dir.eval(), done)?;
        let mut observer = TerminalObserver::new(trainer.total_steps(), done, stop);
        observer.evaluations = evaluations;
        let result = trainer.run(policy, &mut sink, &mut observer);
        observer.finish();
        let (policy, ending) = result?;
        let policy = policy.valid();
        record.finish(trainer.progress(), &observer.times, ending);
        if ending == Ending::Complete {
            let done = trainer.progress().step;
            if observer.evaluations.last().is_some_and(|last| last.metrics.step != done) {
                observer.evaluations.extend(self.evaluations(&trainer, &policy));
            }
            let after = sampler.answer(&policy, &prompts)?;
            samples::write(dir.path(), &self.source.encoder, &prompts, &before, &after)?;
            samples::write_margins(dir.path(), &observer.evaluations)?;
            save_model(dir, &policy, &self.source, record)?;
        }
        record.write(&dir.run_json())?;
        let page = report::write_report(dir.path())?;
        Self::conclude(dir, &page, ending);
        Ok(Finished {
            dir: dir.path().to_owned(),
            ending,
            policy,
            evaluations: observer.evaluations,
            record: record.clone(),
        })
    }

    /// The held-out rows under `policy`, which has made the trainer's steps.
    fn evaluations(&self, trainer: &Trainer, policy: &Decoder) -> Vec<Evaluation> {
        let step = trainer.progress().step;
        let of_set = |set| evaluate(policy, set, &self.trainer.loss, step, INFERENCE_TOKENS);
        trainer.eval_sets().iter().map(of_set).collect()
    }

    fn conclude(dir: &RunDir, page: &Path, ending: Ending) {
        match ending {
            Ending::Complete => {
                note(&format!("model      {}", dir.model().display()));
                note(&format!("report     {}", page.display()));
            }
            Ending::Stopped => note(&format!(
                "stopped and saved; go on with the same command and `--resume {}`",
                dir.path().display()
            )),
        }
    }

    /// Takes the run directory; a resumed run must be told the same as before, but for `[run]`.
    fn open_dir(&self) -> Result<RunDir> {
        let out = &self.config.run.out;
        let mut text = self.config.to_toml();
        if self.mode == RunMode::Resume {
            let before = resume::old_config(out)?;
            let differences = before.differences(&self.config);
            if !differences.is_empty() {
                bail!(
                    "{} holds another run, which differs in {}; resume with the settings it was started with, or \
                     choose another directory with --out",
                    out.display(),
                    differences.join(", ")
                );
            }
            text = before.to_toml();
        }
        Ok(RunDir::open(out, self.mode, &text)?)
    }

    fn write_data_report(&self, dir: &RunDir) -> Result<()> {
        let mut eval = serde_json::Map::new();
        for (set, (_, data)) in self.config.data.eval.iter().zip(&self.eval) {
            eval.insert(set.name_or_stem().to_owned(), serde_json::to_value(&data.report)?);
        }
        let report = serde_json::json!({ "train": self.train.report, "eval": eval });
        dpo_train::write_atomically(&dir.data_report(), &serde_json::to_vec_pretty(&report)?)?;
        Ok(())
    }

    /// The checkpoint to go on from, if any.
    fn checkpoint(&self, checkpoints: &Checkpoints) -> Result<Option<Checkpoint>> {
        if self.mode == RunMode::Fresh {
            return Ok(None);
        }
        if let Resume::From(path) = &self.config.run.resume
            && resume::is_checkpoint(Path::new(path))
        {
            return Ok(Some(Checkpoint::open(Path::new(path))?));
        }
        let last = checkpoints.last_complete()?;
        last.damaged.iter().for_each(|error| note(&format!("passed over: {error}")));
        Ok(last.checkpoint)
    }

    fn reference_pass(&self, policy: &Decoder, stop: &StopFlag) -> Result<TrainData> {
        let eval_trees = || self.eval.iter().map(|(name, data)| (name.clone(), data.trees.clone()));
        if !self.trainer.loss.objective.needs_reference() {
            let eval_sets = eval_trees().map(|(name, trees)| EvalSet { name, trees, reference: None });
            return Ok(TrainData {
                trees: self.train.trees.clone(),
                reference: None,
                eval_sets: eval_sets.collect(),
            });
        }
        let other = match &self.config.model.reference {
            Some(name) => Some(ModelSource::open(name, &self.hub, self.clock)?),
            None => None,
        };
        if let Some(other) = &other {
            same_tokens(&self.source, other, &self.train.trees[0])?;
        }
        let backend = device::name(self.config.run.backend);
        let reference = match &other {
            Some(other) => Reference::load(other, &self.device, backend)?,
            None => Reference::of(policy.clone(), &self.source, backend)?,
        };
        let used = self.trainer.rows_used(self.train.trees.len());
        let trees: Vec<TokenTree> = used.iter().map(|&row_idx| self.train.trees[row_idx].clone()).collect();
        let train = reference.logps("the training rows", &trees, stop)?.placed(self.train.trees.len(), &used);
        let mut eval_sets = Vec::new();
        for (name, trees) in eval_trees() {
            let what = if name.is_empty() { "the held-out rows".to_owned() } else { name.clone() };
            let logps = reference.logps(&what, &trees, stop)?;
            eval_sets.push(EvalSet { name, trees, reference: Some(logps) });
        }
        Ok(TrainData { trees: self.train.trees.clone(), reference: Some(train), eval_sets })
    }
}
