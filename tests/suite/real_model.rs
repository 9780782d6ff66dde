//! A real model: twenty steps on real human pairs, those of TRL, which take minutes on two cores, and its answers, those
//! of transformers. Runs where `DPO_SMOLLM2` names the GGUF file.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    program::{Sandbox, flags, paths, train_args},
    support::{golden, json, json_lines},
};

const FLAGS: &str = "--batch-size 4 --max-steps 20 --order sequential --learning-rate 1e-6 --warmup-steps 2 \
                     --max-length 512 --overlong keep_start --pad-gradient drop --samples 0 --save-every 0";

/// `$DPO_SHARED`, or `shared` beside the workspace.
fn shared() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("DPO_SHARED").map_or_else(beside, PathBuf::from)
}

/// What `DPO_SMOLLM2` names; says so where that is nothing.
fn model() -> Option<PathBuf> {
    let model = std::env::var_os("DPO_SMOLLM2").map(|path| absolute(Path::new(&path)));
    if model.is_none() {
        println!("skipped: DPO_SMOLLM2 names no model");
    }
    model
}

#[test]
fn smollm2_trains_on_human_pairs_as_in_trl() {
    let Some(model) = model() else { return };
    let data = shared().join("data/hh-harmless/train.conv.jsonl");
    if !data.is_file() {
        println!("skipped: {} is absent", data.display());
        return;
    }
    let sandbox = Sandbox::new();
    let args = train_args(&model, &absolute(&data), &sandbox.path("run"), FLAGS);
    let messages = sandbox.run("train", &args).success().messages;
    let run = crate::program::Run { dir: sandbox.path("run"), messages };
    let golden_run = json(golden("runs/smollm2_hh_20_steps.json"));
    let (steps, expected) = (run.steps(), golden_run["steps"].as_array().unwrap());
    assert_eq!(steps.len(), expected.len());
    for (found, expected) in steps.iter().zip(expected) {
        compare(found, expected);
    }
}

/// The program runs in a folder of its own.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compare(found: &Value, expected: &Value) {
    let close = |metric: &str, tolerance: f64| {
        let of = |value: &Value| value[metric].as_f64().unwrap();
        let (found, expected, step) = (of(found), of(expected), &expected["step"]);
        println!("step {step}: {metric} {found}, golden {expected}");
        assert!((found - expected).abs() <= tolerance, "step {step}: {metric} is {found}, not {expected}");
    };
    assert_eq!(found["step"], expected["step"]);
    close("loss", 2e-4);
    close("grad_norm", 0.01 * expected["grad_norm"].as_f64().unwrap());
    close("learning_rate", 1e-12);
    close("logps/chosen", 2e-2);
    close("logps/rejected", 2e-2);
    close("rewards/margins", 4e-3);
}

/// 64 tokens after a message and after a plain text, each the likeliest by a lead of 0.015 or more.
#[test]
fn smollm2_answers_as_in_transformers() {
    let Some(model) = model() else { return };
    let sandbox = Sandbox::new();
    for answer in json(golden("smollm2_greedy.json"))["answers"].as_array().unwrap() {
        let mut args = paths([("--model", &model)]);
        args.extend(["--prompt".into(), answer["prompt"].as_str().unwrap().into()]);
        args.extend(flags("--json --max-new-tokens 64"));
        args.extend(flags(if answer["is_chat"] == true { "" } else { "--plain" }));
        let found = json_lines(&sandbox.run("generate", &args).success().out);
        assert_eq!(found[0]["completion"], answer["completion"]);
        assert_eq!(found[0]["tokens"], 64);
    }
}
