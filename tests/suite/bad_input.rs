//! Bad input, given to the program from outside: one clear error each, in bounded time and memory, and no panic.

mod commands;
mod data;
mod models;
mod run_dirs;
mod stops;
mod streams;
mod templates;

use std::{ffi::OsString, path::Path, process::Command};

use crate::program::{Ended, Sandbox};

/// Memory in KiB and processor time in seconds that a refusal may take at most.
const LIMITS: &str = "ulimit -v 4000000 2>/dev/null; ulimit -t 60";

/// The same command, begun by a shell that has run `first`.
fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(std::process::Stdio::null());
    shell
}

/// Runs the program within [`LIMITS`], and after what else the shell is told.
fn limited(sandbox: &Sandbox, first: &str, command: &str, args: &[OsString]) -> Ended {
    let command = sandbox.command(command, args);
    let command =
        if cfg!(unix) { &mut after(&format!("{LIMITS}; {first}"), &command) } else { &mut { command } };
    ended(command)
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        messages: String::from_utf8(output.stderr).unwrap(),
    }
}

/// It ended with this code, said all of this, and did not panic.
#[track_caller]
fn assert_says(name: &str, ended: &Ended, code: i32, parts: &[&str]) {
    let Ended { code: found, messages, .. } = ended;
    assert!(!messages.contains("panicked"), "{name}: {messages}");
    assert_eq!(*found, Some(code), "{name}: {messages}");
    for part in parts {
        assert!(messages.contains(part), "{name}: expected {part:?} in: {messages}");
    }
}

/// `dpo score` of a model and data in this folder.
fn score(sandbox: &Sandbox, model: &Path, data: &str, more: &str) -> Ended {
    let mut args = crate::program::paths([("--model", model), ("--data", Path::new(data))]);
    args.extend(crate::program::flags(more));
    limited(sandbox, "true", "score", &args)
}
