//! Month after month: a lineage of models, old pairs trained on again, and what was forgotten.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    program::{Ended, Run, Sandbox, flags, paths},
    support::{golden, json as read_json, json_lines},
};

const TRAIN: &str = "--batch-size 4 --max-steps 6 --learning-rate 1e-2 --warmup-steps 1 --samples 0";

fn golden_rows(file: &str) -> Vec<Value> {
    read_json(golden(file)).as_array().unwrap().clone()
}

/// The pairs of month 1, 2 or 3: 24, 20 and 20 to train on, 4 held out each.
fn month(number: usize) -> (Vec<Value>, Vec<Value>) {
    let (start, end) = [(0, 24), (24, 44), (44, 64)][number - 1];
    let train = golden_rows("runs/train_conv.json")[start..end].to_vec();
    (train, golden_rows("runs/eval_conv.json")[4 * (number - 1)..4 * number].to_vec())
}

/// Its files, `train-1.json` and `eval-1.json`.
fn files(sandbox: &Sandbox, number: usize) -> [PathBuf; 2] {
    let (train, eval) = month(number);
    let file = |name: &str, rows: Vec<Value>| {
        sandbox.file(&format!("{name}-{number}.json"), &Value::Array(rows).to_string())
    };
    [file("train", train), file("eval", eval)]
}

fn first(sandbox: &Sandbox, more: &str) -> PathBuf {
    let [train, eval] = files(sandbox, 1);
    let out = sandbox.path("r1");
    let model = golden("runs/model");
    let mut args = paths([("--model", &model), ("--data", &train), ("--eval-data", &eval), ("--out", &out)]);
    args.extend(flags(&format!("{TRAIN} {more}")));
    sandbox.run("train", &args).success();
    out
}

fn round_args(sandbox: &Sandbox, number: usize, from: &Path, out: &str, more: &str) -> Vec<OsString> {
    let [train, eval] = files(sandbox, number);
    let out = sandbox.path(out);
    let mut args = paths([("--from", from), ("--data", &train), ("--eval-data", &eval), ("--out", &out)]);
    args.extend(flags(&format!("--kl-samples 3 {more}")));
    args
}

fn round(sandbox: &Sandbox, number: usize, from: &str, more: &str) -> Ended {
    let args = round_args(sandbox, number, &sandbox.path(from), &format!("r{number}"), more);
    sandbox.run("round", &args)
}

/// A round on a run whose rows were read while it was trained on them replays all of them that it came to, as a run does that read
/// them first; a file that was changed is named.
#[test]
fn a_streamed_run_is_gone_on_from() {
    let plain = Sandbox::new();
    let record = read_json(first(&plain, "").join("run.json"));
    for more in ["", "--stream-check all"] {
        let sandbox = Sandbox::new();
        let from = first(&sandbox, &format!("--stream --stream-buffer 8 --loss sigmoid {more}"));
        let said = round(&sandbox, 2, "r1", "--replay 1").success().messages;
        assert!(said.contains("replayed   24 of 24 pairs of round 1"), "{said}");
        assert!(!said.contains("nobody knows what its files were"), "{said}");
        let lineage = read_json(sandbox.path("r2/lineage.json"));
        assert_eq!(lineage["rounds"][0]["data"][0]["blake3"], record["data"][0]["blake3"]);
        assert!(!std::fs::read_to_string(sandbox.path("r2/config.toml")).unwrap().contains("stream"));
        let drift = read_json(sandbox.path("r2/drift.json"));
        assert_eq!(drift["held_out"].as_array().unwrap().len(), 2, "{drift}");

        std::fs::write(sandbox.path("train-1.json"), "[]").unwrap();
        let args = round_args(&sandbox, 3, &from, "again", "--replay 1");
        let changed = sandbox.run("round", &args).messages;
        assert!(changed.contains("its training pairs, has changed since"), "{changed}");
    }
}

/// Of 600 rows a run of two steps has read the first 256: those are drawn from, and the file is taken as it is today, which is said.
#[test]
fn a_stream_that_was_not_read_to_its_end_is_replayed_as_far_as_it_was() {
    let sandbox = Sandbox::new();
    let rows: Vec<Value> = (0..25).flat_map(|_| month(1).0).collect();
    let data = sandbox.file("long.json", &Value::Array(rows).to_string());
    let eval = files(&sandbox, 1)[1].clone();
    let (model, out) = (golden("runs/model"), sandbox.path("r1"));
    let mut args = paths([("--model", &model), ("--data", &data), ("--eval-data", &eval), ("--out", &out)]);
    let text = TRAIN.replace("--max-steps 6", "--max-steps 2");
    args.extend(flags(&format!("{text} --stream --stream-buffer 8 --loss sigmoid")));
    sandbox.run("train", &args).success();
    let said = round(&sandbox, 2, "r1", "--replay 0.25 --max-steps 1").success().messages;
    assert!(said.contains("nobody knows what its files were"), "{said}");
    assert!(said.contains(" of 256 pairs of round 1"), "{said}");
    let replayed = Run::at(sandbox.path("r2")).read("replay.jsonl").lines().count();
    assert!((40..90).contains(&replayed), "about a quarter of 256: {replayed}");
}

/// What `dpo eval` says of a model on some pairs.
fn eval(sandbox: &Sandbox, model: &Path, pairs: &Path) -> Value {
    let base = golden("runs/model");
    let mut args = paths([("--model", model), ("--reference", &base), ("--data", pairs)]);
    args.extend(flags("--json"));
    serde_json::from_str(&sandbox.run("eval", &args).success().out).unwrap()
}

#[test]
fn three_rounds_have_a_lineage() {
    let sandbox = Sandbox::new();
    first(&sandbox, "--lora-rank 4");
    let said = round(&sandbox, 2, "r1", "--replay 0.25").success().messages;
    assert!(said.contains("replayed   6 of 24 pairs of round 1"), "{said}");
    let said = round(&sandbox, 3, "r2", "--replay 0.25 --learning-rate 5e-3").success().messages;
    // Replayed pairs are not counted as the second month's own.
    assert!(said.contains("6 of 24 pairs of round 1") && said.contains("5 of 20 pairs of round 2"), "{said}");

    let lineage = read_json(sandbox.path("r3/lineage.json"));
    let rounds = lineage["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 3);
    let absolute =
        |name: &str| std::path::absolute(sandbox.path(name)).unwrap().to_string_lossy().into_owned();
    for (idx, round) in rounds.iter().enumerate() {
        let number = idx + 1;
        let run = format!("r{number}");
        let record = read_json(sandbox.path(&run).join("run.json"));
        assert_eq!(round["run"], absolute(&run));
        assert_eq!(round["created"], record["clock"]);
        assert_eq!(round["base"], rounds[0]["base"]);
        assert_eq!(round["base"]["name"], golden("runs/model").to_str().unwrap());
        let [data] = &round["data"].as_array().unwrap()[..] else { panic!("{}", round["data"]) };
        assert_eq!(data["path"], absolute(&format!("train-{number}.json")));
        assert_eq!(
            (&data["blake3"], &data["rows"]),
            (&record["data"][0]["blake3"], &json!(month(number).0.len()))
        );
        assert_eq!(round["held_out"][0]["path"], absolute(&format!("eval-{number}.json")));
        for digest in ["config", "model"] {
            assert_eq!(round[digest]["blake3"].as_str().unwrap().len(), 64, "{digest}");
        }
    }
    assert_eq!(rounds[0]["parent"], Value::Null);
    for idx in [1, 2] {
        assert_eq!(rounds[idx]["parent"]["name"], rounds[idx - 1]["run"]);
        assert_eq!(rounds[idx]["parent"]["blake3"], rounds[idx - 1]["model"]["blake3"]);
    }
    assert_eq!((&rounds[1]["replayed"], &rounds[2]["replayed"]), (&json!([6]), &json!([6, 5])));
    let earlier = read_json(sandbox.path("r2/lineage.json"));
    assert_eq!(earlier["rounds"].as_array().unwrap()[..], rounds[..2]);
    // The adapter goes on, and flags lie over the settings of the last round.
    let config = Run::at(sandbox.path("r3")).read("config.toml");
    assert!(config.contains(&format!("adapter = {:?}", sandbox.path("r2/model"))), "{config}");
    assert!(config.contains("learning_rate = 0.005") && config.contains("max_steps = 6"), "{config}");
}

/// The frozen adapter of the last round is the reference, and `config.toml` makes the same run again.
#[test]
fn a_round_is_a_run_on_top_of_the_last_model() {
    let sandbox = Sandbox::new();
    first(&sandbox, "--lora-rank 4");
    round(&sandbox, 2, "r1", "--replay 0.25").success();
    let run = Run::at(sandbox.path("r2"));
    assert_eq!(run.series("loss")[0], f64::from(std::f32::consts::LN_2));
    let config = run.dir.join("config.toml");
    let again = sandbox.path("again");
    sandbox.run("train", &paths([("--config", &config), ("--out", &again)])).success();
    let weights = |dir: &Path| std::fs::read(dir.join("model/adapter_model.safetensors")).unwrap();
    assert!(weights(&run.dir) == weights(&again), "the same bits");
    assert!(weights(&run.dir) != weights(&sandbox.path("r1")), "it was trained");
}

/// Every earlier month's pairs before and after, to the last bit.
#[test]
fn the_drift_is_what_eval_says_of_both_models() {
    let sandbox = Sandbox::new();
    first(&sandbox, "--lora-rank 4");
    round(&sandbox, 2, "r1", "").success();
    let ended = round(&sandbox, 3, "r2", "").success();
    let drift = read_json(sandbox.path("r3/drift.json"));
    assert_eq!((&drift["round"], &drift["to_base"]["kl_samples"]), (&json!(3), &json!(3)));
    let kl = |to: &str| drift[to]["kl"].as_f64().unwrap();
    assert!(kl("to_base") != 0.0 && kl("to_parent") != 0.0 && kl("to_base") != kl("to_parent"));
    let memories = drift["held_out"].as_array().unwrap();
    assert_eq!(memories.len(), 3);
    for (memory, number) in memories.iter().zip(1..) {
        assert_eq!(memory["round"], number);
        let pairs = sandbox.path(&format!("eval-{number}.json"));
        for (when, model) in [("before", "r2/model"), ("after", "r3/model")] {
            let said = eval(&sandbox, &sandbox.path(model), &pairs);
            assert_eq!(memory["n_pairs"], said["n_pairs"]);
            for (key, number) in memory[when].as_object().unwrap() {
                assert_eq!(number, &said[key], "{when}: {key}");
            }
        }
        let change =
            |key: &str| memory["after"][key].as_f64().unwrap() - memory["before"][key].as_f64().unwrap();
        assert!(ended.out.contains(&format!("{:+.3}", change("eval_rewards/margins"))), "{}", ended.out);
    }
    assert!(
        ended.out.contains("KL from the last round") && ended.out.contains("round 3, this one"),
        "{}",
        ended.out
    );
}

#[test]
fn what_is_replayed_is_drawn_from_the_seed() {
    let sandbox = Sandbox::new();
    let from = first(&sandbox, "--lora-rank 4");
    let replayed = |out: &str, more: &str| {
        sandbox.run("round", &round_args(&sandbox, 2, &from, out, more)).success();
        let path = sandbox.path(out).join("replay.jsonl");
        if path.exists() { std::fs::read_to_string(path).unwrap() } else { String::new() }
    };
    let quarter = replayed("a", "--replay 0.25");
    let old = month(1).0;
    let rows = json_lines(&quarter);
    assert_eq!(rows.len(), 6);
    for (idx, row) in rows.iter().enumerate() {
        assert!(old.contains(row), "row {idx} is a pair of month 1");
        assert!(!rows[..idx].contains(row), "row {idx} is there once");
    }
    assert_eq!(quarter, replayed("b", "--replay 0.25"));
    assert_ne!(quarter, replayed("c", "--replay 0.25 --seed 7"));
    assert_eq!(replayed("d", "--replay 0"), "");
    assert_eq!(json_lines(&replayed("e", "--replay 1")), old);
    let trained = read_json(sandbox.path("a/data_report.json"))["train"]["rows_kept"].clone();
    assert_eq!(trained, 26);
}

/// A share that was held out of an old round stays out of the new one.
#[test]
fn held_out_prompts_are_never_replayed() {
    let sandbox = Sandbox::new();
    let [train, _] = files(&sandbox, 1);
    let model = golden("runs/model");
    let mut args = paths([("--model", &model), ("--data", &train), ("--out", &sandbox.path("r1"))]);
    args.extend(flags(&format!("{TRAIN} --lora-rank 4 --heldout 0.3")));
    sandbox.run("train", &args).success();
    let report = read_json(sandbox.path("r1/data_report.json"));
    let held_out: Vec<usize> = report["train"]["causes"]["held_out"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["row"].as_u64().unwrap() as usize)
        .collect();
    assert!(!held_out.is_empty());
    let [train, _] = files(&sandbox, 2);
    let mut args =
        paths([("--from", &sandbox.path("r1")), ("--data", &train), ("--out", &sandbox.path("r2"))]);
    args.extend(flags("--replay 1 --kl-samples 1"));
    sandbox.run("round", &args).success();
    let replayed = json_lines(&Run::at(sandbox.path("r2")).read("replay.jsonl"));
    assert_eq!(replayed.len(), 24 - held_out.len());
    for row in held_out {
        assert!(!replayed.contains(&month(1).0[row - 1]), "row {row} was held out");
    }
    let drift = read_json(sandbox.path("r2/drift.json"));
    let sizes: Vec<&Value> = drift["held_out"].as_array().unwrap().iter().map(|m| &m["n_pairs"]).collect();
    let this = &read_json(sandbox.path("r2/data_report.json"))["eval"]["heldout"]["rows_kept"];
    assert_eq!(sizes, [&report["eval"]["heldout"]["rows_kept"], this]);
}

/// Of the old pairs, those of another group and those whose prompts the new round holds out are not drawn.
#[test]
fn nothing_is_replayed_that_the_round_would_not_train_on() {
    let sandbox = Sandbox::new();
    let rows = month(1).0.into_iter().enumerate().map(|(idx, mut row)| {
        row["who"] = json!(["ann", "bob"][idx % 2]);
        row
    });
    let data = sandbox.file("groups.json", &Value::Array(rows.collect()).to_string());
    let (model, first) = (golden("runs/model"), sandbox.path("r1"));
    let mut args = paths([("--model", &model), ("--data", &data), ("--out", &first)]);
    args.extend(flags(&format!("{TRAIN} --lora-rank 2 --heldout 0.4 --column group=who --only-group ann")));
    sandbox.run("train", &args).success();
    let round = |out: &str, more: &str| {
        let mut args = paths([("--from", &first), ("--data", &data), ("--out", &sandbox.path(out))]);
        args.extend(flags(&format!("--replay 1 --kl-samples 1 --max-steps 1 {more}")));
        let said = sandbox.run("round", &args).success().messages;
        let kept =
            read_json(sandbox.path(out).join("data_report.json"))["train"]["rows_kept"].as_u64().unwrap();
        (said, kept, read_json(sandbox.path(out).join("lineage.json"))["rounds"][1]["replayed"].clone())
    };
    let (said, _, replayed) = round("bob", "--only-group bob");
    assert!(!said.contains("replayed   "), "{said}");
    assert_eq!(replayed, json!([0]));
    // Its own pairs once, and all of them once more: a larger share is held out of both alike.
    let (_, kept, replayed) = round("larger", "--heldout 0.7");
    assert_eq!(replayed[0].as_u64().unwrap() * 2, kept);
}

/// Of the 24 old pairs those of more than 120 tokens are too long for the new round: what is drawn are others, and all of them
/// are trained on.
#[test]
fn what_is_too_long_for_a_round_is_not_replayed() {
    let sandbox = Sandbox::new();
    first(&sandbox, "--lora-rank 2");
    let said = round(&sandbox, 2, "r1", "--replay 1 --max-steps 1 --max-length 120").success().messages;
    let report = read_json(sandbox.path("r2/data_report.json"));
    let replayed = read_json(sandbox.path("r2/lineage.json"))["rounds"][1]["replayed"][0].as_u64().unwrap();
    assert!(0 < replayed && replayed < 24, "{said}");
    let overlong = report["train"]["causes"]["overlong"]["rows"].as_array().unwrap();
    assert!(overlong.iter().all(|row| row["file"] == 0), "{overlong:?}");
    let files = report["train"]["files"].as_array().unwrap();
    assert_eq!(files[1]["rows"], replayed);
}

/// A base that was kept in blocks is kept in blocks.
#[test]
fn a_round_keeps_its_base_in_the_blocks_of_the_last() {
    let sandbox = Sandbox::new();
    first(&sandbox, "--lora-rank 2 --base-quant q4");
    round(&sandbox, 2, "r1", "").success();
    assert!(Run::at(sandbox.path("r2")).read("config.toml").contains("base_quant = \"q4\""));
}

/// All weights are trained, held against the last model or against what the first round started from.
#[test]
fn rounds_of_whole_models_choose_their_reference() {
    let sandbox = Sandbox::new();
    let from = first(&sandbox, "");
    let run = |out: &str, more: &str| {
        sandbox.run("round", &round_args(&sandbox, 2, &from, out, more)).success();
        Run::at(sandbox.path(out))
    };
    let previous = run("r2", "--replay 0");
    assert_eq!(previous.series("loss")[0], f64::from(std::f32::consts::LN_2));
    let base = run("base", "--replay 0 --reference base");
    assert_ne!(base.series("loss")[0], f64::from(std::f32::consts::LN_2));
    assert!(base.read("config.toml").contains(&format!("reference = {:?}", golden("runs/model"))));
    assert_eq!(read_json(base.dir.join("lineage.json"))["rounds"][1]["reference"], "base");
    let drift = read_json(previous.dir.join("drift.json"));
    let said = eval(&sandbox, &previous.model(), &sandbox.path("eval-1.json"));
    assert_eq!(drift["held_out"][0]["after"]["eval_rewards/margins"], said["eval_rewards/margins"]);
}

#[test]
fn a_finished_round_is_measured_again_and_nothing_else() {
    let sandbox = Sandbox::new();
    first(&sandbox, "--lora-rank 4");
    round(&sandbox, 2, "r1", "").success();
    let drift = read_json(sandbox.path("r2/drift.json"));
    let again = round(&sandbox, 2, "r1", "");
    assert_eq!(again.code, Some(1));
    assert!(again.messages.contains("holds a run already"), "{}", again.messages);
    std::fs::remove_file(sandbox.path("r2/drift.json")).unwrap();
    let resumed = round(&sandbox, 2, "r1", "--resume auto").success().messages;
    assert!(resumed.contains("r2 is trained"), "{resumed}");
    assert_eq!(read_json(sandbox.path("r2/drift.json")), drift);
    let other = round(&sandbox, 2, "r1", "--resume auto --replay 0.5");
    assert!(
        other.messages.contains("other pairs than those that would be replayed now"),
        "{}",
        other.messages
    );
}

#[test]
fn what_is_missing_or_changed_is_named_before_anything_is_trained() {
    let sandbox = Sandbox::new();
    let from = first(&sandbox, "--lora-rank 4");
    let said = |more: &str| {
        let ended = round(&sandbox, 2, "r1", more);
        assert_ne!(ended.code, Some(0), "{more}");
        assert!(!sandbox.path("r2").exists(), "{more}: something was written");
        ended.messages
    };
    for (more, claim) in [
        ("--reference other", "[possible values: previous, base]"),
        ("--model x", "a round goes on with the model of the last one"),
        ("--replay 2", "expected a share from 0 to 1"),
        ("--loss sft", "its loss is `sft`; give another with --loss"),
        ("--lora-rank 4", "`lora.rank` is set beside `lora.adapter`"),
        ("--beta -1", "--beta: `loss.beta` is -1; expected a number above 0"),
    ] {
        let text = said(more);
        assert!(text.contains(claim), "{more}: {text}");
    }
    let dry = round(&sandbox, 2, "r1", "--dry-run").success();
    assert!(dry.messages.contains("nothing written") && !sandbox.path("r2").exists());

    let train = sandbox.path("train-1.json");
    let moved = sandbox.path("moved.json");
    std::fs::rename(&train, &moved).unwrap();
    let [_, eval] = ["train", "eval"].map(|name| sandbox.path(&format!("{name}-1.json")));
    let text = said("");
    let claim = "train-1.json, its training pairs, is missing; put it back, or train on no old pairs with `--replay 0`";
    assert!(text.contains("round 1: ") && text.contains(claim), "{text}");
    std::fs::write(&train, "[]").unwrap();
    assert!(said("").contains("train-1.json, its training pairs, has changed since: its BLAKE3 is"));
    std::fs::rename(&moved, &train).unwrap();
    std::fs::rename(&eval, &moved).unwrap();
    assert!(said("").contains("eval-1.json, its held-out pairs, is missing; put it back"));
    std::fs::rename(&moved, &eval).unwrap();

    round(&sandbox, 2, "r1", "").success();
    let adapter = sandbox.path("r2/model/adapter_model.safetensors");
    let mut bytes = std::fs::read(&adapter).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&adapter, bytes).unwrap();
    let text = round(&sandbox, 3, "r2", "").messages;
    assert!(text.contains("this is not the model that round 2 made"), "{text}");
    let unfinished = sandbox.run("round", &round_args(&sandbox, 2, &from.join("model"), "x", ""));
    assert!(unfinished.messages.contains("run.json"), "{}", unfinished.messages);
}
