//! The same numbers on a GPU as on the processor, of every backend that the program has beside `cpu`.
//!
//! `DPO_TEST_BACKENDS=wgpu` (or `wgpu,cuda`) says which have to be there; otherwise a backend that is not built in, or has
//! no adapter, is skipped aloud.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

use crate::{
    adapters::initial_adapter,
    program::{Run, Sandbox, flags, paths, tiny, train_args},
    support::{asset, golden, json, json_lines, tensors},
    training_golden,
};

/// How far a number on a GPU may lie from that of the processor, of the number or of 1.
const TOLERANCE: f64 = 1e-3;

/// Families whose attention differs: plain rows of heads, shared keys, windows and caps.
const MODELS: [&str; 3] = ["gpt2", "llama_gqa_tied", "gemma2"];

/// The backends to test.
fn backends() -> Vec<&'static str> {
    let demanded = std::env::var("DPO_TEST_BACKENDS").unwrap_or_default();
    let is_demanded = |backend: &str| demanded.split(',').any(|word| word.trim() == backend);
    ["wgpu", "cuda"].into_iter().filter(|backend| is_there(backend, is_demanded(backend))).collect()
}

/// Whether the program scores rows on a backend; a failure that is not for want of the backend is one of the test.
fn is_there(backend: &str, is_demanded: bool) -> bool {
    let ended = Sandbox::new().run("score", &score_args("llama_gqa_tied", backend, None));
    if ended.code == Some(0) {
        return true;
    }
    let is_absent = ["is not in this program", "no adapter was found", "there is no CUDA"]
        .iter()
        .any(|reason| ended.messages.contains(reason));
    assert!(is_absent && !is_demanded, "{backend}: {}", ended.messages);
    eprintln!("SKIPPED {backend}: {}", ended.messages.lines().last().unwrap_or_default());
    false
}

fn score_args(model: &str, backend: &str, out: Option<&Path>) -> Vec<std::ffi::OsString> {
    let folder = golden("models").join(model);
    let mut args = paths([("--model", &folder), ("--data", &folder.join("rows.jsonl"))]);
    args.extend(flags(&format!("--special-text parse --backend {backend}")));
    out.into_iter().for_each(|out| args.extend(paths([("--out", out)])));
    args
}

/// Log-probs of the completions of all rows.
fn logps(model: &str, backend: &str) -> Vec<f64> {
    let sandbox = Sandbox::new();
    let out = sandbox.path("scores.jsonl");
    sandbox.run("score", &score_args(model, backend, Some(&out))).success();
    let lines = json_lines(&std::fs::read_to_string(out).unwrap());
    let completions = lines.iter().flat_map(|line| line["completions"].as_array().unwrap());
    completions.map(|completion| completion["logp"].as_f64().unwrap()).collect()
}

/// Trains as a golden run did.
fn trained(sandbox: &Sandbox, name: &str, backend: &str, more: &str) -> Run {
    let golden_run = json(golden(&format!("runs/{name}.json")));
    let out = sandbox.path(backend);
    let text = format!("{} --backend {backend} {more}", training_golden::flags(&golden_run["options"]));
    let mut args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &out, &text);
    if name.starts_with("lora") {
        args.extend(paths([("--adapter", &initial_adapter(sandbox))]));
    }
    let messages = sandbox.run("train", &args).success().messages;
    Run { dir: out, messages }
}

fn assert_close(what: &str, found: f64, expected: f64) {
    let difference = (found - expected).abs();
    assert!(
        difference <= TOLERANCE * expected.abs().max(1.0),
        "{what}: {found}, on the processor {expected}"
    );
}

/// Every number of every step but its speed, and but the signs of margins that are nothing: those of a policy that is its reference yet.
fn assert_same_steps(what: &str, found: &[Value], expected: &[Value]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let is_nothing = expected["rewards/margins"].as_f64().is_some_and(|margin| margin.abs() < TOLERANCE);
        for (metric, expected) in expected.as_object().unwrap() {
            let is_sign = is_nothing && metric == "rewards/accuracies";
            if metric != "tokens_per_second" && !is_sign {
                let what = format!("{what}, step {}, {metric}", found["step"]);
                assert_close(&what, found[metric].as_f64().unwrap(), expected.as_f64().unwrap());
            }
        }
    }
}

#[test]
fn a_backend_scores_as_the_processor_does() {
    for backend in backends() {
        for model in MODELS {
            let (found, expected) = (logps(model, backend), logps(model, "cpu"));
            assert_eq!(found.len(), expected.len(), "{backend}, {model}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(&format!("{backend}, {model}"), *found, *expected);
            }
        }
    }
}

/// Ten steps: losses, gradient norms, log-probs and rewards, of all weights, of recomputed blocks, of an adapter, and of whole
/// distributions.
#[test]
fn a_backend_trains_as_the_processor_does() {
    for backend in backends() {
        for (name, more) in [("base_conv", ""), ("base_conv", "--recompute"), ("lora4", ""), ("tdpo", "")] {
            let sandbox = Sandbox::new();
            let expected = trained(&sandbox, name, "cpu", more).steps();
            let found = trained(&sandbox, name, backend, more).steps();
            assert_same_steps(&format!("{backend}, {name} {more}"), &found, &expected);
        }
    }
}

/// Products of rounded operands, which both round alike; an adapter that has no half precision says so.
#[test]
fn half_precision_is_that_of_the_processor() {
    for backend in backends() {
        let mut args = score_args("llama_gqa_tied", backend, None);
        args.extend(flags("--dtype f16"));
        let ended = Sandbox::new().run("score", &args);
        if ended.code != Some(0) {
            assert!(
                ended.messages.contains("`f16` is set, but the device has no such numbers"),
                "{}",
                ended.messages
            );
            eprintln!("SKIPPED {backend} in f16: {}", ended.messages.lines().last().unwrap_or_default());
            continue;
        }
        for (name, more) in [("base_conv", "--dtype f16"), ("lora4", "--dtype f16"), ("tdpo", "--dtype f16")]
        {
            let sandbox = Sandbox::new();
            let expected = trained(&sandbox, name, "cpu", more).steps();
            let found = trained(&sandbox, name, backend, more).steps();
            assert_same_steps(&format!("{backend}, {name} {more}"), &found, &expected);
        }
    }
}

/// The first steps of `dpo train` without a model and data, with its settings.
#[test]
fn the_built_in_experiment_begins_as_on_the_processor() {
    for backend in backends() {
        let sandbox = Sandbox::new();
        let steps = |backend: &str| {
            let settings = "--max-length 256 --learning-rate 6e-4 --batch-size 32 --max-steps 4 --samples 0 --save-every 0";
            let text = format!("{settings} --backend {backend}");
            let out = sandbox.path(backend);
            let args = train_args(&asset("model"), &asset("pairs/train.jsonl"), &out, &text);
            let messages = sandbox.run("train", &args).success().messages;
            Run { dir: out, messages }.steps()
        };
        assert_same_steps(&format!("{backend}, the experiment"), &steps(backend), &steps("cpu"));
    }
}

/// Words whose embedding, 64 numbers each, exceeds the 128 MiB which WebGPU promises for a buffer.
const MANY_WORDS: usize = 530_000;

/// The tiny model with so many words that its embedding, which is its head, is larger than that: the new ones are never read, but are in
/// every softmax.
fn with_many_words(sandbox: &Sandbox) -> PathBuf {
    let (from, to) = (golden("runs/model"), sandbox.path("many-words"));
    std::fs::create_dir(&to).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let mut config = json(from.join("config.json"));
    config["vocab_size"] = json!(MANY_WORDS);
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    let mut stored = tensors(&from.join("model.safetensors"));
    let embedding = stored.get_mut("model.embed_tokens.weight").unwrap();
    let (n_words, width) = (embedding.shape[0], embedding.shape[1]);
    embedding.shape[0] = MANY_WORDS;
    // As large as those of the model: −0.08 to 0.08, one after the other in steps of the golden ratio.
    let numbers = (0..(MANY_WORDS - n_words) * width).map(|idx| (idx as f64 * 0.618_033_988_75).fract());
    embedding.bytes.extend(numbers.flat_map(|number| ((number - 0.5) as f32 * 0.16).to_le_bytes()));
    let views = stored.iter().map(|(name, tensor)| {
        (name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), &tensor.bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();
    to
}

/// On an adapter whose buffers hold less, the embedding is in several tensors, and so is its head: as Mesa's software driver has it.
#[test]
fn an_embedding_larger_than_a_buffer_trains_as_on_the_processor() {
    for backend in backends() {
        let sandbox = Sandbox::new();
        let model = with_many_words(&sandbox);
        let steps = |backend: &str| {
            let text = tiny(&format!(
                "--loss tdpo --max-steps 2 --batch-size 2 --learning-rate 1e-3 --backend {backend}"
            ));
            let out = sandbox.path(backend);
            let args = train_args(&model, &golden("runs/train_conv.json"), &out, &text);
            let messages = sandbox.run("train", &args).success().messages;
            Run { dir: out, messages }.steps()
        };
        assert_same_steps(&format!("{backend}, many words"), &steps(backend), &steps("cpu"));
    }
}
