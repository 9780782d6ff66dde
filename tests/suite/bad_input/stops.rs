//! SIGINT outside the steps: while the reference is computed, and while held-out rows are measured.
#![cfg(unix)]

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{assert_says, limited};
use crate::{
    program::{Ended, Run, Sandbox, tiny, train_args},
    support::{golden, json},
};

/// So many held-out rows that a signal arrives while they are computed.
fn held_out(sandbox: &Sandbox) {
    let rows = json(golden("runs/eval_conv.json"));
    let mut lines = String::new();
    for copy in 0..20 {
        for row in rows.as_array().unwrap() {
            let mut row = row.clone();
            let first = row["prompt"][0]["content"].as_str().unwrap();
            row["prompt"][0]["content"] = Value::from(format!("{first} {copy}"));
            lines += &format!("{row}\n");
        }
    }
    sandbox.file("held.jsonl", &lines);
}

fn args(out: &Path, more: &str) -> Vec<OsString> {
    let settings = tiny(&format!("--max-steps 2 --eval-data held.jsonl {more}"));
    train_args(&golden("runs/model"), &golden("runs/train_conv.json"), out, &settings)
}

/// Interrupts the run when it has said `words`.
fn interrupted_after(sandbox: &Sandbox, words: &str) -> Ended {
    let mut command = sandbox.command("train", &args(&sandbox.path("stopped"), ""));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut messages = String::new();
    while !messages.contains(words) {
        assert!(reader.read_line(&mut messages).unwrap() > 0, "{messages}");
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    reader.read_to_string(&mut messages).unwrap();
    Ended { code: child.wait().unwrap().code(), out: String::new(), messages }
}

#[test]
fn a_run_interrupted_before_its_first_step_goes_on_to_the_same_bits() {
    let undisturbed = Sandbox::new();
    held_out(&undisturbed);
    let whole = Run::at(undisturbed.path("whole"));
    limited(&undisturbed, "true", "train", &args(&whole.dir, "")).success();
    for words in ["reference log-probs of the training rows", "reference log-probs of the held-out rows"] {
        let sandbox = Sandbox::new();
        held_out(&sandbox);
        let ended = interrupted_after(&sandbox, words);
        assert_says(words, &ended, 130, &["stopped"]);
        let stopped = Run::at(sandbox.path("stopped"));
        assert!(stopped.read("run.json").contains("interrupted"), "{}", stopped.read("run.json"));
        let resumed = limited(&sandbox, "true", "train", &args(&stopped.dir, "--resume auto"));
        assert_says(words, &resumed, 0, &[]);
        stopped.outcome().assert_same(&whole.outcome(), words);
    }
}
