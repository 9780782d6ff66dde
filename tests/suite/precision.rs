//! Training with matrix products of rounded operands.

use serde_json::Value;

use crate::{
    program::{Run, Sandbox, flags, paths, tiny, train_args},
    support::{golden, json_lines},
};

const STEPS: &str = "--max-steps 10 --learning-rate 1e-3";

fn run(sandbox: &Sandbox, out: &str, more: &str) -> Run {
    sandbox.train(out, &tiny(&format!("{STEPS} {more}")))
}

/// How far two series lie apart, at most, as a share of the second.
fn largest_share(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs() / b.abs()).fold(0.0, f64::max)
}

/// Operands have 8 bits, or 11: losses and gradients follow those of f32, the closer the more there are, and are not the same. The
/// policy is its reference before the first step, to the bit.
#[test]
fn rounded_operands_train_as_f32_does() {
    for tuning in ["", "--lora-rank 4", "--lora-rank 4 --dora --base-quant q8_0"] {
        let sandbox = Sandbox::new();
        let exact = run(&sandbox, "f32", tuning);
        for (dtype, loss_bound, norm_bound) in [("bf16", 0.01, 0.05), ("f16", 0.001, 0.01)] {
            let rounded = run(&sandbox, dtype, &format!("{tuning} --dtype {dtype}"));
            assert_eq!(rounded.series("loss")[0], f64::from(2f32.ln()), "{tuning} in {dtype}");
            let shares = ["loss", "grad_norm"].map(|name| {
                let share = largest_share(&rounded.series(name), &exact.series(name));
                assert!(share > 0.0, "{tuning} in {dtype}: {name} is that of f32");
                share
            });
            let are_near = shares[0] < loss_bound && shares[1] < norm_bound;
            assert!(are_near, "{tuning} in {dtype}: loss and norm differ by {shares:?}");
        }
    }
}

/// The dtype is part of what a run computes.
#[test]
fn a_run_goes_on_in_its_own_dtype() {
    let sandbox = Sandbox::new();
    let whole = run(&sandbox, "whole", "--dtype bf16");
    let resumed = run(&sandbox, "stopped", "--dtype bf16 --save-every 4 --keep-checkpoints 0");
    let checkpoint = format!("--resume {}", resumed.dir.join("checkpoints/step-000004").display());
    let args = |dtype: &str| {
        let settings = tiny(&format!("{STEPS} --save-every 4 --keep-checkpoints 0 {checkpoint} {dtype}"));
        train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &resumed.dir, &settings)
    };
    let refused = sandbox.run("train", &args("--dtype f32"));
    assert_eq!(refused.code, Some(1), "{}", refused.messages);
    assert!(refused.messages.contains("model.dtype"), "{}", refused.messages);
    sandbox.run("train", &args("--dtype bf16")).success();
    resumed.outcome().assert_same(&whole.outcome(), "resumed in bf16");
}

/// A score in bf16 is another number, near that of f32; the same words of a run file and of transformers are taken.
#[test]
fn scores_can_be_had_in_bf16() {
    let sandbox = Sandbox::new();
    let score = |dtype: &str| {
        let files = [("--model", golden("runs/model")), ("--data", golden("runs/eval_conv.json"))];
        let mut args = paths(files.each_ref().map(|(flag, path)| (*flag, path.as_path())));
        args.extend(flags(&format!("--dtype {dtype}")));
        let lines = json_lines(&sandbox.run("score", &args).success().out);
        let logp = |line: &Value| line["completions"][0]["logp"].as_f64().unwrap();
        lines.iter().map(logp).collect::<Vec<f64>>()
    };
    let (exact, rounded) = (score("f32"), score("bfloat16"));
    assert_ne!(exact, rounded);
    assert!(largest_share(&rounded, &exact) < 0.01);
}
