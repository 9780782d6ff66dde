//! From a checked run file back to one that says all of it.

use dpo_model::{LoraKind, LoraScaling};
use dpo_train::Activations;

use super::{
    super::{
        RunFile, loss, reference,
        sections::{DataSection, EvalSection, LoraSection, ModelSection, RunSection, TrainSection},
        values::Targets,
    },
    Duration, MicroBatches, RunConfig, TrainConfig, Tuning, Warmup,
};

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
                annotators: Some(self.data.annotators),
                only_group: self.data.only_group.clone(),
                heldout: self.data.held_out.map(|held_out| held_out.share()),
                heldout_seed: self.data.held_out.map(|held_out| held_out.seed() as u32),
                preset: self.data.preset,
                pairs: self.data.pairing.map(Into::into),
                stream: self.data.stream.map(|_| true),
                stream_buffer: self.data.stream.map(|rows| rows as u32),
                stream_check: self.data.stream.map(|_| self.data.stream_check),
                strings: Some(self.data.strings),
                special_text: Some(self.data.special_text),
            },
            loss: loss::section(&self.loss),
            reference: reference::section(self.reference_updates),
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
                save_dtype: Some(self.run.save_dtype),
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
        super::super::keys::keys()
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
