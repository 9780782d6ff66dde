//! What a run saves is a Hugging Face folder: what came in comes out, tuned.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::json;

use crate::{
    program::{Sandbox, paths, tiny},
    support::{golden, json, json_lines, tensors},
};

const COMPANIONS: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"];

/// The tiny model cut to bf16, with keys that no decoder reads, and with a copy of the embedding as its tied head.
fn bf16_copy(sandbox: &Sandbox) -> PathBuf {
    let (from, to) = (golden("runs/model"), sandbox.path("bf16"));
    std::fs::create_dir(&to).unwrap();
    for name in COMPANIONS {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let mut config = json(from.join("config.json"));
    config["dtype"] = json!("bfloat16");
    config["a_key_of_tomorrow"] = json!({ "nested": [1, 2.5, null] });
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    let mut stored = tensors(&from.join("model.safetensors"));
    let embedding = tensors(&from.join("model.safetensors")).remove("model.embed_tokens.weight").unwrap();
    stored.insert("lm_head.weight".to_owned(), embedding);
    // The upper half of an f32 is a bf16.
    let halves =
        |bytes: &[u8]| bytes.chunks_exact(4).flat_map(|four| [four[2], four[3]]).collect::<Vec<u8>>();
    let cut: Vec<_> =
        stored.iter().map(|(name, tensor)| (name, &tensor.shape, halves(&tensor.bytes))).collect();
    let views = cut.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::BF16, (*shape).clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();
    to
}

fn assert_same_companions(saved: &Path, base: &Path) {
    for name in COMPANIONS.iter().filter(|name| base.join(name).exists()) {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(saved) == read(base), "{name} is not the base's");
    }
    assert_eq!(json(saved.join("config.json")), json(base.join("config.json")), "config.json");
}

/// Names and shapes of what is stored.
fn shapes(folder: &Path) -> Vec<(String, Vec<usize>)> {
    let stored = tensors(&folder.join("model.safetensors"));
    stored.into_iter().map(|(name, tensor)| (name, tensor.shape)).collect()
}

/// Steps smaller than bfloat16 has digits for are rounded away, and the run says so; larger ones are kept, as all are in f32.
#[test]
fn a_run_says_when_rounding_takes_what_it_learnt() {
    let sandbox = Sandbox::new();
    let base = bf16_copy(&sandbox);
    let data = golden("runs/train_conv.json");
    for (name, base, rate, is_lost) in [
        ("small", base.clone(), "1e-6", true),
        ("large", base.clone(), "1e-2", false),
        ("f32", golden("runs/model"), "1e-6", false),
    ] {
        let flags = tiny(&format!("--max-steps 3 --warmup-steps 0 --learning-rate {rate}"));
        let said = sandbox.train_on(&base, &data, name, &flags).messages;
        let warned = said.contains("the model is written in bfloat16") && said.contains("rounded away");
        assert_eq!(warned, is_lost, "{name}: {said}");
    }
}

/// A base in bfloat16 leaves a model in float32 that has every digit, and one in float32 a model in bfloat16 that is the rounded
/// one; `config.json` says which, and an adapter has no choice.
#[test]
fn the_format_of_the_model_can_be_chosen() {
    let sandbox = Sandbox::new();
    let (bf16, data) = (bf16_copy(&sandbox), golden("runs/train_conv.json"));
    let train = |name: &str, base: &Path, more: &str| {
        let flags = tiny(&format!("--max-steps 3 --warmup-steps 0 --learning-rate 1e-6 {more}"));
        sandbox.train_on(base, &data, name, &flags)
    };
    let wide = train("wide", &bf16, "--save-dtype f32");
    assert!(!wide.messages.contains("rounded away"), "{}", wide.messages);
    assert_eq!(json(wide.model().join("config.json"))["dtype"], "float32");
    let (saved, base) = (tensors(&wide.weights()), tensors(&bf16.join("model.safetensors")));
    for (name, tensor) in &saved {
        assert_eq!(tensor.dtype, Dtype::F32, "{name}");
        // What training changed is below the digits that a bfloat16 has.
        assert!(tensor.bytes.chunks_exact(4).any(|four| four[..2] != [0, 0]), "{name}");
        assert_eq!(tensor.shape, base[name].shape, "{name}");
    }
    let narrow = train("narrow", &golden("runs/model"), "--save-dtype bf16");
    assert_eq!(json(narrow.model().join("config.json"))["dtype"], "bfloat16");
    assert!(tensors(&narrow.weights()).values().all(|tensor| tensor.dtype == Dtype::BF16));

    let flags = tiny("--max-steps 3 --lora-rank 2 --save-dtype f32");
    let args = crate::program::train_args(&golden("runs/model"), &data, &sandbox.path("adapter"), &flags);
    let refused = sandbox.run("train", &args);
    assert_ne!(refused.code, Some(0));
    assert!(refused.messages.contains("an adapter is written in float32"), "{}", refused.messages);
}

#[test]
fn a_model_comes_out_as_it_came_in() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("run", &tiny("--max-steps 3"));
    let base = golden("runs/model");
    assert_same_companions(&run.model(), &base);
    assert_eq!(shapes(&run.model()), shapes(&base));
    let bytes = std::fs::read(run.weights()).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    assert!(run.read("model/README.md").contains("BLAKE3"), "the card says what the model was made of");
}

/// A tied head is the embedding, and is left out even where the base stored it again.
#[test]
fn bf16_stays_bf16_unknown_keys_stay_and_a_tied_head_is_left_out() {
    let sandbox = Sandbox::new();
    let base = bf16_copy(&sandbox);
    let run = sandbox.train_on(&base, &golden("runs/train_conv.json"), "run", &tiny("--max-steps 5"));
    assert_same_companions(&run.model(), &base);
    let (saved, stored) = (tensors(&run.weights()), tensors(&base.join("model.safetensors")));
    assert!(stored.contains_key("lm_head.weight") && !saved.contains_key("lm_head.weight"));
    assert_eq!(saved.len() + 1, stored.len());
    for (name, tensor) in &saved {
        assert_eq!(tensor.dtype, Dtype::BF16, "{name}");
        assert_eq!(tensor.shape, stored[name].shape, "{name}");
        if tensor.shape.len() == 2 {
            assert!(tensor.bytes != stored[name].bytes, "{name} was trained");
        }
    }
}

#[test]
fn a_head_of_its_own_and_biases_are_kept_and_trained() {
    let sandbox = Sandbox::new();
    let base = golden("models/llama_untied_bias");
    let flags = "--batch-size 3 --max-steps 3 --learning-rate 1e-2 --warmup-steps 0 --samples 0";
    let run = sandbox.train_on(&base, &base.join("rows.jsonl"), "run", flags);
    assert_same_companions(&run.model(), &base);
    assert_eq!(shapes(&run.model()), shapes(&base));
    let (saved, stored) = (tensors(&run.weights()), tensors(&base.join("model.safetensors")));
    let trained = |name: &str| saved[name].bytes != stored[name].bytes;
    assert!(trained("lm_head.weight") && trained("model.layers.0.self_attn.q_proj.bias"));
}

/// The log-probs that the last evaluation saw are those of the model on the disk.
#[test]
fn the_saved_model_scores_as_the_trained_one_did() {
    let sandbox = Sandbox::new();
    let held_out = golden("runs/eval_conv.json");
    let run = sandbox.train("run", &tiny(&format!("--max-steps 6 --eval-data {}", held_out.display())));
    let args = paths([("--model", &run.model()), ("--data", &held_out)]);
    let lines = json_lines(&sandbox.run("score", &args).success().out);
    let last = json_lines(&run.read("eval.jsonl")).pop().unwrap();
    for (idx, side) in ["chosen", "rejected"].iter().enumerate() {
        let logps = lines.iter().map(|line| line["completions"][idx]["logp"].as_f64().unwrap());
        let mean = logps.sum::<f64>() / lines.len() as f64;
        let expected = last[format!("eval_logps/{side}")].as_f64().unwrap();
        assert!((mean - expected).abs() < 1e-4, "{side}: {mean}, not {expected}");
    }
}

#[test]
fn a_saved_model_is_a_base_to_train_again() {
    let sandbox = Sandbox::new();
    let flags = tiny("--max-steps 3");
    let first = sandbox.train("first", &flags);
    let second = sandbox.train_on(&first.model(), &golden("runs/train_conv.json"), "second", &flags);
    assert_eq!(second.series("loss")[0], f64::from(std::f32::consts::LN_2));
    assert_ne!(std::fs::read(first.weights()).unwrap(), std::fs::read(second.weights()).unwrap());
}
