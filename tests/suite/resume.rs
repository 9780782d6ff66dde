//! A run that was stopped, in whatever way, ends as if it had never been.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    program::{Run, Sandbox, tiny, train_args},
    support::{golden, json, tensors},
};

/// Long enough to be stopped on the way: two and a half shuffled epochs.
fn settings() -> String {
    let eval = golden("runs/eval_conv.json");
    let flags = "--max-steps 40 --save-every 4 --keep-checkpoints 0 --eval-every 10 --accumulate 2";
    tiny(&format!("{flags} --eval-data {}", eval.display()))
}

fn args(out: &Path, more: &str) -> Vec<OsString> {
    let settings = format!("{} {more}", settings());
    train_args(&golden("runs/model"), &golden("runs/train_conv.json"), out, &settings)
}

fn whole(sandbox: &Sandbox) -> Run {
    sandbox.train("whole", &settings())
}

/// Starts the run, and ends it with `end` once the checkpoint of step 8 is on the disk.
fn started_and_ended(sandbox: &Sandbox, out: &str, end: fn(&mut Child)) -> (Option<i32>, String) {
    let mut command = sandbox.command("train", &args(&sandbox.path(out), ""));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("step 8: checkpoint") {
        assert!(messages.read_line(&mut heard).unwrap() > 0, "no checkpoint of step 8: {heard}");
    }
    end(&mut child);
    messages.read_to_string(&mut heard).unwrap();
    (child.wait().unwrap().code(), heard)
}

fn interrupt(child: &mut Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
}

/// Files that a person or a report reads afterwards.
fn assert_same_records(resumed: &Run, whole: &Run, what: &str) {
    resumed.outcome().assert_same(&whole.outcome(), what);
    assert_eq!(resumed.read("margins.json"), whole.read("margins.json"), "{what}: margins.json");
    assert_eq!(resumed.read("data_report.json"), whole.read("data_report.json"), "{what}: data_report.json");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_says_130_and_resumes_to_the_same_bits() {
    let sandbox = Sandbox::new();
    let (code, messages) = started_and_ended(&sandbox, "stopped", interrupt);
    assert_eq!(code, Some(130), "{messages}");
    assert!(messages.contains("stopped and saved"), "{messages}");
    assert!(!sandbox.path("stopped/model").exists(), "an unfinished run leaves no model");
    let stopped = Run::at(sandbox.path("stopped"));
    assert!((8..40).contains(&stopped.steps().len()), "stopped after {} steps", stopped.steps().len());
    let made = stopped.steps().len();
    assert!(stopped.dir.join(format!("checkpoints/step-{made:06}")).is_dir(), "the last step is saved");
    sandbox.run("train", &args(&stopped.dir, "--resume auto")).success();
    assert_same_records(&stopped, &whole(&sandbox), "after SIGINT");
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    let sandbox = Sandbox::new();
    started_and_ended(&sandbox, "killed", kill);
    let killed = Run::at(sandbox.path("killed"));
    assert!(!killed.model().exists(), "it was killed before its end");
    let dir = format!("--resume {}", killed.dir.display());
    let resumed = sandbox.run("train", &args(&killed.dir, &dir)).success();
    assert!(resumed.messages.contains("resuming from"), "{}", resumed.messages);
    assert_same_records(&killed, &whole(&sandbox), "after SIGKILL");
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All ten checkpoints of a run of 40 steps, each taken up in a copy of the run directory.
#[test]
fn every_checkpoint_leads_to_the_same_bits() {
    let sandbox = Sandbox::new();
    let whole = whole(&sandbox);
    for step in (4..=40).step_by(4) {
        let copy = sandbox.path(&format!("from-{step}"));
        copy_folder(&whole.dir, &copy);
        let checkpoint = copy.join(format!("checkpoints/step-{step:06}"));
        let resume = format!("--resume {}", checkpoint.display());
        // The run directory follows from the checkpoint.
        sandbox.run("train", &args(&copy, &resume)).success();
        assert_same_records(&Run::at(copy), &whole, &format!("from step {step}"));
    }
}

#[test]
fn auto_leaves_a_complete_run_alone() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("run", &tiny("--max-steps 2"));
    let before = std::fs::metadata(run.weights()).unwrap().modified().unwrap();
    let settings = tiny("--max-steps 2 --resume auto");
    let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run.dir, &settings);
    let ended = sandbox.run("train", &args).success();
    assert!(ended.messages.contains("is complete: nothing is left to do"), "{}", ended.messages);
    assert_eq!(std::fs::metadata(run.weights()).unwrap().modified().unwrap(), before);
}

#[test]
fn a_run_resumes_only_with_the_settings_it_was_started_with() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("run", &tiny("--max-steps 4 --save-every 2"));
    let settings = tiny("--max-steps 4 --save-every 2 --resume auto --beta 0.2");
    let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run.dir, &settings);
    let ended = sandbox.run("train", &args);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("differs in loss.beta"), "{}", ended.messages);
}

/// Rows that are other ones since, or another base, would make another run of it: both are refused, and nothing that is there
/// changes.
#[test]
fn a_run_resumes_only_on_what_it_began_with() {
    let sandbox = Sandbox::new();
    let rows = json(golden("runs/train_conv.json"));
    let rows = rows.as_array().unwrap();
    let text = |n: usize| rows[..n].iter().map(|row| row.to_string() + "\n").collect::<String>();
    let data = sandbox.file("rows.jsonl", &text(64));
    let base = sandbox.path("base");
    copy_folder(&golden("runs/model"), &base);
    let flags = tiny("--max-steps 4 --save-every 2 --loss sigmoid --lora-rank 2");
    let run = sandbox.train_on(&base, &data, "run", &flags);
    std::fs::remove_dir_all(run.model()).unwrap();
    let resumed =
        || sandbox.run("train", &train_args(&base, &data, &run.dir, &format!("{flags} --resume auto")));
    let record = run.read("run.json");

    sandbox.file("rows.jsonl", &text(63));
    let ended = resumed();
    assert_eq!(ended.code, Some(1));
    let said = "has changed since the run in";
    assert!(
        ended.messages.contains(said) && ended.messages.contains("64 rows then, 63 now"),
        "{}",
        ended.messages
    );
    assert_eq!(run.read("run.json"), record);

    sandbox.file("rows.jsonl", &text(64));
    let config = std::fs::read_to_string(base.join("config.json")).unwrap();
    std::fs::write(base.join("config.json"), config.replace("1e-06", "1e-05")).unwrap();
    let ended = resumed();
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("is not the model that the run in"), "{}", ended.messages);
    std::fs::write(base.join("config.json"), config).unwrap();
    resumed().success();
    assert!(run.model().exists());
}

/// The format of the model is the one setting of `[run]` that decides what comes out: a complete run writes it anew from its last
/// checkpoint, `config.toml` says which it is, and without a checkpoint that is refused.
#[test]
fn a_complete_run_writes_its_model_in_another_format() {
    let sandbox = Sandbox::new();
    let flags = tiny("--max-steps 4 --save-every 2 --loss sigmoid");
    let run = sandbox.train("run", &flags);
    let again = |more: &str| {
        let flags = format!("{flags} --resume auto {more}");
        let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run.dir, &flags);
        sandbox.run("train", &args)
    };
    let dtypes = || -> Vec<_> { tensors(&run.weights()).into_values().map(|tensor| tensor.dtype).collect() };
    assert!(dtypes().iter().all(|dtype| *dtype == safetensors::Dtype::F32));
    again("--save-dtype bf16").success();
    assert!(dtypes().iter().all(|dtype| *dtype == safetensors::Dtype::BF16));
    assert!(run.read("config.toml").contains("save_dtype = \"bf16\""));
    let ended = again("--save-dtype bf16").success();
    assert!(ended.messages.contains("nothing is left to do"), "{}", ended.messages);
    std::fs::remove_dir_all(run.dir.join("checkpoints")).unwrap();
    let ended = again("--save-dtype f32");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.messages.contains("has no checkpoint to write its model in another format from"),
        "{}",
        ended.messages
    );
}

/// A run of a version that knew fewer keys goes on: what its file does not say is at its default, and the file stays what it is.
#[test]
fn a_key_that_an_old_run_file_lacks_counts_as_its_default() {
    let sandbox = Sandbox::new();
    let whole = sandbox.train("whole", &tiny("--max-steps 4 --save-every 2 --keep-checkpoints 0"));
    let old = sandbox.path("old");
    copy_folder(&whole.dir, &old);
    let text = std::fs::read_to_string(old.join("config.toml")).unwrap();
    let is_new = |line: &&str| line.starts_with("dtype") || *line == "[reference]";
    let older: String =
        text.lines().filter(|line| !is_new(line)).fold(String::new(), |text, line| text + line + "\n");
    assert!(older.lines().count() + 2 == text.lines().count(), "{text}");
    std::fs::write(old.join("config.toml"), &older).unwrap();
    let args = |more: &str| {
        let settings = tiny(&format!("--max-steps 4 --save-every 2 --keep-checkpoints 0 {more}"));
        train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &old, &settings)
    };
    let from = format!("--resume {}", old.join("checkpoints/step-000002").display());
    let refused = sandbox.run("train", &args(&format!("{from} --dtype bf16")));
    assert!(refused.messages.contains("differs in model.dtype"), "{}", refused.messages);
    sandbox.run("train", &args(&from)).success();
    Run::at(old.clone()).outcome().assert_same(&whole.outcome(), "from an old file");
    assert_eq!(std::fs::read_to_string(old.join("config.toml")).unwrap(), older);
}

/// A run goes on where it lies.
#[test]
fn a_run_is_not_resumed_into_another_directory() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("run", &tiny("--max-steps 4 --save-every 2 --keep-checkpoints 0"));
    let checkpoint = run.dir.join("checkpoints/step-000002");
    let resumed = |from: &Path, out: &Path| {
        let settings =
            tiny(&format!("--max-steps 4 --save-every 2 --keep-checkpoints 0 --resume {}", from.display()));
        sandbox
            .run("train", &train_args(&golden("runs/model"), &golden("runs/train_conv.json"), out, &settings))
    };
    for from in [&run.dir, &checkpoint] {
        let ended = resumed(from, &sandbox.path("elsewhere"));
        assert_eq!(ended.code, Some(2), "{}", ended.messages);
        assert!(
            ended.messages.contains("a run goes on where it lies; remove one of them"),
            "{}",
            ended.messages
        );
        assert!(!sandbox.path("elsewhere").exists());
    }
    resumed(&checkpoint, &run.dir.join("../run")).success();
}

#[test]
fn a_run_directory_is_never_overwritten() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("run", &tiny("--max-steps 2"));
    let before = run.outcome();
    let settings = tiny("--max-steps 2");
    let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run.dir, &settings);
    let ended = sandbox.run("train", &args);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("holds a run already"), "{}", ended.messages);
    run.outcome().assert_same(&before, "after the refusal");
}
