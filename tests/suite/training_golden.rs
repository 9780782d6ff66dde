//! Ten steps of training, number by number those of TRL.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    adapters::initial_adapter,
    program::{Run, Sandbox, paths, train_args},
    support::{golden, json, numbers, tensors, weight_differences},
};

/// How far a metric of a step may lie from the golden one. Log-probs are sums of some sixty f32 of which each has an
/// error of 1e-7 times the logits; rewards are their differences times β.
const TOLERANCES: [(&str, f64); 8] = [
    ("learning_rate", 1e-12),
    ("epoch", 1e-12),
    ("rewards/chosen", 5e-5),
    ("rewards/rejected", 5e-5),
    ("rewards/accuracies", 1e-12),
    ("rewards/margins", 5e-5),
    ("logps/chosen", 1e-3),
    ("logps/rejected", 1e-3),
];

/// The flags that say what the golden's options say.
pub fn flags(options: &Value) -> String {
    let number = |name: &str| options[name].as_f64();
    let parts = number("gradient_accumulation_steps").unwrap_or(1.0);
    let batch = number("per_device_train_batch_size").unwrap() * parts;
    let mut flags = format!(
        "--order sequential --overlong keep_start --pad-gradient drop --samples 0 --batch-size {batch} --accumulate {parts}"
    );
    let named = [
        ("max_steps", "max-steps"),
        ("max_length", "max-length"),
        ("learning_rate", "learning-rate"),
        ("warmup_steps", "warmup-steps"),
        ("weight_decay", "weight-decay"),
        ("max_grad_norm", "max-grad-norm"),
        ("beta", "beta"),
        ("ref_model_sync_steps", "reference-update-every"),
        ("ref_model_mixup_alpha", "reference-mix"),
        ("tdpo_alpha", "tdpo-alpha"),
    ];
    for (option, flag) in named {
        if let Some(value) = number(option) {
            flags += &format!(" --{flag} {value}");
        }
    }
    flags += &format!(" --schedule {}", options["lr_scheduler_type"].as_str().unwrap());
    if let Some(loss) = options["loss_type"][0].as_str() {
        flags += &format!(" --loss {loss}");
    }
    flags
}

fn data(set: &str, format: &str) -> PathBuf {
    golden(&format!("runs/{set}_{format}.json"))
}

/// Trains as the golden run did, and compares every step and the evaluation at the end.
fn train(name: &str, sandbox: &Sandbox) -> (Value, Run) {
    let golden_run = json(golden(&format!("runs/{name}.json")));
    let format = golden_run["format"].as_str().unwrap();
    let out = sandbox.path("run");
    let mut args =
        train_args(&golden("runs/model"), &data("train", format), &out, &flags(&golden_run["options"]));
    if name.starts_with("lora") {
        args.extend(paths([("--adapter", &initial_adapter(sandbox))]));
    }
    args.extend(paths([("--eval-data", &data("eval", format))]));
    let messages = sandbox.run("train", &args).success().messages;
    let run = Run { dir: out, messages };
    let steps = run.steps();
    let expected = golden_run["steps"].as_array().unwrap();
    assert_eq!(steps.len(), expected.len());
    for (found, expected) in steps.iter().zip(expected) {
        compare_step(name, found, expected);
    }
    compare_evaluation(name, &run, &golden_run["eval"]);
    (golden_run, run)
}

fn compare_step(run: &str, found: &Value, expected: &Value) {
    let step = expected["step"].as_u64().unwrap();
    let of =
        |value: &Value, metric: &str| value[metric].as_f64().unwrap_or_else(|| panic!("{run}: no {metric}"));
    let close = |metric: &str, tolerance: f64| {
        let (found, expected) = (of(found, metric), of(expected, metric));
        let difference = (found - expected).abs();
        assert!(difference <= tolerance, "{run}, step {step}: {metric} is {found}, not {expected}");
    };
    assert_eq!(found["step"].as_u64(), Some(step));
    close("loss", if step <= 3 { 1e-5 } else { 1e-4 });
    close("grad_norm", 1e-3 * of(expected, "grad_norm"));
    TOLERANCES.iter().for_each(|(metric, tolerance)| close(metric, *tolerance));
}

fn compare_evaluation(run: &str, found: &Run, expected: &Value) {
    let lines = crate::support::json_lines(&found.read("eval.jsonl"));
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((first["step"].as_u64(), last["step"].as_u64()), (Some(0), Some(10)));
    for (name, expected) in expected.as_object().unwrap() {
        let metric = name.strip_prefix("eval_").unwrap();
        let tolerance = if metric.starts_with("logps/") { 1e-3 } else { 1e-4 };
        let (found, expected) = (last[name].as_f64().unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() <= tolerance, "{run}: {name} is {found}, not {expected}");
    }
}

/// AdamW divides by the root of a gradient's square: where that is rounding alone, rounding decides a whole step.
fn assert_nearly_all_are_close(run: &str, differences: &[f64]) {
    let n_far = differences.iter().filter(|difference| **difference > 1e-6).count();
    let largest = differences.iter().copied().fold(0.0, f64::max);
    let n = differences.len();
    println!("{run}: {n_far} of {n} final weights lie more than 1e-6 away, the farthest by {largest:.1e}");
    assert!(100 * n_far <= n, "{run}: {n_far} of {n} final weights lie more than 1e-6 away");
}

/// The first and last values of each final weight, and its norm.
fn compare_slices(name: &str, weights: &Path, expected: &Value) {
    let found = tensors(weights);
    let expected = expected.as_object().unwrap();
    assert_eq!(found.len(), expected.len(), "{name}: as many tensors");
    let mut differences = Vec::new();
    for (tensor, expected) in expected {
        let values = found[tensor].f32();
        let (head, tail) = (numbers(&expected["head"]), numbers(&expected["tail"]));
        let start = values.len() - tail.len();
        let ours = values[..head.len()].iter().chain(&values[start..]);
        differences.extend(ours.zip(head.iter().chain(&tail)).map(|(a, b)| (f64::from(*a) - b).abs()));
        let norm = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let expected_norm = expected["l2"].as_f64().unwrap();
        assert!(
            (norm / expected_norm - 1.0).abs() < 1e-5,
            "{name}, {tensor}: norm {norm}, not {expected_norm}"
        );
    }
    assert_nearly_all_are_close(name, &differences);
}

fn check(name: &str) {
    let sandbox = Sandbox::new();
    let (golden_run, run) = train(name, &sandbox);
    compare_slices(name, &run.weights(), &golden_run["final"]);
}

#[test]
fn conversations_train_as_in_trl_down_to_every_weight() {
    let sandbox = Sandbox::new();
    let (_, run) = train("base_conv", &sandbox);
    let differences = weight_differences(&run.weights(), &golden("runs/base_conv.safetensors"));
    assert_nearly_all_are_close("base_conv", &differences);
}

#[test]
fn plain_texts_train_as_in_trl() {
    check("base_plain");
}

#[test]
fn cosine_schedule_weight_decay_and_accumulation_are_those_of_trl() {
    check("cosine_wd_accum2");
}

#[test]
fn a_small_clipping_norm_trains_as_in_trl() {
    check("clip");
}

#[test]
fn a_reference_computed_beforehand_trains_as_in_trl() {
    check("precompute");
}

/// Mixed after steps 4 and 8; the evaluation is held against the last mixture.
#[test]
fn a_reference_that_follows_the_policy_trains_as_in_trl() {
    check("tr_dpo");
}

/// The loss alone is not TRL's: TDPO's, put into its trainer.
#[test]
fn tdpo_trains_as_in_the_trainer_that_was_given_it() {
    check("tdpo");
}

/// From TRL's initial adapter, down to every weight of its last one.
#[test]
fn an_adapter_trains_as_in_trl() {
    let sandbox = Sandbox::new();
    let (_, run) = train("lora4", &sandbox);
    let found = run.model().join("adapter_model.safetensors");
    let differences = weight_differences(&found, &golden("runs/lora4_final.safetensors"));
    let far = differences.iter().filter(|difference| **difference > 1e-5).count();
    assert!(100 * far <= differences.len(), "{far} of {} lie more than 1e-5 away", differences.len());
}

#[test]
fn ipo_trains_as_in_trl() {
    check("ipo");
}

/// Prompts of 64 tokens drop their row, longer completions lose their end: 37 of 64 rows are left.
#[test]
fn rows_cut_to_length_train_as_in_trl() {
    let sandbox = Sandbox::new();
    let (golden_run, run) = train("truncate", &sandbox);
    compare_slices("truncate", &run.weights(), &golden_run["final"]);
    let report = json(run.dir.join("data_report.json"));
    assert_eq!(golden_run["rows_kept"], 37);
    assert!(run.messages.contains("64 read, 37 kept, 27 dropped"), "{}", run.messages);
    assert_eq!(report["train"]["rows_read"], 64);
}
