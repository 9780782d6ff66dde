//! Several adapters on one base: each is what a single run makes, and the matrix is what `dpo eval` says.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    program::{Ended, Run, Sandbox, flags, paths},
    support::{golden, json as read_json},
};

/// Who said which answer is better: two by name, one by number.
fn annotators() -> [Value; 3] {
    [json!("ann"), json!("bo"), json!(7)]
}

/// The names of their variants, in order.
const NAMES: [&str; 3] = ["7", "ann", "bo"];

/// The rows of a golden file, each with its annotator.
fn rows(file: &str) -> Vec<Value> {
    let rows = read_json(golden(file)).as_array().unwrap().clone();
    let with_annotator = |(idx, mut row): (usize, Value)| {
        row["annotator"] = annotators()[idx % 3].clone();
        row
    };
    rows.into_iter().enumerate().map(with_annotator).collect()
}

fn write(sandbox: &Sandbox, name: &str, rows: &[Value]) -> PathBuf {
    sandbox.file(name, &Value::Array(rows.to_vec()).to_string())
}

/// The rows of one annotator.
fn rows_of(file: &str, name: &str) -> Vec<Value> {
    let is_of = |row: &Value| match &row["annotator"] {
        Value::String(text) => text == name,
        other => other.to_string() == name,
    };
    rows(file).into_iter().filter(is_of).collect()
}

const LORA: &str = "[lora]\nrank = 4\ndropout = 0.1\n[train]\nlearning_rate = 1e-2\nmax_steps = 6\nbatch_size = 4\n\
    warmup_steps = 1\n[eval]\nsamples = 0\n[run]\nsave_every = 2\nkeep_checkpoints = 0\n";

/// A file of variants by annotator.
fn by_annotator(sandbox: &Sandbox, name: &str, variants: &str) -> PathBuf {
    let data = write(sandbox, "train.json", &rows("runs/train_conv.json"));
    let eval = write(sandbox, "eval.json", &rows("runs/eval_conv.json"));
    let text = format!(
        "[model]\nbase = {:?}\n[data]\ntrain = {data:?}\neval = {eval:?}\n{LORA}[variants]\n{variants}",
        golden("runs/model")
    );
    sandbox.file(name, &text)
}

fn variants(sandbox: &Sandbox, file: &Path, out: &str, more: &str) -> Ended {
    let mut args = paths([("--config", file), ("--out", &sandbox.path(out))]);
    args.extend(flags(more));
    sandbox.run("variants", &args)
}

/// What must be the same bit by bit.
fn outcome(dir: PathBuf) -> (Vec<Value>, String, Vec<u8>) {
    let run = Run::at(dir);
    let mut steps = run.steps();
    steps.iter_mut().for_each(|step| {
        step.as_object_mut().unwrap().remove("tokens_per_second");
    });
    let adapter = std::fs::read(run.model().join("adapter_model.safetensors")).unwrap();
    (steps, run.read("eval.jsonl"), adapter)
}

fn assert_same(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (outcome(found.to_owned()), outcome(expected.to_owned()));
    assert_eq!(found.0, expected.0, "{what}: steps");
    assert_eq!(found.1, expected.1, "{what}: eval.jsonl");
    assert!(found.2 == expected.2, "{what}: the weights differ");
}

/// `config.toml` of a variant starts the same run again; and so do files with nothing but the rows of the group.
#[test]
fn a_variant_is_what_a_single_run_makes() {
    let sandbox = Sandbox::new();
    let file = by_annotator(&sandbox, "v.toml", "group = \"annotator\"\npooled = true\nkl_samples = 2\n");
    let said = variants(&sandbox, &file, "all", "").success();
    for name in ["7", "ann", "bo", "pooled"] {
        let dir = sandbox.path("all").join(name);
        for kept in ["config.toml", "run.json", "report.html", "data_report.json", "model/tokenizer.json"] {
            assert!(dir.join(kept).exists(), "{name} has no {kept}");
        }
        assert_eq!(read_json(dir.join("run.json"))["status"], "complete");
        let single = sandbox.path(&format!("single-{name}"));
        let config = dir.join("config.toml");
        sandbox.run("train", &paths([("--config", &config), ("--out", &single)])).success();
        assert_same(&dir, &single, name);
    }
    assert!(outcome(sandbox.path("all/ann")).2 != outcome(sandbox.path("all/bo")).2, "they differ");
    let pairs = rows_of("runs/train_conv.json", "7").len();
    assert!(said.messages.contains(&format!("variant    7: {pairs} rows to train on, 4 held out")));
}

/// A filter on a column is a file with fewer rows; dropout goes by the row's number, so it is off here.
#[test]
fn a_group_is_its_rows_and_nothing_else() {
    let sandbox = Sandbox::new();
    let file = by_annotator(&sandbox, "v.toml", "group = \"annotator\"\nkl_samples = 1\n");
    let text = std::fs::read_to_string(&file).unwrap().replace("dropout = 0.1\n", "");
    std::fs::write(&file, text).unwrap();
    variants(&sandbox, &file, "all", "").success();
    for name in NAMES {
        let data = write(&sandbox, "own.json", &rows_of("runs/train_conv.json", name));
        let eval = write(&sandbox, "own_eval.json", &rows_of("runs/eval_conv.json", name));
        let out = sandbox.path(&format!("own-{name}"));
        let model = golden("runs/model");
        let mut args =
            paths([("--model", &model), ("--data", &data), ("--eval-data", &eval), ("--out", &out)]);
        args.extend(flags(
            "--lora-rank 4 --learning-rate 1e-2 --max-steps 6 --batch-size 4 --warmup-steps 1 --samples 0",
        ));
        sandbox.run("train", &args).success();
        assert_same(&sandbox.path("all").join(name), &out, name);
    }
}
