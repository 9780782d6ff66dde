//! `dpo score` and `dpo eval` against the numbers of transformers and TRL.

use serde_json::Value;

use crate::{
    decoder_golden::MODELS,
    program::{Sandbox, flags, paths},
    support::{golden, ids, json, json_lines, numbers},
};

/// The golden has the chosen completions 1–3, then the rejected ones. Written-out special tokens are read as themselves:
/// `llama_pad_is_eos` has one in its prompts.
#[test]
fn scores_are_the_log_probs_of_transformers() {
    let sandbox = Sandbox::new();
    for name in MODELS {
        let folder = golden("models").join(name);
        let golden = json(folder.join("golden.json"));
        let mut args = paths([
            ("--model", &folder),
            ("--data", &folder.join("rows.jsonl")),
            ("--out", &sandbox.path("scores.jsonl")),
        ]);
        args.extend(flags("--special-text parse"));
        sandbox.run("score", &args).success();
        let lines = json_lines(&std::fs::read_to_string(sandbox.path("scores.jsonl")).unwrap());
        let expected = numbers(&golden["seq_logps"]);
        assert_eq!(lines.len(), 3, "{name}");
        for (idx, line) in lines.iter().enumerate() {
            let row = &golden["examples"][idx];
            assert_eq!(line["row"], idx, "{name}");
            assert_eq!(line["prompt_tokens"], ids(&row["prompt_ids"]).len(), "{name}");
            for (side, completion) in line["completions"].as_array().unwrap().iter().enumerate() {
                let n_tokens = ids(&row[["chosen_ids", "rejected_ids"][side]]).len();
                assert_eq!(completion["tokens"], n_tokens, "{name}, row {idx}");
                let (found, expected) = (completion["logp"].as_f64().unwrap(), expected[3 * side + idx]);
                assert!((found - expected).abs() < 2e-5, "{name}, row {idx}: {found}, not {expected}");
            }
        }
    }
}

/// GPT-2 has learnt 64 positions here; a text of more tokens has no log-prob, whatever limit is given.
#[test]
fn texts_beyond_learnt_positions_are_refused_with_their_row() {
    let sandbox = Sandbox::new();
    let words: Vec<String> = (0..70).map(|word| format!("t{}", 3 + word % 90)).collect();
    let row = serde_json::json!({ "prompt": words.join(" "), "chosen": " t5", "rejected": " t6" });
    let data = sandbox.file("long.jsonl", &format!("{row}\n"));
    for limit in ["", "--max-length 500"] {
        let mut args = paths([("--model", &golden("models/gpt2_relu")), ("--data", &data)]);
        args.extend(flags(limit));
        let ended = sandbox.run("score", &args);
        assert_eq!(ended.code, Some(1), "{}", ended.messages);
        assert!(
            ended.messages.contains("max_length 64: this model has learnt positions"),
            "{}",
            ended.messages
        );
    }
}

/// The weights that TRL ended with, held against those it started from: its evaluation after the last step.
#[test]
fn an_evaluation_has_the_names_and_numbers_of_trl() {
    let sandbox = Sandbox::new();
    let (base, tuned) = (golden("runs/model"), sandbox.path("tuned"));
    std::fs::create_dir(&tuned).unwrap();
    for entry in std::fs::read_dir(&base).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), tuned.join(entry.file_name())).unwrap();
    }
    std::fs::copy(golden("runs/base_conv.safetensors"), tuned.join("model.safetensors")).unwrap();
    let rows = golden("runs/eval_conv.json");
    let mut args = paths([("--model", &tuned), ("--reference", &base), ("--data", &rows)]);
    args.extend(flags("--json"));
    let found: Value = serde_json::from_str(&sandbox.run("eval", &args).success().out).unwrap();
    let golden = json(golden("runs/base_conv.json"));
    let expected = golden["eval"].as_object().unwrap();
    assert_eq!(expected.len(), 7);
    for (name, expected) in expected {
        let (found, expected) = (found[name].as_f64().unwrap_or(f64::NAN), expected.as_f64().unwrap());
        let tolerance = if name.contains("logps") { 1e-4 } else { 1e-5 };
        assert!((found - expected).abs() < tolerance, "{name} is {found}, not {expected}");
    }
    assert_eq!(found["n_pairs"], 12);
}

/// A model against itself: no margin anywhere, ln 2 to the last bit.
#[test]
fn a_model_is_no_better_than_itself() {
    let sandbox = Sandbox::new();
    let base = golden("runs/model");
    let rows = golden("runs/eval_plain.json");
    let mut args = paths([("--model", &base), ("--reference", &base), ("--data", &rows)]);
    args.extend(flags("--json"));
    let found: Value = serde_json::from_str(&sandbox.run("eval", &args).success().out).unwrap();
    assert_eq!(found["eval_loss"].as_f64(), Some(f64::from(std::f32::consts::LN_2)));
    assert_eq!(found["eval_rewards/margins"].as_f64(), Some(0.0));
}
