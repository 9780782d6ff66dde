//! A run file after it was checked: every value there, nothing contradictory.

use std::path::PathBuf;

use super::{
    RunFile,
    choices::{
        Backend, BaseQuant, Dtype, Order, Overlong, PadGradient, Preset, Schedule, SpecialText, Strings,
    },
    loss,
    sections::{DataSection, EvalSection, LoraSection, ModelSection, RunSection, TrainSection},
    values::{ColumnName, EvalSet, Resume, Targets},
};
use dpo_core::Objective;
use dpo_data::{HeldOut, Pairing};
use dpo_model::{LoraConfig, LoraKind, LoraScaling};
use dpo_train::Activations;

/// Everything a training run is told, made by [`RunFile::init`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunConfig {
    /// What is trained.
    pub(crate) model: ModelConfig,
    /// What it is trained on.
    pub(crate) data: DataConfig,
    /// What it is trained for.
    pub(crate) loss: Objective,
    /// What of it is trained.
    pub(crate) tuning: Tuning,
    /// How the frozen matrices below an adapter are kept; `None` as numbers.
    pub(crate) base_quant: Option<BaseQuant>,
    /// How it is trained.
    pub(crate) train: TrainConfig,
    /// How it is measured.
    pub(crate) eval: EvalConfig,
    /// Where and with what it runs.
    pub(crate) run: RunSettings,
}

/// The models.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelConfig {
    /// A folder, a hub id or a `.gguf` file.
    pub(crate) base: String,
    /// Another model as reference; `None` takes `base` itself.
    pub(crate) reference: Option<String>,
    /// Operands of matrix products.
    pub(crate) dtype: Dtype,
}

/// The rows and how they are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DataConfig {
    /// Files or hub dataset ids, at least one.
    pub(crate) train: Vec<String>,
    /// Held-out sets. Of several each has a name and no two the same; a single one may have none.
    pub(crate) eval: Vec<EvalSet>,
    /// Longest sequence in tokens, at least 2; 0 for no limit.
    pub(crate) max_length: usize,
    /// What becomes of longer ones.
    pub(crate) overlong: Overlong,
    /// Columns that are not called what they are; each role at most once.
    pub(crate) columns: Vec<ColumnName>,
    /// The group whose rows are taken; `None` takes all rows.
    pub(crate) only_group: Option<String>,
    /// What of the training rows is held out, where no set is.
    pub(crate) held_out: Option<HeldOut>,
    /// The well-known set that the rows are of.
    pub(crate) preset: Option<Preset>,
    /// Which pairs are made of ranked lists; `None` leaves lists as they are.
    pub(crate) pairing: Option<Pairing>,
    /// What strings are read as.
    pub(crate) strings: Strings,
    /// What special tokens in the text mean.
    pub(crate) special_text: SpecialText,
}

/// What of the model is trained.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tuning {
    /// All weights.
    Weights,
    /// A new adapter.
    NewAdapter(LoraConfig),
    /// The adapter in this folder.
    Adapter(String),
}

impl Tuning {
    fn section(&self) -> LoraSection {
        match self {
            Self::Weights => LoraSection::default(),
            Self::Adapter(folder) => LoraSection { adapter: Some(folder.clone()), ..LoraSection::default() },
            Self::NewAdapter(lora) => LoraSection {
                rank: Some(lora.rank as u32),
                alpha: Some(lora.alpha),
                targets: Some(Targets::written(&lora.targets)),
                dropout: Some(lora.dropout),
                rslora: Some(lora.scaling == LoraScaling::ByRootOfRank),
                dora: Some(lora.kind == LoraKind::Dora),
                adapter: None,
                base_quant: None,
            },
        }
    }
}

/// Warm-up of the learning rate from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Warmup {
    /// For so many steps.
    Steps(usize),
    /// For this share of all steps, in `[0, 1]`.
    Ratio(f64),
}

/// When training ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Duration {
    /// After so many passes over the data, above 0.
    Epochs(f64),
    /// After so many optimizer steps, at least 1.
    Steps(usize),
}

/// How a batch is cut for memory's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MicroBatches {
    /// Into so many parts, at least 1 and at most the batch size.
    Parts(usize),
    /// Into parts of at most so many tokens, at least 1.
    Tokens(usize),
}

/// AdamW's own settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AdamW {
    /// In `[0, 1)`.
    pub(crate) beta1: f64,
    /// In `[0, 1)`.
    pub(crate) beta2: f64,
    /// Above 0.
    pub(crate) epsilon: f64,
    /// At least 0.
    pub(crate) weight_decay: f64,
}

/// The loop.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainConfig {
    /// Highest learning rate, at least 0.
    pub(crate) learning_rate: f64,
    /// Its course after warm-up.
    pub(crate) schedule: Schedule,
    /// Its course until then.
    pub(crate) warmup: Warmup,
    /// When training ends.
    pub(crate) duration: Duration,
    /// Rows of an optimizer step, at least 1.
    pub(crate) batch_size: usize,
    /// How these are cut.
    pub(crate) micro_batches: MicroBatches,
    /// What is kept for the gradient.
    pub(crate) activations: Activations,
    /// The optimizer.
    pub(crate) adamw: AdamW,
    /// Global norm to clip to; 0 does not clip.
    pub(crate) max_grad_norm: f64,
    /// Seed of everything random.
    pub(crate) seed: u64,
    /// Order of the rows.
    pub(crate) order: Order,
    /// What the embedding learns of the pad token.
    pub(crate) pad_gradient: PadGradient,
}

/// Measuring.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EvalConfig {
    /// Steps between evaluations; 0: at the start and the end only.
    pub(crate) every: usize,
    /// Prompts answered before and after.
    pub(crate) samples: usize,
    /// Longest answer in tokens, at least 1.
    pub(crate) sample_tokens: usize,
}

/// Where and with what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunSettings {
    /// The run directory.
    pub(crate) out: PathBuf,
    /// Whether to go on with a run.
    pub(crate) resume: Resume,
    /// What computes.
    pub(crate) backend: Backend,
    /// Threads; 0 takes one for each core.
    pub(crate) threads: usize,
    /// Steps between lines of metrics, at least 1.
    pub(crate) log_every: usize,
    /// Steps between checkpoints; 0 makes none.
    pub(crate) save_every: usize,
    /// Checkpoints to keep; 0 keeps all.
    pub(crate) keep_checkpoints: usize,
}

impl RunConfig {
    /// The run file that says all of this; [`RunFile::init`] of it gives the same again.
    pub(crate) fn to_run_file(&self) -> RunFile {
        RunFile {
            model: ModelSection {
                base: Some(self.model.base.clone()),
                reference: self.model.reference.clone(),
                dtype: Some(self.model.dtype),
            },
            data: DataSection {
                train: Some(self.data.train.clone()),
                // A share of the rows stands in the place of sets.
                eval: self.data.held_out.is_none().then(|| self.data.eval.clone()),
                max_length: Some(self.data.max_length as u32),
                overlong: Some(self.data.overlong),
                columns: Some(self.data.columns.clone()),
                only_group: self.data.only_group.clone(),
                heldout: self.data.held_out.map(|held_out| held_out.share()),
                heldout_seed: self.data.held_out.map(|held_out| held_out.seed() as u32),
                preset: self.data.preset,
                pairs: self.data.pairing.map(Into::into),
                strings: Some(self.data.strings),
                special_text: Some(self.data.special_text),
            },
            loss: loss::section(&self.loss),
            lora: LoraSection { base_quant: self.base_quant, ..self.tuning.section() },
            train: self.train.section(),
            eval: EvalSection {
                eval_every: Some(self.eval.every as u32),
                samples: Some(self.eval.samples as u32),
                sample_tokens: Some(self.eval.sample_tokens as u32),
            },
            run: RunSection {
                out: Some(self.run.out.to_string_lossy().into_owned()),
                resume: Some(self.run.resume.clone()),
                backend: Some(self.run.backend),
                threads: Some(self.run.threads as u32),
                log_every: Some(self.run.log_every as u32),
                save_every: Some(self.run.save_every as u32),
                keep_checkpoints: Some(self.run.keep_checkpoints as u32),
            },
        }
    }

    /// The text of `config.toml` in a run directory.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string(&self.to_run_file()).expect("every value of a run file has a TOML form")
    }

    /// The keys in which another run would compute something else, `section.key`; those of `[run]` never do, nor does what
    /// is kept for the gradient.
    ///
    /// A run can go on from a checkpoint of a run that differs in nothing.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.to_run_file().to_table(), other.to_run_file().to_table());
        let get = |file: &toml::Table, section: &str, key: &str| file.get(section)?.get(key).cloned();
        super::keys::keys()
            .into_iter()
            .filter(|key| key.section != "run" && key.path() != "train.recompute")
            .filter(|key| get(&ours, key.section, &key.name) != get(&theirs, key.section, &key.name))
            .map(|key| key.path())
            .collect()
    }
}

impl TrainConfig {
    fn section(&self) -> TrainSection {
        let mut section = TrainSection {
            learning_rate: Some(self.learning_rate),
            schedule: Some(self.schedule),
            batch_size: Some(self.batch_size as u32),
            weight_decay: Some(self.adamw.weight_decay),
            adam_beta1: Some(self.adamw.beta1),
            adam_beta2: Some(self.adamw.beta2),
            adam_epsilon: Some(self.adamw.epsilon),
            max_grad_norm: Some(self.max_grad_norm),
            seed: Some(self.seed as u32),
            order: Some(self.order),
            pad_gradient: Some(self.pad_gradient),
            recompute: Some(self.activations == Activations::Recompute),
            ..TrainSection::default()
        };
        match self.warmup {
            Warmup::Steps(steps) => section.warmup_steps = Some(steps as u32),
            Warmup::Ratio(ratio) => section.warmup_ratio = Some(ratio),
        }
        match self.duration {
            Duration::Epochs(epochs) => section.epochs = Some(epochs),
            Duration::Steps(steps) => section.max_steps = Some(steps as u32),
        }
        match self.micro_batches {
            MicroBatches::Parts(parts) => section.accumulate = Some(parts as u32),
            MicroBatches::Tokens(tokens) => section.tokens_per_batch = Some(tokens as u32),
        }
        section
    }
}
