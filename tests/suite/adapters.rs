//! Adapters: against TRL and PEFT's layout, and against themselves in every form they come in.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    program::{Run, Sandbox, flags, paths, tiny},
    support::{golden, json as read_json, json_lines, tensors},
};

const SETTINGS: &str = "--max-steps 6 --lora-rank 4 --learning-rate 1e-2 --warmup-steps 1";

fn data() -> PathBuf {
    golden("runs/train_conv.json")
}

fn base() -> PathBuf {
    golden("runs/model")
}

/// A folder as PEFT writes it, with TRL's initial adapter of the golden run.
pub fn initial_adapter(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.path("initial");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(golden("runs/lora4_initial.safetensors"), folder.join("adapter_model.safetensors"))
        .unwrap();
    let config = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none",
        "base_model_name_or_path": "somewhere/else", "use_dora": false, "modules_to_save": null, "rank_pattern": {},
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    });
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    folder
}

/// The log-probs of all completions of the data under a model, with flags for its adapters.
fn scores(sandbox: &Sandbox, model: &Path, more: &[(&str, &str)]) -> Vec<f64> {
    let mut args = paths([("--model", model), ("--data", &data())]);
    more.iter().for_each(|(flag, value)| args.extend([flag.into(), value.into()]));
    let out = sandbox.run("score", &args).success().out;
    let of_row = |row: &Value| {
        let completions = row["completions"].as_array().unwrap().clone();
        completions.into_iter().map(|completion| completion["logp"].as_f64().unwrap())
    };
    json_lines(&out).iter().flat_map(of_row).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn adapter_outcome(run: &Run) -> (Vec<Value>, Vec<u8>) {
    let mut steps = run.steps();
    steps.iter_mut().for_each(|step| {
        step.as_object_mut().unwrap().remove("tokens_per_second");
    });
    (steps, std::fs::read(run.model().join("adapter_model.safetensors")).unwrap())
}

/// The same numbers as a PEFT folder, as `--adapter`, at strength 1, as two halves, merged; at strength 0 the base's.
#[test]
fn an_adapter_says_the_same_in_every_form() {
    let sandbox = Sandbox::new();
    for kind in ["", "--rslora", "--dora"] {
        let out = format!("run{kind}");
        let run = sandbox.train_on(&base(), &data(), &out, &tiny(&format!("{SETTINGS} {kind}")));
        let folder = run.model();
        let adapter = folder.to_str().unwrap();
        let by_folder = scores(&sandbox, &folder, &[]);
        let by_flag = scores(&sandbox, &base(), &[("--adapter", adapter)]);
        assert_eq!(by_folder, by_flag, "{kind}");
        let plain = scores(&sandbox, &base(), &[]);
        assert!(largest_difference(&by_folder, &plain) > 1.0, "{kind}: the adapter does something");
        let merged = sandbox.path(&format!("merged{kind}"));
        let mut args = paths([("--model", &base()), ("--adapter", &folder), ("--out", &merged)]);
        args.extend(flags("--merge"));
        sandbox.run("export", &args).success();
        let difference = largest_difference(&scores(&sandbox, &merged, &[]), &by_folder);
        assert!(difference < 1e-3, "{kind}: merged scores differ by {difference}");
        if kind == "--dora" {
            continue;
        }
        assert_eq!(
            scores(&sandbox, &base(), &[("--adapter", adapter), ("--strength", "0")]),
            plain,
            "{kind}"
        );
        let half = format!("{adapter}:0.5");
        let halves = scores(&sandbox, &base(), &[("--adapter", &half), ("--adapter", &half)]);
        let difference = largest_difference(&halves, &by_folder);
        assert!(difference < 1e-3, "{kind}: two halves differ by {difference}");
        // A mixture is an adapter of its own, which can be read again.
        let mixture = sandbox.path(&format!("mixture{kind}"));
        let mut args = paths([("--model", &base()), ("--out", &mixture)]);
        args.extend(["--adapter", &half, "--adapter", &half].map(Into::into));
        sandbox.run("export", &args).success();
        let read = read_json(mixture.join("adapter_config.json"));
        assert_eq!((&read["r"], &read["lora_alpha"]), (&json!(8), &json!(8)), "{kind}");
        let difference = largest_difference(&scores(&sandbox, &mixture, &[]), &by_folder);
        assert!(difference < 1e-3, "{kind}: the mixture differs by {difference}");
    }
}

/// Dropout, batches in parts, any number of threads, and a stop in the middle: the same bits.
#[test]
fn a_run_with_dropout_is_reproducible_and_resumable() {
    let sandbox = Sandbox::new();
    let settings = tiny(&format!("{SETTINGS} --lora-dropout 0.2 --save-every 3 --keep-checkpoints 0"));
    let train =
        |out: &str, more: &str| sandbox.train_on(&base(), &data(), out, &format!("{settings} {more}"));
    let whole = train("whole", "--threads 1");
    assert!(adapter_outcome(&whole) == adapter_outcome(&train("again", "--threads 2")), "the same run again");
    let resumed = sandbox.path("again/checkpoints/step-000003");
    let steps = whole.steps();
    let again = sandbox.run("train", &{
        let mut args = paths([("--model", &base()), ("--data", &data()), ("--resume", &resumed)]);
        args.extend(flags(&settings));
        args
    });
    again.success();
    assert!(adapter_outcome(&whole) == adapter_outcome(&Run::at(sandbox.path("again"))), "the run resumed");
    let parts = train("parts", "--accumulate 2").steps();
    for (a, b) in steps.iter().zip(&parts) {
        let (a, b) = (a["loss"].as_f64().unwrap(), b["loss"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-4, "in parts: {b}, not {a}");
    }
    let without = sandbox.train_on(&base(), &data(), "without", &tiny(SETTINGS)).series("loss");
    assert!((without[5] - steps[5]["loss"].as_f64().unwrap()).abs() > 1e-5, "dropout does something");
}

/// A GGUF base stays in its blocks: the numbers are the same, so the run is too, up to the order of sums. The blocks
/// that a folder's matrices are put into cost accuracy, and less so with 8 bits than with 4.
#[test]
fn a_packed_base_trains_as_its_numbers_do() {
    let sandbox = Sandbox::new();
    let gguf = sandbox.path("base.gguf");
    let mut args = paths([("--model", &base()), ("--gguf", &gguf)]);
    args.extend(flags("--quant q8_0"));
    sandbox.run("export", &args).success();
    let train = |model: &Path, out: &str, more: &str| {
        sandbox.train_on(model, &data(), out, &tiny(&format!("{SETTINGS} {more}"))).series("loss")
    };
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let numbers = train(&gguf, "numbers", "");
    let blocks = train(&gguf, "blocks", "--base-quant q4");
    assert!(close(&numbers, &blocks) < 1e-4, "{numbers:?} {blocks:?}");
    let exact = train(&base(), "exact", "");
    let (eight, four) =
        (train(&base(), "eight", "--base-quant q8_0"), train(&base(), "four", "--base-quant q4"));
    // The tiny model's feed-forward layers are 112 wide, three and a half blocks.
    let said =
        sandbox.train_on(&base(), &data(), "said", &tiny(&format!("{SETTINGS} --base-quant q8_0"))).messages;
    assert!(said.contains("frozen matrices stay in float32"), "{said}");
    assert!(close(&exact, &eight) < close(&exact, &four), "{exact:?} {eight:?} {four:?}");
    assert_eq!((eight[0], four[0]), (exact[0], exact[0]), "the reference is the packed base itself");
}

/// PEFT's names and shapes, and nothing but them; the base is not written again.
#[test]
fn what_is_saved_is_a_peft_folder() {
    let sandbox = Sandbox::new();
    let flags = tiny(&format!("{SETTINGS} --lora-targets q_proj,down_proj --lora-alpha 12 --dora"));
    let run = sandbox.train_on(&base(), &data(), "run", &flags);
    let config = read_json(run.model().join("adapter_config.json"));
    assert_eq!(
        (&config["r"], &config["lora_alpha"], &config["use_dora"]),
        (&json!(4), &json!(12), &json!(true))
    );
    assert_eq!(config["target_modules"], json!(["q_proj", "down_proj"]));
    assert!(!run.model().join("model.safetensors").exists() && !run.model().join("config.json").exists());
    let found = tensors(&run.model().join("adapter_model.safetensors"));
    let layers = read_json(base().join("config.json"))["num_hidden_layers"].as_u64().unwrap() as usize;
    assert_eq!(found.len(), layers * 2 * 3);
    let of = |name: &str| found[&format!("base_model.model.model.layers.0.{name}")].shape.clone();
    assert_eq!(of("self_attn.q_proj.lora_A.weight"), [4, 64]);
    assert_eq!(of("self_attn.q_proj.lora_B.weight")[1], 4);
    assert_eq!(of("mlp.down_proj.lora_magnitude_vector"), [64]);
}

#[test]
fn adapters_that_do_not_fit_are_refused_by_name() {
    let sandbox = Sandbox::new();
    let adapter = initial_adapter(&sandbox);
    let other = golden("models/qwen3");
    let rows = other.join("rows.jsonl");
    let score = |model: &Path| {
        let args = paths([("--model", model), ("--data", &rows), ("--adapter", &adapter)]);
        sandbox.run("score", &args)
    };
    let refused = score(&other);
    assert_eq!(refused.code, Some(1));
    for part in [
        "does not fit this model",
        "somewhere/else",
        "self_attn.q_proj` is [96, 64] and the adapter's [64, 64]",
    ] {
        assert!(refused.messages.contains(part), "{}", refused.messages);
    }
    let gpt2 = score(&golden("models/gpt2"));
    assert!(gpt2.messages.contains("is not there; "), "{}", gpt2.messages);
    let edit = |key: &str, value: Value| {
        let mut config = read_json(adapter.join("adapter_config.json"));
        config[key] = value;
        std::fs::write(adapter.join("adapter_config.json"), config.to_string()).unwrap();
        let said = score(&base()).messages;
        config.as_object_mut().unwrap().remove(key);
        said
    };
    assert!(edit("modules_to_save", json!(["lm_head"])).contains("`modules_to_save` is set"));
    assert!(edit("modules_to_save", json!(null)).contains("row"));
    assert!(edit("peft_type", json!("IA3")).contains("`peft_type` is IA3"));
    edit("peft_type", json!("LORA"));
    assert!(edit("r", json!(8)).contains("has rank 4"));
}

#[test]
fn mistakes_in_an_adapters_settings_are_named() {
    let sandbox = Sandbox::new();
    let said = |more: &str| {
        let mut args = paths([("--model", &base()), ("--data", &data()), ("--out", &sandbox.path("run"))]);
        args.extend(flags(more));
        let ended = sandbox.run("train", &args);
        assert_ne!(ended.code, Some(0), "{more}");
        ended.messages
    };
    assert!(said("--lora-alpha 8").contains("no adapter is trained; set `lora.rank`"));
    assert!(said("--base-quant q4").contains("no adapter is trained; set `lora.rank`"));
    assert!(said("--lora-rank 0").contains("`lora.rank` is 0"));
    assert!(said("--lora-rank 4 --lora-dropout 1").contains("a share from 0 to below 1"));
    assert!(
        said("--lora-rank 4 --lora-targets query")
            .contains("`query` names no matrix of this model; there are q_proj")
    );
    assert!(said("--lora-rank 4 --lora-targets ,").contains("expected `all-linear`, names such as"));
    let export = sandbox.run("export", &{
        let mut args = paths([("--model", &base()), ("--out", &sandbox.path("out"))]);
        args.extend(flags("--quant q8_0"));
        args
    });
    assert_eq!(export.code, Some(2), "a setting of GGUF files without one: {}", export.messages);
    assert!(said("--lora-rank 4 --adapter x").contains("beside `lora.adapter`"));
    let adapter = initial_adapter(&sandbox);
    let export = sandbox.run("export", &paths([("--model", &adapter), ("--out", &adapter)]));
    assert_eq!(export.code, Some(1), "{}", export.messages);
}
