//! One run: what it needs is opened and checked before anything is computed.

mod introduction;
mod reference_pass;

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use anyhow::{Result, bail};
use burn::module::Module;
use dpo_core::Objective;
use dpo_model::Decoder;
use dpo_train::{Checkpoint, Checkpoints, JsonlSink, RunDir, RunMode, StepZeroGate, Trainer, TrainerConfig};

pub(super) use reference_pass::what_it_says;

use reference_pass::opened_reference;

use super::{
    checking::DataCheck,
    outputs::RunRecord,
    plan,
    progress::{StopFlag, TerminalObserver, note},
    resume, rows,
    rows::HeldOutRows,
    running::{Finished, Running, recorded},
    samples,
    scan::WholeSet,
    tuning,
    workshop::Workshop,
};
use crate::{
    adapters::AdapterArgs,
    data::{LoadedData, RowCache},
    model_source::ModelSource,
    run_file::{RunConfig, choices::StreamCheck, config::Tuning, values::Resume},
};

/// A run whose files are open and whose rows are tokenised.
pub(crate) struct Session {
    config: RunConfig,
    mode: RunMode,
    /// What its lines at the terminal begin with.
    label: String,
    workshop: Rc<Workshop>,
    /// The model that training starts from.
    source: ModelSource,
    /// The model that it is held against, where that is another.
    reference: Option<ModelSource>,
    train: LoadedData,
    held_out: Vec<HeldOutRows>,
    check: DataCheck,
    trainer: TrainerConfig,
}

/// What comes before the first step.
struct Prepared {
    trainer: Trainer,
    policy: Decoder,
    sink: JsonlSink,
    observer: TerminalObserver,
    prompts: Vec<Vec<u32>>,
    before: Vec<Vec<u32>>,
}

impl Session {
    /// Opens the model and reads the rows of a single run.
    pub(crate) fn open(config: RunConfig) -> Result<Self> {
        Self::of_rows(config, RowCache::default())
    }

    /// The same, where some of the rows were read already.
    pub(crate) fn of_rows(mut config: RunConfig, rows: RowCache) -> Result<Self> {
        let (mode, clock) = resume::settle(&mut config)?;
        let workshop = Rc::new(Workshop::open(&config, clock)?.with_rows(rows));
        let session = Self::in_mode(config, mode, "", Rc::clone(&workshop))?;
        // Nobody asks for them again.
        workshop.rows.clear();
        Ok(session)
    }

    /// Reads the rows of one of several runs that start from the same base; `label` tells them apart.
    pub(crate) fn of_workshop(mut config: RunConfig, label: &str, workshop: &Rc<Workshop>) -> Result<Self> {
        let (mode, _) = resume::settle(&mut config)?;
        Self::in_mode(config, mode, label, Rc::clone(workshop))
    }

    fn in_mode(config: RunConfig, mode: RunMode, label: &str, workshop: Rc<Workshop>) -> Result<Self> {
        if config.base_quant != workshop.base_quant {
            bail!("`lora.base_quant` is that of the base, which is loaded once; set it for all runs alike");
        }
        if config.model.dtype.precision() != workshop.base.precision() {
            bail!("`model.dtype` is that of the base, which is loaded once; set it for all runs alike");
        }
        let mut source = workshop.base.clone();
        if let Tuning::Adapter(name) = &config.tuning {
            let args = AdapterArgs { adapter: vec![name.clone()], strength: None };
            source = source.with_adapters(args.read(&workshop.hub)?);
        }
        tuning::check(&config.tuning, &source)?;
        let (train, held_out) = rows::load(&config, &workshop)?;
        if matches!(config.loss, Objective::GroupRobust(_))
            && train.trees.iter().all(|tree| tree.group.is_none())
        {
            bail!(
                "the loss `group_robust` weighs groups, and no row is of one; name their column: --column group=NAME"
            );
        }
        let reference = opened_reference(&config, &workshop, &source, (&train, &held_out))?;
        let check = match (config.data.stream, config.data.stream_check) {
            (Some(_), StreamCheck::All) => DataCheck::of_stream(WholeSet::scan(&config, &workshop)?),
            (stream, _) => DataCheck::new(&train, &held_out, stream),
        };
        let loss = plan::loss_spec(&config, source.config().pad_token_id);
        let mut trainer = plan::trainer_config(&config, loss, train.trees.len())?;
        if source.adapter()?.is_some_and(|adapter| adapter.config.dropout > 0.0) {
            // What is dropped at the first step is not dropped by the reference.
            trainer.gate = StepZeroGate::Open;
        }
        trainer.check_coupling(&train.trees)?;
        held_out.iter().try_for_each(|set| trainer.loss.check_weights(&set.data.trees))?;
        let label = if label.is_empty() { String::new() } else { format!("{label}: ") };
        Ok(Self { config, mode, label, workshop, source, reference, train, held_out, check, trainer })
    }

    /// The directory of the run where `--resume auto` finds nothing left to do.
    pub(crate) fn complete(&self) -> Result<Option<PathBuf>> {
        let is_auto = self.mode == RunMode::Resume && self.config.run.resume == Resume::Auto;
        let out = &self.config.run.out;
        if !is_auto || !resume::is_complete(out) {
            return Ok(None);
        }
        if resume::old_config(out)?.run.save_dtype != self.config.run.save_dtype {
            // Its model is written anew, from the last checkpoint.
            if Checkpoints::open(&out.join("checkpoints"))?.last_complete()?.checkpoint.is_some() {
                return Ok(None);
            }
            bail!(
                "{} is complete, and has no checkpoint to write its model in another format from; leave `run.save_dtype` as \
                 it was, or start another run with --out",
                out.display()
            );
        }
        Ok(Some(self.open_dir()?.path().to_owned()))
    }

    /// Trains, saves, reports.
    pub(crate) fn train(self) -> Result<Finished> {
        let mut run = self.begin()?;
        loop {
            let (next, ending) = run.advance()?;
            run = next;
            if let Some(ending) = ending {
                return run.finish(ending);
            }
        }
    }

    /// Takes the run directory and does everything that comes before the first step.
    pub(crate) fn begin(self) -> Result<Running> {
        let stop = self.workshop.stop()?;
        let dir = self.open_dir()?;
        let mut record = RunRecord::new(&self.config, &self.source, self.workshop.clock);
        record.data = self.check.files_of_stream().unwrap_or(&self.train.report.files).to_vec();
        if self.mode == RunMode::Resume {
            let is_streamed = self.config.data.stream.is_some();
            resume::compare_data(dir.path(), &record.data, is_streamed)?;
            record.base_digest = resume::base_digest(dir.path());
        }
        self.write_data_report(&dir)?;
        record.write(&dir.run_json())?;
        let prepared = self.prepare(&dir, stop, &mut record);
        let Prepared { trainer, policy, sink, observer, prompts, before } =
            recorded(&dir, &mut record, prepared)?;
        let Self { config, source, .. } = self;
        Ok(Running { config, source, dir, record, trainer, policy, sink, observer, prompts, before })
    }

    fn prepare(&self, dir: &RunDir, stop: StopFlag, record: &mut RunRecord) -> Result<Prepared> {
        let (policy, digest) = self.workshop.load(&self.source)?;
        if !record.base_digest.is_empty() && record.base_digest != digest {
            bail!(
                "{} is not the model that the run in {} began with: its weights or its configuration have changed; put it \
                 back, or start another run with --out",
                self.source.name,
                dir.path().display()
            );
        }
        record.base_digest.clone_from(&digest);
        let checkpoints = Checkpoints::open(&dir.checkpoints())?;
        let checkpoint = self.checkpoint(&checkpoints)?;
        let (mut data, reference) = self.reference_pass(&policy, &digest, &stop)?;
        let prompts = samples::prompts(&data, self.config.eval.samples);
        let sampler = samples::Sampler::new(&self.source, self.config.eval.sample_tokens);
        let before = sampler.answer(&policy, &prompts)?;

        let mut policy = tuning::prepared(policy, &self.config)?;
        data.moving = self.moving_reference(&policy, reference.as_ref())?;
        if data.moving.is_none() && self.trainer.loss.objective.reads_distributions() {
            data.reference_model = Some(self.reference_model(&policy, reference.as_ref()));
        }
        let mut trainer =
            Trainer::new(self.trainer.clone(), data, checkpoints, self.source.raw_config().clone());
        if let Some(windows) = self.windows(dir, reference, &stop)? {
            trainer = trainer.with_windows(windows);
        }
        let mut evaluations = Vec::new();
        if let Some(checkpoint) = checkpoint {
            if checkpoint.step > 0 {
                // An earlier sitting made those before the first step, and its numbers of each pair are gone.
                evaluations = trainer.evaluations(&policy);
            }
            note(&format!("resuming from {}", checkpoint.path.display()));
            (trainer, policy) = trainer.restore(checkpoint.path, policy)?;
        }
        let done = trainer.progress().step;
        let sink = JsonlSink::open(&dir.metrics(), &dir.eval(), done)?;
        let mut observer = TerminalObserver::new(trainer.total_steps(), done, stop, &self.workshop.bars);
        observer.label.clone_from(&self.label);
        observer.evaluations = evaluations;
        Ok(Prepared { trainer, policy: policy.train(), sink, observer, prompts, before })
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
            // An older version wrote fewer keys, those of today at their defaults.
            text = resume::config_text(out)?;
            if before.run.save_dtype != self.config.run.save_dtype {
                let dir = RunDir::open(out, self.mode, &text)?;
                let text = resume::with_save_dtype(&before, self.config.run.save_dtype);
                dpo_train::write_atomically(&dir.config(), text.as_bytes())?;
                return Ok(dir);
            }
        }
        Ok(RunDir::open(out, self.mode, &text)?)
    }

    fn write_data_report(&self, dir: &RunDir) -> Result<()> {
        Ok(dpo_train::write_atomically(
            &dir.data_report(),
            &serde_json::to_vec_pretty(&self.data_report()?)?,
        )?)
    }

    /// What became of the rows, as far as it is known.
    fn data_report(&self) -> Result<serde_json::Value> {
        let mut eval = serde_json::Map::new();
        for set in &self.held_out {
            eval.insert(set.label.clone(), serde_json::to_value(&set.data.report)?);
        }
        Ok(serde_json::json!({ "train": self.train.report, "eval": eval, "check": self.check.json() }))
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
}
