//! `dpo check`: planted faults, exit codes, the page, real sets.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    program::{Sandbox, flags, paths, tiny},
    support::{golden, json_lines},
};

const WORDS: [&str; 16] = [
    "river", "candle", "orbit", "meadow", "violin", "harbour", "lantern", "pepper", "saddle", "thunder",
    "willow", "anchor", "basket", "copper", "dragon", "engine",
];

/// Words that depend on `seed` alone.
fn sentence(seed: u64, n: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 33) as usize % WORDS.len()]
    };
    (0..n).map(|_| word()).collect::<Vec<_>>().join(" ")
}

fn row(prompt: &str, chosen: &str, rejected: &str) -> Value {
    json!({ "prompt": prompt, "chosen": chosen, "rejected": rejected })
}

/// The row of number `n`, from 1; all rows are different, and no side is longer as a rule.
fn clean_row(n: u64) -> Value {
    row(&sentence(3 * n, 15), &sentence(3 * n + 1, 25), &sentence(3 * n + 2, 25))
}

fn lines(rows: &[Value]) -> String {
    rows.iter().fold(String::new(), |text, row| text + &row.to_string() + "\n")
}

/// The numbers of the rows under `key`, which are as many as it counts.
fn rows_of(found: &Value, key: &str) -> Vec<u64> {
    let rows: Vec<u64> =
        found[key]["rows"].as_array().unwrap().iter().map(|row| row["row"].as_u64().unwrap()).collect();
    assert_eq!(found[key]["count"].as_u64(), Some(rows.len() as u64), "{key}");
    rows
}

fn check(sandbox: &Sandbox, data: &Path, more: &str) -> (Option<i32>, Value) {
    let mut args = vec![data.into()];
    args.extend(flags(more));
    let ended = sandbox.run("check", &args);
    let found =
        serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.messages));
    (ended.code, found)
}

/// A set without faults, and the same with two of each: the rows are named by their lines.
#[test]
fn planted_rows_are_found_by_line_and_strict_says_so() {
    let sandbox = Sandbox::new();
    let mut rows: Vec<Value> = (1..=300).map(clean_row).collect();
    let data = sandbox.file("clean.jsonl", &lines(&rows));
    let (code, found) = check(&sandbox, &data, "--json --strict");
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(found["serious"], json!([]));

    let text = |of: usize, key: &str| rows[of - 1][key].as_str().unwrap().to_owned();
    let planted = [
        clean_row(10),                                                                        // 301
        row(&text(20, "prompt"), &text(20, "rejected"), &text(20, "chosen")),                 // 302
        row(&sentence(9001, 15), "the same", "the same"),                                     // 303
        row(&sentence(9002, 15), "", "some text"),                                            // 304
        row(&text(30, "prompt"), &format!("{}!", text(30, "chosen")), &text(30, "rejected")), // 305
    ];
    rows.extend(planted);
    let data = sandbox.file("planted.jsonl", &lines(&rows));
    sandbox.file("eval.jsonl", &lines(&[clean_row(40), clean_row(4000)]));
    let (code, found) = check(&sandbox, &data, "--json --strict --eval-data eval.jsonl");
    assert_eq!(code, Some(1), "{found}");
    let expected = [
        ("exact_duplicates", 301),
        ("contradictions", 302),
        ("identical_sides", 303),
        ("empty_sides", 304),
        ("near_duplicates", 305),
        ("prompt_leakage", 40),
    ];
    for (key, line) in expected {
        assert_eq!(rows_of(&found, key), [line], "{key}");
    }
    assert_eq!(found["contradictions"]["rows"][0]["of"], json!({ "file": 0, "row": 20 }));
    assert_eq!(found["prompt_leakage"]["rows"][0]["of"], json!({ "file": 1, "row": 1 }));
    assert_eq!(check(&sandbox, &data, "--json").0, Some(0), "only --strict fails");
}

/// The longer side is chosen in 60 of 100 pairs: the AUC is 0.6, Wilson's interval 0.502 to 0.691.
#[test]
fn length_bias_is_an_auc_with_its_interval() {
    let sandbox = Sandbox::new();
    let (short, long) = (sentence(1, 10), sentence(2, 20));
    let one = |n: u64| {
        let (short, long) = (format!("{short} {n}"), format!("{long} {n}"));
        let prompt = sentence(50 + n, 15);
        if n < 60 { row(&prompt, &long, &short) } else { row(&prompt, &short, &long) }
    };
    let data = sandbox.file("pairs.jsonl", &lines(&(0..100).map(one).collect::<Vec<_>>()));
    let length = &check(&sandbox, &data, "--json").1["length_bias"];
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-3;
    assert!(near(&length["auc"], 0.6), "{length}");
    assert!(near(&length["ci"][0], 0.502) && near(&length["ci"][1], 0.691), "{length}");
}

/// What is secret is counted and placed, and never repeated: not in JSON, not as text, not on the page.
#[test]
fn secrets_are_never_repeated() {
    let sandbox = Sandbox::new();
    let key = format!("AKIA{}", "QRST".repeat(4));
    let leaky = row("What is my key?", &format!("It is {key}."), "Ask jane@corp.org.");
    let data = sandbox.file("leaky.jsonl", &lines(&[leaky, clean_row(1)]));
    let mut args = vec![data.into()];
    args.extend(flags("--html page.html"));
    let as_text = sandbox.run("check", &args).success().out;
    let page = std::fs::read_to_string(sandbox.path("page.html")).unwrap();
    let (_, found) = check(&sandbox, &sandbox.path("leaky.jsonl"), "--json");
    assert_eq!(found["secrets"]["rows"][0]["what"], "chosen: AWS access key");
    assert_eq!(found["email_addresses"]["rows"][0]["what"], "rejected");
    for text in [as_text, page, found.to_string()] {
        assert!(!text.contains(&key) && !text.contains("jane"), "{text}");
    }
}

/// With a model there is what its tokens show; the rows are those of the goldens.
#[test]
fn a_model_adds_tokens_and_what_limits_cut() {
    let sandbox = Sandbox::new();
    let model = golden("runs/model");
    let mut args = vec![golden("runs/train_conv.json").into()];
    args.extend(paths([("--model", &model)]));
    args.extend(flags("--json"));
    let out = sandbox.run("check", &args).success().out;
    let found: Value = serde_json::from_str(&out).unwrap();
    let cuts = found["truncation"].as_array().unwrap();
    assert_eq!(cuts.last().unwrap()["rows"], 0, "the last limit cuts nothing: {cuts:?}");
    assert!(found["tokens"]["longest"].as_f64().unwrap() > 0.0);
    assert_eq!(found["missing_eos"]["count"], 0);
}

/// Three people judge ten pairs, two of them alike and the third the other way round: α = 1 − 29·20/450, and 1 without the third.
/// What is advised reads votes.
#[test]
fn annotators_are_compared_and_the_advice_follows_the_shape() {
    let sandbox = Sandbox::new();
    let two = |n: u64| json!({ "prompt": sentence(3 * n, 15), "response1": sentence(3 * n + 1, 20), "response2": sentence(3 * n + 2, 20) });
    let rows: Vec<Value> = (1..=10)
        .map(|n| {
            let mut row = two(n);
            let (says, other) = if n % 2 == 0 { (1, 2) } else { (2, 1) };
            (row["annotator1"], row["annotator2"], row["annotator3"]) =
                (json!(says), json!(says), json!(other));
            row
        })
        .collect();
    let (_, found) = check(&sandbox, &sandbox.file("votes.jsonl", &lines(&rows)), "--json");
    let agreement = &found["annotator_agreement"];
    assert!((agreement["alpha"].as_f64().unwrap() - (1.0 - 29.0 * 20.0 / 450.0)).abs() < 1e-9, "{agreement}");
    let third = &agreement["voters"][2];
    assert_eq!(
        (&third["name"], &third["with_others"], &third["votes"]),
        (&json!("annotator3"), &json!(0.0), &json!(10))
    );
    assert!((third["alpha_without"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{third}");
    let settings: Vec<&str> =
        found["advice"].as_array().unwrap().iter().map(|a| a["setting"].as_str().unwrap()).collect();
    assert!(
        settings.iter().all(|setting| !setting.contains("sigmoid") && !setting.contains("robust")),
        "{settings:?}"
    );
    assert_eq!(settings[0], "loss.kind = \"soft_label\"");
    let lists: Vec<Value> = (1..=10)
        .map(|n| json!({ "prompt": sentence(4 * n, 15), "completions": [sentence(4 * n + 1, 9), sentence(4 * n + 2, 9), sentence(4 * n + 3, 9)] }))
        .collect();
    let (_, found) = check(&sandbox, &sandbox.file("lists.jsonl", &lines(&lists)), "--json");
    assert_eq!(found["advice"][0]["setting"], "loss.kind = \"plackett_luce\"");
    assert_eq!(found["annotator_agreement"], Value::Null);
}

/// Scores that say otherwise than the sides do, and ranks that say otherwise than the scores.
#[test]
fn scores_that_disagree_are_found() {
    let sandbox = Sandbox::new();
    let rows: Vec<Value> = (1..=20)
        .map(|n| {
            let mut row = clean_row(n);
            let is_planted = [4, 9, 17].contains(&n);
            (row["score_chosen"], row["score_rejected"]) =
                (json!(if is_planted { 1.0 } else { 3.5 }), json!(2));
            row
        })
        .collect();
    let (_, found) = check(&sandbox, &sandbox.file("scores.jsonl", &lines(&rows)), "--json");
    assert_eq!(rows_of(&found, "scores_disagree"), [4, 9, 17]);
    let lists: Vec<Value> = (1..=10)
        .map(|n| {
            let scores = if n == 6 { json!([3, 1, 2]) } else { json!([3, 2, 1]) };
            let texts = [1, 2, 3].map(|side| sentence(4 * n + side, 9));
            json!({ "prompt": sentence(4 * n, 15), "completions": texts, "ranks": [1, 2, 3], "scores": scores })
        })
        .collect();
    let (_, found) = check(&sandbox, &sandbox.file("lists.jsonl", &lines(&lists)), "--json");
    assert_eq!(rows_of(&found, "scores_disagree"), [6]);
}

/// Of the prompts that the model answers itself, the completions' log-probs are those of `dpo score`; twice the same.
#[test]
fn completions_are_held_against_the_models_own_answers() {
    let sandbox = Sandbox::new();
    let (model, data) = (golden("runs/model"), golden("runs/eval_plain.json"));
    let asked = || {
        let mut args = vec![data.clone().into()];
        args.extend(paths([("--model", &model)]));
        args.extend(flags("--json --read 0 --own 5"));
        let found: Value = serde_json::from_str(&sandbox.run("check", &args).success().out).unwrap();
        assert_eq!(found["reference_margins"], Value::Null, "it read no pairs");
        found["own_answers"].clone()
    };
    let own = asked();
    assert_eq!((own["asked"].as_u64(), own["most_tokens"].as_u64()), (Some(5), Some(64)));
    let scores = sandbox.run("score", &paths([("--model", &model), ("--data", &data)])).success().out;
    let scores = json_lines(&scores);
    let gaps: Vec<f64> =
        own["rows"].as_array().unwrap().iter().map(|row| row["gap"].as_f64().unwrap()).collect();
    assert!(gaps.is_sorted_by(|a, b| a >= b), "{gaps:?}");
    for row in own["rows"].as_array().unwrap() {
        let chosen = &scores[row["row"].as_u64().unwrap() as usize - 1]["completions"][0];
        let n = chosen["tokens"].as_f64().unwrap();
        if n <= 64.0 {
            let mean = chosen["logp"].as_f64().unwrap() / n;
            assert!((row["completion"].as_f64().unwrap() - mean).abs() < 1e-4, "{row}: {mean}");
        }
    }
    assert_eq!(own, asked());
}

/// Planted: completions of random words among real ones. A real model finds each of them less likely beside its own answer than
/// any of the others.
#[test]
fn a_real_model_finds_words_without_sense_the_least_likely() {
    let (Some(model), Some(shared)) = (std::env::var_os("DPO_SMOLLM2"), std::env::var_os("DPO_SHARED"))
    else {
        return;
    };
    let sandbox = Sandbox::new();
    let real = std::fs::read_to_string(Path::new(&shared).join("data/hh-harmless/train.conv.jsonl")).unwrap();
    let mut rows: Vec<Value> =
        real.lines().take(12).map(|line| serde_json::from_str(line).unwrap()).collect();
    for (n, row) in rows.iter_mut().enumerate().filter(|(n, _)| n % 4 == 1) {
        row["chosen"] = json!([{ "role": "assistant", "content": sentence(n as u64, 20) }]);
    }
    let data = sandbox.file("rows.jsonl", &lines(&rows));
    let mut args = vec![data.into()];
    args.extend(paths([("--model", Path::new(&model))]));
    args.extend(flags("--json --read 0 --own 12"));
    let found: Value = serde_json::from_str(&sandbox.run("check", &args).success().out).unwrap();
    let mut worst: Vec<u64> = found["own_answers"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .take(3)
        .map(|row| row["row"].as_u64().unwrap())
        .collect();
    worst.sort_unstable();
    assert_eq!(worst, [2, 6, 10], "{}", found["own_answers"]);
}

/// The model reads as many pairs as it is told, and its margins are those of `dpo score`.
#[test]
fn the_margins_are_those_of_the_scores() {
    let sandbox = Sandbox::new();
    let (model, data) = (golden("runs/model"), golden("runs/eval_plain.json"));
    let mut args = vec![data.clone().into()];
    args.extend(paths([("--model", &model)]));
    args.extend(flags("--json --read 1"));
    let found: Value = serde_json::from_str(&sandbox.run("check", &args).success().out).unwrap();
    assert_eq!(found["model_pairs_read"], 1);
    let scores = sandbox.run("score", &paths([("--model", &model), ("--data", &data)])).success().out;
    let first = &json_lines(&scores)[0]["completions"];
    let margin = first[0]["logp"].as_f64().unwrap() - first[1]["logp"].as_f64().unwrap();
    let median = found["reference_margins"]["median"].as_f64().unwrap();
    assert!((median - margin).abs() < 1e-4, "{median}, not {margin}");
}

/// A row that is there twice and a contradiction are told before a run, and stand in its report.
#[test]
fn a_run_tells_what_it_found() {
    let sandbox = Sandbox::new();
    let pair = |chosen: &str, rejected: &str| row("t5 t6 t7", chosen, rejected);
    let rows = [pair(" t8", " t9"), pair(" t8", " t9"), pair(" t9", " t8"), row("t9 t5", " t3", " t4")];
    let data = sandbox.file("rows.jsonl", &lines(&rows));
    let run = sandbox.train_on(&golden("runs/model"), &data, "run", &tiny("--epochs 1 --batch-size 2"));
    assert!(
        run.messages.contains("check      1 × the same row once more, 1 × other verdicts"),
        "{}",
        run.messages
    );
    let report: Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("run/data_report.json")).unwrap()).unwrap();
    let found = &report["check"]["found"];
    assert_eq!(rows_of(found, "exact_duplicates"), [2]);
    assert_eq!(rows_of(found, "contradictions"), [3]);
    let page = std::fs::read_to_string(sandbox.path("run/report.html")).unwrap();
    assert!(page.contains("<h2>Check</h2>") && page.contains("the same row once more"));
}

/// A role that does not exist is wrong usage.
#[test]
fn an_unknown_role_is_refused() {
    let sandbox = Sandbox::new();
    let data = sandbox.file("rows.jsonl", &lines(&[clean_row(1)]));
    let mut args = vec![data.into()];
    args.extend(flags("--column winner=chosen"));
    let ended = sandbox.run("check", &args);
    assert_eq!(ended.code, Some(2), "{}", ended.messages);
    assert!(ended.messages.contains("no role \"winner\""), "{}", ended.messages);
}

/// The real sets go through whole: every row is read, and what is broken is named.
#[test]
fn real_sets_are_looked_at() {
    let Some(shared) = std::env::var_os("DPO_SHARED") else { return };
    let sandbox = Sandbox::new();
    let data = |name: &str| Path::new(&shared).join("data").join(name);
    let (_, hh) = check(&sandbox, &data("hh/harmless-base-test.jsonl.gz"), "--json");
    assert_eq!(hh["rows_read"], 2312);
    assert!(hh["length_bias"]["auc"].as_f64().unwrap() > 0.3);
    let (_, harmless) = check(
        &sandbox,
        &data("hh-harmless/train.conv.jsonl"),
        &format!("--json --eval-data {}", data("hh-harmless/eval.conv.jsonl").display()),
    );
    assert_eq!(harmless["rows_read"], 512);
    assert!(harmless["prompt_leakage"]["count"].is_u64());
}
