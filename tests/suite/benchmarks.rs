//! `dpo bench` as it is used: what it writes holds together, and what it cannot measure it says.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    program::{Ended, Sandbox, flags, paths},
    support::{golden, json, numbers},
};

fn bench(sandbox: &Sandbox, model: &Path, more: &str) -> Ended {
    let data = golden("runs/train_conv.json");
    let mut args = paths([("--model", model), ("--data", &data)]);
    args.extend(flags(more));
    sandbox.run("bench", &args)
}

/// The quartiles enclose the median.
fn assert_spread(spread: &Value) {
    let quartiles = numbers(&spread["quartiles"]);
    let median = spread["median"].as_f64().unwrap();
    assert!(0.0 < quartiles[0] && quartiles[0] <= median && median <= quartiles[1], "{spread}");
}

/// The parts of a step are the step; the pass over the reference is part of the longer start; an adapter is trained where
/// one is asked for.
#[test]
fn figures_of_steps_hold_together() {
    let sandbox = Sandbox::new();
    for (more, rank) in [("", Value::Null), ("--lora-rank 2", json!(2))] {
        let out = sandbox.path("figures.json");
        let more = format!("--steps 3 --batch-size 2 --threads 1 --out {} {more}", out.display());
        let ended = bench(&sandbox, &golden("runs/model"), &more).success();
        assert!(ended.out.contains("cold start"), "{}", ended.out);
        let figures = json(out);
        let number = |name: &str| figures[name].as_f64().unwrap();
        let parts = number("forward_share") + number("backward_share") + number("optimizer_share");
        assert!((parts - 1.0).abs() < 1e-9, "{figures}");
        assert!(number("cold_start_seconds") < number("cold_start_with_reference_seconds"), "{figures}");
        for spread in ["step_seconds", "step_pairs_per_second", "step_tokens_per_second"] {
            assert_spread(&figures[spread]);
        }
        let settings = ["lora_rank", "steps", "batch_size", "threads", "dtype"].map(|name| &figures[name]);
        assert_eq!(settings, [&rank, &json!(3), &json!(2), &json!(1), &json!("f32")]);
        assert!(number("peak_memory_bytes") > 1e6, "{figures}");
    }
}

/// As `dpo train` refuses it: an adapter on an adapter, and one of no width.
#[test]
fn an_adapter_that_cannot_be_trained_is_refused() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("adapter", "--lora-rank 2 --max-steps 1 --samples 0 --batch-size 2");
    for (model, rank, problem) in
        [(run.model(), 2, "the model is an adapter already"), (golden("runs/model"), 0, "`lora.rank` is 0")]
    {
        let refused = bench(&sandbox, &model, &format!("--lora-rank {rank}"));
        assert_eq!(refused.code, Some(2), "{}", refused.messages);
        assert!(refused.messages.contains(problem), "{}", refused.messages);
    }
}

/// Each point is what was asked for, has a memory of its own, and is in the picture.
#[test]
fn growth_measures_every_point() {
    let sandbox = Sandbox::new();
    let out = sandbox.path("bench");
    let mut args = flags(
        "growth --model 260K --pairs 1,2 --pair-length 16 --lengths 32 --models 260K,15M --model-pairs 3 \
         --steps 2 --warmup 0",
    );
    args.extend(paths([("--out", &out)]));
    let ended = sandbox.run("bench", &args).success();
    let growth = json(out.join("growth.json"));
    let tokens = |series: &str| -> Vec<u64> {
        growth[series].as_array().unwrap().iter().map(|point| point["tokens"].as_u64().unwrap()).collect()
    };
    // One pair and two of 16 tokens; one of 32; three of 16 for each model.
    assert_eq!(
        [tokens("pairs"), tokens("lengths"), tokens("models")],
        [vec![16, 32], vec![32], vec![48, 48]]
    );
    let models = growth["models"].as_array().unwrap();
    assert_eq!([&models[0]["parameters"], &models[1]["parameters"]], [&json!(260_032), &json!(15_191_712)]);
    models.iter().for_each(|point| assert_spread(&point["step_seconds"]));
    // AdamW in f32 is at least 12 bytes a parameter beside the gradient.
    let peak = |point: &Value| point["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak(&models[1]) > peak(&models[0]) + 12 * 15_000_000, "{growth}");
    let svg = std::fs::read_to_string(out.join("growth.svg")).unwrap();
    assert_eq!(svg.matches("class=\"dot\"").count(), 3 * 5, "time, speed and memory of five points");
    assert_eq!(ended.out.lines().count(), 6, "{}", ended.out);
}

/// A word that means nothing, a batch without pairs, a pair that is too short, a folder that cannot be.
#[test]
fn growth_says_what_is_wrong() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("file", "");
    let cases = [
        ("--models 7B", 2, "invalid value '7B'"),
        ("--pairs 1,0", 2, "at least 1"),
        ("--lengths 3", 2, "at least 4"),
        (&format!("--out {}/x", file.display()), 1, "cannot make"),
    ];
    for (wrong, code, problem) in cases {
        let ended = sandbox.run("bench", &flags(&format!("growth {wrong}")));
        assert_eq!(ended.code, Some(code), "{wrong}: {}", ended.messages);
        assert!(ended.messages.contains(problem), "{wrong}: {}", ended.messages);
    }
}
