//! A run file after it was checked: every value there, nothing contradictory.

mod written;

use std::path::PathBuf;

use super::{
    choices::{
        Annotators, Backend, BaseQuant, Dtype, Order, Overlong, PadGradient, Preset, SaveDtype, Schedule,
        SpecialText, StreamCheck, Strings,
    },
    values::{ColumnName, EvalSet, Resume},
};
use dpo_core::Objective;
use dpo_data::{HeldOut, Pairing};
use dpo_model::LoraConfig;
use dpo_train::{Activations, ReferenceUpdates};

/// Everything a training run is told, made by [`RunFile::init`](super::RunFile::init).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunConfig {
    /// What is trained.
    pub(crate) model: ModelConfig,
    /// What it is trained on.
    pub(crate) data: DataConfig,
    /// What it is trained for.
    pub(crate) loss: Objective,
    /// How the reference follows the policy; `None` leaves it as it is.
    pub(crate) reference_updates: Option<ReferenceUpdates>,
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
    /// Whether each annotator's vote is a row.
    pub(crate) annotators: Annotators,
    /// The group whose rows are taken; `None` takes all rows.
    pub(crate) only_group: Option<String>,
    /// What of the training rows is held out, where no set is.
    pub(crate) held_out: Option<HeldOut>,
    /// The well-known set that the rows are of.
    pub(crate) preset: Option<Preset>,
    /// Which pairs are made of ranked lists; `None` leaves lists as they are.
    pub(crate) pairing: Option<Pairing>,
    /// Rows of a window, where rows are read while they are trained on, at least 1; `None` reads all of them first.
    pub(crate) stream: Option<usize>,
    /// Which of them are looked at beforehand.
    pub(crate) stream_check: StreamCheck,
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
    /// Number format of the weights that are written.
    pub(crate) save_dtype: SaveDtype,
}
