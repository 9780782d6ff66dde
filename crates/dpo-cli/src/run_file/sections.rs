//! The keys of a run file. One declaration is the key, its flag, its help and its page in the documentation.
//!
//! Every field is an `Option` that is `None` until someone sets it, so that a setting the chosen
//! loss does not read can be refused, and flags can be laid over a file.

mod loss;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    choices::{
        Annotators, Backend, BaseQuant, Dtype, Order, Overlong, PadGradient, Pairs, Preset, SaveDtype,
        Schedule, SpecialText, StreamCheck, Strings,
    },
    values::{self, ColumnName, EvalSet, Resume, Targets},
};

pub(crate) use loss::LossSection;

/// `[model]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelSection {
    /// Model to start from: a Hugging Face folder, a hub id such as
    /// HuggingFaceTB/SmolLM2-135M-Instruct, or a .gguf file
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) base: Option<String>,
    /// Reference model, in the same forms; without it, the model to start from is the reference
    ///
    /// Its tokenizer must be the same. Its log-probs are computed once, before training; with `tdpo` it stays in memory, too.
    #[arg(long, value_name = "MODEL")]
    pub(crate) reference: Option<String>,
    /// Operands of matrix products, of the model and of its reference; files keep the types they came in
    #[arg(long)]
    pub(crate) dtype: Option<Dtype>,
}

/// `[data]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataSection {
    /// Preference pairs to train on: .jsonl, .json, .jsonl.gz, .jsonl.zst or .parquet files, or a
    /// hub dataset id; as a flag, once for each
    #[arg(long = "data", value_name = "PATH")]
    #[serde(with = "values::sources", skip_serializing_if = "Option::is_none")]
    pub(crate) train: Option<Vec<String>>,
    /// Held-out pairs, measured before and after training; as a flag, once for each
    ///
    /// Several sets are told apart by name: `eval = { helpful = "a.jsonl", harmless = "b.jsonl" }`
    /// gives the metrics `eval_helpful_loss` and so on. A set without a name is called after its
    /// file when there are several.
    #[arg(long = "eval-data", value_name = "[NAME=]PATH")]
    #[serde(with = "values::eval_sets", skip_serializing_if = "Option::is_none")]
    pub(crate) eval: Option<Vec<EvalSet>>,
    /// Longest sequence, prompt and completion together, in tokens; 0 for no limit
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_length: Option<u32>,
    /// What becomes of a row that is longer; every such row is counted and reported
    #[arg(long)]
    pub(crate) overlong: Option<Overlong>,
    /// Names of the columns where they differ from prompt, chosen, rejected, completion, system, weight,
    /// and of the one that says whose a row is, group; as a flag, once for each
    ///
    /// In a run file: `columns = { chosen = "winner", rejected = "loser", group = "annotator" }`. What says more of the
    /// completions than which one is better has roles too: score_chosen, score_rejected, margin, votes, tie, label; two
    /// completions that nobody put in order are first and second, with votes, verdict or annotators (names between commas);
    /// lists are completions, with ranks or scores.
    #[arg(long = "column", value_name = "ROLE=NAME")]
    #[serde(with = "values::columns", skip_serializing_if = "Option::is_none")]
    pub(crate) columns: Option<Vec<ColumnName>>,
    /// What becomes of the votes of several annotators, who have a column each: annotator1, annotator2 and so on, or the names that
    /// the role annotators has in `columns`
    #[arg(long)]
    pub(crate) annotators: Option<Annotators>,
    /// Take the rows of this group alone, to train on and held out; the column `group` has to be named, or `annotators` be
    /// each
    #[arg(long, value_name = "GROUP")]
    pub(crate) only_group: Option<String>,
    /// Share of the prompts to hold out of the training rows and measure on, instead of `eval`; all rows
    /// with the same prompt are on the same side
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) heldout: Option<f64>,
    /// What the prompts of `heldout` are drawn from
    #[arg(long, value_name = "N")]
    pub(crate) heldout_seed: Option<u32>,
    /// The well-known set that the rows are of, where their columns alone do not say how they are meant; most sets need none
    #[arg(long, value_name = "SET")]
    pub(crate) preset: Option<Preset>,
    /// Make pairs of ranked lists, for losses that read pairs
    #[arg(long, value_name = "WHICH")]
    pub(crate) pairs: Option<Pairs>,
    /// Read the training rows while they are trained on, for sets that are larger than memory
    ///
    /// Rows are shuffled within windows of `stream_buffer` rows, in the order of the files, and how many there are is not known: a
    /// run ends after `max_steps`. What needs all rows is refused.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) stream: Option<bool>,
    /// Rows in memory at a time, which are shuffled with each other, less what is no whole batch; without it, 8192
    #[arg(long, value_name = "ROWS")]
    pub(crate) stream_buffer: Option<u32>,
    /// Rows that are looked at before the first step; without it, those of the first window
    #[arg(long)]
    pub(crate) stream_check: Option<StreamCheck>,
    /// What prompts and completions that are strings are read as; lists of messages are always messages
    #[arg(long)]
    pub(crate) strings: Option<Strings>,
    /// What special tokens mean that are written out in a row
    #[arg(long)]
    pub(crate) special_text: Option<SpecialText>,
}

/// `[reference]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Reference")]
pub(crate) struct ReferenceSection {
    /// Let the reference follow the policy (TR-DPO): after so many steps it becomes a mixture of both; without it, the
    /// reference stays what it is
    ///
    /// It is kept in memory then, and says of the rows of every step what it says of them now. Beside an adapter it has one of
    /// its own. It follows after steps, not after the last one, and is a part of every checkpoint.
    #[arg(long = "reference-update-every", value_name = "STEPS")]
    pub(crate) update_every: Option<u32>,
    /// Share of the policy in the mixture, above 0 and at most 1, which puts the policy in the reference's place; without it,
    /// 0.6
    #[arg(id = "reference.mix", long = "reference-mix", value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) mix: Option<f64>,
}

/// `[lora]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Adapter")]
pub(crate) struct LoraSection {
    /// Train a low-rank adapter of this rank beside the frozen weights, instead of the weights themselves
    #[arg(long = "lora-rank", value_name = "RANK")]
    pub(crate) rank: Option<u32>,
    /// What the adapter adds is multiplied by alpha/rank; without it, alpha is twice the rank
    #[arg(long = "lora-alpha", value_name = "ALPHA", allow_negative_numbers = true)]
    pub(crate) alpha: Option<f64>,
    /// Matrices the adapter is put beside: `all-linear`, names such as `q_proj,v_proj`, or a regular expression of whole names
    #[arg(long = "lora-targets", value_name = "TARGETS")]
    pub(crate) targets: Option<Targets>,
    /// Share of the numbers that the adapter reads that are dropped in training
    #[arg(long = "lora-dropout", value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) dropout: Option<f64>,
    /// Multiply by alpha/√rank instead (rank-stabilised LoRA)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) rslora: Option<bool>,
    /// Learn lengths and directions of the matrices' rows apart (DoRA)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) dora: Option<bool>,
    /// Keep the frozen matrices in blocks of few bits, to save memory; those of a GGUF file stay in their own
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) base_quant: Option<BaseQuant>,
    /// Adapter to go on with: a PEFT folder, made for this model; it keeps its settings
    #[arg(long, value_name = "FOLDER")]
    pub(crate) adapter: Option<String>,
}

/// `[train]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainSection {
    /// Highest learning rate; with `sft` the default is 2e-5, with an adapter 1e-5
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) learning_rate: Option<f64>,
    /// How the learning rate falls after warm-up
    #[arg(long)]
    pub(crate) schedule: Option<Schedule>,
    /// Steps in which the learning rate rises from 0; instead of `warmup_ratio`
    #[arg(long, value_name = "STEPS")]
    pub(crate) warmup_steps: Option<u32>,
    /// Share of all steps in which the learning rate rises from 0
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) warmup_ratio: Option<f64>,
    /// Passes over the data; need not be whole
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<f64>,
    /// Optimizer steps to take; instead of `epochs`
    #[arg(long, value_name = "STEPS")]
    pub(crate) max_steps: Option<u32>,
    /// Rows of one optimizer step
    #[arg(long, value_name = "ROWS")]
    pub(crate) batch_size: Option<u32>,
    /// Parts of about as many tokens that a step's rows are computed in, to save memory; the gradient is that of all
    /// rows together
    #[arg(long, value_name = "PARTS")]
    pub(crate) accumulate: Option<u32>,
    /// Compute a step's rows in parts of at most so many tokens, as few and full as can be; instead of `accumulate`
    ///
    /// A prompt counts once, however many completions follow it. A single row that is longer makes a part of its own.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) tokens_per_batch: Option<u32>,
    /// Compute the blocks of the model again on the way back instead of keeping what they came to: a fraction of the
    /// memory, up to a third more arithmetic, the same numbers
    ///
    /// A run can be gone on with either way.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) recompute: Option<bool>,
    /// Decay of the weights in AdamW; norms and biases are left out
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) weight_decay: Option<f64>,
    /// Decay of the mean of the gradients in AdamW
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub(crate) adam_beta1: Option<f64>,
    /// Decay of the mean of the squared gradients in AdamW
    #[arg(long, value_name = "BETA", allow_negative_numbers = true)]
    pub(crate) adam_beta2: Option<f64>,
    /// What keeps AdamW from dividing by 0
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    pub(crate) adam_epsilon: Option<f64>,
    /// Norm that all gradients together are clipped to; 0 leaves them as they are
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    pub(crate) max_grad_norm: Option<f64>,
    /// Seed of everything random
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// Order of the rows
    #[arg(long)]
    pub(crate) order: Option<Order>,
    /// What the embedding learns of the pad token where it is read
    #[arg(long)]
    pub(crate) pad_gradient: Option<PadGradient>,
}

/// `[eval]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Evaluation")]
pub(crate) struct EvalSection {
    /// Steps between two evaluations; 0 evaluates before the first and after the last step only
    #[arg(long, value_name = "STEPS")]
    pub(crate) eval_every: Option<u32>,
    /// Prompts answered before and after training, to be compared side by side
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<u32>,
    /// Longest answer, in tokens
    #[arg(long, value_name = "TOKENS")]
    pub(crate) sample_tokens: Option<u32>,
}

/// `[run]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunSection {
    /// Run directory; without it, runs/<model>-<loss>
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<String>,
    /// Go on with a run that was stopped: auto takes the last complete checkpoint of the run
    /// directory, if there is one; DIR is a checkpoint or a run directory
    #[arg(long, value_name = "no|auto|DIR")]
    pub(crate) resume: Option<Resume>,
    /// What computes
    #[arg(long)]
    pub(crate) backend: Option<Backend>,
    /// Threads of the processor; 0 takes one for each core
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<u32>,
    /// Steps between two lines of metrics
    #[arg(long, value_name = "STEPS")]
    pub(crate) log_every: Option<u32>,
    /// Steps between two checkpoints; 0 keeps none but the one an interrupted run leaves
    #[arg(long, value_name = "STEPS")]
    pub(crate) save_every: Option<u32>,
    /// Checkpoints to keep, the newest ones; 0 keeps all
    #[arg(long, value_name = "N")]
    pub(crate) keep_checkpoints: Option<u32>,
    /// Number format of the weights that are written in the end; an adapter is always in float32
    #[arg(long, value_name = "FORMAT")]
    pub(crate) save_dtype: Option<SaveDtype>,
}
