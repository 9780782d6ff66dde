//! A batch computed in parts is the batch.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    program::{Run, Sandbox, tiny},
    support::{golden, json, weight_differences},
};

/// Losses agree to rounding; so do weights, but where a gradient is rounding alone and AdamW divides it by itself.
fn assert_same_training(whole: &Run, parts: &Run, what: &str) {
    // A norm adds up a hundred thousand squares: its rounding is larger.
    for (metric, tolerance) in [("loss", 1e-6), ("grad_norm", 1e-5)] {
        for (step, (a, b)) in whole.series(metric).into_iter().zip(parts.series(metric)).enumerate() {
            let difference = (a - b).abs() / a.max(1.0);
            assert!(difference < tolerance, "{what}, step {}: {metric} {b}, not {a}", step + 1);
        }
    }
    assert_eq!(whole.series("num_tokens"), parts.series("num_tokens"), "{what}: tokens");
    let differences = weight_differences(&parts.weights(), &whole.weights());
    let n_far = differences.iter().filter(|difference| **difference > 1e-6).count();
    let largest = differences.iter().copied().fold(0.0, f64::max);
    let n = differences.len();
    println!("{what}: {n_far} of {n} weights more than 1e-6 away, the farthest {largest:.1e}");
    assert!(n_far * 100 <= n, "{what}: {n_far} of {n} weights differ, by up to {largest:e}");
}

const PARTS: [&str; 4] =
    ["--accumulate 2", "--accumulate 4", "--tokens-per-micro-batch 300", "--tokens-per-micro-batch 1"];

#[test]
fn micro_batches_add_up_to_the_batch() {
    let sandbox = Sandbox::new();
    let flags = tiny("--max-steps 6 --learning-rate 1e-4");
    let whole = sandbox.train("whole", &flags);
    for (idx, parts) in PARTS.iter().enumerate() {
        let run = sandbox.train(&format!("parts-{idx}"), &format!("{flags} {parts}"));
        assert_same_training(&whole, &run, parts);
    }
}

/// Demonstrations of very different lengths: the chosen answers, every third one cut to its first letters.
fn demonstrations(sandbox: &Sandbox) -> std::path::PathBuf {
    let rows = json(golden("runs/train_conv.json"));
    let line = |(idx, row): (usize, &Value)| {
        let answer = row["chosen"][0]["content"].as_str().unwrap();
        let shown: String = answer.chars().take(if idx % 3 == 0 { 3 } else { 80 }).collect();
        let turns = [row["prompt"][0].clone(), json!({ "role": "assistant", "content": shown })];
        format!("{}\n", json!({ "messages": turns }))
    };
    let lines: String = rows.as_array().unwrap().iter().enumerate().map(line).collect();
    sandbox.file("demonstrations.jsonl", &lines)
}

fn train_sft(sandbox: &Sandbox, data: &Path, out: &str, flags: &str) -> Run {
    let flags = tiny(&format!("--loss sft {flags}"));
    sandbox.train_on(&golden("runs/model"), data, out, &flags)
}

/// The loss is the mean over all completion tokens of the batch, not of the parts' means.
#[test]
fn demonstrations_of_unequal_length_add_up_to_the_batch() {
    let sandbox = Sandbox::new();
    let data = demonstrations(&sandbox);
    let whole = train_sft(&sandbox, &data, "whole", "--max-steps 6 --learning-rate 1e-4");
    for (idx, parts) in PARTS.iter().enumerate() {
        let run = train_sft(
            &sandbox,
            &data,
            &format!("parts-{idx}"),
            &format!("--max-steps 6 --learning-rate 1e-4 {parts}"),
        );
        assert_same_training(&whole, &run, parts);
    }
}

#[test]
fn fine_tuning_on_demonstrations_lowers_their_loss() {
    let sandbox = Sandbox::new();
    let data = demonstrations(&sandbox);
    let losses = train_sft(&sandbox, &data, "run", "--epochs 3 --learning-rate 3e-3").series("loss");
    let (first, last) = (losses[0], losses[losses.len() - 4..].iter().sum::<f64>() / 4.0);
    assert!(last < 0.75 * first, "the loss went from {first} to {last}");
}
