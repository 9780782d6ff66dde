//! Gradients of blocks that are computed again: the bits of those that are kept, in less memory.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use burn::{module::Module, tensor::Tensor};
use dpo_core::{Objective, PairwiseLoss};
use dpo_data::{Relation, RowId, TokenTree};
use dpo_model::{
    Adapter, Decoder, HfConfig, HfFolder, LoraConfig, LoraKind, LoraScaling, LoraTargets, Precision,
    gguf::GgmlType,
};
use dpo_train::{
    Activations, BatchGradient, DropoutSeed, INFERENCE_TOKENS, LossSpec, MicroBatching, ReferenceLogps,
    rows_of,
};
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::{
    decoder_golden::{MODELS, load},
    program::{Run, Sandbox, tiny, train_args},
    support::{cpu, golden, json, tensors, values},
};

/// Pairs of a few tokens below 90, some of them the pad token.
fn trees() -> Vec<TokenTree> {
    six_pairs(|place, step, idx| (place * step + idx) % 90)
}

/// Pairs of a few tokens: of each its place in its text, the text's step, and the number of the pair.
pub fn six_pairs(id: impl Fn(usize, usize, usize) -> usize) -> Vec<TokenTree> {
    let tree = |idx: usize| {
        let ids = |n: usize, step: usize| (0..n).map(|place| id(place, step, idx) as u32).collect();
        TokenTree {
            row: RowId { file: 0, row: idx as u64 },
            prompt: ids(9 + idx % 4, 5),
            completions: vec![ids(5 + idx % 3, 7), ids(4 + idx % 5, 11)],
            relation: Relation::Pair,
            weight: 1.0,
            group: None,
        }
    };
    (0..6).map(tree).collect()
}

/// The gradient of a step of six pairs in two parts. The reference is another one than the policy, so that none is 0.
fn gradient(policy: &Decoder, activations: Activations, constant_token: Option<u32>) -> BatchGradient {
    let trees = trees();
    let reference = ReferenceLogps::computed(&trees, INFERENCE_TOKENS, &policy.valid().without_adapter());
    let loss = PairwiseLoss::Sigmoid { beta: 0.5, label_smoothing: 0.1 };
    let spec = LossSpec { constant_token, activations, ..LossSpec::new(Objective::Pairwise(loss)) };
    let parts = MicroBatching::Parts(NonZeroUsize::new(2).unwrap());
    let dropout = Some(DropoutSeed { seed: 3, step: 2 });
    spec.gradient(policy, &rows_of(&trees, Some(&reference)), parts, dropout, &|| false).unwrap()
}

#[track_caller]
fn assert_same_bits(policy: &Decoder, constant_token: Option<u32>, what: &str) {
    let kept = gradient(policy, Activations::Keep, constant_token);
    let again = gradient(policy, Activations::Recompute, constant_token);
    assert_eq!(again.scores.row_losses, kept.scores.row_losses, "{what}: losses");
    let infos = policy.parameters();
    assert_eq!((again.gradients.len(), kept.gradients.len()), (infos.len(), infos.len()), "{what}");
    for (info, (again, kept)) in infos.iter().zip(again.gradients.into_iter().zip(kept.gradients)) {
        let (again, kept) = (values(again), values(kept));
        assert!(kept.iter().any(|x| *x != 0.0), "{what}: the gradient of {} is 0", info.name);
        let same = again.iter().zip(&kept).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{what}: the gradient of {} is another one", info.name);
    }
}

/// Tied embeddings, learnt positions, biases, norms everywhere, windows, parallel blocks.
#[test]
fn every_model_has_the_same_gradient_when_its_blocks_are_computed_again() {
    for name in MODELS {
        assert_same_bits(&load(name, &cpu()).train(), None, name);
        assert_same_bits(&load(name, &cpu()).train(), Some(2), &format!("{name}, a constant token"));
        let rounded = load(name, &cpu()).with_precision(Precision::Bf16).train();
        assert_same_bits(&rounded, None, &format!("{name}, bf16"));
    }
}

/// Nothing else holds a sum, so that backends add the next micro-batch's gradient to it in place.
#[test]
fn sums_of_gradients_can_be_added_to_in_place() {
    let policy = load("llama_gqa_tied", &cpu()).train();
    for activations in [Activations::Keep, Activations::Recompute] {
        let sums = gradient(&policy, activations, None).gradients;
        assert!(sums.iter().all(Tensor::can_mut), "{activations:?}");
    }
}

/// An adapter that adds something already, and drops some of what it reads.
fn adapted(base: Decoder, kind: LoraKind, targets: LoraTargets) -> Decoder {
    let config =
        LoraConfig { rank: 3, alpha: 6.0, scaling: LoraScaling::ByRank, targets, dropout: 0.3, kind };
    let mut adapter = Adapter::new(config, base.config(), 5).unwrap();
    for module in &mut adapter.modules {
        module.up.iter_mut().enumerate().for_each(|(idx, x)| *x = ((idx * 7 % 11) as f32 - 5.0) * 0.01);
    }
    base.with_adapter(&adapter).unwrap().train()
}

#[test]
fn every_adapter_has_the_same_gradient_when_its_blocks_are_computed_again() {
    for name in MODELS {
        for kind in [LoraKind::Lora, LoraKind::Dora] {
            let policy = adapted(load(name, &cpu()), kind, LoraTargets::AllLinear);
            assert_same_bits(&policy, None, &format!("{name}, {kind:?}"));
        }
    }
}

/// Nothing below the adapter has a gradient, and some blocks above it have none of their own.
#[test]
fn adapters_of_some_blocks_have_the_same_gradient() {
    for pattern in
        [r".*layers\.0\..*", r".*layers\.2\..*", r".*layers\.4\..*", r".*layers\.[13]\..*down_proj"]
    {
        let targets = LoraTargets::Pattern(pattern.to_owned());
        assert_same_bits(&adapted(load("smollm3", &cpu()), LoraKind::Lora, targets), None, pattern);
    }
}

#[test]
fn an_adapter_on_a_packed_base_has_the_same_gradient() {
    let folder = golden("models/llama_gqa_tied");
    let config = HfConfig::read(&folder.join("config.json")).unwrap().decoder;
    let source = HfFolder::open(&folder).unwrap();
    for (ggml_type, precision) in [(GgmlType::Q8_0, Precision::F32), (GgmlType::Q4_0, Precision::Bf16)] {
        let base =
            Decoder::load_packed(&config, &source, &cpu(), ggml_type).unwrap().with_precision(precision);
        let policy = adapted(base, LoraKind::Dora, LoraTargets::AllLinear);
        assert_same_bits(&policy, None, &format!("{ggml_type:?}, {precision:?}"));
    }
}

/// Whole runs, and one that goes on the other way: the settings do not count as another run.
#[test]
fn a_run_is_the_same_with_and_without_and_goes_on_either_way() {
    let sandbox = Sandbox::new();
    let settings = "--max-steps 6 --batch-size 8 --save-every 3 --keep-checkpoints 0 --tokens-per-batch 400";
    let kept = sandbox.train("kept", &tiny(settings));
    let again = sandbox.train("again", &tiny(&format!("{settings} --recompute --threads 1")));
    again.outcome().assert_same(&kept.outcome(), "computed again");
    for (run, more) in [(&kept, "--recompute"), (&again, "--recompute=false")] {
        let checkpoint = run.dir.join("checkpoints/step-000003");
        let settings = tiny(&format!("{settings} --resume {} {more}", checkpoint.display()));
        let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run.dir, &settings);
        sandbox.run("train", &args).success();
        run.outcome().assert_same(&kept.outcome(), more);
    }
}

/// The tiny model with 16 blocks: its own three, over and over.
fn deep_model(sandbox: &Sandbox) -> PathBuf {
    let (from, to) = (golden("runs/model"), sandbox.path("deep"));
    std::fs::create_dir(&to).unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let mut config = json(from.join("config.json"));
    config["num_hidden_layers"] = json!(16);
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    let stored = tensors(&from.join("model.safetensors"));
    let copies = (0..16).flat_map(|layer: usize| {
        let prefix = format!("model.layers.{}.", layer % 3);
        let of_layer: Vec<_> = stored.iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        of_layer
            .into_iter()
            .map(move |(name, tensor)| (name.replace(&prefix, &format!("model.layers.{layer}.")), tensor))
    });
    let others = stored.iter().filter(|(name, _)| !name.starts_with("model.layers."));
    let all: Vec<_> = others.map(|(name, tensor)| (name.clone(), tensor)).chain(copies).collect();
    let views = all.iter().map(|(name, tensor)| {
        (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
    });
    std::fs::write(to.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    to
}

fn peak_bytes(run: &Run) -> Option<f64> {
    json(run.dir.join("run.json"))["cost"]["peak_memory_bytes"].as_f64()
}

/// The estimate of `cost … 0.42 activations`.
fn estimated_gib(run: &Run) -> f64 {
    let (before, _) = run.messages.split_once(" activations of").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// 16 blocks keep 7 times what 16 inputs and one block are; some 8,000 tokens of them are 400 MB.
#[test]
fn blocks_that_are_computed_again_take_less_memory() {
    let sandbox = Sandbox::new();
    let model = deep_model(&sandbox);
    let words = |n: usize| "word ".repeat(n);
    let pair = |idx: usize| {
        json!({ "prompt": words(100 + idx), "chosen": words(40), "rejected": words(41) }).to_string() + "\n"
    };
    let data = sandbox.file("long.jsonl", &(0..8).map(pair).collect::<String>());
    let train = |out: &str, more: &str| {
        let settings = tiny(&format!("--max-steps 1 --batch-size 8 --max-length 0 {more}"));
        sandbox.train_on(&model, Path::new(&data), out, &settings)
    };
    let (kept, again) = (train("kept", ""), train("again", "--recompute"));
    let (large, small) = (estimated_gib(&kept), estimated_gib(&again));
    assert!(large > 0.3 && small * 6.0 < large, "estimated: {small} GiB, not {large}");
    let parts = estimated_gib(&train("parts", "--tokens-per-batch 3000"));
    assert!((0.1..large / 2.0).contains(&parts), "estimated: {parts} GiB, not {large}");
    // Where the system does not tell it there is nothing to compare.
    let (Some(large), Some(small)) = (peak_bytes(&kept), peak_bytes(&again)) else { return };
    println!("peak: {:.0} MB kept, {:.0} MB computed again", large / 1e6, small / 1e6);
    assert!(small * 2.0 < large, "{small} bytes, not less than half of {large}");
}
