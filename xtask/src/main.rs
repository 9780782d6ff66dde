//! `cargo xtask`: builds the `dpo` program with the wanted backend and runs it; tests, benchmarks, CI.
//!
//! Its commands take what they own from the command line and hand everything else on, so there is no declaration of
//! flags here: those are in `dpo-cli`.

mod bench;
mod cargo;
mod dpo;
mod process;
mod split;
mod test;

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::Result;
use split::WrongUsage;

const HELP: &str = "\
Builds the `dpo` program and runs it; tests it

Usage: cargo xtask <COMMAND>

Commands:
  train   Build `dpo` and train; without a model and data, the built-in experiment
  bench   Build `dpo` and measure its speed and memory: of steps, of each kernel, as they grow, or against
          the Python trainer
  experiment  Compare ways to use the same judgments, against a reward that is known exactly or on real
          votes
  test    Check format and lints, build the program, run all tests and the examples of the
          documentation; what follows goes to `cargo test`
  assets  Make what the built-in experiment starts from again: corpus, tokenizer, model and pairs
  ci      Do what continuous integration does: the tests, the built-in experiment, a real model

`cargo xtask train --help` shows the flags of `dpo train` too.
";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<WrongUsage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(args: &[OsString]) -> Result<ExitCode> {
    let Some((command, args)) = args.split_first() else {
        eprint!("{HELP}");
        return Ok(ExitCode::from(2));
    };
    match command.to_str() {
        Some("train") => dpo::train(args),
        Some("bench") => bench::run(args),
        Some("experiment") => dpo::experiment(args),
        Some("assets") => dpo::assets(args),
        Some("test") => test::run(args),
        Some("ci") => process::hand_over(Command::new(cargo::root().join(".ci").join("run"))),
        Some("help" | "-h" | "--help") => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            let known = "there are train, bench, experiment, test, assets and ci";
            Err(WrongUsage(format!("no command is called `{}`; {known}", command.to_string_lossy())).into())
        }
    }
}
