//! Votes of several annotators, read one by one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    program::{Sandbox, flags, paths},
    support::{golden, json as read_json},
};

const SETTINGS: &str = "heldout = 0.3\n[loss]\nkind = \"sigmoid\"\n[lora]\nrank = 4\n[train]\nlearning_rate = 1e-2\nmax_steps = 3\n\
    batch_size = 4\n[eval]\nsamples = 0\n[variants]\npooled = true\nmin_rows = 4\nkl_samples = 1\n";

/// The pairs of a golden file as two answers that ann and bo vote on: ann for the better one, bo for the worse one of each third
/// row and for neither of some.
fn voted() -> Vec<Value> {
    let rows = read_json(golden("runs/train_conv.json")).as_array().unwrap().clone();
    let with_votes = |(idx, mut row): (usize, Value)| {
        row["ann"] = json!(1);
        row["bo"] = json!([2, 1, 0, 1][idx % 4]);
        row
    };
    rows.into_iter().enumerate().map(with_votes).collect()
}

/// The same votes, written down one by one under the name of who cast them.
fn written_out(rows: &[Value]) -> Vec<Value> {
    let vote = |row: &Value, who: &str| {
        let mut vote = row.clone();
        let cast = row[who].as_u64().unwrap();
        let fields = vote.as_object_mut().unwrap();
        ["ann", "bo"].iter().for_each(|who| drop(fields.remove(*who)));
        vote["who"] = json!(who);
        if cast == 2 {
            (vote["chosen"], vote["rejected"]) = (row["rejected"].clone(), row["chosen"].clone());
        }
        (cast != 0).then_some(vote)
    };
    rows.iter().flat_map(|row| ["ann", "bo"].map(|who| vote(row, who))).flatten().collect()
}

fn variants(sandbox: &Sandbox, name: &str, rows: &[Value], data: &str, more: &str) -> (PathBuf, String) {
    let file = sandbox.file(&format!("{name}.json"), &Value::Array(rows.to_vec()).to_string());
    let (base, file) = (golden("runs/model"), file.to_str().unwrap());
    let base = base.to_str().unwrap();
    let text = format!("[model]\nbase = {base:?}\n[data]\ntrain = {file:?}\n{data}{SETTINGS}{more}");
    let config = sandbox.file(&format!("{name}.toml"), &text);
    let args = paths([("--config", &config), ("--out", &sandbox.path(name))]);
    (sandbox.path(name), sandbox.run("variants", &args).success().messages)
}

fn weights(out: &Path, variant: &str) -> Vec<u8> {
    std::fs::read(out.join(variant).join("model/adapter_model.safetensors")).unwrap()
}

/// A row for each vote is what the same votes are when they are written out: the same adapters to the last bit, of each annotator
/// and of all, and the same matrix.
#[test]
fn each_annotator_is_a_variant() {
    let sandbox = Sandbox::new();
    let rows = voted();
    let each = "annotators = \"each\"\ncolumns = { annotators = \"ann, bo\" }\n";
    let (votes, said) = variants(&sandbox, "votes", &rows, each, "");
    let columns = "columns = { group = \"who\" }\n";
    let (plain, _) = variants(&sandbox, "plain", &written_out(&rows), columns, "group = \"who\"\n");
    assert!(said.contains("rows: 64 read, 64 more made of them"), "{said}");
    assert!(said.contains("noted 16: an annotator prefers neither completion"), "{said}");
    for variant in ["ann", "bo", "pooled"] {
        assert!(weights(&votes, variant) == weights(&plain, variant), "{variant}");
    }
    let cells = |out: &Path| read_json(out.join("variants.json"))["rows"].clone();
    assert_eq!(cells(&votes), cells(&plain));
    assert!(weights(&votes, "ann") != weights(&votes, "bo"), "they say different things");
}

/// Two votes on the same answers are opinions, neither copies nor contradictions.
#[test]
fn votes_are_neither_copies_nor_contradictions() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("votes.json", &Value::Array(voted()).to_string());
    let mut args = vec![file.into()];
    args.extend(flags("--annotators each --column annotators=ann,bo --json"));
    let found: Value = serde_json::from_str(&sandbox.run("check", &args).success().out).unwrap();
    for fault in ["exact_duplicates", "near_duplicates", "contradictions"] {
        assert_eq!(found[fault]["count"], 0, "{fault}: {found}");
    }
    assert_eq!(found["tie_vote"]["count"], 16, "{found}");
    assert_eq!(found["annotator_agreement"]["pairs"], 64, "{found}");
    assert!(found["group_agreement"].is_null(), "counted once: {found}");
}

/// What `dpo eval` and `dpo score` say of one annotator's votes is what they say of these written out, and a name that no vote has
/// is answered with those there are.
#[test]
fn votes_are_measured_as_they_are_trained_on() {
    let sandbox = Sandbox::new();
    let rows = voted();
    let file = |name: &str, rows: &[Value]| sandbox.file(name, &Value::Array(rows.to_vec()).to_string());
    let (votes, plain) = (file("votes.json", &rows), file("plain.json", &written_out(&rows)));
    let model = golden("runs/model");
    let run = |command: &str, data: &Path, more: &str| {
        let mut args = paths([("--model", &model), ("--data", data)]);
        args.extend(flags(more));
        if command == "eval" {
            args.extend(paths([("--reference", &model)]));
        }
        sandbox.run(command, &args)
    };
    let each = "--annotators each --column annotators=ann,bo";
    for (of_votes, of_plain) in [
        (each.to_owned(), "--column group=who".to_owned()),
        (format!("{each} --only-group bo"), "--column group=who --only-group bo".to_owned()),
    ] {
        let of = |data: &Path, more: &str| {
            let found: Value =
                serde_json::from_str(&run("eval", data, &format!("{more} --json")).success().out).unwrap();
            found
        };
        let found = of(&votes, &of_votes);
        assert_eq!(found, of(&plain, &of_plain), "{of_votes}");
        assert_eq!(found["n_pairs"], if of_votes == each { 112 } else { 48 });
    }
    let scored = run("score", &votes, &format!("{each} --only-group ann")).success().out;
    assert_eq!(scored.lines().count(), 64);
    assert!(scored.lines().all(|line| line.contains("\"group\":\"ann\"")), "{scored}");
    let mut args = vec![votes.clone().into()];
    args.extend(flags(&format!("{each} --only-group bo --json")));
    let found: Value = serde_json::from_str(&sandbox.run("check", &args).success().out).unwrap();
    // A vote on each of 64 rows, a quarter of them for neither.
    assert_eq!((&found["rows_kept"], &found["length_bias"]["n_pairs"]), (&json!(64), &json!(48)), "{found}");
    for (command, more) in [("eval", each), ("train", each), ("train", "--column group=ann")] {
        let ended = run(command, &votes, &format!("{more} --only-group cy"));
        assert_ne!(ended.code, Some(0));
        let known = if more == each { "there are `ann`, `bo`" } else { "there are `1`" };
        let wanted = format!("no row is of the group `cy`; {known}");
        assert!(ended.messages.contains(&wanted), "{command}: {}", ended.messages);
    }
}

#[test]
fn mistakes_with_annotators_are_said() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("votes.json", &Value::Array(voted()).to_string());
    let said = |more: &str| {
        let mut args = paths([("--model", &golden("runs/model")), ("--data", &file)]);
        args.extend(flags(more));
        let ended = sandbox.run("train", &args);
        assert_ne!(ended.code, Some(0), "{more}");
        ended.messages
    };
    let none = said("--annotators each");
    assert!(none.contains("no column of an annotator's votes, and `annotators` is `each`"), "{none}");
    let group = said("--annotators each --column group=ann");
    assert!(group.contains("`data.columns` names a column for \"group\" beside it"), "{group}");
    let sft = said("--annotators each --column annotators=ann,bo --loss sft");
    assert!(sft.contains("demonstrations are read without votes"), "{sft}");
    let both = sandbox.file(
        "both.toml",
        "[model]\nbase = \"m\"\n[data]\ntrain = \"d\"\nannotators = \"each\"\n[lora]\nrank = 2\n[variants]\ngroup = \"ann\"\n",
    );
    let both = sandbox.run("variants", &paths([("--config", &both)])).messages;
    assert!(both.contains("`variants.group` is set, but each annotator is a group"), "{both}");
}

/// A round replays each old vote as one.
#[test]
fn votes_are_replayed_as_votes() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("votes.json", &Value::Array(voted()).to_string());
    let text = "--annotators each --column annotators=ann,bo --heldout 0.3 --loss sigmoid --max-steps 2";
    sandbox.train_on(&golden("runs/model"), &file, "first", text);
    let (from, out) = (sandbox.path("first"), sandbox.path("second"));
    let mut args = paths([("--from", &from), ("--data", &file), ("--out", &out)]);
    args.extend(flags("--replay 0.5 --kl-samples 1 --max-steps 2"));
    sandbox.run("round", &args).success();
    let report = read_json(out.join("data_report.json"));
    let replayed = std::fs::read_to_string(out.join("replay.jsonl")).unwrap().lines().count();
    assert!(replayed > 5, "{replayed}");
    let made = report["train"]["files"][1]["rows"].as_u64().unwrap();
    assert_eq!(made as usize, replayed, "{report}");
    let other = sandbox.path("third");
    let mut args = paths([("--from", &from), ("--data", &file), ("--out", &other)]);
    args.extend(flags("--annotators together"));
    let said = sandbox.run("round", &args).messages;
    assert!(said.contains("`data.annotators` is another than in the last round"), "{said}");
}
