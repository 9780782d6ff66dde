//! Several adapters on one base: each is what a single run makes, and the matrix is what `dpo eval` says.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    program::{Ended, Run, Sandbox, flags, paths},
    support::{golden, json as read_json, json_lines},
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

/// A path as TOML has it.
fn text_of(path: &Path) -> String {
    format!("{:?}", path.to_str().unwrap())
}

/// The rows of one annotator.
fn rows_of(file: &str, name: &str) -> Vec<Value> {
    let is_of = |row: &Value| {
        let annotator = &row["annotator"];
        annotator.as_str().map_or_else(|| annotator.to_string(), str::to_owned) == name
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
        "[model]\nbase = {}\n[data]\ntrain = {}\neval = {}\n{LORA}[variants]\n{variants}",
        text_of(&golden("runs/model")),
        text_of(&data),
        text_of(&eval)
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

/// A step of each in turn comes to what each comes to alone; and the matrix is drawn from the same numbers.
#[test]
fn the_order_of_the_steps_changes_nothing() {
    let sandbox = Sandbox::new();
    let group = "group = \"annotator\"\npooled = true\nkl_samples = 2\n";
    let in_turn = by_annotator(&sandbox, "a.toml", group);
    variants(&sandbox, &in_turn, "in-turn", "").success();
    let interleaved = by_annotator(&sandbox, "b.toml", &format!("{group}order = \"interleaved\"\n"));
    variants(&sandbox, &interleaved, "interleaved", "").success();
    for name in ["7", "ann", "bo", "pooled"] {
        assert_same(&sandbox.path("interleaved").join(name), &sandbox.path("in-turn").join(name), name);
    }
    for file in ["variants.json", "variants.svg", "variants.html"] {
        let read = |out: &str| std::fs::read_to_string(sandbox.path(out).join(file)).unwrap();
        assert_eq!(read("interleaved"), read("in-turn"), "{file}");
    }
}

/// Starts, and interrupts when `sign` was said.
fn interrupted(sandbox: &Sandbox, file: &Path, out: &str, sign: &str) -> (Option<i32>, String) {
    let args = paths([("--config", file), ("--out", &sandbox.path(out))]);
    let mut command = sandbox.command("variants", &args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap());
    let mut heard = String::new();
    while !heard.contains(sign) {
        assert!(messages.read_line(&mut heard).unwrap() > 0, "never said {sign}: {heard}");
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    messages.read_to_string(&mut heard).unwrap();
    (child.wait().unwrap().code(), heard)
}

/// Long enough to be stopped on the way.
fn long(sandbox: &Sandbox, name: &str, variants: &str) -> PathBuf {
    let file = by_annotator(sandbox, name, variants);
    let text = std::fs::read_to_string(&file).unwrap().replace("max_steps = 6", "max_steps = 60");
    std::fs::write(&file, text).unwrap();
    file
}

#[cfg(unix)]
#[test]
fn an_interrupted_call_goes_on_where_it_was() {
    let sandbox = Sandbox::new();
    let file = long(&sandbox, "v.toml", "group = \"annotator\"\nkl_samples = 1\n");
    let (code, heard) = interrupted(&sandbox, &file, "all", "ann: step 4: checkpoint");
    assert_eq!(code, Some(130), "{heard}");
    assert!(heard.contains("go on with the same command and `--resume auto`"), "{heard}");
    let dir = sandbox.path("all");
    assert!(dir.join("7/model").exists() && !dir.join("ann/model").exists() && !dir.join("bo").exists());
    let finished =
        std::fs::metadata(dir.join("7/model/adapter_model.safetensors")).unwrap().modified().unwrap();

    let again = variants(&sandbox, &file, "all", "");
    assert_eq!(again.code, Some(1));
    assert!(again.messages.contains("holds a run already; go on with it with `--resume auto`"));

    let resumed = variants(&sandbox, &file, "all", "--resume auto").success().messages;
    assert!(resumed.contains("7 is complete") && resumed.contains("resuming from"), "{resumed}");
    let still = std::fs::metadata(dir.join("7/model/adapter_model.safetensors")).unwrap().modified().unwrap();
    assert_eq!(finished, still, "a finished variant is left alone");
    variants(&sandbox, &file, "whole", "").success();
    for name in NAMES {
        assert_same(&dir.join(name), &sandbox.path("whole").join(name), name);
    }
    let matrix = |out: &str| read_json(sandbox.path(out).join("variants.json"));
    assert_eq!(matrix("all"), matrix("whole"));
}

#[cfg(unix)]
#[test]
fn interleaved_variants_are_all_saved_when_stopped() {
    let sandbox = Sandbox::new();
    let file = long(&sandbox, "v.toml", "group = \"annotator\"\nkl_samples = 1\norder = \"interleaved\"\n");
    let (code, heard) = interrupted(&sandbox, &file, "all", "bo: step 4: checkpoint");
    assert_eq!(code, Some(130), "{heard}");
    for name in NAMES {
        assert!(sandbox.path("all").join(name).join("checkpoints/step-000004").is_dir(), "{name}");
        let status = read_json(sandbox.path("all").join(name).join("run.json"))["status"].clone();
        assert!(status.as_str().unwrap().starts_with("interrupted after step"), "{status}");
    }
    variants(&sandbox, &file, "all", "--resume auto").success();
    variants(&sandbox, &file, "whole", "").success();
    for name in NAMES {
        assert_same(&sandbox.path("all").join(name), &sandbox.path("whole").join(name), name);
    }
}

/// To the last bit: the same pairs, the same reference, the same β.
#[test]
fn the_matrix_is_what_eval_says_of_each_adapter() {
    let sandbox = Sandbox::new();
    let (base, eval) = (golden("runs/model"), |name: &str| rows_of("runs/eval_conv.json", name));
    let train = write(&sandbox, "train.json", &rows("runs/train_conv.json"));
    let files = NAMES.map(|name| write(&sandbox, &format!("eval-{name}.json"), &eval(name)));
    let mut text =
        format!("[model]\nbase = {base:?}\n[data]\ntrain = {train:?}\n{LORA}[variants]\nkl_samples = 2\n");
    let betas = [0.1, 0.3, 0.1];
    for ((name, file), beta) in NAMES.iter().zip(&files).zip(betas) {
        text += &format!("[[variant]]\nname = \"{name}\"\ndata.eval = {file:?}\nloss.beta = {beta:?}\n");
    }
    let ended = variants(&sandbox, &sandbox.file("v.toml", &text), "all", "").success();
    let matrix = read_json(sandbox.path("all/variants.json"));
    let rows = matrix["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for (row, beta) in rows.iter().zip([0.1].into_iter().chain(betas)) {
        let name = row["variant"].as_str().unwrap();
        let model = if name == "base" { base.clone() } else { sandbox.path("all").join(name).join("model") };
        for (cell, file) in row["cells"].as_array().unwrap().iter().zip(&files) {
            let mut args = paths([("--model", &model), ("--reference", &base), ("--data", file)]);
            args.extend(flags(&format!("--json --beta {beta}")));
            let said: Value = serde_json::from_str(&sandbox.run("eval", &args).success().out).unwrap();
            for (key, number) in said.as_object().unwrap() {
                assert_eq!(&cell[key], number, "{name} on {}: {key}", file.display());
            }
            assert_eq!(cell["kl_samples"], 2);
            assert_eq!(cell["kl"] == 0.0, name == "base", "{name} has moved: {cell}");
        }
    }
    let shown = &rows[1]["cells"][2]["eval_rewards/margins"].as_f64().unwrap();
    assert!(ended.out.contains(&format!("{shown:+.3}")), "{}", ended.out);
}

/// Whose prompts are held out is the same for all: nobody trains on what anybody is measured on.
/// Whoever wrote rows that are all too long is named, with none of them.
#[test]
fn a_group_whose_rows_are_all_too_long_is_named() {
    let sandbox = Sandbox::new();
    let mut rows = rows("runs/train_conv.json");
    let long = "many words about nothing ".repeat(40);
    rows[0]["annotator"] = json!("verbose");
    rows[0]["prompt"][0]["content"] = json!(long);
    let data = write(&sandbox, "train.json", &rows);
    let text = format!(
        "[model]\nbase = {:?}\n[data]\ntrain = {data:?}\nheldout = 0.3\nmax_length = 512\n{LORA}[variants]\ngroup = \"annotator\"\n\
         min_rows = 5\nkl_samples = 1\n",
        golden("runs/model")
    );
    let file = sandbox.file("v.toml", &text);
    let said = variants(&sandbox, &file, "all", "--dry-run").success().messages;
    assert!(said.contains("left out   verbose: none of its rows can be trained on"), "{said}");
}

#[test]
fn a_share_is_held_out_of_everybody_where_no_pairs_are_named() {
    let sandbox = Sandbox::new();
    let mut rows = rows("runs/train_conv.json");
    rows.iter_mut().skip(50).for_each(|row| row["annotator"] = json!(null));
    rows[0]["annotator"] = json!("<solo>");
    let data = write(&sandbox, "train.json", &rows);
    let base = golden("runs/model");
    let text = |data_keys: &str| {
        format!(
            "[model]\nbase = {base:?}\n[data]\ntrain = {data:?}\n{data_keys}{LORA}[variants]\ngroup = \"annotator\"\n\
             pooled = true\nmin_rows = 5\nkl_samples = 1\n"
        )
    };
    let file = sandbox.file("v.toml", &text("heldout = 0.3\n"));
    let said = variants(&sandbox, &file, "all", "").success();
    for claim in ["left out   <solo>: 1 rows to train on, `variants.min_rows` is 5", "rows have no group"] {
        assert!(said.messages.contains(claim), "{}", said.messages);
    }
    let numbers = |name: &str, set: &Value, cause: &str| -> Vec<u64> {
        let rows = set["causes"][cause]["rows"].as_array().unwrap_or_else(|| panic!("{name} {cause}"));
        rows.iter().map(|row| row["row"].as_u64().unwrap()).collect()
    };
    let report = |name: &str| read_json(sandbox.path("all").join(name).join("data_report.json"));
    let pooled = report("pooled");
    let held_out = numbers("pooled", &pooled["train"], "held_out");
    assert!((10..30).contains(&held_out.len()), "{}", held_out.len());
    assert_eq!(pooled["train"]["rows_kept"].as_u64().unwrap() as usize + held_out.len(), 64);
    assert_eq!(pooled["eval"]["heldout"]["rows_kept"].as_u64().unwrap() as usize, held_out.len());
    for name in NAMES {
        let own = numbers(name, &report(name)["train"], "held_out");
        assert!(!own.is_empty() && own.iter().all(|row| held_out.contains(row)), "{name}");
    }
    let matrix = read_json(sandbox.path("all/variants.json"));
    assert_eq!(matrix["left_out"], json!([{ "group": "<solo>", "rows": 1, "min_rows": 5 }]));
    let columns: Vec<&Value> = matrix["columns"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(columns, NAMES.iter().map(|name| json!(name)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    let page = std::fs::read_to_string(sandbox.path("all/variants.html")).unwrap();
    assert!(page.contains("&lt;solo&gt; was left out") && !page.contains("<solo>"));

    let dry = |text: &str| variants(&sandbox, &sandbox.file("d.toml", text), "default", "--dry-run");
    let unlucky = dry(&text("")).messages;
    assert!(
        unlucky.contains("no held-out pair; raise `data.heldout` (0.1 where nothing is named)"),
        "{unlucky}"
    );
    rows.iter_mut().for_each(|row| row["annotator"] = json!("ann"));
    write(&sandbox, "train.json", &rows);
    let default = dry(&text("")).success().messages;
    assert!(
        default.contains("held out   a tenth of the prompts, because no held-out pairs are named"),
        "{default}"
    );
    assert!(!sandbox.path("default").exists(), "a dry run writes nothing");
}

#[test]
fn mistakes_are_said_before_anything_is_trained() {
    let sandbox = Sandbox::new();
    let said = |variants_keys: &str, edit: [&str; 2]| {
        let file = by_annotator(&sandbox, "v.toml", variants_keys);
        let text = std::fs::read_to_string(&file).unwrap().replace(edit[0], edit[1]);
        std::fs::write(&file, text).unwrap();
        let ended = variants(&sandbox, &file, "all", "");
        assert!(!sandbox.path("all").exists(), "{variants_keys}: something was written");
        (ended.code, ended.messages)
    };
    let groups = "group = \"annotator\"\n";
    let none = ["", ""];
    let (code, text) = said("group = \"anotator\"\n", none);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("no row has the column `anotator`") && text.contains("did you mean `annotator`?"),
        "{text}"
    );
    let (code, text) = said("", none);
    assert_eq!(code, Some(2));
    assert!(text.contains("`variants.group` is missing"), "{text}");
    let (code, text) = said(groups, ["rank = 4\ndropout = 0.1\n", ""]);
    assert_eq!(code, Some(2));
    assert!(text.contains("`lora.rank` is missing; variants are adapters"), "{text}");
    let (code, text) = said(groups, ["[data]\n", "[data]\nonly_group = \"ann\"\n"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("`data.only_group` is set, but one variant is trained for each group"), "{text}");
    assert!(text.contains("v.toml:"), "{text}");
    let (_, text) = said(&format!("{groups}min_rows = 40\n"), none);
    assert!(
        text.contains("has 40 rows to train on (7: 21, ann: 22, bo: 21); lower `variants.min_rows`"),
        "{text}"
    );
    let (code, text) = said("[[variant]]\nname = \"a\"\nloss.beta = -1\n", none);
    assert_eq!(code, Some(2));
    assert!(text.contains("`loss.beta` is -1; expected a number above 0"), "{text}");
    let eval = rows_of("runs/eval_conv.json", "ann");
    let eval = write(&sandbox, "ann.json", &eval);
    let (_, text) = said(groups, [sandbox.path("eval.json").to_str().unwrap(), eval.to_str().unwrap()]);
    assert!(
        text.contains("group `7` of the column `annotator` has 21 rows to train on and no held-out pair"),
        "{text}"
    );
    let run_file = by_annotator(&sandbox, "v.toml", groups);
    let ended = sandbox.run("train", &paths([("--config", &run_file)]));
    assert!(
        ended.messages.contains("unknown table `variants`; it is for `dpo variants`"),
        "{}",
        ended.messages
    );
}

/// Its group is that of the new rows, too, and of those that are replayed.
#[test]
fn a_variant_goes_on_as_a_round() {
    let sandbox = Sandbox::new();
    let file = by_annotator(&sandbox, "v.toml", "group = \"annotator\"\nkl_samples = 1\n");
    variants(&sandbox, &file, "all", "").success();
    let new = write(&sandbox, "new.json", &rows("runs/eval_conv.json"));
    let eval = sandbox.path("eval.json");
    let (from, out) = (sandbox.path("all/bo"), sandbox.path("bo-2"));
    let mut args = paths([("--from", &from), ("--data", &new), ("--eval-data", &eval), ("--out", &out)]);
    args.extend(flags("--replay 0.5 --kl-samples 1 --max-steps 2"));
    let said = sandbox.run("round", &args).success().messages;
    let old = rows_of("runs/train_conv.json", "bo");
    assert!(
        said.contains(&format!("replayed   {} of {} pairs of round 1", old.len().div_ceil(2), old.len())),
        "{said}"
    );
    let report = read_json(out.join("data_report.json"));
    assert_eq!(report["train"]["causes"]["other_group"]["count"], 8);
    assert_eq!(report["train"]["rows_kept"], 4 + old.len().div_ceil(2));
    for row in json_lines(&Run::at(out).read("replay.jsonl")) {
        assert!(old.contains(&row), "{row}");
    }
}
