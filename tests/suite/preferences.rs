//! Preferences that are more than pairs, through the program.

use std::{
    f64::consts::LN_2,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    accumulation::{PARTS, assert_same_training},
    program::{Run, Sandbox, paths, tiny, train_args},
    resume::copy_folder,
    support::{golden, json, json_lines},
};

/// Rows of the tiny run, as `row` writes each pair.
fn rows(sandbox: &Sandbox, name: &str, row: impl Fn(usize, &Value) -> Vec<Value>) -> PathBuf {
    let pairs = json(golden("runs/train_conv.json"));
    let rows = pairs.as_array().unwrap().iter().enumerate().flat_map(|(idx, pair)| row(idx, pair));
    sandbox.file(name, &rows.fold(String::new(), |text, row| text + &format!("{row}\n")))
}

/// Lists of three: chosen, rejected, and the rejected one turned around.
fn lists(sandbox: &Sandbox) -> PathBuf {
    rows(sandbox, "lists.jsonl", |_, pair| {
        let worst: String = pair["rejected"][0]["content"].as_str().unwrap().chars().rev().collect();
        let worst = json!([{ "role": "assistant", "content": worst }]);
        let completions = json!([pair["chosen"], pair["rejected"], worst]);
        vec![json!({ "prompt": pair["prompt"], "completions": completions, "scores": [3, 2, 0.5] })]
    })
}

/// Every pair as two completions with a label each.
fn labelled(sandbox: &Sandbox) -> PathBuf {
    rows(sandbox, "labelled.jsonl", |_, pair| {
        let one = |side: &str, label: bool| json!({ "prompt": pair["prompt"], "completion": pair[side], "label": label });
        vec![one("chosen", true), one("rejected", false)]
    })
}

/// Two of three for the chosen side, ties and plain pairs in turn; a score for all.
fn voted(sandbox: &Sandbox) -> PathBuf {
    rows(sandbox, "voted.jsonl", |idx, pair| {
        let mut row = pair.clone();
        row["votes"] = [json!([2, 1]), json!([0, 1, 0]), json!(1)][idx % 3].clone();
        (row["score_chosen"], row["score_rejected"]) = (json!(2), json!(1));
        vec![row]
    })
}

fn train(sandbox: &Sandbox, data: &Path, out: &str, flags: &str) -> Run {
    sandbox.train_on(&golden("runs/model"), data, out, &tiny(flags))
}

/// ln 3! for lists of three, ½ of a completion with a label; votes that are divided cost ln 2 whatever they are. With ν = 1
/// and a = ln 3 a preference costs ln 4 and a tie ln 2; the first batch of four has votes ⅔ and ⅓, a tie, a preference, and
/// ⅔ and ⅓ again: (ln 4 + ln 2 + ln 4 + ln 4)/4. A gap of 1 is no offset, `rpo_sq` wants 1, `modpo` −1; LiPO's pairs of three have gains
/// 2³ − 2², 2³ − 2^½, 2² − 2^½ and discounts 1/ln 2, 1/ln 3, 1/ln 4.
#[test]
fn every_objective_starts_at_its_value_and_learns() {
    let sandbox = Sandbox::new();
    let (lists, labelled, voted) = (lists(&sandbox), labelled(&sandbox), voted(&sandbox));
    let (gain, discount) = (|a: f64, b: f64| a.exp2() - b.exp2(), |place: f64| place.ln().recip());
    let lipo = gain(3.0, 2.0) * (discount(2.0) - discount(3.0))
        + gain(3.0, 0.5) * (discount(2.0) - discount(4.0))
        + gain(2.0, 0.5) * (discount(3.0) - discount(4.0));
    let (a, ln_a, ln_b) = (0.731_058_578_630_004_9, -0.313_261_687_518_222_8, -1.313_261_687_518_222_8);
    let bwd = a * ln_a + (1.0 - a) * ln_b + LN_2;
    let fwd = -LN_2 - 0.5 * (ln_a + ln_b);
    let cases = [
        ("plackett_luce", &lists, 6f64.ln()),
        ("lipo", &lists, lipo * LN_2),
        ("kto", &labelled, 0.5),
        ("soft_label", &voted, LN_2),
        ("rao_kupper", &voted, 1.75 * LN_2),
        ("davidson", &voted, 1.75 * LN_2),
        ("odpo", &voted, LN_2),
        ("rpo_sq", &voted, 1.0),
        ("rpo_bwd_kl", &voted, bwd),
        ("rpo_fwd_kl", &voted, fwd),
        ("modpo", &voted, -ln_b),
    ];
    for (loss, data, expected) in cases {
        let flags = format!(
            "--max-steps 12 --warmup-steps 0 --learning-rate 1e-4 --order sequential --eval-data {} --loss {loss}",
            data.display()
        );
        let run = train(&sandbox, data, loss, &flags);
        let first = run.series("loss")[0];
        assert!((first - expected).abs() < 1e-6 * expected.max(1.0), "{loss}: {first}, not {expected}");
        let evaluations: Vec<f64> =
            json_lines(&run.read("eval.jsonl")).iter().map(|e| e["eval_loss"].as_f64().unwrap()).collect();
        assert!(evaluations.last() < evaluations.first(), "{loss}: {evaluations:?}");
    }
}

/// A list of two, and a pair that one person judged: the run is that of `sigmoid`, weights and all.
#[test]
fn what_reduces_to_dpo_trains_as_dpo_to_the_last_bit() {
    let sandbox = Sandbox::new();
    let flags = "--max-steps 6 --learning-rate 1e-3";
    let pairs = sandbox.train("pairs", &tiny(flags));
    let twos = rows(&sandbox, "twos.jsonl", |_, pair| {
        vec![json!({ "prompt": pair["prompt"], "responses": [pair["chosen"], pair["rejected"]] })]
    });
    let listwise = train(&sandbox, &twos, "lists", &format!("{flags} --loss plackett_luce"));
    let one_voice = sandbox.train("votes", &tiny(&format!("{flags} --loss soft_label")));
    for (run, what) in [(&listwise, "lists of two"), (&one_voice, "one voice")] {
        let (run, pairs) = (run.outcome(), pairs.outcome());
        assert!(run.weights == pairs.weights, "{what}: the weights differ");
        assert_eq!(run.steps, pairs.steps, "{what}");
    }
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    let sandbox = Sandbox::new();
    for (loss, data) in
        [("plackett_luce", lists(&sandbox)), ("kto", labelled(&sandbox)), ("davidson", voted(&sandbox))]
    {
        let flags = format!("--max-steps 6 --learning-rate 1e-4 --loss {loss}");
        let whole = train(&sandbox, &data, &format!("{loss}-whole"), &flags);
        for (idx, parts) in PARTS.iter().enumerate() {
            let run = train(&sandbox, &data, &format!("{loss}-{idx}"), &format!("{flags} {parts}"));
            assert_same_training(&whole, &run, &format!("{loss} {parts}"));
        }
    }
}

#[test]
fn a_resumed_run_comes_to_the_same_bits() {
    let sandbox = Sandbox::new();
    for (loss, data) in
        [("plackett_luce", lists(&sandbox)), ("kto", labelled(&sandbox)), ("rao_kupper", voted(&sandbox))]
    {
        let flags =
            tiny(&format!("--max-steps 6 --save-every 3 --keep-checkpoints 0 --loss {loss} --heldout 0.2"));
        let whole = sandbox.train_on(&golden("runs/model"), &data, loss, &flags);
        let copy = sandbox.path(&format!("{loss}-again"));
        copy_folder(&whole.dir, &copy);
        let flags = format!("{flags} --resume {}", copy.join("checkpoints/step-000003").display());
        sandbox.run("train", &train_args(&golden("runs/model"), &data, &copy, &flags)).success();
        Run::at(copy).outcome().assert_same(&whole.outcome(), loss);
    }
}

/// Of policy = reference a soft label and ODPO with a gap of 1 cost ln 2 each. A row has to have what every loss of a mixture
/// reads: `sigmoid` has no use for the 21 ties. What is done to such a loss is the same however a batch is computed.
#[test]
fn votes_and_scores_are_mixed_and_modified() {
    let sandbox = Sandbox::new();
    let voted = voted(&sandbox);
    let flags = "--max-steps 6 --warmup-steps 0 --order sequential --learning-rate 1e-4";
    let run = |out: &str, more: &str| train(&sandbox, &voted, out, &format!("{flags} {more}"));
    let of_both = run("both", "--mix soft_label=1 --mix odpo=0.5");
    assert!((of_both.series("loss")[0] - 1.5 * LN_2).abs() < 1e-6, "{:?}", of_both.series("loss"));
    let said = &of_both.messages;
    assert!(said.contains("64 kept, 0 dropped") && !said.contains("does not read"), "{said}");
    let with_pairs = run("pairs", "--mix soft_label=1 --mix sigmoid=1");
    assert!((with_pairs.series("loss")[0] - 2.0 * LN_2).abs() < 1e-6, "{:?}", with_pairs.series("loss"));
    assert!(with_pairs.messages.contains("dropped 21: neither completion is preferred"));
    for modified in [
        "--max-steps 6 --loss odpo --wpo",
        "--max-steps 1 --loss odpo --wpo --ld-alpha 0.5 --f-divergence js",
    ] {
        let of = |parts: &str| {
            let flags = format!("--warmup-steps 0 --learning-rate 1e-4 {modified} {parts}");
            train(&sandbox, &voted, &format!("modified {modified} {parts}").replace(' ', "_"), &flags)
        };
        let whole = of("");
        assert!(whole.series("loss").iter().all(|loss| *loss > 0.0));
        for parts in PARTS {
            assert_same_training(&whole, &of(parts), &format!("{modified} {parts}"));
        }
    }
}

/// Without a loss it is the one that training would take, which the rows say.
#[test]
fn a_run_file_without_a_loss_is_explained_with_that_of_its_rows() {
    let sandbox = Sandbox::new();
    let explained = |data: &Path| {
        let text = format!("[model]\nbase = \"m\"\n[data]\ntrain = {:?}\n", data.display().to_string());
        let file = sandbox.file("run.toml", &text);
        sandbox.run("config", &paths([("--explain", &file)])).success().out
    };
    let of_lists = explained(&lists(&sandbox));
    assert!(of_lists.contains("(plackett_luce)") && of_lists.contains("best first"), "{of_lists}");
    let absent = explained(Path::new("no/such.jsonl"));
    assert!(absent.contains("(sigmoid)") && absent.contains("no loss is named"), "{absent}");
}

/// Pairs of two people in turn, of whom the second has every pair upside down.
fn grouped(sandbox: &Sandbox) -> PathBuf {
    rows(sandbox, "grouped.jsonl", |idx, pair| {
        let (mut row, is_second) = (pair.clone(), idx % 2 == 1);
        row["who"] = json!(if is_second { "bob" } else { "ann" });
        if is_second {
            (row["chosen"], row["rejected"]) = (pair["rejected"].clone(), pair["chosen"].clone());
        }
        vec![row]
    })
}

/// Shares begin even, add up to 1, follow the losses, and are the same after a resume, to the last bit. With η = 0 they stay.
#[test]
fn groups_that_fare_badly_count_more() {
    let sandbox = Sandbox::new();
    let data = grouped(&sandbox);
    let flags = |eta: &str| {
        tiny(&format!(
            "--max-steps 8 --save-every 4 --keep-checkpoints 0 --loss group_robust --column group=who --warmup-steps 0 \
             --group-robust-eta {eta} --learning-rate 1e-3"
        ))
    };
    let train = |out: &str, eta: &str| sandbox.train_on(&golden("runs/model"), &data, out, &flags(eta));
    let run = train("robust", "2");
    let shares = |run: &Run, name: &str| {
        run.steps().iter().map(|step| step["group_shares"][name].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (ann, bob) = (shares(&run, "ann"), shares(&run, "bob"));
    assert_eq!((ann[0], bob[0]), (0.5, 0.5));
    assert!(ann.iter().zip(&bob).all(|(a, b)| (a + b - 1.0).abs() < 1e-12), "{ann:?} {bob:?}");
    assert!(ann[7] != 0.5, "{ann:?}");
    assert!(shares(&train("even", "0"), "ann").iter().all(|share| *share == 0.5));

    let copy = sandbox.path("again");
    copy_folder(&run.dir, &copy);
    let resume = format!("{} --resume {}", flags("2"), copy.join("checkpoints/step-000004").display());
    sandbox.run("train", &train_args(&golden("runs/model"), &data, &copy, &resume)).success();
    Run::at(copy).outcome().assert_same(&run.outcome(), "group_robust");

    let nobody = train_args(&golden("runs/model"), &data, &sandbox.path("no"), &tiny("--loss group_robust"));
    let messages = sandbox.run("train", &nobody).messages;
    assert!(messages.contains("name their column: --column group=NAME"), "{messages}");
}

/// The first batch of four of `voted` has the chosen sides of three pairs, for a tie prefers nothing.
#[test]
fn metrics_count_preferences_and_no_ties() {
    let sandbox = Sandbox::new();
    let voted =
        train(&sandbox, &voted(&sandbox), "votes", "--max-steps 1 --order sequential --loss soft_label");
    let pairs = sandbox.train("pairs", &tiny("--max-steps 1 --order sequential"));
    let ties = ["logps/chosen", "logps/rejected"]
        .map(|name| 4.0 * pairs.series(name)[0] - 3.0 * voted.series(name)[0]);
    let lines = json_lines(
        &sandbox
            .run(
                "score",
                &paths([("--model", &golden("runs/model")), ("--data", &golden("runs/train_conv.json"))]),
            )
            .success()
            .out,
    );
    for (found, completion) in ties.iter().zip(lines[1]["completions"].as_array().unwrap()) {
        assert!((found - completion["logp"].as_f64().unwrap()).abs() < 1e-3, "{ties:?}: {completion}");
    }
}

#[test]
fn the_loss_follows_the_data_and_says_so() {
    let sandbox = Sandbox::new();
    let said = |data: &Path, flags: &str| {
        let args = train_args(
            &golden("runs/model"),
            data,
            &sandbox.path("dry"),
            &tiny(&format!("--dry-run {flags}")),
        );
        sandbox.run("train", &args).success().messages
    };
    let (lists, labelled, voted) = (lists(&sandbox), labelled(&sandbox), voted(&sandbox));
    for (data, expected) in [
        (&lists, "plackett_luce, because 64 rows are ranked lists"),
        (&labelled, "kto, because 128 rows are single completions with a label"),
        (&voted, "soft_label, because annotators disagree on 22 rows"),
    ] {
        let messages = said(data, "");
        assert!(messages.contains(expected), "{messages}");
    }
    assert!(!said(&golden("runs/train_conv.json"), "").contains("because"), "pairs train with DPO as ever");
    let overridden = said(&voted, "--loss sigmoid");
    assert!(overridden.contains("dropped 21: neither completion is preferred"), "{overridden}");
    assert!(
        overridden.contains("this loss does not read the divided votes of 22 rows, of which the majority is taken, nor the scores of 64 rows"),
        "{overridden}"
    );
    assert!(
        said(&lists, "--loss sigmoid --pairs best-worst").contains("changed 64: a list was made into pairs")
    );
}

#[test]
fn what_a_loss_cannot_read_is_refused() {
    let sandbox = Sandbox::new();
    let refused = |data: &Path, flags: &str, code: i32, expected: &str| {
        let args = train_args(&golden("runs/model"), data, &sandbox.path("no"), &tiny(flags));
        let ended = sandbox.run("train", &args);
        assert_eq!(ended.code, Some(code), "{flags}: {}", ended.messages);
        assert!(ended.messages.contains(expected), "{flags}: {}", ended.messages);
    };
    let lists = lists(&sandbox);
    refused(&lists, "--loss sigmoid", 1, "make pairs of them with `--pairs best-worst`");
    refused(
        &lists,
        "--loss plackett_luce --pairs all",
        2,
        "`data.pairs` is set, but the loss `plackett_luce` does not read it",
    );
    refused(&labelled(&sandbox), "--loss hinge", 1, "choose the loss `kto`");
    refused(&lists, "--sft-weight 1", 2, "`loss.sft_weight` is set, but `plackett_luce` reads ranked lists");
    refused(&labelled(&sandbox), "--mix kto=1 --mix sft=1", 2, "`kto`, which reads single completions");
    refused(&golden("runs/train_conv.json"), "--pairs all", 1, "no row is one");
    refused(&golden("runs/train_conv.json"), "--loss odpo", 1, "the loss reads scores, and no row has any");
}

/// The model against itself: ln 3! for lists of three, whose three pairs count each, and ½ for labels.
#[test]
fn lists_and_labels_are_measured() {
    let sandbox = Sandbox::new();
    let model = golden("runs/model");
    for (data, what, n, loss) in
        [(lists(&sandbox), "n_pairs", 64 * 3, 6f64.ln()), (labelled(&sandbox), "n_completions", 128, 0.5)]
    {
        let mut args = paths([("--model", &model), ("--reference", &model), ("--data", &data)]);
        args.push("--json".into());
        let found: Value = serde_json::from_str(&sandbox.run("eval", &args).success().out).unwrap();
        assert_eq!(found[what], n);
        assert!((found["eval_loss"].as_f64().unwrap() - loss).abs() < 1e-6, "{found}");
        assert_eq!(found["eval_rewards/margins"], 0.0);
    }
}

/// A line a list, with its completions best first.
#[test]
fn lists_are_scored() {
    let sandbox = Sandbox::new();
    let args = paths([("--model", &golden("runs/model")), ("--data", &lists(&sandbox))]);
    let lines = json_lines(&sandbox.run("score", &args).success().out);
    assert_eq!(lines.len(), 64);
    assert!(lines.iter().all(|line| line["completions"].as_array().unwrap().len() == 3));
}
