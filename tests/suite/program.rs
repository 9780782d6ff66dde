//! The program under test, run as a user runs it, and what it leaves behind.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{golden, json_lines};

/// What the tiny runs have in common unless their flags say otherwise; no samples because answers are tested elsewhere.
const TINY: [(&str, &str); 4] =
    [("--batch-size", "4"), ("--learning-rate", "1e-3"), ("--warmup-steps", "3"), ("--samples", "0")];

/// Flags of a tiny run.
pub fn tiny(flags: &str) -> String {
    let absent = TINY.iter().filter(|(flag, _)| !flags.split_whitespace().any(|other| other == *flag));
    absent.fold(flags.to_owned(), |flags, (flag, value)| format!("{flags} {flag} {value}"))
}

/// `target/release/dpo` beside these tests, or what `DPO_BIN` names.
fn program() -> PathBuf {
    let beside_tests = || {
        let tests = std::env::current_exe().unwrap();
        let folder = tests.ancestors().nth(2).unwrap();
        folder.join(format!("dpo{}", std::env::consts::EXE_SUFFIX))
    };
    let path = std::env::var_os("DPO_BIN").map_or_else(beside_tests, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is absent; build the program first: cargo build --release -p dpo-cli",
        path.display()
    );
    path
}

/// A temporary folder with a cache of its own.
pub struct Sandbox(TempDir);

impl Sandbox {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// `dpo COMMAND` with the cache in this folder.
    pub fn command(&self, command: &str, args: &[OsString]) -> Command {
        let mut program = Command::new(program());
        program.arg(command).args(args).current_dir(self.0.path());
        program.env("DPO_CACHE_DIR", self.path("cache")).env("HF_HUB_OFFLINE", "1");
        program.stdin(Stdio::null());
        program
    }

    /// Runs it to its end, whatever that is.
    pub fn run(&self, command: &str, args: &[OsString]) -> Ended {
        let output = self.command(command, args).output().unwrap();
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            messages: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Trains the tiny model on the conversations into the folder `out`; it has to succeed.
    pub fn train(&self, out: &str, flags: &str) -> Run {
        self.train_on(&golden("runs/model"), &golden("runs/train_conv.json"), out, flags)
    }

    /// Trains; it has to succeed.
    pub fn train_on(&self, model: &Path, data: &Path, out: &str, flags: &str) -> Run {
        let messages = self.run("train", &train_args(model, data, &self.path(out), flags)).success().messages;
        Run { dir: self.path(out), messages }
    }
}

/// How a call ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub messages: String,
}

impl Ended {
    /// Itself, if the exit code is 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.messages);
        self
    }
}

/// Flags as they are typed.
pub fn flags(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// Flags that take a path.
pub fn paths<const N: usize>(named: [(&str, &Path); N]) -> Vec<OsString> {
    named.into_iter().flat_map(|(flag, path)| [OsString::from(flag), path.into()]).collect()
}

/// Arguments of `dpo train`.
pub fn train_args(model: &Path, data: &Path, out: &Path, text: &str) -> Vec<OsString> {
    let mut args = paths([("--model", model), ("--data", data), ("--out", out)]);
    args.extend(flags(text));
    args
}

/// A run directory.
pub struct Run {
    pub dir: PathBuf,
    /// What was said on the way.
    pub messages: String,
}

impl Run {
    pub fn at(dir: PathBuf) -> Self {
        Self { dir, messages: String::new() }
    }

    pub fn read(&self, file: &str) -> String {
        let path = self.dir.join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The lines of `metrics.jsonl`.
    pub fn steps(&self) -> Vec<Value> {
        json_lines(&self.read("metrics.jsonl"))
    }

    /// A metric of every step.
    pub fn series(&self, metric: &str) -> Vec<f64> {
        self.steps().iter().map(|step| step[metric].as_f64().unwrap()).collect()
    }

    pub fn model(&self) -> PathBuf {
        self.dir.join("model")
    }

    pub fn weights(&self) -> PathBuf {
        self.model().join("model.safetensors")
    }

    /// What must be the same, bit by bit, whenever the run is made again: weights, metrics but for the speed,
    /// evaluations.
    pub fn outcome(&self) -> Outcome {
        let mut steps = self.steps();
        for step in &mut steps {
            step.as_object_mut().unwrap().remove("tokens_per_second").unwrap();
        }
        Outcome {
            steps,
            evaluations: self.read("eval.jsonl"),
            weights: std::fs::read(self.weights()).unwrap(),
        }
    }
}

/// What a run came to.
#[derive(PartialEq)]
pub struct Outcome {
    pub steps: Vec<Value>,
    pub evaluations: String,
    pub weights: Vec<u8>,
}

impl Outcome {
    /// Says which part differs, without a page of bytes.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, what: &str) {
        for (a, b) in self.steps.iter().zip(&other.steps) {
            assert_eq!(a, b, "{what}: this step differs");
        }
        assert_eq!(self.steps.len(), other.steps.len(), "{what}: steps in metrics.jsonl");
        assert_eq!(self.evaluations, other.evaluations, "{what}: eval.jsonl");
        assert!(self.weights == other.weights, "{what}: the weights differ");
    }
}
