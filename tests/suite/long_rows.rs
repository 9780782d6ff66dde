//! Rows longer than a model with learnt positions can compute: whatever command reads them, they become what `overlong`
//! says, and are counted.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    program::{Ended, Sandbox, flags, paths},
    support::{golden, json as read_json},
};

/// What becomes of a row of 72 tokens, how many of the 4 held-out pairs are left, and what it is counted as.
const OUTCOMES: [(&str, u64, &str); 2] = [("drop", 3, "overlong"), ("truncate", 4, "prompt_cut")];

const LIMIT: &str = "max_length 64: this model has learnt positions for so many tokens";

/// A GPT-2 that has learnt 64 positions.
fn model() -> PathBuf {
    golden("models/gpt2_relu")
}

/// Pairs of a few tokens, the second of 72.
fn pairs(n_pairs: usize) -> String {
    let pair = |idx: usize| {
        let n_words = if idx == 1 { 70 } else { 5 };
        let words: Vec<String> = (0..n_words).map(|word| format!("t{}", 3 + (7 * idx + word) % 90)).collect();
        json!({ "prompt": words.join(" "), "chosen": " t5 t9", "rejected": " t6 t8" })
    };
    (0..n_pairs).fold(String::new(), |lines, idx| format!("{lines}{}\n", pair(idx)))
}

/// The files `train` and `eval`.
fn files(sandbox: &Sandbox) -> [PathBuf; 2] {
    [sandbox.file("train.jsonl", &pairs(9)), sandbox.file("eval.jsonl", &pairs(4))]
}

/// The held-out pairs of a run that are left, and how many of them this happened to.
fn counted(report: &Value, cause: &str) -> (u64, u64) {
    let set = &report["eval"]["eval"];
    (set["rows_kept"].as_u64().unwrap(), set["causes"][cause]["count"].as_u64().unwrap_or(0))
}

#[test]
fn variants_take_no_longer_rows_than_their_base_has_positions() {
    let sandbox = Sandbox::new();
    let [train, eval] = files(&sandbox);
    let run = |overlong: &str| {
        let text = format!(
            "[model]\nbase = {:?}\n[data]\ntrain = {train:?}\neval = {eval:?}\noverlong = {overlong:?}\n[lora]\nrank = 2\n\
             [train]\nmax_steps = 2\nbatch_size = 4\n[eval]\nsamples = 1\nsample_tokens = 4\n[variants]\nkl_samples = 4\n\
             [[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nloss.beta = 0.3\n",
            model()
        );
        let file = sandbox.file("v.toml", &text);
        sandbox.run("variants", &paths([("--config", &file), ("--out", &sandbox.path(overlong))]))
    };
    for (overlong, kept, cause) in OUTCOMES {
        let said = run(overlong).success().messages;
        assert_eq!(said.matches(LIMIT).count(), 1, "{said}");
        let report = read_json(sandbox.path(overlong).join("a/data_report.json"));
        assert_eq!(counted(&report, cause), (kept, 1), "{overlong}");
        let matrix = read_json(sandbox.path(overlong).join("variants.json"));
        assert_eq!(matrix["columns"][0]["n_pairs"], kept, "{overlong}");
    }
    assert_refused(&run("refuse"));
    assert!(!sandbox.path("refuse").exists(), "something was written");
}

#[test]
fn a_round_takes_no_longer_rows_than_its_model_has_positions() {
    let sandbox = Sandbox::new();
    let [train, eval] = files(&sandbox);
    let run = |command: &str, from: (&str, &Path), out: &str, more: &str| {
        let out = sandbox.path(out);
        let mut args = paths([from, ("--data", &train), ("--eval-data", &eval), ("--out", &out)]);
        args.extend(flags(more));
        sandbox.run(command, &args)
    };
    for (overlong, kept, cause) in OUTCOMES {
        let [first, second] = ["1", "2"].map(|number| format!("{overlong}-{number}"));
        let settings = "--lora-rank 2 --max-steps 2 --batch-size 4 --samples 1 --sample-tokens 4";
        let settings = format!("{settings} --overlong {overlong}");
        run("train", ("--model", &model()), &first, &settings).success();
        let from = sandbox.path(&first);
        let said = run("round", ("--from", &from), &second, "--replay 1 --kl-samples 4").success().messages;
        assert_eq!(said.matches(LIMIT).count(), 1, "{said}");
        let report = read_json(sandbox.path(&second).join("data_report.json"));
        assert_eq!(counted(&report, cause), (kept, 1), "{overlong}");
        let drift = read_json(sandbox.path(&second).join("drift.json"));
        let sizes: Vec<&Value> =
            drift["held_out"].as_array().unwrap().iter().map(|m| &m["n_pairs"]).collect();
        assert_eq!(sizes, [kept, kept], "{overlong}");
        assert_refused(&run("round", ("--from", &from), "refuse", "--replay 0 --overlong refuse"));
    }
}

/// The message has the limit and the row.
#[track_caller]
fn assert_refused(ended: &Ended) {
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    assert!(ended.messages.contains(LIMIT) && ended.messages.contains("row 2"), "{}", ended.messages);
}

/// The policy has no learnt positions; its reference has 64, and this row has 73 tokens with the one that ends it.
#[test]
fn a_reference_with_fewer_positions_is_refused() {
    let sandbox = Sandbox::new();
    let [train, eval] = files(&sandbox);
    let (policy, reference) = (golden("models/gpt_neox_sequential"), model());
    let named = [("--model", policy.as_path()), ("--reference", reference.as_path()), ("--data", &eval)];
    let refused = sandbox.run("eval", &paths(named));
    let says = "row 2 has 73 tokens; the reference `";
    assert_eq!(refused.code, Some(1), "{}", refused.messages);
    assert!(refused.messages.contains(says), "{}", refused.messages);
    let mut args = paths([named[0], named[1], ("--data", &train), ("--out", &sandbox.path("run"))]);
    args.extend(flags("--max-steps 1 --samples 0"));
    for more in ["", "--dry-run"] {
        let mut args = args.clone();
        args.extend(flags(more));
        let refused = sandbox.run("train", &args);
        assert_eq!(refused.code, Some(1), "{}", refused.messages);
        assert!(refused.messages.contains(says), "{}", refused.messages);
        assert!(!sandbox.path("run").exists(), "it is said before anything is written");
    }
}
