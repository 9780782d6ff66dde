//! Trains a model of a Hugging Face folder on three pairs that are written out here, and saves it.
//!
//! ```text
//! cargo run --release --package dpo-train --example train_tiny -- tests/golden/models/llama_gqa_tied target/tiny
//! ```

use std::{
    error::Error,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use dpo_core::{Objective, PairwiseLoss};
use dpo_data::{
    BatchOrder, Clock, DataReport, EncodeConfig, PreferenceExample, Relation, RowId, Sampling, Text,
    TextEncoder, TokenTree, encode_all,
};
use dpo_model::{Decoder, HfConfig, HfFolder, weights::WeightDtype};
use dpo_train::{
    AdamWConfig, Checkpoints, Decay, Evaluation, INFERENCE_TOKENS, JsonlSink, LossSpec, MicroBatching,
    Observer, ReferenceLogps, Schedule, StepMetrics, StepTimes, StepZeroGate, TrainData, Trainer,
    TrainerConfig, Warning, save_decoder,
};

/// Words of the tiny model in `tests/golden`, which knows `t0` to `t319`.
const PAIRS: [[&str; 3]; 3] = [
    ["t1 t73 t5", " t87 t247", " t102 t264"],
    ["t1 t54 t61 t53", " t277 t59 t8", " t56 t13"],
    ["t1 t284", " t65 t271", " t301 t246 t73"],
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let (Some(folder), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: train_tiny MODEL_FOLDER OUT_FOLDER".into());
    };
    std::fs::create_dir_all(&out)?;
    let hf = HfConfig::read(&folder.join("config.json"))?;
    let policy = Decoder::load(&hf.decoder, &HfFolder::open(&folder)?, &Device::flex())?;

    let trees = trees(&folder)?;
    // The reference is the model as it is now; it need not be kept.
    let reference = ReferenceLogps::computed(&trees, INFERENCE_TOKENS, &policy);
    let config = config(trees.len())?;
    let data = TrainData {
        trees,
        reference: Some(reference),
        moving: None,
        reference_model: None,
        eval_sets: Vec::new(),
    };
    let checkpoints = Checkpoints::open(&out.join("checkpoints"))?;
    let mut trainer = Trainer::new(config, data, checkpoints, hf.raw.clone());
    let mut sink = JsonlSink::open(&out.join("metrics.jsonl"), &out.join("eval.jsonl"), 0)?;
    let (policy, _) = trainer.run(policy, &mut sink, &mut Printer)?;

    let model = out.join("model");
    std::fs::create_dir_all(&model)?;
    save_decoder(&model, &policy, &hf.raw, |_| WeightDtype::F32)?;
    println!("saved to {}", model.display());
    Ok(())
}

/// Ten steps of all pairs, at a rate for a model of this size.
fn config(n_pairs: usize) -> Result<TrainerConfig, Box<dyn Error>> {
    let batch_size = NonZeroUsize::new(n_pairs).ok_or("no pairs")?;
    let loss = PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 };
    Ok(TrainerConfig {
        loss: LossSpec::new(Objective::Pairwise(loss)),
        schedule: Schedule::new(Decay::Linear, 1e-3, 0, 10)?,
        adamw: AdamWConfig::default(),
        max_grad_norm: 1.0,
        order: BatchOrder::new(n_pairs, batch_size, Sampling::Shuffled { seed: 42 }),
        micro: MicroBatching::Parts(NonZeroUsize::MIN),
        eval_every: 0,
        save_every: 0,
        keep_checkpoints: None,
        log_every: 1,
        dropout_seed: None,
        gate: StepZeroGate::Exact,
        reference_updates: None,
    })
}

fn trees(folder: &Path) -> Result<Vec<TokenTree>, Box<dyn Error>> {
    let text = |text: &str| Text::Plain(text.to_owned());
    let example = |(row, [prompt, chosen, rejected]): (u64, [&str; 3])| PreferenceExample {
        row: RowId { file: 0, row },
        prompt: text(prompt),
        completions: vec![text(chosen), text(rejected)],
        relation: Relation::Pair,
        weight: 1.0,
        group: None,
        template_kwargs: serde_json::Map::new(),
    };
    let examples: Vec<PreferenceExample> = (1..).zip(PAIRS).map(example).collect();
    let encoder = TextEncoder::from_folder(folder, Clock::now())?;
    let options = EncodeConfig::default().init()?;
    Ok(encode_all(&encoder, &examples, &options, &mut DataReport::default())?)
}

/// Says how it goes; never asks to stop.
struct Printer;

impl Observer for Printer {
    fn stepped(&mut self, step: &StepMetrics, _: &StepTimes) {
        let margin = step.pairs.map_or(f64::NAN, |pairs| pairs.rewards_margins);
        println!("step {:>2}  loss {:.4}  reward margin {margin:+.4}", step.step, step.loss);
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        println!("{}: loss {:.4}", evaluation.metrics.set, evaluation.metrics.loss);
    }

    fn saved(&mut self, step: u64, path: &Path) {
        println!("step {step}: checkpoint {}", path.display());
    }

    fn warned(&mut self, warning: &Warning) {
        println!("step {}: {}", warning.step, warning.message);
    }

    fn stop_requested(&self) -> bool {
        false
    }
}
