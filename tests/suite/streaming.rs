//! Rows that are read while they are trained on.

use std::path::{Path, PathBuf};

use serde_json::json as value;

use crate::{
    program::{Run, Sandbox, tiny, train_args},
    resume::copy_folder,
    support::{golden, json},
};

/// Windows of twelve rows, the last of a pass of four: five full ones and one of a single step, 16 steps a pass.
const STREAM: &str = "--stream --stream-buffer 12 --max-steps 40 --loss sigmoid";

fn data() -> PathBuf {
    golden("runs/train_conv.json")
}

/// Everything but how far through the epoch a step is, which a stream does not know.
fn assert_same(a: &Run, b: &Run, what: &str) {
    let of = |run: &Run| {
        let mut outcome = run.outcome();
        outcome.steps.iter_mut().for_each(|step| drop(step.as_object_mut().unwrap().remove("epoch")));
        outcome
    };
    of(a).assert_same(&of(b), what);
}

/// A window that holds the whole set is the whole set, shuffled anew in every pass: the run is that without a stream, to the last bit.
#[test]
fn a_window_of_all_rows_trains_as_all_rows_do() {
    let sandbox = Sandbox::new();
    let flags = tiny(&format!(
        "--max-steps 40 --loss sigmoid --eval-data {}",
        golden("runs/eval_conv.json").display()
    ));
    let whole = sandbox.train("whole", &flags);
    for buffer in [64, 1000] {
        let streamed =
            sandbox.train(&format!("buffer-{buffer}"), &format!("{flags} --stream --stream-buffer {buffer}"));
        assert_same(&streamed, &whole, &format!("a buffer of {buffer}"));
        assert_eq!(streamed.series("epoch")[39], 2.0, "two whole passes");
    }
    let sequential = sandbox.train("sequential", &format!("{flags} --order sequential"));
    let streamed =
        sandbox.train("in-order", &format!("{flags} --order sequential --stream --stream-buffer 12"));
    assert_same(&streamed, &sequential, "rows in their order, whatever the window");
}

/// All checkpoints of two and a half passes over several files, each taken up in a copy; `kto` also has mismatched completions
/// in each window.
#[test]
fn every_checkpoint_leads_to_the_same_bits() {
    let sandbox = Sandbox::new();
    for more in ["", "--loss kto", "--lora-rank 4 --reference-update-every 7", "--accumulate 2 --loss simpo"]
    {
        let flags = tiny(&format!("{STREAM} --save-every 9 --keep-checkpoints 0 {more}")).replacen(
            if more.contains("--loss") { "--loss sigmoid" } else { "\0" },
            "",
            1,
        );
        let name = more.replace([' ', '-'], "_");
        let whole = sandbox.train(&format!("whole{name}"), &flags);
        let report = whole.read("data_report.json");
        for step in [9, 18, 36] {
            let copy = sandbox.path(&format!("from-{step}{name}"));
            copy_folder(&whole.dir, &copy);
            let resume =
                format!("{flags} --resume {}", copy.join(format!("checkpoints/step-{step:06}")).display());
            sandbox.run("train", &train_args(&golden("runs/model"), &data(), &copy, &resume)).success();
            let copy = Run::at(copy);
            assert_eq!(copy.steps().len(), 40, "{more}");
            let without_speed = |run: &Run| -> Vec<_> {
                let mut steps = run.steps();
                steps
                    .iter_mut()
                    .for_each(|step| drop(step.as_object_mut().unwrap().remove("tokens_per_second")));
                steps
            };
            assert_eq!(without_speed(&copy), without_speed(&whole), "{more} from step {step}");
            assert_eq!(copy.read("data_report.json"), report, "{more}: counts from step {step}");
        }
    }
}

/// Rows that teach nothing are counted as without a stream, in the first pass alone, and each file has its entry.
#[test]
fn every_row_is_counted_once() {
    let sandbox = Sandbox::new();
    let rows = json(data());
    let mut lines = [String::new(), String::new()];
    for (idx, row) in rows.as_array().unwrap().iter().enumerate() {
        let mut row = row.clone();
        if idx % 5 == 0 {
            row["rejected"] = row["chosen"].clone();
        }
        lines[idx % 2] += &format!("{row}\n");
    }
    let files: Vec<PathBuf> =
        ["a.jsonl", "b.jsonl"].iter().zip(&lines).map(|(name, text)| sandbox.file(name, text)).collect();
    let run = |out: &str, more: &str| {
        let flags = tiny(&format!("--max-steps 30 --loss sigmoid --data {} {more}", files[1].display()));
        sandbox.train_on(&golden("runs/model"), &files[0], out, &flags)
    };
    let (whole, streamed) = (run("whole", ""), run("streamed", "--stream --stream-buffer 10"));
    let report = |run: &Run| json(run.dir.join("data_report.json"))["train"].clone();
    let (whole, streamed) = (report(&whole), report(&streamed));
    assert_eq!(streamed["rows_dropped"], 13);
    assert_eq!(streamed["causes"], whole["causes"]);
    assert_eq!((&streamed["rows_read"], &streamed["files"]), (&value!(64), &whole["files"]));
}

/// Rows that are too long lie in memory until they are tokenised: four times as many cost a run that reads all of them first some
/// thirty megabytes, and a stream nothing. 1.3 passes are made, on one thread: what several hold at once differs from run to run.
#[test]
fn memory_does_not_grow_with_the_rows() {
    let sandbox = Sandbox::new();
    let file = |n: usize| {
        let long = "many words about nothing ".repeat(40);
        let row = |n: usize| {
            let prompt = if n % 100 == 7 { "short" } else { &long };
            format!("{{\"prompt\": \"{n} {prompt}\", \"chosen\": \"yes {n}\", \"rejected\": \"no {n}\"}}\n")
        };
        sandbox.file(&format!("{n}.jsonl"), &(0..n).map(row).collect::<String>())
    };
    let peak = |data: &Path, n_steps: usize, more: &str| {
        let out = format!("run-{}-{n_steps}{}", data.file_stem().unwrap().display(), more.len());
        let flags = tiny(&format!("--max-steps {n_steps} --max-length 64 --loss sigmoid --threads 1 {more}"));
        let run = sandbox.train_on(&golden("runs/model"), data, &out, &flags);
        json(run.dir.join("run.json"))["cost"]["peak_memory_bytes"].as_f64().unwrap() / f64::from(1 << 20)
    };
    let (small, large) = (file(8_000), file(32_000));
    let stream = "--stream --stream-buffer 32";
    let (a, b) = (peak(&small, 26, stream), peak(&large, 104, stream));
    let (c, d) = (peak(&small, 26, ""), peak(&large, 104, ""));
    println!(
        "peak memory in MiB: 8,000 and 32,000 rows, streamed {a:.0} and {b:.0}, whole {c:.0} and {d:.0}"
    );
    assert!(b - a < 8.0, "streamed: {a:.0} MiB, then {b:.0}");
    assert!(d - c > 20.0, "whole: {c:.0} MiB, then {d:.0}");
}

/// All rows are looked at before the first step: copies, contradictions and prompts that are measured on lie beyond the first window
/// of twelve, and what is wrong with the last line is said before anything is computed. The run is that without the look.
#[test]
fn all_rows_can_be_looked_at_first() {
    let sandbox = Sandbox::new();
    let mut rows = json(data()).as_array().unwrap().clone();
    let eval = json(golden("runs/eval_conv.json")).as_array().unwrap().clone();
    let turned =
        value!({ "prompt": rows[1]["prompt"], "chosen": rows[1]["rejected"], "rejected": rows[1]["chosen"] });
    let measured =
        value!({ "prompt": eval[0]["prompt"], "chosen": rows[3]["chosen"], "rejected": rows[3]["rejected"] });
    rows.extend([rows[0].clone(), turned, measured]);
    let lines = rows.iter().fold(String::new(), |lines, row| lines + &row.to_string() + "\n");
    let file = sandbox.file("rows.jsonl", &lines);
    let flags = |more: &str| {
        let eval = golden("runs/eval_conv.json").display().to_string();
        tiny(&format!("--stream --stream-buffer 12 --max-steps 4 --loss sigmoid --eval-data {eval} {more}"))
    };
    let run = |out: &str, more: &str| sandbox.train_on(&golden("runs/model"), &file, out, &flags(more));
    let (window, all) = (run("window", ""), run("all", "--stream-check all"));
    assert_same(&all, &window, "a look changes nothing");
    let report = |run: &Run| json(run.dir.join("data_report.json"))["check"].clone();
    let (of_window, of_all) = (report(&window), report(&all));
    assert_eq!((&of_window["of"], &of_all["of"]), (&value!("the first window"), &value!("all rows")));
    assert_eq!(of_all["compared_prompts"]["one_in"], 1, "{of_all}");
    for (fault, row) in [("exact_duplicates", 65), ("contradictions", 66), ("prompt_leakage", 67)] {
        assert_eq!(of_window["found"][fault]["count"], 0, "{fault}: {of_window}");
        assert_eq!(of_all["found"][fault]["count"], 1, "{fault}: {of_all}");
        assert_eq!(of_all["found"][fault]["rows"][0]["row"], row, "{fault}: {of_all}");
    }
    assert_eq!(of_all["rows"]["rows_read"], 67, "{of_all}");
    let files = |file: &str| json(all.dir.join(file));
    assert_eq!(
        files("run.json")["data"][0]["rows"],
        67,
        "run.json has the digest of a file that was not read to its end"
    );
    assert!(all.messages.contains("of all rows, as they are read:"), "{}", all.messages);

    let broken = sandbox.file("broken.jsonl", &(lines + "{\"prompt\": 3}\n"));
    let args =
        train_args(&golden("runs/model"), &broken, &sandbox.path("broken"), &flags("--stream-check all"));
    let said = sandbox.run("train", &args);
    assert!(said.code == Some(1) && said.messages.contains("broken.jsonl:68"), "{}", said.messages);
    assert!(!sandbox.path("broken").exists(), "nothing was written");
}

/// A row that cannot be read, met in the middle of a run: it is named, what was learnt is kept, and with the row put right the
/// run goes on to the bits of one that never met it.
#[test]
fn a_broken_row_met_on_the_way_loses_nothing() {
    let sandbox = Sandbox::new();
    let row =
        |n: usize| format!("{{\"prompt\": \"{n}?\", \"chosen\": \"yes {n}\", \"rejected\": \"no {n}\"}}\n");
    let right: String = (0..300).map(row).collect();
    let broken = right.replacen(&row(290), "{\"prompt\": \n", 1);
    let flags = tiny("--max-steps 68 --loss sigmoid --stream --stream-buffer 64");
    let whole =
        sandbox.train_on(&golden("runs/model"), &sandbox.file("right.jsonl", &right), "whole", &flags);

    let (data, out) = (sandbox.file("rows.jsonl", &broken), sandbox.path("run"));
    let args = train_args(&golden("runs/model"), &data, &out, &flags);
    let ended = sandbox.run("train", &args);
    assert_ne!(ended.code, Some(0));
    assert!(ended.messages.contains("rows.jsonl:291"), "{}", ended.messages);
    // The rows of the first chunk of 256 are four windows: 64 steps of four rows.
    assert!(out.join("checkpoints/step-000064").is_dir(), "{}", ended.messages);

    sandbox.file("rows.jsonl", &right);
    let args = train_args(&golden("runs/model"), &data, &out, &format!("{flags} --resume auto"));
    sandbox.run("train", &args).success();
    assert_same(&Run::at(out), &whole, "after the row was put right");
}
