//! A batch computed in parts is the batch.

use std::{num::NonZeroUsize, path::Path};

use dpo_core::{Objective, PairwiseLoss};
use dpo_data::{Relation, RowId, TokenTree};
use dpo_train::{INFERENCE_TOKENS, LossSpec, ReferenceLogps, rows_of};
use serde_json::{Value, json};

use crate::{
    decoder_golden::load,
    program::{Run, Sandbox, paths, tiny},
    support::{asset, cpu, golden, json, json_lines, weight_differences},
};

/// Losses agree to rounding; so do weights, but where a gradient is rounding alone and AdamW divides it by itself.
pub fn assert_same_training(whole: &Run, parts: &Run, what: &str) {
    // What prompts have in common is computed once for all texts of a part, so that its gradient is summed in another order in
    // each; AdamW makes weights of that for some steps. A norm adds up a hundred thousand squares: its rounding is larger.
    for (metric, tolerance) in [("loss", 5e-6), ("grad_norm", 1e-5)] {
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

pub const PARTS: [&str; 4] =
    ["--accumulate 2", "--accumulate 4", "--tokens-per-batch 300", "--tokens-per-batch 1"];

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

/// Rows of 20 to 60 tokens, all at once and sorted into ever smaller micro-batches: the same numbers to the bit, in the order of the
/// rows; with nothing in common, and behind tokens that all of them begin with and that are computed once for a micro-batch.
#[test]
fn rows_keep_their_places_however_they_are_sorted() {
    [0, 1, 70].into_iter().for_each(rows_keep_their_places_behind);
}

fn rows_keep_their_places_behind(n_common: usize) {
    let model = load("llama_gqa_tied", &cpu());
    let tree = |idx: usize| {
        let ids =
            |n: usize, step: usize| (0..n).map(|place| (3 + (place * step + idx) % 90) as u32).collect();
        let n_prompt = 10 + idx * 7 % 30;
        TokenTree {
            row: RowId { file: 0, row: idx as u64 },
            prompt: [vec![7; n_common], ids(n_prompt, 5)].concat(),
            completions: vec![ids(5 + idx % 11, 7), ids(5 + idx % 5, 11)],
            relation: Relation::Pair,
            weight: 1.0,
            group: None,
        }
    };
    let trees: Vec<TokenTree> = (0..24).map(tree).collect();
    let reference = ReferenceLogps::computed(&trees, INFERENCE_TOKENS, &model);
    let rows = rows_of(&trees, Some(&reference));
    let loss = PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 };
    let loss = LossSpec::new(Objective::Pairwise(loss));
    let of = |max_tokens: usize| loss.scores(&model, &rows, NonZeroUsize::new(max_tokens).unwrap());
    let whole = of(10_000);
    let different = whole.pairs.windows(2).filter(|pair| pair[0].policy_chosen != pair[1].policy_chosen);
    assert_eq!(different.count(), 23, "every row has numbers of its own");
    for max_tokens in [1, 64, 100, 300] {
        let parts = of(max_tokens);
        assert_eq!(parts.row_losses, whole.row_losses, "{max_tokens}");
        assert_eq!(parts.loss, whole.loss, "{max_tokens}");
        assert_eq!(format!("{:?}", parts.pairs), format!("{:?}", whole.pairs), "{max_tokens}");
        assert_eq!(parts.n_tokens, whole.n_tokens, "{max_tokens}");
        let limit = NonZeroUsize::new(max_tokens).unwrap();
        let small = ReferenceLogps::computed(&trees, limit, &model);
        (0..24).for_each(|row| assert_eq!(small.row(row), reference.row(row), "{max_tokens}, row {row}"));
    }
}

/// The first rows of a file of many have the numbers that they have alone.
#[test]
fn scores_come_out_in_the_order_of_the_rows() {
    let sandbox = Sandbox::new();
    let text = std::fs::read_to_string(asset("pairs/heldout.jsonl")).unwrap();
    let first = |n: usize| text.lines().take(n).fold(String::new(), |text, line| text + line + "\n");
    let lines = |name: &str, n: usize| {
        let file = sandbox.file(name, &first(n));
        let args = paths([("--model", &asset("model")), ("--data", &file)]);
        json_lines(&sandbox.run("score", &args).success().out)
    };
    let all = lines("all.jsonl", 150);
    let n_tokens = |line: &Value| {
        let completions =
            line["completions"].as_array().unwrap().iter().map(|one| one["tokens"].as_u64().unwrap());
        line["prompt_tokens"].as_u64().unwrap() + completions.sum::<u64>()
    };
    assert!(all.iter().map(n_tokens).sum::<u64>() > 4096, "they fill more than two micro-batches");
    assert!(
        !all.is_sorted_by_key(|line| std::cmp::Reverse(n_tokens(line))),
        "some short row comes before a long one"
    );
    let rows: Vec<u64> = all.iter().map(|line| line["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, (0..150).collect::<Vec<_>>());
    assert_eq!(lines("some.jsonl", 9), all[..9]);
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
