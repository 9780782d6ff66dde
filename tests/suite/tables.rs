//! Tables that are larger than a buffer of the device, kept in parts: the numbers of tables that are whole.

use std::{num::NonZeroUsize, path::Path};

use burn::module::Module;
use dpo_core::{LossConfig, LossKind, Modifiers, Objective, Part};
use dpo_data::{BatchOrder, Sampling, TokenTree};
use dpo_model::{Decoder, HfConfig, HfFolder, Place, weights::WeightDtype};
use dpo_train::{
    Activations, AdamWConfig, BatchGradient, Checkpoint, Checkpoints, Decay, DeviceBatch, Evaluation,
    INFERENCE_TOKENS, JsonlSink, LossSpec, MicroBatching, Observer, ReferenceLogps, Schedule, StepMetrics,
    StepTimes, StepZeroGate, TrainData, Trainer, TrainerConfig, Warning, rows_of, save_decoder,
};

use crate::{
    decoder_golden::{MODELS, load},
    program::Sandbox,
    recompute::six_pairs,
    support::{cpu, golden, max_difference, values},
};

fn config(name: &str) -> HfConfig {
    HfConfig::read(&golden("models").join(name).join("config.json")).unwrap()
}

/// The same model where a tensor holds a third of the vocabulary and a bit.
fn in_parts(name: &str) -> Decoder {
    let config = config(name).decoder;
    let bytes = config.d_model * size_of::<f32>() * (config.vocab_size / 3 + 2);
    let place = Place { device: cpu(), largest_tensor: Some(bytes as u64) };
    Decoder::load(&config, &HfFolder::open(&golden("models").join(name)).unwrap(), place).unwrap()
}

/// Six pairs of tokens from all parts of a vocabulary.
fn trees(vocab: usize) -> Vec<TokenTree> {
    six_pairs(|place, step, idx| (place * step * 13 + idx * 7) % vocab)
}

/// Log-probs, their squares and whole distributions: TDPO with WPO's weights.
fn objective() -> Objective {
    let config = LossConfig { kind: LossKind::Tdpo, beta: Some(0.5), ..LossConfig::default() };
    let part = Part { weight: 1.0, loss: config.part().unwrap() };
    Objective::combined(vec![part], Modifiers { wpo: true, ..Modifiers::default() }).unwrap()
}

/// The gradient of a step whose reference is the model as it is loaded, and whose policy has moved.
fn gradient(reference: &Decoder, activations: Activations) -> (Decoder, BatchGradient) {
    let trees = trees(reference.config().vocab_size);
    let logps = ReferenceLogps::computed(&trees, INFERENCE_TOKENS, reference);
    let policy = reference.clone().map_parameters(|_, values| values * 1.02).train();
    let spec =
        LossSpec { activations, reference_model: Some(reference.clone()), ..LossSpec::new(objective()) };
    let parts = MicroBatching::Parts(NonZeroUsize::new(2).unwrap());
    let found = spec.gradient(&policy, &rows_of(&trees, Some(&logps)), parts, None, &|| false).unwrap();
    (policy, found)
}

/// Gradients by name, those of parts one after the other.
fn by_name((policy, found): (Decoder, BatchGradient)) -> Vec<(String, Vec<f32>)> {
    let mut all: Vec<(String, Vec<f32>)> = Vec::new();
    for (info, gradient) in policy.parameters().into_iter().zip(found.gradients) {
        match all.last_mut() {
            Some((name, values_of)) if *name == info.name => values_of.extend(values(gradient)),
            _ => all.push((info.name, values(gradient))),
        }
    }
    all
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    let largest = expected.iter().fold(0.1_f32, |max, x| max.max(x.abs()));
    let expected: Vec<f64> = expected.iter().map(|x| f64::from(*x)).collect();
    let difference = max_difference(found, &expected);
    assert!(difference < 2e-5 * f64::from(largest), "{what}: differs by {difference}, largest {largest}");
}

/// Tied heads, heads of their own, learnt positions, caps, dividers: logits, losses, and every gradient.
#[test]
fn a_table_in_parts_is_the_table() {
    for name in MODELS {
        let (whole, split) = (load(name, &cpu()), in_parts(name));
        let n_parts = split.parameters().iter().filter(|info| info.part.is_some()).count();
        assert!(n_parts >= 3, "{name}: {n_parts} parts");
        let trees = trees(whole.config().vocab_size);
        let logits = |model: &Decoder| {
            let batch = DeviceBatch::of_trees(&trees.iter().collect::<Vec<_>>(), model);
            values(model.logits(&batch.input))
        };
        assert_close(&logits(&split), &logits(&whole), &format!("{name}, logits"));
        let (of_whole, of_split) = (gradient(&whole, Activations::Keep), gradient(&split, Activations::Keep));
        let losses = |(_, found): &(Decoder, BatchGradient)| -> Vec<f32> {
            found.scores.row_losses.iter().map(|loss| *loss as f32).collect()
        };
        assert_close(&losses(&of_split), &losses(&of_whole), &format!("{name}, losses"));
        let again = by_name(gradient(&split, Activations::Recompute));
        let (of_whole, of_split) = (by_name(of_whole), by_name(of_split));
        for found in [of_split, again] {
            for ((found_name, found), (expected_name, expected)) in found.iter().zip(&of_whole) {
                assert_eq!(found_name, expected_name, "{name}");
                assert_close(found, expected, &format!("{name}, {found_name}"));
            }
        }
    }
}

/// What is written is the table, byte for byte.
#[test]
fn a_table_in_parts_is_saved_whole() {
    let sandbox = Sandbox::new();
    for name in ["llama_gqa_tied", "llama_untied_bias", "gpt2"] {
        let saved = |model: &Decoder, folder: &str| {
            let folder = sandbox.path(&format!("{name}-{folder}"));
            std::fs::create_dir_all(&folder).unwrap();
            save_decoder(&folder, model, &config(name).raw, |_| WeightDtype::F32).unwrap();
            std::fs::read(folder.join("model.safetensors")).unwrap()
        };
        assert!(saved(&in_parts(name), "parts") == saved(&load(name, &cpu()), "whole"), "{name}");
    }
}

struct Silent;

impl Observer for Silent {
    fn stepped(&mut self, _: &StepMetrics, _: &StepTimes) {}
    fn evaluated(&mut self, _: &Evaluation) {}
    fn saved(&mut self, _: u64, _: &Path) {}
    fn warned(&mut self, _: &Warning) {}
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Six steps, with a checkpoint after every third one, from the start or from a checkpoint; the weights in the end.
fn trained(model: &Decoder, folder: &Path, from: Option<&Path>) -> Vec<f32> {
    std::fs::create_dir_all(folder).unwrap();
    let trees = trees(model.config().vocab_size);
    let batch_size = NonZeroUsize::new(3).unwrap();
    let config_of_run = TrainerConfig {
        loss: LossSpec::new(LossConfig::default().init().unwrap()),
        schedule: Schedule::new(Decay::Linear, 1e-3, 0, 6).unwrap(),
        adamw: AdamWConfig::default(),
        max_grad_norm: 1.0,
        order: BatchOrder::new(trees.len(), batch_size, Sampling::Shuffled { seed: 42 }),
        micro: MicroBatching::Parts(NonZeroUsize::MIN),
        eval_every: 0,
        save_every: 3,
        keep_checkpoints: None,
        log_every: 1,
        dropout_seed: None,
        gate: StepZeroGate::Exact,
        reference_updates: None,
    };
    let reference = Some(ReferenceLogps::computed(&trees, INFERENCE_TOKENS, model));
    let data = TrainData { trees, reference, moving: None, reference_model: None, eval_sets: Vec::new() };
    let checkpoints = Checkpoints::open(&folder.join("checkpoints")).unwrap();
    let raw = config("llama_gqa_tied").raw;
    let mut trainer = Trainer::new(config_of_run, data, checkpoints, raw);
    let mut policy = model.clone();
    if let Some(checkpoint) = from {
        let checkpoint = Checkpoint::open(checkpoint).unwrap();
        (trainer, policy) = trainer.restore(checkpoint.path, policy).unwrap();
    }
    let mut sink = JsonlSink::open(&folder.join("metrics.jsonl"), &folder.join("eval.jsonl"), 0).unwrap();
    let (policy, _) = trainer.run(policy, &mut sink, &mut Silent).unwrap();
    let mut weights = Vec::new();
    policy.for_each_weight(|_, tensor| weights.extend(values(tensor)));
    weights
}

/// A run in parts is the run, and goes on from a checkpoint of tables that were whole, and the other way round.
#[test]
fn checkpoints_know_no_parts() {
    let sandbox = Sandbox::new();
    let name = "llama_gqa_tied";
    let (whole, split) = (load(name, &cpu()), in_parts(name));
    let run = |model: &Decoder, folder: &str, from: Option<&str>| {
        let from = from.map(|from| sandbox.path(from).join("checkpoints/step-000003"));
        trained(model, &sandbox.path(folder), from.as_deref())
    };
    let (of_whole, of_split) = (run(&whole, "whole", None), run(&split, "split", None));
    assert_close(&of_split, &of_whole, "six steps");
    assert!(run(&split, "split-again", Some("split")) == of_split, "resumed to the same bits");
    assert_close(&run(&split, "whole-to-split", Some("whole")), &of_whole, "from whole tables to parts");
    assert_close(&run(&whole, "split-to-whole", Some("split")), &of_whole, "from parts to whole tables");
}
