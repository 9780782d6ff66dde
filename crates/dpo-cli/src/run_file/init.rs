//! From what was written to what is run: defaults, and every check at once.

use std::path::{Path, PathBuf};

use super::{
    RunFile,
    check::Check,
    choices::{Backend, Order, PadGradient, SaveDtype, Schedule},
    config::{
        AdamW, Duration, EvalConfig, MicroBatches, ModelConfig, RunConfig, RunSettings, TrainConfig, Tuning,
        Warmup,
    },
    loss,
    problem::{InvalidRunFile, verdict},
    reference, rows,
    sections::{EvalSection, LoraSection, RunSection, TrainSection},
    values::{Resume, Targets},
};
use crate::device;
use dpo_core::Objective;
use dpo_model::{LoraConfig, LoraKind, LoraScaling, LoraTargets};
use dpo_train::Activations;

impl RunFile {
    /// Fills in the defaults and checks everything; the error has every problem there is.
    pub(crate) fn init(&self) -> Result<RunConfig, InvalidRunFile> {
        let mut check = Check::default();
        let loss = loss::objective(&self.loss, &mut check);
        let reads_pairs = !matches!(loss, Objective::Sft | Objective::Ranked(_) | Objective::Unpaired(_));
        check.unread("data.pairs", self.data.pairs.is_some() && !reads_pairs, loss.name());
        let model = self.model_config(&loss, &mut check);
        let tuning = tuning(&self.lora, &mut check);
        let mut config = RunConfig {
            data: rows::data(&self.data, &mut check),
            reference_updates: reference::updates(&self.reference, (&loss, &model, &tuning), &mut check),
            model,
            tuning,
            base_quant: self.lora.base_quant,
            train: train(&self.train, self.default_rate(&loss), &mut check),
            eval: eval(&self.eval, &mut check),
            run: run(&self.run, &self.default_out(&loss), &mut check),
            loss,
        };
        // Windows of whole batches, so that no step is smaller but the last one of a pass.
        let batch_size = config.train.batch_size.max(1);
        config.data.stream = config.data.stream.map(|rows| (rows / batch_size).max(1) * batch_size);
        refuse_cut_batches(&config, &mut check);
        refuse_format_of_adapter(&config, &mut check);
        self.refuse_unstreamed(&config, &mut check);
        verdict(config, check.problems)
    }

    /// What needs all rows before the first step, where they are read while they are trained on.
    fn refuse_unstreamed(&self, config: &RunConfig, check: &mut Check) {
        const KEY: &str = "data.stream";
        if config.data.stream.is_none() {
            return;
        }
        let name = config.loss.name();
        if matches!(config.train.duration, Duration::Epochs(_)) {
            let text =
                "is set, and nobody knows how many steps a pass over the rows takes; set `train.max_steps`";
            check.problem(KEY, text.to_owned());
        }
        if self.loss.kind.is_none() && self.loss.ties.is_none() && self.loss.mix.is_none() {
            let text = "is set, and without `loss.kind` the loss follows the rows, which are not read beforehand; name one";
            check.problem(KEY, text.to_owned());
        }
        if matches!(config.loss, Objective::GroupRobust(_)) {
            let text = format!(
                "is set, and `{name}` has to know all groups before the first step; read the rows as a whole"
            );
            check.problem(KEY, text);
        }
        if config.loss.couples_batch() && matches!(config.train.micro_batches, MicroBatches::Tokens(_)) {
            let text = format!(
                "is set, and whether every step of `{name}` fits into `train.tokens_per_batch` is known when all rows were read; \
                 remove one of them"
            );
            check.problem(KEY, text);
        }
    }

    /// Adapters take larger steps than weights.
    fn default_rate(&self, loss: &Objective) -> f64 {
        match loss {
            Objective::Sft => 2e-5,
            _ if self.lora != LoraSection::default() => 1e-5,
            _ => 1e-6,
        }
    }

    fn model_config(&self, loss: &Objective, check: &mut Check) -> ModelConfig {
        let is_unread = self.model.reference.is_some() && !loss.needs_reference();
        check.unread("model.reference", is_unread, loss.name());
        let base = check.text("model.base", self.model.base.as_ref());
        let base = base.unwrap_or_else(|| check.missing("model.base", "a folder, a hub id or a .gguf file"));
        let reference = check.text("model.reference", self.model.reference.as_ref());
        ModelConfig { base, reference, dtype: self.model.dtype.unwrap_or_default() }
    }

    /// `runs/<last part of the model's name>-<loss>`.
    fn default_out(&self, loss: &Objective) -> PathBuf {
        let base = self.model.base.as_deref().unwrap_or_default();
        let base = base.strip_suffix(".gguf").unwrap_or(base);
        let name = Path::new(base).file_name().and_then(|name| name.to_str()).unwrap_or("model");
        Path::new("runs").join(format!("{name}-{}", loss.name()))
    }
}

/// An adapter is in one format.
fn refuse_format_of_adapter(config: &RunConfig, check: &mut Check) {
    if config.run.save_dtype != SaveDtype::Base && !matches!(config.tuning, Tuning::Weights) {
        let text = "is for the weights of a model, and an adapter is written in float32; remove it";
        check.problem("run.save_dtype", text.to_owned());
    }
}

/// A part of a batch has another loss than its rows have in the whole, where a loss couples them. Whether a step has room in
/// `tokens_per_batch` is seen when the rows are there.
fn refuse_cut_batches(config: &RunConfig, check: &mut Check) {
    if config.loss.couples_batch()
        && let MicroBatches::Parts(parts) = config.train.micro_batches
        && parts > 1
    {
        let text = format!(
            "is {parts}, and the loss `{}` couples the rows of a batch, which has to be computed at once; remove it",
            config.loss.name()
        );
        check.problem("train.accumulate", text);
    }
}

/// An adapter is there where it has a rank, or where one is to be gone on with.
fn tuning(section: &LoraSection, check: &mut Check) -> Tuning {
    let LoraSection { rank, alpha, targets, dropout, rslora, dora, base_quant, adapter } = section;
    let others = [
        ("lora.alpha", alpha.is_some()),
        ("lora.targets", targets.is_some()),
        ("lora.dropout", dropout.is_some()),
        ("lora.rslora", rslora.is_some()),
        ("lora.dora", dora.is_some()),
    ];
    if let Some(folder) = check.text("lora.adapter", adapter.as_ref()) {
        for (key, is_set) in others.into_iter().chain([("lora.rank", rank.is_some())]) {
            if is_set {
                check.problem(
                    key,
                    "is set beside `lora.adapter`, which has its own settings; remove it".to_owned(),
                );
            }
        }
        return Tuning::Adapter(folder);
    }
    let Some(rank) = *rank else {
        for (key, is_set) in others.into_iter().chain([("lora.base_quant", base_quant.is_some())]) {
            if is_set {
                check.problem(
                    key,
                    "is set, but no adapter is trained; set `lora.rank` or remove it".to_owned(),
                );
            }
        }
        return Tuning::Weights;
    };
    let share = |share| (0.0..1.0).contains(&share);
    Tuning::NewAdapter(LoraConfig {
        rank: check.count("lora.rank", Some(rank), rank, 1),
        alpha: check
            .number("lora.alpha", *alpha, 2.0 * f64::from(rank.max(1)), "a number above 0", |a| a > 0.0),
        scaling: if rslora.unwrap_or(false) { LoraScaling::ByRootOfRank } else { LoraScaling::ByRank },
        targets: targets.as_ref().map_or(LoraTargets::AllLinear, Targets::resolved),
        dropout: check.number("lora.dropout", *dropout, 0.0, "a share from 0 to below 1", share),
        kind: if dora.unwrap_or(false) { LoraKind::Dora } else { LoraKind::Lora },
    })
}

fn train(section: &TrainSection, default_rate: f64, check: &mut Check) -> TrainConfig {
    let rate = |check: &mut Check, key, value, default| {
        check.number(key, value, default, "a number of at least 0", |x| x >= 0.0)
    };
    let batch_size = check.count("train.batch_size", section.batch_size, 8, 1);
    TrainConfig {
        learning_rate: rate(check, "train.learning_rate", section.learning_rate, default_rate),
        schedule: section.schedule.unwrap_or(Schedule::Linear),
        warmup: warmup(section, check),
        duration: duration(section, check),
        batch_size,
        micro_batches: micro_batches(section, batch_size, check),
        activations: match section.recompute {
            Some(true) => Activations::Recompute,
            Some(false) | None => Activations::Keep,
        },
        adamw: adamw(section, check),
        max_grad_norm: rate(check, "train.max_grad_norm", section.max_grad_norm, 1.0),
        seed: u64::from(section.seed.unwrap_or(42)),
        order: section.order.unwrap_or(Order::Shuffle),
        pad_gradient: section.pad_gradient.unwrap_or(PadGradient::Keep),
    }
}

fn warmup(section: &TrainSection, check: &mut Check) -> Warmup {
    let steps = ("train.warmup_steps", section.warmup_steps.is_some());
    check.exclusive(("train.warmup_ratio", section.warmup_ratio.is_some()), steps);
    let share = |share| (0.0..=1.0).contains(&share);
    let ratio = check.number("train.warmup_ratio", section.warmup_ratio, 0.1, "a number from 0 to 1", share);
    section.warmup_steps.map_or(Warmup::Ratio(ratio), |steps| Warmup::Steps(steps as usize))
}

fn duration(section: &TrainSection, check: &mut Check) -> Duration {
    check.exclusive(
        ("train.epochs", section.epochs.is_some()),
        ("train.max_steps", section.max_steps.is_some()),
    );
    let epochs = check.number("train.epochs", section.epochs, 1.0, "a number above 0", |n| n > 0.0);
    match section.max_steps {
        Some(_) => Duration::Steps(check.count("train.max_steps", section.max_steps, 1, 1)),
        None => Duration::Epochs(epochs),
    }
}

fn micro_batches(section: &TrainSection, batch_size: usize, check: &mut Check) -> MicroBatches {
    let tokens = ("train.tokens_per_batch", section.tokens_per_batch);
    check.exclusive(("train.accumulate", section.accumulate.is_some()), (tokens.0, tokens.1.is_some()));
    let parts = check.count("train.accumulate", section.accumulate, 1, 1);
    if parts > batch_size && batch_size > 0 {
        let text = format!("is {parts}; expected at most `train.batch_size`, which is {batch_size}");
        check.problem("train.accumulate", text);
    }
    match tokens.1 {
        Some(_) => MicroBatches::Tokens(check.count(tokens.0, tokens.1, 1, 1)),
        None => MicroBatches::Parts(parts),
    }
}

fn adamw(section: &TrainSection, check: &mut Check) -> AdamW {
    let mut number = |key, value, default, expected, holds: fn(f64) -> bool| {
        check.number(key, value, default, expected, holds)
    };
    let decays = "a number from 0 to below 1";
    AdamW {
        beta1: number("train.adam_beta1", section.adam_beta1, 0.9, decays, |b| (0.0..1.0).contains(&b)),
        beta2: number("train.adam_beta2", section.adam_beta2, 0.999, decays, |b| (0.0..1.0).contains(&b)),
        epsilon: number("train.adam_epsilon", section.adam_epsilon, 1e-8, "a number above 0", |e| e > 0.0),
        weight_decay: number(
            "train.weight_decay",
            section.weight_decay,
            0.0,
            "a number of at least 0",
            |rate| rate >= 0.0,
        ),
    }
}

fn eval(section: &EvalSection, check: &mut Check) -> EvalConfig {
    EvalConfig {
        every: check.count("eval.eval_every", section.eval_every, 0, 0),
        samples: check.count("eval.samples", section.samples, 3, 0),
        sample_tokens: check.count("eval.sample_tokens", section.sample_tokens, 128, 1),
    }
}

fn run(section: &RunSection, default_out: &Path, check: &mut Check) -> RunSettings {
    let out = check.text("run.out", section.out.as_ref());
    if matches!(&section.resume, Some(Resume::From(dir)) if dir.trim().is_empty()) {
        check.problem("run.resume", "is empty; expected `no`, `auto` or a directory".to_owned());
    }
    RunSettings {
        out: out.map_or_else(|| default_out.to_owned(), PathBuf::from),
        resume: section.resume.clone().unwrap_or(Resume::No),
        backend: device::resolved(section.backend.unwrap_or(Backend::Cpu)),
        threads: check.count("run.threads", section.threads, 0, 0),
        log_every: check.count("run.log_every", section.log_every, 1, 1),
        save_every: check.count("run.save_every", section.save_every, 500, 0),
        keep_checkpoints: check.count("run.keep_checkpoints", section.keep_checkpoints, 2, 0),
        save_dtype: section.save_dtype.unwrap_or_default(),
    }
}
