//! Standard output and standard error that are full or closed.

use std::{ffi::OsString, fs::File, process::Stdio};

use super::assert_says;
use crate::{
    program::{Sandbox, flags, tiny, train_args},
    support::golden,
};

fn printing_commands() -> Vec<(&'static str, Vec<OsString>)> {
    let (model, data) = (golden("runs/model"), golden("runs/train_conv.json"));
    let (model, data) = (model.display(), data.display());
    let commands = [
        ("config", String::new()),
        ("score", format!("--model {model} --data {data}")),
        ("eval", format!("--model {model} --reference {model} --data {data}")),
        ("generate", format!("--model {model} --prompt hi --max-new-tokens 3")),
        ("train", format!("--model {model} --data {data} --dry-run")),
    ];
    commands.into_iter().map(|(command, text)| (command, flags(&text))).collect()
}

/// `/dev/full` refuses every write.
#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let sandbox = Sandbox::new();
    for (name, args) in printing_commands() {
        let mut command = sandbox.command(name, &args);
        command.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let messages = String::from_utf8(output.stderr).unwrap();
        let found = crate::program::Ended { code: output.status.code(), out: String::new(), messages };
        assert_says(name, &found, 1, &["cannot write"]);
    }
}

/// As `dpo score … | head -1` does.
#[cfg(unix)]
#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let sandbox = Sandbox::new();
    for (name, args) in printing_commands() {
        let mut command = sandbox.command(name, &args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let messages = String::from_utf8(output.stderr).unwrap();
        assert!(!messages.contains("error") && !messages.contains("panicked"), "{name}: {messages}");
        assert_eq!(output.status.code(), Some(0), "{name}: {messages}");
    }
}

#[cfg(unix)]
#[test]
fn training_goes_on_when_nobody_listens() {
    let sandbox = Sandbox::new();
    let run = sandbox.path("run");
    let args =
        train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run, &tiny("--max-steps 2"));
    let mut command = sandbox.command("train", &args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(run.join("model/model.safetensors").exists());
}
